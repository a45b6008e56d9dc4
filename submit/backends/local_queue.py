"""The queue of one machine: a directory per job, which the submitter writes and the runner works off."""

import contextlib
import fcntl
import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import ConfigDict

from submit.errors import StateError
from submit.jobs import Job, Reason
from submit.state_files import (
    append_line,
    checked,
    make_directory,
    read_json,
    read_lines,
    write_json,
    write_text,
)

__all__ = ["Element", "Queue", "QueuedJob", "is_process", "native_name", "process_start"]

_LOCK, _JOB, _EVENTS, _CANCEL = "runner.lock", "job.json", "events.jsonl", "CANCEL"


@dataclass(frozen=True)
class QueuedJob:
    """What the runner has to know of a job; see `submit.jobs.Job`."""

    id: str
    name: str
    directory: Path
    n_elements: int
    cpus: int
    mem_mb: int
    walltime_s: int
    depends_on: tuple[str, ...]
    throttle: int | None


@dataclass(frozen=True)
class Element:
    """
    The last that was written of an element which was started.

    Parameters
    ----------
    event : str
        ``started`` or ``ended``.
    pid, ticks : int
        Its process, and when that began [clock ticks since boot]: together they are not used twice.
    host : str
        Machine on which it runs.
    started : float
        When it was started [s, Unix time of this machine].
    reason, exit_code : str, int or None
        How it ended.
    """

    event: Literal["started", "ended"]
    pid: int = 0
    ticks: int = 0
    host: str = ""
    started: float = 0.0
    reason: Reason | None = None
    exit_code: int | None = None


@dataclass(frozen=True)
class _Note(Element):
    """A line of the file of events."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    index: int = field(kw_only=True)


def native_name(job_id: str, index: int) -> str:
    """Return how an element is called."""
    return f"local-{job_id}_{index}"


def process_start(pid: int) -> int:
    """Return when a process began [clock ticks since boot]; 0 if there is none, or only its remains."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    # The name in parentheses may hold anything; the state follows it as the third field.
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] in {"Z", "X"} else int(fields[19])


def is_process(pid: int, ticks: int) -> bool:
    """Whether exactly this process is alive."""
    return ticks > 0 and process_start(pid) == ticks


class Queue:
    """
    Jobs of one machine.

    Parameters
    ----------
    root : Path
        Directory of the queue.
    group_writable : bool
        Whether colleagues may submit to it.
    """

    def __init__(self, root: Path, *, group_writable: bool = False) -> None:
        self.root = root
        self._group_writable = group_writable

    def add(self, job: Job) -> str:
        """Add a job and return its id."""
        make_directory(self.root, group_writable=self._group_writable)
        draft = self.root / f".{uuid.uuid4().hex}"
        make_directory(draft, group_writable=self._group_writable)
        names = ("name", "n_elements", "cpus", "mem_mb", "walltime_s", "depends_on", "throttle")
        fields = {name: value for name, value in vars(job).items() if name in names}
        write_json(draft / _JOB, {**fields, "directory": str(job.directory.resolve())})
        number = max((int(job_id) for job_id in self.ids()), default=0) + 1
        while True:
            try:
                # Renaming onto a directory that holds something fails: two submitters get two numbers.
                draft.rename(self.root / str(number))
            except FileExistsError:
                number += 1
            except OSError as error:
                if (self.root / str(number)).exists():
                    number += 1
                    continue
                shutil.rmtree(draft, ignore_errors=True)
                raise StateError(
                    f"{self.root}: cannot be written ({error.strerror}); check the rights"
                ) from None
            else:
                return str(number)

    def ids(self) -> list[str]:
        """Return the ids of all jobs, in the order of submission."""
        try:
            names = os.listdir(self.root)
        except FileNotFoundError:
            return []
        return sorted((name for name in names if name.isdigit()), key=int)

    def job(self, job_id: str) -> QueuedJob | None:
        """Return a job, or None if there is none of this id."""
        path = self.root / job_id / _JOB
        if not job_id.isdigit() or not path.is_file():
            return None
        return checked(QueuedJob, read_json(path) | {"id": job_id}, path, "remove its directory")

    def elements(self, job_id: str) -> dict[int, Element]:
        """Return the elements of a job that were started, or ended without, by index."""
        path = self.root / job_id / _EVENTS
        found: dict[int, Element] = {}
        for line in read_lines(path) if path.is_file() else ():
            with contextlib.suppress(StateError):
                # A line that is damaged says nothing.
                note = checked(_Note, line, path, "")
                found[note.index] = Element(**{name: line[name] for name in line if name != "index"})
        return found

    def note(self, job_id: str, index: int, element: Element) -> None:
        """Write what has become of an element."""
        append_line(self.root / job_id / _EVENTS, {"index": index, **asdict(element)})

    def cancel(self, job_id: str) -> None:
        """Ask the runner to end a job."""
        if (self.root / job_id).is_dir():
            write_text(self.root / job_id / _CANCEL, "")

    def is_cancelled(self, job_id: str) -> bool:
        """Whether a job is to be ended."""
        return (self.root / job_id / _CANCEL).exists()

    @contextlib.contextmanager
    def runner_lock(self) -> Iterator[bool]:
        """Hold the right to be the runner, as long as the process lives; yields whether it was free."""
        try:
            descriptor = os.open(self.root / _LOCK, os.O_RDWR | os.O_CREAT, 0o664)
        except OSError as error:
            raise StateError(f"{self.root}: cannot be locked ({error.strerror}); check the rights") from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            except OSError as error:
                raise StateError(
                    f"{self.root}: cannot be locked ({error.strerror}); use a file system that locks"
                ) from None
            else:
                yield True
        finally:
            os.close(descriptor)

    def has_runner(self) -> bool:
        """Whether a runner is at work, here or on another machine that shares the directory."""
        with self.runner_lock() as free:
            return not free

    def is_alive(self, element: Element, *, has_runner: bool) -> bool:
        """Whether a started element still runs; of another machine, only its runner can know."""
        if element.host != socket.gethostname():
            return has_runner
        return is_process(element.pid, element.ticks)

    def has_work(self) -> bool:
        """Whether any job has an element that did not end; one that cannot be read has none."""
        for job_id in self.ids():
            with contextlib.suppress(StateError):
                job = self.job(job_id)
                ended = sum(one.event == "ended" for one in self.elements(job_id).values())
                if job is not None and ended < job.n_elements:
                    return True
        return False
