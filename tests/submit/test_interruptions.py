"""What happens to campaigns from outside: kills, lost replies, time limits, a batch system that forgets."""

import json
import os
import re
import signal
import subprocess
import time

from submit.cancel import cancel


def test_a_submitter_that_dies_before_it_reads_the_reply_orders_nothing_twice(farm, tmp_path, monkeypatch):
    made = farm(3)
    real = subprocess.run(["which", "sbatch"], capture_output=True, text=True).stdout.strip()
    wrapper = tmp_path / "bin" / "sbatch"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/bash\nexec 1>&2\n"{real}" "$@" >/dev/null\nkill -9 $PPID\n')
    wrapper.chmod(0o755)
    process = made.call(
        "submit", *made.words, env={**os.environ, "PATH": f"{wrapper.parent}:{os.environ['PATH']}"}
    )
    assert process.wait() == -signal.SIGKILL
    assert made.submit().n_tasks == 0
    made.wait_result()
    assert [made.tries(n) for n in range(3)] == [1] * 3


def test_a_submitter_that_dies_before_it_asks_orders_it_later(farm, tmp_path):
    made = farm(2)
    wrapper = tmp_path / "bin" / "sbatch"
    wrapper.parent.mkdir()
    wrapper.write_text("#!/bin/bash\nkill -9 $PPID\n")
    wrapper.chmod(0o755)
    process = made.call(
        "submit", *made.words, env={**os.environ, "PATH": f"{wrapper.parent}:{os.environ['PATH']}"}
    )
    assert process.wait() == -signal.SIGKILL
    record = next(made.campaign.rounds.glob("*/001-*/array.json"))
    assert json.loads(record.read_text())["state"] == "submitting"
    outcome = made.submit()
    assert not outcome.n_arrays and not outcome.stuck, "the reply may still come"
    text = record.read_text()
    record.write_text(re.sub(r'"asked_at": [\d.]+', f'"asked_at": {time.time() - 61}', text))
    assert made.submit().n_arrays == 2
    made.wait_result()
    assert [made.tries(n) for n in range(2)] == [1, 1]


def test_a_node_that_dies_loses_nothing(farm, slurm):
    made = farm(4, minutes=10)
    made.plant(**{f"n{n}": "slow" for n in range(4)})
    made.submit()
    second = made.where / "tries" / "1.1"
    node = made.wait_for(lambda: second.exists() and second.read_text(), "the second leaf begins", 60)
    slurm.kill_node(node)
    try:
        slurm.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        made.wait_result(150)
    finally:
        slurm.start_node(node)
        slurm.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        slurm.wait_idle(node)


def test_what_no_node_could_start_is_not_held_for_ever(start_slurm, make_farm, monkeypatch):
    cluster = start_slurm(1)
    monkeypatch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])
    made = make_farm("slurm", 2)
    mend = cluster.spoil_node(*cluster.nodes)
    assert made.submit().n_arrays == 2

    def held():
        return cluster.run("squeue", "-h", "-r", "-o", "%r").count("launch failed requeued held") == 2

    made.wait_for(held, "Slurm holds both elements", 60)
    mend()
    status, text = made.said_by("submit", *made.words)
    assert status == 0 and "is held for good, cancelled" in text and "submitted" in text
    made.wait_result()
    assert [made.tries(n) for n in range(2)] == [1, 1]
    made.wait_quiet()
    assert not cluster.run("squeue", "-h")


def test_jobs_of_others_under_numbers_of_ours_are_left_alone(start_slurm, make_farm, monkeypatch, tmp_path):
    """A controller that dies before it has written its jobs down gives their numbers away again."""
    cluster = start_slurm(1)
    monkeypatch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])
    made = make_farm("slurm", 2, plan="max_items = 1")
    made.plant(n0="slow", n1="slow")
    assert made.submit().n_arrays == 2
    ours = set(cluster.run("squeue", "-h", "-o", "%F").split())
    cluster.stop_controller(by=signal.SIGKILL)
    cluster.start_controller(clean=True)
    cluster.wait_idle(*cluster.nodes)
    script = tmp_path / "theirs.sh"
    script.write_text("#!/bin/bash\nsleep 300\n")
    for _ in ours:
        cluster.run("sbatch", "--array=0-1", "--job-name=theirs", "--output=/dev/null", str(script))

    def theirs():
        return set(cluster.run("squeue", "-h", "--name=theirs", "-o", "%F").split())

    before = theirs()
    assert len(before) == len(ours) and len(before & ours) > 1
    cancel(made.campaign, made.site, made.backend)
    assert theirs() == before
    status, text = made.said_by("submit", *made.words)
    assert status == 0 and "submitted" in text, text
    made.wait_result()
    assert theirs() == before


