"""Torque: its commands and its state words."""

import re
from collections import defaultdict
from collections.abc import Collection
from xml.etree import ElementTree

from submit.backends.commands import Answer, ask
from submit.backends.pbs import UNKNOWN, Pbs, clock, ended_state, split_id
from submit.errors import SchedulerError
from submit.jobs import ElementState, Job, JobState, Limits, Reason

__all__ = ["Torque", "read_jobs"]

#: Meaning of negative exit statuses; what is not here says that the node or the server failed.
_SPECIAL: dict[int, Reason] = {-10: "oom", -11: "timeout", -12: "timeout"}


def read_jobs(text: str) -> dict[str, JobState]:
    """
    Read what ``qstat -x -t`` says of array jobs.

    Parameters
    ----------
    text : str
        XML with one ``Job`` per element.

    Raises
    ------
    SchedulerError
        If it is no XML.
    """
    if not text.strip():
        return {}
    try:
        # The document comes from the site's own batch system.
        root = ElementTree.fromstring(text)  # noqa: S314
    except ElementTree.ParseError as error:
        raise SchedulerError(f"qstat -x: answers what is no XML ({error})") from None
    found: defaultdict[str, dict[int, ElementState]] = defaultdict(dict)
    for job in root.iter("Job"):
        native = job.findtext("Job_Id", "")
        array, index = split_id(native)
        if "[]" in array and index is None:
            found[array] = found[array]
            continue
        found[array][index or 0] = _state(native, job)
    return {job: JobState(elements) for job, elements in found.items()}


def _state(native: str, job: ElementTree.Element) -> ElementState:
    letter = job.findtext("job_state", "")
    node = job.findtext("exec_host", "").split("/")[0]
    if letter != "C":
        return ElementState(Pbs.running.get(letter, "queued"), node=node, native=native)
    status = job.findtext("exit_status", "")
    number = int(status) if re.fullmatch(r"-?\d+", status) else None
    return ended_state(number, _SPECIAL, node, native, deleted=not node)


class Torque(Pbs):
    """
    Array jobs by qsub, states by qstat.

    Every job is an array, also of one element: dependencies of arrays and of plain jobs cannot be mixed.
    """

    name = "torque"

    def arguments(self, job: Job) -> tuple[str, ...]:
        """Return the words of qsub; resources in one word, because of several only the last may count."""
        throttle = job.throttle or self.site.queue.max_running
        array = f"0-{job.n_elements - 1}" + (f"%{throttle}" if throttle else "")
        resources = f"nodes=1:ppn={job.cpus},mem={job.mem_mb}mb,walltime={clock(job.walltime_s)}"
        return (
            *self.common_arguments(job),
            "-t", array,
            "-l", resources,
            *(("-W", f"depend=afteranyarray:{':'.join(job.depends_on)}") if job.depends_on else ()),
            *self.site.queue.options,
            str(job.directory.resolve() / "array.sh"),
        )  # fmt: skip

    def limits(self) -> Limits:
        """Ask the server where it lets us; the site's settings may only lower what it says."""
        answer = ask(("qmgr", "-c", "print server"), self.patience_s, lambda answer: not answer.passing)
        found = re.search(r"max_job_array_size\s*=\s*(\d+)", answer.out)
        keeps = re.search(r"keep_completed\s*=\s*(\d+)", answer.out)
        sizes = [int(found[1]) if found else None, self.site.queue.max_array_size]
        size = min((one for one in sizes if one is not None), default=None)
        return Limits(size, None, float(keeps[1]) if keeps else None)

    def query(self, ids: Collection[str]) -> dict[str, JobState]:
        """Return the states of jobs by id: one call."""
        if not ids:
            return {}
        answer = ask(("qstat", "-x", "-t", *sorted(ids)), self.patience_s, _known_status)
        found = read_jobs(answer.out)
        return {job: found.get(job, JobState(known=False)) for job in ids}


def _known_status(answer: Answer) -> bool:
    return answer.status == UNKNOWN
