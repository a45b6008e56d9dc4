"""Runs one task in a process of its own, and says how it ended, whatever happened to that."""

import contextlib
import ctypes
import json
import logging
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from types import GeneratorType

import luigi
from luigi.event import Event
from luigi.task import flatten, getpaths

from submit.completeness import is_complete
from submit.failure import (
    DETERMINISTIC,
    NODE,
    OOM,
    TIMEOUT,
    FailureTable,
    classify_error,
    digest,
    fingerprint,
    one_line,
)

__all__ = ["TaskEnd", "memory_mb", "run_task"]

_PR_SET_PDEATHSIG = 1
_GRACE_S = 10.0
_LOOK_S = 0.5
_SIGNAL_S = 0.3
#: A process that was killed and had used this part of its memory was killed for it.
_MEMORY_PART = 0.9


@dataclass(frozen=True)
class TaskEnd:
    """
    How a task ended.

    Parameters
    ----------
    outcome : str
        ``done``, ``failed`` or ``blocked``.
    failure : str or None
        Class of the failure.
    error : str
        What happened, on one line.
    fingerprint : str
        Mark of the error's kind and place.
    seconds, cpu_seconds : float
        Duration and processor time [s].
    maxrss_mb : float
        Largest memory of one of its processes [MB].
    """

    outcome: str
    failure: str | None = None
    error: str = ""
    fingerprint: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    maxrss_mb: float = 0.0


class _BlockedError(Exception):
    """What a task asked for while it ran is not there."""


def run_task(
    task: luigi.Task,
    log: Path,
    *,
    mem_mb: float,
    timeout_s: float | None,
    table: FailureTable,
    beat: Callable[[], bool],
    beat_s: float,
    interrupted: Callable[[], str],
) -> TaskEnd:
    """
    Run a task in a child process that dies with this one.

    Parameters
    ----------
    task : luigi.Task
        The task, whose inputs are there.
    log : Path
        Takes everything that it writes to its standard output and error, and what it logs from INFO on.
    mem_mb : float
        Memory that it was given [MB].
    timeout_s : float or None
        When it is ended [s].
    table : FailureTable
        The site's knowledge of failures.
    beat : callable
        Called every ``beat_s`` seconds while it runs; False: its lease is lost, and it is ended.
    beat_s : float
        See there [s].
    interrupted : callable
        Returns why it is to be ended now, a failure class or ``cancelled``; empty if it is not.
    """
    reader, writer = os.pipe()
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _child(task, log, writer, table)
    os.close(writer)
    try:
        why = _watch(pid, start, timeout_s, mem_mb, beat, beat_s, interrupted)
        said = _read_all(reader)
    finally:
        os.close(reader)
    _, status, usage = os.wait4(pid, 0)
    if not why and not said and os.WIFSIGNALED(status):
        # A signal to all processes of the job may reach the child before this one.
        time.sleep(_SIGNAL_S)
        why = interrupted()
    end = _judge(status, said, why, usage.ru_maxrss / 1024, mem_mb)
    seconds, cpu = time.monotonic() - start, usage.ru_utime + usage.ru_stime
    return TaskEnd(*end, round(seconds, 4), round(cpu, 4), round(usage.ru_maxrss / 1024, 1))


def _watch(
    pid: int,
    start: float,
    timeout_s: float | None,
    mem_mb: float,
    beat: Callable[[], bool],
    beat_s: float,
    interrupted: Callable[[], str],
) -> str:
    """Wait for a child; return why it was ended from here, empty if it was not."""
    handle = os.pidfd_open(pid)
    last = time.monotonic()
    try:
        while True:
            if select.select([handle], [], [], _LOOK_S)[0]:
                return ""
            now = time.monotonic()
            why = interrupted()
            if timeout_s is not None and now - start > timeout_s:
                why = TIMEOUT
            if mem_mb > 0 and memory_mb(pid) > mem_mb:
                # Before the batch system ends the whole shard for it.
                why = OOM
            if now - last > beat_s:
                last = now
                why = why or ("" if beat() else "lost")
            if why:
                _end(pid, handle)
                return why
    finally:
        os.close(handle)


def memory_mb(pid: int) -> float:
    """Return the memory [MB] of a process and its descendants; pages that they share count once."""
    total, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        with contextlib.suppress(OSError, ValueError):
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
            total += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
            waiting += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
    return total / 1024


