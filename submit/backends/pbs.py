"""What OpenPBS and Torque have in common: ids of elements, exit statuses, and most commands."""

import re
from collections.abc import Collection, Mapping

from submit.backends.commands import Answer, ask, hand_over, plain_environment, refusal
from submit.backends.script import log_directory, render_script
from submit.errors import SchedulerError
from submit.jobs import ElementState, Job, Phase, Reason
from submit.site import Site
from submit.state_files import make_directory

__all__ = ["FINISHED", "UNKNOWN", "Pbs", "clock", "ended_state", "split_id"]

#: Exit statuses of qstat and qdel: no such job, and one that has ended.
UNKNOWN, FINISHED = 153, 35

_ID = re.compile(r"(\d+)(?:(\[)(\d*)\])?(\..+)?")
_SIGNAL = 256
_TERM = 15


def split_id(native: str) -> tuple[str, int | None]:
    """
    Return the id of a job and the index of one of its elements.

    Parameters
    ----------
    native : str
        ``107.host``, ``107[].host`` or ``107[3].host``; the index of the first two is None.

    Raises
    ------
    SchedulerError
        If it is no id.
    """
    match = _ID.fullmatch(native.strip())
    if match is None:
        raise SchedulerError(f"{native[:100]!r} is not the id of a job of PBS; see qstat")
    number, bracket, index, server = match.groups()
    return f"{number}{'[]' if bracket else ''}{server or ''}", int(index) if index else None


def ended_state(
    status: int | None, special: Mapping[int, Reason], node: str, native: str, *, deleted: bool = False
) -> ElementState:
    """
    Return how an element ended.

    Parameters
    ----------
    status : int or None
        Its exit status; above 256 it was ended by a signal, below 0 by the batch system; None: it never ran.
    special : mapping of int to str
        Meaning of the negative ones.
    node, native : str
        Where it ran, and its id.
    deleted : bool
        Whether it was deleted before it began.
    """
    if status is None:
        return ElementState("ended", "cancelled" if deleted else None, None, node, native)
    if status < 0:
        return ElementState("ended", special.get(status, "node"), None, node, native)
    if status >= _SIGNAL:
        number = status - _SIGNAL
        return ElementState("ended", "cancelled" if number == _TERM else "failed", 128 + number, node, native)
    return ElementState("ended", "ok" if status == 0 else "failed", status, node, native)


def clock(seconds: int) -> str:
    """Return a time limit as PBS wants it."""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


class Pbs:
    """
    Commands that both have.

    Parameters
    ----------
    site : Site
        Settings of the site.
    """

    #: Phases by letter; whatever is not here counts as queued.
    running: Mapping[str, Phase] = {"R": "running", "E": "running", "B": "running"}

    def __init__(self, site: Site) -> None:
        self.site = site
        self.patience_s = site.queue.command_timeout_s

    def script(self, job: Job) -> str:
        """Return the text of ``array.sh``."""
        return render_script(job, self.site)

    def arguments(self, job: Job) -> tuple[str, ...]:
        """Return the words of qsub."""
        raise NotImplementedError

    def common_arguments(self, job: Job) -> tuple[str, ...]:
        """Return the words of qsub that both understand, without its resources and dependencies."""
        queue = self.site.queue
        return (
            "qsub",
            "-N", job.name,
            "-r", "y",
            "-j", "oe",
            "-o", f"{log_directory(job).resolve()}/",
            *(("-q", queue.name) if queue.name else ()),
            *(("-A", queue.account) if queue.account else ()),
        )  # fmt: skip

    def submit(self, job: Job) -> str:
        """Hand over a job and return its id; a job whose reply was lost is found by its name."""
        make_directory(log_directory(job), group_writable=self.site.plan.group_writable)
        reply = hand_over(
            self.arguments(job), self.patience_s, lambda: self.find([job.name]).get(job.name),
            plain_environment(),
        )  # fmt: skip
        return split_id(reply.splitlines()[-1])[0]

    def find(self, names: Collection[str]) -> dict[str, str]:
        """Return the ids of jobs with these names; qselect takes one name at a time."""
        found = {}
        for name in names:
            ids = [line for line in self.select(name).out.split() if _ID.fullmatch(line)]
            if ids:
                found[name] = split_id(max(ids, key=lambda one: int(re.match(r"\d+", one)[0])))[0]
        return found

    def select(self, name: str) -> Answer:
        """Ask for the ids of jobs of a name."""
        return ask(("qselect", "-N", name), self.patience_s)

    def cancel(self, ids: Collection[str]) -> None:
        """End jobs; those that have ended already are no error."""
        if not ids:
            return
        answer = ask(("qdel", *sorted(ids)), self.patience_s, lambda answer: not answer.passing)
        if answer.status not in (0, UNKNOWN, FINISHED):
            raise refusal(answer, "only the user who submitted a job may delete it")