def test_an_order_under_a_number_that_was_given_away_is_waited_for(start_slurm, make_farm, monkeypatch):
    cluster = start_slurm(1)
    monkeypatch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])
    made = make_farm("slurm", 2, finalizer="none", lost_after=0.0)
    made.plant(n0="slow", n1="slow")
    assert made.submit().n_arrays == 2
    cluster.stop_controller(by=signal.SIGKILL)
    cluster.start_controller(clean=True)
    cluster.wait_idle(*cluster.nodes)
    assert made.submit().n_arrays == 2
    assert cluster.run("squeue", "-h", "--states=PD", "-o", "%E").count("afterany") == 1
    made.wait_result()


def test_cancelled_half_way_and_resumed(farm):
    made = farm(4, minutes=10)
    made.plant(**{f"n{n}": "slow" for n in range(4)})
    made.submit()
    made.wait_for(lambda: made.tries(1) == 1, "the second leaf begins", 60)
    assert cancel(made.campaign, made.site, made.backend)
    outcome = made.wait_quiet()
    assert not made.result.exists() and not outcome.plan.active and not outcome.plan.quarantine
    done = sum((made.where / "out" / f"{n}.txt").exists() for n in range(4))
    assert 1 <= done < 4
    assert made.submit().n_tasks == 5 - done
    made.wait_result()


def _job(made, wait_for, n):
    """Wait until a leaf is at work, and return the id of its element in the batch system."""
    wait_for(lambda: made.tries(n) == 1, "the stuck leaf begins", 60)
    record = next(made.campaign.rounds.glob("*/001*/array.json"))
    return f"{json.loads(record.read_text())['native_id']}_0"


def test_time_limits(farm, slurm, wait_for, tmp_path):
    warned, over = tmp_path / "warned", tmp_path / "over"
    for base in (warned, over):
        base.mkdir()
    first, second = farm(3, minutes=10, base=warned), farm(2, minutes=10, base=over)
    first.plant(n1="stuck")
    second.plant(n0="stuck")
    for made in (first, second):
        made.submit()
    # Less than two minutes before the end Slurm sends the signal that the job has asked for; it looks every
    # half a minute.
    slurm.run("scontrol", "update", f"jobid={_job(first, wait_for, 1)}", "EndTime=now+110")
    slurm.time_out(_job(second, wait_for, 0))
    began = time.monotonic()
    first.wait_result(105)
    assert time.monotonic() - began < 105, "long before the end"
    assert [first.tries(n) for n in range(3)] == [1, 2, 1]
    results = next(first.campaign.rounds.glob("001-*/001-*/results/*.jsonl")).read_text()
    lines = [json.loads(line) for line in results.splitlines()]
    failed = [line for line in lines if line.get("outcome") == "failed"]
    assert [(line["id"].split("_")[1], line["class"]) for line in failed] == [("1", "timeout")]
    assert [line["id"].split("_")[1] for line in lines if line.get("outcome") == "not-started"] == ["2"]
    second.wait_result(60)
    assert second.tries(0) == 2


def test_inputs_are_looked_at_also_when_the_batch_system_has_forgotten_who_makes_them(
    start_slurm, make_farm, monkeypatch
):
    cluster = start_slurm(1, MinJobAge="2")
    monkeypatch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])
    made = make_farm("slurm", 3, finalizer="none")
    made.plant(n1="always")
    campaign = made.campaign
    made.submit()
    made.wait_for(lambda: made.tries(1) == 1, "the failure", 60)

    def forgotten():
        return not subprocess.run(
            ["squeue", "-h", "-t", "all"], capture_output=True, text=True
        ).stdout.strip()

    made.wait_for(forgotten, "the batch system forgets", 90)
    assert not made.result.exists()
    # The sum is submitted with what it needs again, runs after that has failed, and finds that it is blocked.
    made.submit()
    made.wait_for(lambda: made.tries(1) == 2, "the second failure", 60)
    made.wait_for(forgotten, "the batch system forgets", 90)
    assert not made.result.exists()
    assert made.submit().stuck
    blocked = [
        line for path in campaign.rounds.glob("*/*/results/*.jsonl") for line in path.read_text().splitlines()
        if '"blocked"' in line
    ]  # fmt: skip
    assert len(blocked) == 2 and all("needs Leaf_1" in line for line in blocked)


def test_an_unreachable_controller_is_an_error_and_no_failure(make_farm, monkeypatch, tmp_path):
    conf = tmp_path / "slurm.conf"
    conf.write_text(
        "ClusterName=none\nSlurmctldHost=localhost(127.0.0.1)\nSlurmctldPort=1\nMessageTimeout=1\n"
    )
    monkeypatch.setenv("SLURM_CONF", str(conf))
    made = make_farm("slurm", 2, queue="command_timeout_s = 5.0")
    process = made.call("submit", *made.words)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 3 and text.startswith("ERROR: ") and "Traceback" not in text
    assert made.tries(0) == 0