def _end(pid: int, handle: int) -> None:
    """Ask a child and its own children to end, and then make them."""
    for number, wait_s in ((signal.SIGTERM, _GRACE_S), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, number)
        if select.select([handle], [], [], wait_s)[0]:
            break
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _read_all(reader: int) -> dict[str, str]:
    """Read what the child said; a grandchild that still holds the pipe is not waited for."""
    os.set_blocking(reader, False)
    parts = []
    with contextlib.suppress(BlockingIOError):
        while part := os.read(reader, 65536):
            parts.append(part)
    try:
        said = json.loads(b"".join(parts))
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _judge(
    status: int, said: dict[str, str], why: str, maxrss_mb: float, mem_mb: float
) -> tuple[str, str | None, str, str]:
    """Return outcome, failure class, error and fingerprint."""
    if said.get("outcome") == "done":
        return "done", None, "", ""
    if why == TIMEOUT:
        return "failed", TIMEOUT, "ended at its time limit", TIMEOUT
    if why == OOM:
        return "failed", OOM, f"used more than the {mem_mb:.0f} MB of memory that it was given", OOM
    if why:
        return "not-started", None, f"ended from outside ({why})", ""
    if said:
        return said["outcome"], said.get("class"), said.get("error", ""), said.get("fingerprint", "")
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = signal.Signals(number).name
        if number == signal.SIGKILL:
            full = mem_mb > 0 and maxrss_mb > _MEMORY_PART * mem_mb
            kind = OOM if full else NODE
            return "failed", kind, f"killed by {name} with {maxrss_mb:.0f} of {mem_mb:.0f} MB used", name
        outside = number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        return "failed", NODE if outside else DETERMINISTIC, f"ended by {name}", digest(name)
    return "failed", DETERMINISTIC, f"its process ended with status {os.WEXITSTATUS(status)}", "exit"


def _child(task: luigi.Task, log: Path, writer: int, table: FailureTable) -> None:
    """Run a task; never returns."""
    status = 1
    try:
        os.setpgid(0, 0)
        _die_with_parent()
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
        _redirect(log)
        logging.getLogger().setLevel(logging.INFO)
        said = _said(task, table)
        os.write(writer, json.dumps(said).encode())
        status = 0 if said["outcome"] == "done" else 1
    except BaseException:  # noqa: BLE001 - this process must not go on as a copy of the worker
        traceback.print_exc()
    finally:
        _flush()
        os._exit(status)


def _die_with_parent() -> None:
    """A worker that is killed takes its task with it: another worker will have it soon."""
    parent = os.getppid()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _redirect(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o664)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    os.close(nothing)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def _said(task: luigi.Task, table: FailureTable) -> dict[str, str]:
    try:
        _execute(task)
    except _BlockedError as error:
        return {"outcome": "blocked", "error": str(error)}
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001 - a task may fail in any way
        _tell(error)
        return {
            "outcome": "failed",
            "class": classify_error(error, table),
            "error": one_line(error)[:2000],
            "fingerprint": fingerprint(error),
        }
    return {"outcome": "done"}


def _tell(error: BaseException) -> None:
    """Write an error to the log: one line where it explains itself, else all that is known."""
    if isinstance(getattr(error, "exit_code", None), int):
        sys.stderr.write(f"ERROR: {error}\n")
    else:
        traceback.print_exception(error)


def _execute(task: luigi.Task) -> None:
    """Run a task as luigi's worker does, with its events."""
    task.trigger_event(Event.START, task)
    began = time.time()
    try:
        result = task.run()
        if isinstance(result, GeneratorType):
            _follow(result)
        task.on_success()
    except _BlockedError:
        raise
    except Exception as error:
        task.trigger_event(Event.FAILURE, task, error)
        task.on_failure(error)
        raise
    finally:
        task.trigger_event(Event.PROCESSING_TIME, task, time.time() - began)
    task.trigger_event(Event.SUCCESS, task)


def _follow(steps: Generator) -> None:
    """Go through what a task asks for while it runs; all of it must be there already."""
    answer = None
    while True:
        try:
            asked = steps.send(answer)
        except StopIteration:
            return
        missing = [one.task_id for one in flatten(asked) if not is_complete(one)]
        if missing:
            steps.close()
            shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
            raise _BlockedError(f"needs {shown}")
        answer = getpaths(asked)
