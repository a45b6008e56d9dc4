"""
Run a function in a process of its own, so that a crash of a foreign library fails one run and not the night.

The child is forked, so it shares the modules and compiled kernels of its parent and starts in milliseconds.
It dies with its parent, also with one that is killed without warning.
"""

import contextlib
import ctypes
import faulthandler
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from sst1m.checkpoint import explained_write_errors
from sst1m.errors import OutputError, RawFileError

__all__ = ["die_with_parent", "in_isolated_process", "run_isolated"]

T = TypeVar("T")

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGXCPU})
_TIME_TO_END_S = 5.0
_CHILD_NAME = "isolated reduction"


def in_isolated_process() -> bool:
    """Whether this is a process that `run_isolated` has made."""
    return multiprocessing.current_process().name == _CHILD_NAME


def die_with_parent(parent_pid: int) -> None:
    """
    Ask the kernel to kill this process when its parent ends.

    Parameters
    ----------
    parent_pid : int
        The parent as it was known before the fork: if it has ended since, this process ends at once.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(1)


def run_isolated(
    function: Callable[..., T],
    *args: object,
    on_progress: Callable[[int, int], object] | None = None,
    output: Path | None = None,
    subject: str = "",
    **kwargs: object,
) -> T:
    """
    Call a function in a forked process and return what it returns.

    Parameters
    ----------
    function : callable
        Gets ``args`` and ``kwargs``; its result must be picklable. With ``on_progress`` it also gets a
        function under the keyword ``progress``.
    on_progress : callable, optional
        Called here with what the function reports: steps done, and steps in all.
    output : Path, optional
        File to which everything is appended that the process and the libraries in it print.
    subject : str
        The file that the function reads, for messages.

    Raises
    ------
    RawFileError
        If the process crashed (SIGSEGV and the like) or ended without a result: protozfits does both on
        damaged files.
    OutputError
        If the process was killed from outside; the file is not to blame and the call can be repeated.
    BaseException
        What the function raised, with the text of its traceback in ``child_traceback``.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    if on_progress is not None:
        kwargs["progress"] = _Reporter(sender)
    job = (function, args, kwargs)
    child = context.Process(
        target=_child, args=(os.getpid(), receiver, sender, output, job), name=_CHILD_NAME
    )
    _flush()
    child.start()
    sender.close()
    try:
        outcome = _receive(receiver, on_progress)
        child.join(_TIME_TO_END_S if outcome is not None else None)
    finally:
        # Whatever interrupts the wait (Ctrl-C, SIGTERM turned into an exception) must not leave a writer
        # behind.
        if child.is_alive():
            child.kill()
        child.join()
        receiver.close()
    if outcome is None:
        raise _death(child.exitcode or 0, subject or getattr(function, "__name__", "the function"))
    succeeded, value = outcome
    if succeeded:
        return value
    error, text = value
    error.child_traceback = text
    raise error


class _Reporter:
    """Sends progress to the parent; a parent that has gone is no reason to fail."""

    def __init__(self, sender: Connection) -> None:
        self.sender = sender

    def __call__(self, done: int, total: int) -> None:
        self.sender.send((None, (int(done), int(total))))


def _receive(
    receiver: Connection, on_progress: Callable[[int, int], object] | None
) -> tuple[bool, Any] | None:
    """Wait for the outcome; None if the process ends without one."""
    while True:
        try:
            succeeded, value = receiver.recv()
        except (EOFError, ConnectionResetError, pickle.UnpicklingError):
            return None
        if succeeded is not None:
            return succeeded, value
        if on_progress is not None:
            on_progress(*value)


def _flush() -> None:
    """Empty the buffers before the fork, or the child would print their content a second time."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _child(
    parent_pid: int,
    receiver: Connection,
    sender: Connection,
    output: Path | None,
    job: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]],
) -> None:
    """Run the job and send its outcome; the process then ends without the exit handlers of its parent."""
    die_with_parent(parent_pid)
    receiver.close()
    # Ctrl-C reaches the whole process group: the parent decides, and kills this process if need be.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    function, args, kwargs = job
    try:
        if output is not None:
            with explained_write_errors(output):
                _redirect(output)
        outcome: tuple[bool, Any] = (True, function(*args, **kwargs))
    except BaseException as error:  # noqa: BLE001 - everything has to reach the parent
        text = traceback.format_exc()
        outcome = (False, (_portable(error), text))
    _send(sender, outcome)
    with contextlib.suppress(OSError):
        # A disk that takes no more of the log: the parent finds that out for itself.
        _flush()
    _end(0)


def _send(sender: Connection, outcome: tuple[bool, Any]) -> None:
    try:
        sender.send(outcome)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        failure = RuntimeError(f"the result cannot be sent to the parent process: {error}")
        sender.send((False, (failure, traceback.format_exc())))
    except BrokenPipeError:
        pass


def _end(code: int) -> NoReturn:
    # os._exit: the exit handlers belong to the parent (HDF5 would try once more to flush onto a full disk).
    os._exit(code)


def _portable(error: BaseException) -> BaseException:
    """Return the error in a form that survives the way to the parent."""
    error.__traceback__ = None
    try:
        # It is made anew on the other side from its class and arguments.
        pickle.dumps(error)
        copy = type(error)(*error.args)
    except Exception:  # noqa: BLE001 - whatever a foreign exception class does in there, its text is enough
        copy = None
    return error if type(copy) is type(error) else RuntimeError(f"{type(error).__name__}: {error}")


def _redirect(output: Path) -> None:
    """Append what this process prints, C libraries included, to a file; and a stack if it crashes."""
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    # A notebook has streams of its own that do not lead to these descriptors.
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    faulthandler.enable(file=2, all_threads=False)


def _death(exit_code: int, subject: str) -> Exception:
    """Explain a process that ended without a result."""
    if exit_code >= 0:
        return RawFileError(
            f"{subject}: the reader ended its process (status {exit_code}) without a result, as it does on "
            "damaged files; copy the file again from its source"
        )
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    if -exit_code in _FROM_OUTSIDE:
        return OutputError(
            f"{subject}: the process was killed from outside ({name}), perhaps for lack of memory; "
            "run the same command again, with fewer workers if it repeats itself"
        )
    return RawFileError(
        f"{subject}: it crashed the reader with signal {name}, as damaged files do; "
        "copy it again from its source"
    )
