"""OpenPBS and PBS Professional: their commands and their state words."""

import json
from collections import defaultdict
from collections.abc import Collection
from typing import Any

from submit.backends.commands import Answer, ask
from submit.backends.pbs import FINISHED, UNKNOWN, Pbs, clock, ended_state, split_id
from submit.errors import SchedulerError
from submit.jobs import ElementState, Job, JobState, Limits, Reason

__all__ = ["OpenPbs", "read_jobs"]

#: Meaning of negative exit statuses; what is not here says that the node or the server failed.
_SPECIAL: dict[int, Reason] = {-26: "oom", -27: "oom", -28: "timeout", -29: "timeout"}

#: Substate of a job that was deleted before it began.
_DELETED = 91
_NO_HISTORY = "not configured to maintain job history"


def _json(answer: Answer) -> dict[str, Any]:
    start = answer.out.find("{")
    if start < 0:
        return {}
    try:
        content, _ = json.JSONDecoder(strict=False).raw_decode(answer.out[start:])
    except ValueError as error:
        raise SchedulerError(f"{' '.join(answer.words)}: answers what is no JSON ({error})") from None
    return content if isinstance(content, dict) else {}


def read_jobs(content: dict[str, Any]) -> dict[str, JobState]:
    """
    Read what ``qstat -t -f -F json`` says of jobs.

    The exit status of an array is that of its element that ended last, and is left out; a job that is no
    array has the index 0.

    Parameters
    ----------
    content : dict
        The JSON object.
    """
    found: defaultdict[str, dict[int, ElementState]] = defaultdict(dict)
    for native, job in (content.get("Jobs") or {}).items():
        array, index = split_id(native)
        if "[]" in array and index is None:
            found[array] = found[array]
            continue
        found[array][index or 0] = _state(native, job)
    return {job: JobState(elements) for job, elements in found.items()}


def _state(native: str, job: dict[str, Any]) -> ElementState:
    letter = str(job.get("job_state", ""))
    node = str(job.get("exec_host", "")).split("/")[0].split("+")[0]
    if letter not in ("F", "X"):
        return ElementState(Pbs.running.get(letter, "queued"), node=node, native=native)
    status = job.get("Exit_status")
    status = status if isinstance(status, int) else None
    if letter == "X" and status is None:
        # Ended while its array lives, and without history nobody says how: the results do.
        return ElementState("ended", None, None, node, native)
    return ended_state(status, _SPECIAL, node, native, deleted=job.get("substate") == _DELETED)


class OpenPbs(Pbs):
    """Array jobs by qsub, states by qstat."""

    name = "openpbs"

    def arguments(self, job: Job) -> tuple[str, ...]:
        """Return the words of qsub; a range of one element is refused there, so that is a plain job."""
        throttle = job.throttle or self.site.queue.max_running
        array = f"0-{job.n_elements - 1}" + (f"%{throttle}" if throttle else "")
        return (
            *self.common_arguments(job),
            *(("-J", array) if job.n_elements > 1 else ()),
            "-l", f"select=1:ncpus={job.cpus}:mem={job.mem_mb}mb",
            "-l", f"walltime={clock(job.walltime_s)}",
            *(("-W", f"depend=afterany:{':'.join(job.depends_on)}") if job.depends_on else ()),
            *self.site.queue.options,
            str(job.directory.resolve() / "array.sh"),
        )  # fmt: skip

    def limits(self) -> Limits:
        """Ask the server; the site's settings may only lower what it says."""
        servers = _json(ask(("qstat", "-B", "-f", "-F", "json"), self.patience_s)).get("Server") or {}
        server = next(iter(servers.values()), {})
        sizes = [server.get("max_array_size"), self.site.queue.max_array_size]
        size = min((one for one in sizes if isinstance(one, int)), default=None)
        keeps = str(server.get("job_history_enable", "")).lower() == "true"
        return Limits(size, None, _seconds(str(server.get("job_history_duration", ""))) if keeps else 0.0)

    def query(self, ids: Collection[str]) -> dict[str, JobState]:
        """Return the states of jobs by id: one call, and a second where the server keeps no history."""
        if not ids:
            return {}
        words = ("-t", "-f", "-F", "json", *sorted(ids))
        answer = ask(("qstat", "-x", *words), self.patience_s, _known_status)
        if _NO_HISTORY in f"{answer.out}{answer.err}":
            answer = ask(("qstat", *words), self.patience_s, _known_status)
        found = read_jobs(_json(answer))
        return {job: found.get(job, JobState(known=False)) for job in ids}

    def select(self, name: str) -> Answer:
        """Ask for the ids of jobs of a name, those that have ended included where the server remembers."""
        answer = ask(("qselect", "-x", "-N", name), self.patience_s, lambda answer: not answer.passing)
        if answer.status == 0 and _NO_HISTORY not in f"{answer.out}{answer.err}":
            return answer
        return super().select(name)


def _known_status(answer: Answer) -> bool:
    return answer.status in (UNKNOWN, FINISHED)


def _seconds(text: str) -> float | None:
    parts = text.split(":")
    if not all(part.isdigit() for part in parts) or len(parts) != 3:
        return None
    return 3600.0 * int(parts[0]) + 60.0 * int(parts[1]) + int(parts[2])
