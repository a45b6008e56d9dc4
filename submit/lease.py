"""Who works on a task at this moment: one file per task, so that two workers never do the same."""

import contextlib
import json
import os
import socket
import time
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

from submit.errors import StateError
from submit.state_files import make_directory

__all__ = ["Holder", "Lease", "lease_holder"]

_TRIES = 5


@dataclass(frozen=True)
class Holder:
    """
    Whoever holds a lease.

    Parameters
    ----------
    host, native, node : str
        Machine, id of the job in the batch system, and that system's name of the machine.
    pid : int
        Process on that machine.
    since : float
        When it began [s, Unix].
    silent_s : float
        Time since its last sign of life [s].
    dead : bool
        Whether the process is known to be gone; of another machine this cannot be known.
    """

    host: str = "?"
    native: str = "?"
    node: str = "?"
    pid: int = 0
    since: float = 0.0
    silent_s: float = 0.0
    dead: bool = False

    def __str__(self) -> str:
        return f"job {self.native} on {self.node}, process {self.pid}"


@cache
def _machine() -> dict[str, str]:
    """Say where this process lives: process numbers mean something only within one boot and name space."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    found = {"host": socket.gethostname(), "boot": "", "space": ""}
    with contextlib.suppress(OSError):
        found["boot"] = boot.read_text(encoding="ascii").strip()
        found["space"] = os.readlink(space)
    return found


def _process_start(pid: int) -> str:
    """Return when a process began, in ticks of the kernel; empty if there is none that lives."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    # The name of the program, in brackets, may contain anything.
    words = text.rpartition(")")[2].split()
    return "" if words[0] in "ZX" else words[19]


def _is_dead(record: dict[str, object]) -> bool:
    """Whether the process that wrote a lease is known to be gone."""
    here = _machine()
    if not here["boot"] or record.get("host") != here["host"]:
        return False
    if record.get("boot") != here["boot"]:
        return True
    same_numbers = record.get("space") == here["space"]
    return same_numbers and _process_start(int(str(record.get("pid") or 0))) != record.get("started")


def _read(path: Path) -> tuple[Holder, tuple[int, int]]:
    """Return the holder of a lease, and a mark of the file as it is now."""
    found = path.stat()
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        pid, since = int(str(record.get("pid") or 0)), float(str(record.get("since") or 0))
    except (ValueError, AttributeError, RecursionError):
        record = None
    mark = (found.st_ino, found.st_mtime_ns)
    silent_s = time.time() - found.st_mtime
    if not isinstance(record, dict):
        # Its writer is between making and filling it, or the machine went down there: time will tell.
        return Holder(silent_s=silent_s), mark
    holder = Holder(
        host=str(record.get("host")),
        native=str(record.get("native")),
        node=str(record.get("node")),
        pid=pid,
        since=since,
        silent_s=silent_s,
        dead=_is_dead(record),
    )
    return holder, mark


def lease_holder(path: Path) -> Holder | None:
    """
    Return who holds a lease, None if nobody does.

    Parameters
    ----------
    path : Path
        From `submit.task_paths.lease_path`.
    """
    try:
        return _read(path)[0]
    except FileNotFoundError:
        return None


class Lease:
    """
    The right to work on a task; obtained by `Lease.take` only.

    Its file says who holds it, and the time of its last change is the last sign of life.
    """

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._text = text

    @classmethod
    def take(
        cls,
        path: Path,
        task_id: str,
        *,
        native: str,
        node: str,
        stale_after_s: float,
        group_writable: bool = False,
    ) -> Self | Holder:
        """
        Take a lease, also from a holder that is dead; or return who holds it.

        Parameters
        ----------
        path : Path
            From `submit.task_paths.lease_path`.
        task_id, native, node : str
            The task, and how the batch system calls this job and this machine.
        stale_after_s : float
            Silence after which a holder counts as dead [s].
        group_writable : bool
            Whether the group may take it over.

        Raises
        ------
        StateError
            If it cannot be written.
        """
        record = {
            "task": task_id,
            "native": native,
            "node": node,
            "pid": os.getpid(),
            "started": _process_start(os.getpid()),
            "since": time.time(),
            # The number of a file may be used again as soon as it is gone; this is not.
            "word": uuid.uuid4().hex,
            **_machine(),
        }
        text = json.dumps(record)
        holder = Holder()
        for _ in range(_TRIES):
            if _create(path, text, group_writable):
                return cls(path, text)
            try:
                holder, mark = _read(path)
            except FileNotFoundError:
                continue
            if not (holder.dead or (holder.silent_s > stale_after_s and _is_silent(path, stale_after_s))):
                return holder
            _put_aside(path, mark)
        return holder

    def is_ours(self) -> bool:
        """Whether nobody has taken it over."""
        try:
            return self.path.read_text(encoding="utf-8", errors="replace") == self._text
        except OSError:
            return False

    def beat(self) -> bool:
        """Give a sign of life; returns whether the lease is still ours."""
        if not self.is_ours():
            return False
        with contextlib.suppress(OSError):
            os.utime(self.path)
        return True

    def release(self) -> None:
        """Give it back, unless somebody else has it by now."""
        if self.is_ours():
            with contextlib.suppress(OSError):
                self.path.unlink()


def _create(path: Path, text: str, group_writable: bool) -> bool:
    """Make the file of a lease; returns whether there was none already."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    mode = 0o664 if group_writable else 0o644
    try:
        try:
            descriptor = os.open(path, flags, mode)
        except FileNotFoundError:
            make_directory(path.parent, group_writable=group_writable)
            descriptor = os.open(path, flags, mode)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
        return True
    except FileExistsError:
        return False
    except OSError as error:
        raise StateError(
            f"{path}: cannot be made ({error.strerror}); check the rights and the disk"
        ) from None


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name[:120]}.{os.getpid()}-{uuid.uuid4().hex[:12]}.old")


def _is_silent(path: Path, stale_after_s: float) -> bool:
    """Look again, by the clock of the file server: that of this machine may be wrong."""
    probe = _aside(path)
    try:
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
        return now - path.stat().st_mtime > stale_after_s
    except OSError:
        return False


def _put_aside(path: Path, mark: tuple[int, int]) -> None:
    """Remove a lease that was judged to be abandoned, if it is still that one."""
    aside = _aside(path)
    with contextlib.suppress(FileNotFoundError):
        path.rename(aside)
        found = aside.stat()
        if (found.st_ino, found.st_mtime_ns) != mark:
            # Somebody was quicker and it is his new lease, or the holder has come to life: give it back.
            with contextlib.suppress(FileExistsError):
                os.link(aside, path)
        aside.unlink()
