"""The same jobs on a real Slurm and on the cores of this machine: order, ends, limits, cancelling."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from submit.backends import make_backend
from submit.backends.slurm import read_accounting, read_queue
from submit.errors import SchedulerError


@pytest.fixture(params=["local", "slurm"])
def backend(request, make_site, monkeypatch):
    if request.param == "slurm":
        cluster = request.getfixturevalue("slurm")
        yield make_backend(make_site("slurm"))
        cluster.cancel_all()
    else:
        yield make_backend(make_site("local", node={"cores": 4}))


NOTE = 'pathlib.Path("{where}", f"{name}{{index}}").write_text(repr(time.time()))\n'


def test_ends_of_elements(backend, make_job, wait_ended):
    program = "sys.exit([0, 7][index]) if index < 2 else os.kill(os.getpid(), signal.SIGKILL)"
    job = make_job(backend, program, n_elements=3)
    native = backend.submit(job)
    elements = wait_ended(backend, native)[native].elements
    assert [(e.reason, e.exit_code) for _, e in sorted(elements.items())] == [
        ("ok", 0), ("failed", 7), ("failed", 137),
    ]  # fmt: skip
    assert len({e.native for e in elements.values()}) == 3
    assert backend.find([job.name, "no.such.job"]) == {job.name: native}
    assert not backend.query(["999999"])["999999"].known


def test_one_after_the_end_of_the_other_however_that_was(backend, make_job, wait_ended, tmp_path):
    first = make_job(
        backend, "time.sleep(1)\n" + NOTE.format(where=tmp_path, name="a") + "sys.exit(index)", 2
    )
    second = make_job(backend, NOTE.format(where=tmp_path, name="b"), depends_on=())
    before = backend.submit(first)
    after = backend.submit(type(second)(**{**vars(second), "depends_on": (before,)}))
    states = wait_ended(backend, before, after)
    assert states[before].elements[1].reason == "failed" and states[after].elements[0].reason == "ok"
    began = float((tmp_path / "b0").read_text())
    assert all(began > float((tmp_path / f"a{n}").read_text()) for n in range(2))


def test_no_more_at_a_time_than_asked(backend, make_job, wait_ended, tmp_path):
    program = (
        NOTE.format(where=tmp_path, name="s") + "time.sleep(0.7)\n" + NOTE.format(where=tmp_path, name="e")
    )
    native = backend.submit(make_job(backend, program, n_elements=4, throttle=2))
    wait_ended(backend, native)
    spans = [[float((tmp_path / f"{name}{n}").read_text()) for name in "se"] for n in range(4)]
    assert max(sum(start <= at < end for start, end in spans) for at, _ in spans) == 2


def test_cancelled_at_work_and_in_the_queue(backend, make_job, wait_for, wait_ended, tmp_path):
    running = make_job(backend, NOTE.format(where=tmp_path, name="r") + "time.sleep(60)")
    native = backend.submit(running)
    waiting = backend.submit(make_job(backend, depends_on=(native,)))
    wait_for(lambda: (tmp_path / "r0").exists(), "the first begins")
    assert backend.query([waiting])[waiting].elements[0].phase == "queued"
    backend.cancel([waiting, native])
    states = wait_ended(backend, native, waiting)
    assert {e.reason for state in states.values() for e in state.elements.values()} == {"cancelled"}
    backend.cancel([native, waiting])


def test_variables_and_the_log(backend, make_job, wait_ended):
    program = 'print(os.environ["SST1M_MEM_MB"], os.environ["X"], os.environ["OMP_NUM_THREADS"], sys.argv[1])'
    job = make_job(backend, program, n_elements=2, environment={"X": "a 'b' $(c)"}, words=('d "e" *',))
    wait_ended(backend, backend.submit(job))
    logs = sorted((job.directory / "logs").glob("0000[01].*.r0.log"))
    assert [path.read_text() for path in logs] == ["100 a 'b' $(c) 1 d \"e\" *\n"] * 2


def test_a_runner_that_is_killed_is_followed(make_site, make_job, wait_for, wait_ended, tmp_path):
    site = make_site("local", node={"cores": 2})
    backend = make_backend(site)
    program = NOTE.format(where=tmp_path, name="r") + "time.sleep(2)"
    native = backend.submit(make_job(backend, program, n_elements=4))
    wait_for(lambda: (tmp_path / "r1").exists(), "two begin")
    runner = _runner_of(site.state_dir / "local")
    os.kill(runner, signal.SIGKILL)
    elements = wait_ended(backend, native)[native].elements
    # What ran outlived the runner; how it ended nobody saw, so its results have to tell.
    assert [elements[n].reason for n in (2, 3)] == ["ok", "ok"]
    assert (
        all((tmp_path / f"r{n}").exists() for n in range(4))
        and _runner_of(site.state_dir / "local") != runner
    )


def _runner_of(queue: Path) -> int:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"submit.backends.local_runner" in words and str(queue).encode() in words:
                return int(entry.name)
    return 0


def test_the_local_runner_warns_and_ends_what_lasts_too_long(make_site, make_job, wait_ended, tmp_path):
    backend = make_backend(make_site("local"))
    program = (
        "def warned(*_):\n    "
        + NOTE.format(where=tmp_path, name="w")
        + "signal.signal(signal.SIGUSR1, warned)\n"
        "end = time.time() + 60\nwhile time.time() < end: time.sleep(0.1)"
    )
    native = backend.submit(make_job(backend, program, walltime_s=3))
    began = time.time()
    assert wait_ended(backend, native)[native].elements[0].reason == "timeout"
    assert time.time() - began < 20 and (tmp_path / "w0").exists()


def test_an_order_that_is_refused_says_why(make_site, make_job, slurm):
    backend = make_backend(make_site("slurm", queue={"name": "no_such_partition"}))
    with pytest.raises(SchedulerError, match="sbatch: .*partition.*settings of the site"):
        backend.submit(make_job(backend))


def test_a_controller_that_is_away_for_a_while_is_waited_for(start_slurm, make_site, make_job, monkeypatch):
    cluster = start_slurm(1)
    monkeypatch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])
    backend = make_backend(make_site("slurm"))
    native = backend.submit(make_job(backend, "time.sleep(30)"))
    cluster.stop_controller()
    back = threading.Timer(1.5, cluster.start_controller)
    back.start()
    assert backend.query([native])[native].elements[0].phase in ("queued", "running")
    back.join()


def test_states_that_nobody_knows_are_not_ends():
    states = read_queue(
        "7|0|REQUEUE_HOLD|0||7|None|a|\n7|1|NEW_WORD|0|n1|8|None|a|\n7|2|COMPLETING|0|n1|9|None|a|\nnonsense\n"
    )
    assert [element.phase for element in states["7"].elements.values()] == ["queued", "queued", "running"]


def test_what_accounting_says():
    text = (
        "7_0|COMPLETED|0:0|n1|a\n7_1|CANCELLED by 0|0:15|n1|a\n7_2|OUT_OF_MEMORY|0:125|n2|a\n"
        "7_[3-4,6%2]|PENDING|0:0||a\n"
    )
    assert read_accounting(text)["7"].name == "a"
    elements = read_accounting(text)["7"].elements
    reasons = {index: (element.phase, element.reason) for index, element in elements.items()}
    assert reasons == {
        0: ("ended", "ok"), 1: ("ended", "cancelled"), 2: ("ended", "oom"), 3: ("queued", None),
        4: ("queued", None), 6: ("queued", None),
    }  # fmt: skip
