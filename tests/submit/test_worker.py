"""A worker by itself: its shard is text, every end has its status, and no task is done by two."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from submit.completeness import Patience
from submit.exit_codes import ExitCode
from submit.lease import Holder, Lease, lease_holder
from submit.task_paths import file_name, lease_path

HERE = Path(__file__).parent


class Shard:
    """The directory of an array with one shard, written as a person could write it."""

    def __init__(self, tmp_path, **settings):
        self.where = tmp_path / "graph"
        (self.where / "plant").mkdir(parents=True)
        self.array = tmp_path / "campaign" / "rounds" / "001-x" / "001-leaf"
        (self.array / "shards").mkdir(parents=True)
        self.state = tmp_path / "state"
        self.state.mkdir()
        given = {"state_dir": self.state, "campaign_dir": tmp_path / "campaign", "cwd": tmp_path}
        given |= {"latency_s": 0, "heartbeat_s": 0.2, "stale_lease_s": 1.0, **settings}
        (self.array.parent / "worker.json").write_text(json.dumps(given, default=str))

    def task(self, n):
        farm_tasks = sys.modules["farm_tasks"]
        return farm_tasks.Leaf(where=str(self.where), n=n)

    def fill(self, *tasks, **fields):
        lines = [
            {"id": task.task_id, "module": "farm_tasks", "family": task.task_family,
             "params": task.to_str_params(), **fields}
            for task in tasks
        ]  # fmt: skip
        (self.array / "shards" / "00000.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))

    def start(self, **env):
        words = [sys.executable, "-m", "submit.worker", str(self.array), "0"]
        return subprocess.Popen(
            words, env={**os.environ, "PYTHONPATH": f"{HERE}:{HERE.parents[1]}", **env},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run(self, **env):
        process = self.start(**env)
        text, _ = process.communicate(timeout=60)
        return process.returncode, text

    def results(self):
        files = sorted((self.array / "results").glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
        lines = [json.loads(line) for path in files for line in path.read_text().splitlines()]
        return [(one["id"].split("_")[1], one["outcome"], one["class"]) for one in lines if "id" in one]


@pytest.fixture
def shard(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    __import__("farm_tasks")
    return Shard(tmp_path)


def test_each_task_in_turn_and_done_only_once(shard):
    shard.fill(shard.task(0), shard.task(1))
    assert shard.run()[0] == ExitCode.DONE
    started = [("0", "started", None), ("0", "done", None), ("1", "started", None), ("1", "done", None)]
    assert shard.results() == started
    assert shard.run()[0] == ExitCode.DONE
    assert shard.results()[4:] == [("0", "skipped", None), ("1", "skipped", None)]
    assert not list((shard.state / "leases").rglob("Leaf*"))


@pytest.mark.parametrize(
    ("word", "status", "kind"),
    [
        ("always", ExitCode.FAILED, "deterministic"), ("corrupt", ExitCode.FAILED, "corrupt-input"),
        ("crash", ExitCode.FAILED, "deterministic"), ("silent", ExitCode.FAILED, "deterministic"),
        ("transient", ExitCode.TRY_AGAIN, "transient-io"), ("hungry", ExitCode.TRY_AGAIN, "oom"),
        ("stuck", ExitCode.TRY_AGAIN, "timeout"),
    ],
)  # fmt: skip
def test_one_failure_is_isolated_and_has_its_class(shard, word, status, kind):
    (shard.where / "plant" / "0").write_text(word)
    shard.fill(shard.task(0), shard.task(1), mem_mb=100, **({"timeout_s": 1} if word == "stuck" else {}))
    assert shard.run()[0] == status
    assert shard.results()[1] == ("0", "failed", kind) and shard.results()[-1] == ("1", "done", None)


def test_what_lacks_an_input_is_blocked(shard):
    total = sys.modules["farm_tasks"].Sum(where=str(shard.where), count=2)
    shard.fill(shard.task(0), total)
    assert shard.run()[0] == ExitCode.BLOCKED
    assert shard.results()[-1][1:] == ("blocked", None)
    assert not (shard.where / "sum_2.txt").exists()


def test_an_input_that_shows_up_late_is_waited_for(tmp_path):
    late = tmp_path / "late"
    began = time.monotonic()
    patience = Patience(5.0)
    pid = os.fork()
    if pid == 0:
        time.sleep(0.5)
        late.touch()
        os._exit(0)
    assert patience.until(late.exists, lambda: [tmp_path])
    os.waitpid(pid, 0)
    assert time.monotonic() - began < 3
    in_vain = Patience(0.3)
    assert not in_vain.until((tmp_path / "never").exists, lambda: [tmp_path])
    began = time.monotonic()
    assert not in_vain.until((tmp_path / "never").exists, lambda: [tmp_path])
    assert time.monotonic() - began < 0.1, "the patience of a shard is used up once"


@pytest.mark.parametrize("text", ["", "{", '{"id": "x"}\n', '{"id": 3, "module": "m", "family": "f"}\n'])
def test_a_manifest_that_cannot_be_read_burns_nothing(shard, text):
    shard.fill(shard.task(0))
    path = shard.array / "shards" / "00000.jsonl"
    path.write_text(path.read_text() * bool(text) + text)
    status, said = shard.run()
    assert status == ExitCode.BAD_MANIFEST and "submit again" in said and str(path) in said
    assert not (shard.where / "out").exists()


def test_a_node_that_cannot_work_burns_nothing(shard, tmp_path):
    shard.fill(shard.task(0))
    path = shard.array.parent / "worker.json"
    good = json.loads(path.read_text())
    for wrong in ({"cwd": "/nowhere"}, {"min_free_mb": 1e12}):
        path.write_text(json.dumps({**good, **wrong}))
        assert shard.run()[0] == ExitCode.ENVIRONMENT
    path.write_text(json.dumps(good))
    shard.fill(shard.task(0))
    manifest = shard.array / "shards" / "00000.jsonl"
    manifest.write_text(manifest.read_text().replace('"farm_tasks"', '"not_installed_here"'))
    status, said = shard.run()
    assert status == ExitCode.ENVIRONMENT and "not_installed_here" in said
    assert not (shard.where / "tries").exists()


def test_other_code_on_the_node_is_noticed(shard):
    shard.fill(shard.task(0))
    manifest = shard.array / "shards" / "00000.jsonl"
    manifest.write_text(manifest.read_text().replace('"id": "Leaf_0_', '"id": "Leaf_9_'))
    assert shard.run()[0] == ExitCode.FAILED
    assert shard.results() == [("9", "failed", "deterministic")] and not (shard.where / "tries").exists()


def test_a_cancelled_campaign_is_left_between_two_tasks(shard):
    (shard.array.parents[2] / "STOP").touch()
    shard.fill(shard.task(0), shard.task(1))
    assert shard.run()[0] == ExitCode.TRY_AGAIN
    assert {outcome for _, outcome, _ in shard.results()} == {"not-started"}


def test_what_does_not_fit_before_the_end_is_left(shard):
    shard.fill(shard.task(0), shard.task(1), seconds=400)
    now = int(time.time())
    status, said = shard.run(SST1M_WALLTIME_S="600", SST1M_STARTED=str(now))
    assert status == ExitCode.DONE, said
    shard.fill(shard.task(2), shard.task(3), seconds=500)
    status, said = shard.run(SST1M_WALLTIME_S="600", SST1M_STARTED=str(now - 100))
    assert status == ExitCode.TRY_AGAIN and "not enough time is left" in said
    assert shard.results()[-2:] == [("2", "done", None), ("3", "not-started", None)]


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_task_and_leaves_the_rest(shard, wait_for, number):
    (shard.where / "plant" / "0").write_text("stuck")
    shard.fill(shard.task(0), shard.task(1))
    process = shard.start()
    wait_for(lambda: (shard.where / "tries" / "0.1").exists(), "the task begins")
    process.send_signal(number)
    assert process.wait(timeout=30) == ExitCode.TRY_AGAIN
    expected = ("failed", "timeout") if number == signal.SIGUSR1 else ("not-started", None)
    assert shard.results()[1:] == [("0", *expected), ("1", "not-started", None)]
    assert not list((shard.state / "leases").rglob("Leaf*"))


def test_two_workers_never_do_the_same_task(shard):
    for n in range(3):
        (shard.where / "plant" / str(n)).write_text("slow")
    shard.fill(*map(shard.task, range(3)))
    processes = [shard.start(SST1M_RUN=f"r{n}") for n in range(3)]
    for process in processes:
        process.communicate(timeout=60)
    assert {process.returncode for process in processes} <= {ExitCode.DONE, ExitCode.TRY_AGAIN}
    assert [len(list((shard.where / "tries").glob(f"{n}.*"))) for n in range(3)] == [1, 1, 1]


def test_a_worker_that_is_killed_takes_its_task_with_it_and_is_followed(shard, wait_for):
    (shard.where / "plant" / "0").write_text("stuck")
    shard.fill(shard.task(0))
    process = shard.start()
    wait_for(lambda: (shard.where / "tries" / "0.1").exists(), "the task begins")
    lease = lease_path(shard.state, shard.task(0).task_id)
    assert lease_holder(lease).pid == process.pid
    process.kill()
    process.wait()
    assert lease_holder(lease).dead
    assert shard.run()[0] == ExitCode.DONE


def _take(path, stale_after_s=60.0):
    return Lease.take(path, "T", native="j1", node="n1", stale_after_s=stale_after_s)


def test_a_lease_of_another_machine_is_broken_only_after_its_silence(tmp_path):
    path = tmp_path / "leases" / "ab" / "T"
    mine = _take(path)
    assert isinstance(mine, Lease) and isinstance(_take(path), Holder)
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "host": f"not-{socket.gethostname()}", "pid": 2**22 + 1}))
    assert str(_take(path)).startswith("job j1 on n1")
    os.utime(path, (time.time() - 61, time.time() - 61))
    theirs = _take(path)
    assert isinstance(theirs, Lease) and theirs.is_ours()
    assert not mine.is_ours() and not mine.beat()
    mine.release()
    assert path.exists(), "who has lost a lease does not take it from its new holder"
    theirs.release()
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_lease_whose_writer_died_in_the_middle_ends_with_time(tmp_path, text):
    path = tmp_path / "T"
    path.write_text(text)
    assert isinstance(_take(path), Holder)
    os.utime(path, (1, 1))
    assert isinstance(_take(path), Lease)


def test_names_of_files_are_plain_short_and_distinct():
    assert file_name("Leaf_1_abc") == "Leaf_1_abc"
    strange = [file_name(text) for text in ("a/b", "a b", "a\nb", "é", "x" * 300, "x" * 301, "..", "-a")]
    assert len(set(strange)) == len(strange)
    assert all(len(name) <= 180 and "/" not in name and name.isascii() for name in strange)
