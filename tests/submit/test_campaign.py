"""Campaigns on a real Slurm and on local cores: planted failures heal, and nothing is done twice."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from submit.advance import advance
from submit.backends import make_backend
from submit.errors import BusyError
from submit.reconcile import Account

PLANTED = {
    "n1": "once", "n3": "transient", "n5": "killed", "n7": "hungry", "n9": "crash", "n11": "silent",
}  # fmt: skip


def _check_healed(farm):
    farm.wait_result()
    assert [farm.tries(n) for n in (0, 2, 4, 6, 8, 10)] == [1] * 6
    assert [farm.tries(n) for n in (1, 3, 5, 9, 11)] == [2] * 5
    # 100 MB are not enough for it, neither are 150; 225 are.
    assert farm.tries(7) == 3
    failed = {}
    for path in farm.campaign.rounds.glob("*/*/results/*.jsonl"):
        for line in map(json.loads, path.read_text().splitlines()):
            if line.get("outcome") == "failed":
                failed.setdefault(line["id"].split("_")[1], []).append(line["class"])
    assert failed["1"] == failed["11"] == failed["9"] == ["deterministic"]
    assert failed["3"] == ["transient-io"] and failed["7"] == ["oom", "oom"]


def test_planted_failures_heal_by_themselves_on_slurm(farm):
    made = farm(12)
    made.plant(**PLANTED)
    made.submit()
    _check_healed(made)
    made.wait_quiet()
    assert made.status().total == {"done": 13}


def test_planted_failures_heal_by_themselves_on_local_cores(make_farm):
    made = make_farm("local", 12)
    made.plant(**PLANTED)
    made.submit()
    _check_healed(made)


def test_what_cannot_be_done_is_quarantined_with_its_reason_and_can_be_retried(farm):
    made = farm(4)
    made.plant(n1="always", n2="corrupt")
    made.submit()
    outcome = made.wait_quiet()
    assert outcome.stuck and not made.result.exists()
    reasons = {key.split("_")[1]: text for key, text in outcome.plan.quarantine.items()}
    assert "cannot be done" in reasons["1"] and "truncated" in reasons["2"]
    assert made.tries(1) == 2 and made.tries(2) == 1
    records = [json.loads(path.read_text()) for path in made.campaign.quarantine.glob("*.json")]
    assert all(Path(record["attempts"][-1]["log"]).exists() for record in records)
    # Asking again changes nothing; after it is mended, retry goes on.
    assert made.submit().stuck and made.tries(1) == 2
    for plant in (made.where / "plant").iterdir():
        plant.unlink()
    process = made.call("retry", "--all")
    assert process.wait() == 0, process.stdout.read()
    made.wait_result()


def test_a_second_submission_adds_nothing(farm):
    made = farm(4)
    made.plant(n0="slow", n1="slow", n2="slow", n3="slow")
    first = made.submit()
    assert first.n_tasks == 5
    second = made.submit()
    assert second.n_tasks == second.n_arrays == 0 and not second.stuck and len(second.plan.active) == 5
    made.wait_result()
    assert [made.tries(n) for n in range(4)] == [1] * 4
    assert made.submit().complete


def test_two_at_once_one_waits(farm):
    made = farm(2)
    campaign = made.campaign
    with campaign.locked(), pytest.raises(BusyError, match="being submitted by"):
        made.submit()
    campaign.lock.write_text(json.dumps({"host": os.uname().nodename, "pid": 2**22 + 1, "user": "x"}))
    assert made.submit().n_tasks == 3
    made.wait_result()


def test_arrays_are_split_at_the_limit_and_asked_for_in_one_call_each(farm, tmp_path, monkeypatch):
    calls = tmp_path / "calls"
    for name in ("sbatch", "squeue"):
        real = subprocess.run(["which", name], capture_output=True, text=True).stdout.strip()
        wrapper = tmp_path / "bin" / name
        wrapper.parent.mkdir(exist_ok=True)
        wrapper.write_text(f'#!/bin/bash\necho {name} >> "{calls}"\nexec "{real}" "$@"\n')
        wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    made = farm(12, queue="max_array_size = 5", finalizer="none")
    outcome = made.submit()
    assert [len(array.shards) for array in outcome.plan.arrays] == [5, 5, 2, 1]
    assert calls.read_text().split() == ["sbatch"] * 4
    made.submit()
    assert calls.read_text().split()[4:] == ["squeue"]
    made.wait_result()


def test_a_full_queue_gets_the_rest_later(farm):
    made = farm(9, queue="max_array_size = 3\nmax_queued = 4")
    first = made.submit()
    assert first.n_tasks == 10 and first.n_arrays == 1
    made.wait_result(120)
    assert [made.tries(n) for n in range(9)] == [1] * 9


def test_an_empty_product_is_made_again(farm):
    made = farm(2)
    (made.where / "out").mkdir()
    (made.where / "out" / "1.txt").touch()
    assert made.submit().n_tasks == 3
    made.wait_result()


def test_whoever_removes_the_file_of_a_quarantine_lifts_it(make_farm):
    made = make_farm("local", 2)
    made.plant(n1="corrupt")
    made.submit()
    assert made.wait_quiet().stuck and made.submit().stuck
    (made.where / "plant" / "1").unlink()
    for path in made.campaign.quarantine.glob("*.json"):
        path.unlink()
    assert made.submit().n_tasks == 2
    made.wait_result()


def test_whoever_writes_such_a_file_by_hand_stops_a_task(make_farm):
    made = make_farm("local", 2)
    task_id = next(key for key in made.look().plan.graph.nodes if key.startswith("Leaf_1_"))
    made.campaign.quarantine.joinpath("any.json").write_text(json.dumps({"id": task_id}))
    outcome = made.submit()
    assert outcome.plan.quarantine == {task_id: "by hand"} and outcome.n_tasks == 1


def test_values_of_a_task_never_reach_a_shell(farm, tmp_path):
    base = tmp_path / 'it\'s $(touch hacked) `touch hacked` & "é" ; 100%'
    base.mkdir()
    made = farm(2, base=base)
    made.submit()
    made.wait_result()
    assert made.where.name == "graph" and not list(tmp_path.rglob("hacked"))


def test_a_finalizer_is_followed_by_no_more_than_the_settings_allow(make_farm):
    made = make_farm("local", 1, plan="max_rounds = 2")
    made.plant(n0="once")
    advance(made.campaign, made.site, follows=2)
    assert made.wait_quiet().plan.n_todo == 2, "it failed, and nobody went on"
    assert not list(made.campaign.rounds.glob("*/finalizer"))
    made.submit()
    made.wait_result()


def test_time_limits_stay_below_that_of_the_partition(farm):
    made = farm(1, minutes=300, queue='name = "other"', node='environment = ["true"]')
    limits = made.backend.limits()
    assert (limits.walltime_s, limits.max_array_size, limits.max_jobs) == (3600.0, 10001, 20000)
    made.site.state_dir.mkdir()
    (made.site.state_dir / "history.jsonl").write_text(
        "".join(json.dumps({"stage": "leaf", "work": 1, "seconds": 9000}) + "\n" for _ in range(9))
    )
    assert made.submit().plan.arrays[0].walltime_s == 3600
    made.wait_result()


def test_nodes_on_which_tasks_died_are_avoided(make_site, make_job):
    account = Account()
    for number, node in enumerate(["n1", "n1", "n2", ""]):
        account.failures[f"T{number}"].append({"class": "node", "node": node})
    account.failures["T9"].append({"class": "oom", "node": "n2"})
    assert account.bad_nodes(2) == account.bad_nodes(2, 3) == ("n1",)
    backend = make_backend(make_site("slurm"))
    assert "--exclude=n1" in backend.arguments(make_job(backend, exclude_nodes=("n1",)))


def test_a_node_that_works_again_is_not_avoided_for_ever(farm):
    account = Account()
    account.failures["T"] = [{"class": "node", "node": "n1", "ended": time} for time in (10.0, 20.0)]
    account.well["n1"] = 15.0
    assert account.bad_nodes(2) == () and account.bad_nodes(1) == ("n1",)
    account.well["n1"] = 21.0
    assert account.bad_nodes(1) == ()
    # What happens on most machines is no fault of a machine, and without any there is no work.
    for node in ("n2", "n3"):
        account.failures[node] = [{"class": "node", "node": node, "ended": 30.0}]
    assert account.bad_nodes(1, 3) == () and account.bad_nodes(1, 4) == ("n2", "n3")
    assert farm(1).backend.limits().n_nodes == 3
