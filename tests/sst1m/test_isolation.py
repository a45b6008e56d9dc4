"""A crash, a kill or an error in an isolated process reaches the caller as what it is."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from sst1m.errors import DataQualityError, OutputError, RawFileError
from sst1m.isolation import in_isolated_process, run_isolated


class Odd(Exception):
    """An error that does not survive pickling."""

    def __init__(self, left: int, right: int) -> None:
        super().__init__(f"{left} and {right}")


def give(value, *, progress=None):
    for step in range(3) if progress else ():
        progress(step + 1, 3)
    return value, in_isolated_process(), os.getpid()


def raise_it(error):
    raise error


def end(number=None, status=None):
    os.kill(os.getpid(), number) if number else os._exit(status)


def test_result_and_progress_come_back_from_another_process():
    steps = []
    value, isolated, pid = run_isolated(give, np.arange(5), on_progress=lambda *step: steps.append(step))
    np.testing.assert_array_equal(value, np.arange(5))
    assert isolated and pid != os.getpid() and not in_isolated_process()
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_errors_keep_class_message_and_traceback():
    with pytest.raises(DataQualityError, match="no pedestals") as caught:
        run_isolated(raise_it, DataQualityError("no pedestals"))
    assert "raise_it" in caught.value.child_traceback
    assert caught.value.child_traceback.startswith("Traceback")


def test_an_error_that_cannot_travel_arrives_as_text():
    with pytest.raises(RuntimeError, match="Odd: 1 and 2"):
        run_isolated(lambda: raise_it(Odd(1, 2)))


def test_a_result_that_cannot_travel_is_an_error():
    with pytest.raises(RuntimeError, match="cannot be sent"):
        run_isolated(lambda: lambda: None)


@pytest.mark.parametrize(
    "number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL]
)
def test_a_crash_is_blamed_on_the_file(number, tmp_path):
    with pytest.raises(RawFileError, match=f"run.fits.fz: it crashed the reader with signal {number.name}"):
        run_isolated(end, number, subject="run.fits.fz", output=tmp_path / "log")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_kill_from_outside_is_not_blamed_on_the_file(number):
    with pytest.raises(OutputError, match=f"killed from outside .{number.name}.*memory"):
        run_isolated(end, number, subject="run.fits.fz")


@pytest.mark.parametrize("status", [0, 3])
def test_a_reader_that_ends_its_process_is_noticed(status):
    with pytest.raises(RawFileError, match=f"ended its process .status {status}."):
        run_isolated(end, None, status, subject="run.fits.fz")


def test_what_libraries_print_goes_to_the_log(tmp_path, capfd):
    def chatter():
        os.write(1, b"Tile start = 12\n")
        os.write(2, b"warning from C\n")
        sys.stdout.write("from Python\n")

    run_isolated(chatter, output=tmp_path / "log")
    assert set((tmp_path / "log").read_text().split("\n")) >= {
        "Tile start = 12",
        "warning from C",
        "from Python",
    }
    assert capfd.readouterr() == ("", "")


def test_a_crash_leaves_its_stack_in_the_log(tmp_path):
    with pytest.raises(RawFileError):
        run_isolated(end, signal.SIGSEGV, output=tmp_path / "log")
    assert "Fatal Python error: Segmentation fault" in (tmp_path / "log").read_text()


def test_an_interrupted_caller_leaves_no_process(tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    def slow(progress):
        (tmp_path / "pid").write_text(str(os.getpid()))
        progress(1, 2)
        time.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        run_isolated(slow, on_progress=interrupt)
    assert not multiprocessing.active_children()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_the_process_dies_with_a_caller_that_is_killed(tmp_path, project_root):
    code = (
        "import os, sys, time\n"
        "from sst1m.isolation import run_isolated\n"
        "def slow():\n"
        "    open(sys.argv[1], 'w').write(str(os.getpid()))\n"
        "    time.sleep(60)\n"
        "run_isolated(slow)\n"
    )
    note = tmp_path / "pid"
    caller = subprocess.Popen([sys.executable, "-c", code, str(note)], cwd=project_root)
    deadline = time.monotonic() + 30
    while not (note.exists() and note.read_text()) and time.monotonic() < deadline:
        time.sleep(0.01)
    child = int(note.read_text())
    os.kill(child, 0)
    caller.kill()
    caller.wait()
    deadline = time.monotonic() + 5
    while os.path.exists(f"/proc/{child}") and time.monotonic() < deadline:
        if open(f"/proc/{child}/stat").read().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.01)
    else:
        assert not os.path.exists(f"/proc/{child}")
