"""Campaigns on a real Slurm and on local cores: planted failures, kills, and what heals them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from submit.advance import advance, look
from submit.backends import make_backend
from submit.campaign import Campaign
from submit.cancel import cancel
from submit.errors import BusyError
from submit.root import Root
from submit.site import load_site
from submit.status import read_status

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

SITE = """
backend = "{backend}"
state_dir = "state"
[queue]
{queue}
[node]
latency_s = 1.0
min_free_mb = 1
{node}
[plan]
shard_minutes = {minutes}
finalizer = "{finalizer}"
heartbeat_s = 0.5
stale_lease_s = 5.0
lost_after_s = 20.0
retry_delay_minutes = [0.02, 0.02]
max_mem_mb = 900
"""


class Farm:
    """A directory with a graph of leaves and their sum, and a campaign for it."""

    def __init__(
        self, tmp_path, wait_for, backend, count, *, minutes=0.4, finalizer="job", queue="", node=""
    ):
        self.where, self.count, self.wait_for = tmp_path / "graph", count, wait_for
        (self.where / "plant").mkdir(parents=True)
        self.file = tmp_path / "submit.toml"
        self.file.write_text(
            SITE.format(backend=backend, minutes=minutes, finalizer=finalizer, queue=queue, node=node)
        )
        self.site = load_site(self.file)
        self.backend = make_backend(self.site)
        words = ["Sum", "--where", str(self.where), "--count", str(count)]
        self.words = ["--module", "farm_tasks", *words]
        self.root = Root.parse("farm_tasks", words)

    @property
    def campaign(self):
        return Campaign.create(self.root, self.site)

    def plant(self, **words):
        for n, word in words.items():
            (self.where / "plant" / n.strip("n")).write_text(word)

    def submit(self):
        return advance(self.campaign, self.site)

    def call(self, *words, **popen):
        return subprocess.Popen(
            [sys.executable, "-c", "from submit.cli import main; main()", "--site", str(self.file), *words],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, **popen,
        )  # fmt: skip

    @property
    def result(self):
        return self.where / f"sum_{self.count}.txt"

    def tries(self, n):
        return len(list((self.where / "tries").glob(f"{n}.*")))

    def wait_result(self, timeout_s=90):
        self.wait_for(self.result.exists, f"{self.result}; {self.tell()}", timeout_s)
        assert int(self.result.read_text()) == sum(range(self.count))

    def wait_quiet(self, timeout_s=90):
        """Wait until nothing is on its way, and return the outcome of a look."""

        def quiet():
            jobs = list(self.campaign.rounds.glob("*/*/array.json"))
            ids = [json.loads(path.read_text())["native_id"] for path in jobs]
            states = self.backend.query([one for one in ids if one])
            return all(e.phase == "ended" for state in states.values() for e in state.elements.values())

        self.wait_for(quiet, f"the end of all jobs; {self.tell()}", timeout_s)
        return look(self.root, self.site, self.backend)

    def tell(self):
        logs = sorted(self.campaign.rounds.glob("*/*/logs/*.log"))
        return "\n".join(f"{path}: {path.read_text()[-500:]}" for path in logs[-6:])

    def status(self):
        return read_status(self.campaign, self.site, self.backend)


@pytest.fixture
def make_farm(tmp_path, wait_for, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.syspath_prepend(str(HERE))

    def make(backend, count, **settings):
        return Farm(tmp_path, wait_for, backend, count, **settings)

    return make


@pytest.fixture
def farm(slurm, make_farm):
    """Return a maker of farms on the shared Slurm."""

    def make(count, **settings):
        return make_farm("slurm", count, **settings)

    yield make
    slurm.cancel_all()


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


def test_a_node_that_dies_loses_nothing(farm, slurm):
    made = farm(6, minutes=10)
    made.plant(**{f"n{n}": "slow" for n in range(6)})
    made.submit()
    made.wait_for(lambda: made.tries(1) == 1, "the second leaf begins", 60)
    node = (made.where / "tries" / "1.1").read_text()
    slurm.kill_node(node)
    try:
        slurm.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        made.wait_result(150)
    finally:
        slurm.start_node(node)
        slurm.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        slurm.wait_idle(node)


def test_cancelled_half_way_and_resumed(farm):
    made = farm(6, minutes=10)
    made.plant(**{f"n{n}": "slow" for n in range(6)})
    made.submit()
    made.wait_for(lambda: made.tries(1) == 1, "the second leaf begins", 60)
    assert cancel(made.campaign, made.site, made.backend)
    outcome = made.wait_quiet()
    assert not made.result.exists() and not outcome.plan.active and not outcome.plan.quarantine
    done = sum((made.where / "out" / f"{n}.txt").exists() for n in range(6))
    assert 1 <= done < 6
    assert made.submit().n_tasks == 7 - done
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


def test_the_time_limit_ends_one_task_and_not_the_shard(farm, slurm):
    made = farm(3, minutes=10)
    made.plant(n1="stuck")
    made.submit()
    made.wait_for(lambda: made.tries(1) == 1, "the stuck leaf begins", 60)
    job = json.loads(next(made.campaign.rounds.glob("*/001*/array.json")).read_text())["native_id"]
    slurm.run("scancel", "--signal=USR1", "--batch", job)
    made.wait_result(60)
    assert [made.tries(n) for n in range(3)] == [1, 2, 1]


def test_a_job_that_runs_into_its_limit_is_given_more_time(farm, slurm):
    made = farm(2, minutes=10)
    made.plant(n0="stuck")
    made.submit()
    made.wait_for(lambda: made.tries(0) == 1, "the stuck leaf begins", 60)
    job = json.loads(next(made.campaign.rounds.glob("*/001*/array.json")).read_text())["native_id"]
    slurm.time_out(f"{job}_0")
    made.wait_result(90)
    assert made.tries(0) == 2


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


def test_an_empty_product_is_made_again(farm):
    made = farm(2)
    (made.where / "out").mkdir()
    (made.where / "out" / "1.txt").touch()
    assert made.submit().n_tasks == 3
    made.wait_result()


def test_status_explain_logs_and_page_tell_an_observer(farm, tmp_path):
    made = farm(3)
    made.plant(n1="always")
    made.submit()
    made.wait_quiet()
    said = {}
    page = tmp_path / "status.html"
    for words in (
        ("status", "--html", str(page)),
        ("status", "--json"),
        ("explain", "Sum_"),
        ("logs", "Leaf_1_"),
    ):
        process = made.call(*words)
        said[words[0]], _ = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert json.loads(said["status"])[0]["total"]["quarantined"] == 1
    assert "waits for" in said["explain"] and "cannot be done" in said["explain"]
    assert "leaf 1, attempt 2" in said["logs"] and "RuntimeError: cannot be done" in said["logs"]
    assert "quarantined" in page.read_text() and "<script" not in page.read_text()


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


def test_mistakes_on_the_command_line_are_one_clear_line(make_farm):
    made = make_farm("local", 1)
    for words, expected in [
        (("submit",), "which task?"),
        (("submit", "--module", "no_such_module", "X"), "cannot be imported"),
        (("submit", "--module", "farm_tasks", "Summ"), "Summ"),
        (("submit", "--module", "farm_tasks", "Sum", "--count", "x"), "count"),
        (("plan", "--module", "farm_tasks", "Sum", "--cuont", "3"), "cuont"),
        (("explain", "nothing"), "there is no campaign"),
        (("--site", "/nowhere.toml", "status"), "config/sites"),
    ]:
        process = made.call(*words)
        text, _ = process.communicate(timeout=60)
        assert process.returncode == 2, text
        assert expected in text and "Traceback" not in text and len(text.strip().splitlines()) == 1, text
