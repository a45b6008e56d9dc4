"""What the submitter and the batch systems say to each other: jobs, their states, and what is allowed."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

__all__ = ["Backend", "ElementState", "Job", "JobState", "Limits"]

Phase = Literal["queued", "running", "ended", "unknown"]
Reason = Literal["ok", "failed", "oom", "timeout", "node", "cancelled"]


@dataclass(frozen=True)
class Job:
    """
    An array job: the same command for the indices 0 to ``n_elements - 1``.

    Parameters
    ----------
    name : str
        Name under which the batch system lists it, used once only; a lost reply is found again by it.
    directory : Path
        Directory of the array; holds ``array.sh``.
    n_elements : int
        Number of elements, at least 1.
    cpus, mem_mb, walltime_s : int
        Cores, memory [MB] and time limit [s] of one element.
    depends_on : tuple of str
        Ids of jobs that must have ended, in whatever way, before this one starts.
    throttle : int or None
        Largest number of elements that may run at the same time.
    command : tuple of str
        What an element runs; its index is added as the last word.
    environment : mapping
        Environment variables of the elements.
    exclude_nodes : tuple of str
        Nodes that are not to be used, where the batch system can avoid them.
    """

    name: str
    directory: Path
    n_elements: int
    cpus: int
    mem_mb: int
    walltime_s: int
    command: tuple[str, ...]
    depends_on: tuple[str, ...] = ()
    throttle: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    exclude_nodes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """
    What the batch system allows; None where it does not say.

    Parameters
    ----------
    max_array_size : int or None
        Largest number of elements of one array.
    max_jobs : int or None
        Largest number of elements that may be queued.
    remembers_s : float or None
        How long an ended job can be asked for [s].
    walltime_s : float or None
        Longest time limit [s].
    slots : int or None
        Number of elements that can run at a time, where that is known and small: fewer shards than that would
        leave some idle.
    n_nodes : int or None
        Number of machines.
    """

    max_array_size: int | None = None
    max_jobs: int | None = None
    remembers_s: float | None = None
    walltime_s: float | None = None
    slots: int | None = None
    n_nodes: int | None = None


@dataclass(frozen=True)
class ElementState:
    """
    State of one element of an array.

    Parameters
    ----------
    phase : str
        ``queued`` (also held, suspended, being requeued), ``running`` or ``ended``. A state whose name is not
        known counts as queued: a failed look never makes a failed task.
    reason : str or None
        How it ended: ``ok``, ``failed``, ``oom``, ``timeout``, ``node``, ``cancelled``.
    exit_code : int or None
        Exit code of the command, where it is known.
    node : str
        Where it runs or ran.
    native : str
        How the batch system calls it.
    held : bool
        Whether the batch system has put it back and keeps it for good, with all that waits for it. Nobody has
        asked for that: to us it has ended, and `advance` cancels it.
    """

    phase: Phase
    reason: Reason | None = None
    exit_code: int | None = None
    node: str = ""
    native: str = ""
    held: bool = False


@dataclass(frozen=True)
class JobState:
    """
    State of an array.

    Parameters
    ----------
    elements : mapping
        State by index. An element that the batch system does not list any more is missing.
    known : bool
        Whether the batch system knows the job at all.
    name : str
        Its name, where the batch system may give the number of a lost job away again.
    """

    elements: Mapping[int, ElementState] = field(default_factory=dict)
    known: bool = True
    name: str = ""


class Backend(Protocol):
    """A batch system. Every method that talks to it raises `SchedulerError` if it does not answer."""

    name: str

    def limits(self) -> Limits:
        """Ask what is allowed."""

    def script(self, job: Job) -> str:
        """Return the text of ``array.sh``."""

    def arguments(self, job: Job) -> tuple[str, ...]:
        """Return the words of the submitting command, for people and for the state files."""

    def submit(self, job: Job) -> str:
        """Hand over a job whose ``array.sh`` is written, and return its id."""

    def find(self, names: Collection[str]) -> dict[str, str]:
        """Return the ids of jobs with these names, for those that are known: one call."""

    def query(self, ids: Collection[str]) -> dict[str, JobState]:
        """Return the states of jobs by id: one call, however many jobs there are."""

    def cancel(self, ids: Collection[str]) -> None:
        """End jobs; those that have ended already are no error."""
