"""Slurm: its commands and its state words."""

import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from functools import cached_property

from submit.backends.commands import Answer, ask, hand_over, plain_environment, refusal
from submit.backends.script import log_directory, render_script, warning_s
from submit.errors import SchedulerError
from submit.jobs import ElementState, Job, JobState, Limits, Phase, Reason
from submit.site import Site
from submit.state_files import make_directory

__all__ = ["Slurm", "read_accounting", "read_queue"]

#: Fields of one line of squeue; the width is that of the longest value, the separator is ours.
_FIELDS = ("ArrayJobID", "ArrayTaskID", "State", "exit_code", "NodeList", "JobID", "Reason", "Name")
_FORMAT = ",".join(f"{field}:|" for field in _FIELDS)

#: States of work that is going on or may be; whatever stands in neither table counts as queued.
_ACTIVE: dict[str, Phase] = {
    "RUNNING": "running",
    "COMPLETING": "running",
    "CONFIGURING": "running",
    "RESIZING": "running",
    "SIGNALING": "running",
    "STAGE_OUT": "running",
}

_ENDED: dict[str, Reason] = {
    "COMPLETED": "ok",
    "FAILED": "failed",
    "OUT_OF_MEMORY": "oom",
    "TIMEOUT": "timeout",
    "DEADLINE": "timeout",
    "NODE_FAIL": "node",
    "BOOT_FAIL": "node",
    "LAUNCH_FAILED": "node",
    "RECONFIG_FAIL": "node",
    "PREEMPTED": "node",
    "CANCELLED": "cancelled",
    "REVOKED": "cancelled",
}

#: Why Slurm keeps a job for good that it has put back itself: a node could not start it, or too many died.
_HELD = frozenset({"launch failed requeued held", "JobHoldMaxRequeue"})

#: "Signal" of a job whose log or working directory could not be opened on the node.
_LAUNCH = 53


def _state(word: str, code: int, signal: int, node: str, native: str, why: str = "") -> ElementState:
    reason = _ENDED.get(word)
    if word == "PENDING" and why.replace("_", " ") in _HELD:
        return ElementState("ended", "node", native=native, held=True)
    if reason is None:
        return ElementState(_ACTIVE.get(word, "queued"), node=node, native=native)
    if reason == "failed" and signal == _LAUNCH:
        reason = "node"
    # The exit code of a job that ran into its limit, or was cancelled, is left to chance.
    known = reason in {"ok", "failed", "node"} and signal != _LAUNCH
    exit_code = (128 + signal if signal else code) if known else None
    return ElementState("ended", reason, exit_code, node, native)


def read_queue(text: str) -> dict[str, JobState]:
    """
    Read what squeue says of array jobs.

    Parameters
    ----------
    text : str
        Lines with the fields id of the array, index, state, wait status, node, id, reason for waiting, and
        name, separated by ``|``.

    Returns
    -------
    dict
        States by id of the array; a job that is no array has the index 0.
    """
    found: defaultdict[str, dict[int, ElementState]] = defaultdict(dict)
    names: dict[str, str] = {}
    for line in text.splitlines():
        words = [word.strip() for word in line.split("|")][: len(_FIELDS)]
        if len(words) != len(_FIELDS) or not words[3].isdigit():
            continue
        array, index, state, status, node, raw, why, name = words
        is_element = index.isdigit()
        native = f"{array}_{index}" if is_element else raw
        wait = int(status)
        element = _state(state, wait >> 8 & 0xFF, wait & 0x7F, node, native, why)
        job = array if is_element else raw
        found[job][int(index) if is_element else 0] = element
        names[job] = name
    return {job: JobState(elements, name=names[job]) for job, elements in found.items()}


def _indices(text: str) -> Iterable[int]:
    """Yield the indices of ``3``, ``[1,4-6]`` or ``[0-9%2]``."""
    for part in text.strip("[]").split("%")[0].split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            yield from range(int(first), int(last or first) + 1)


def read_accounting(text: str) -> dict[str, JobState]:
    """
    Read what sacct says of array jobs.

    Parameters
    ----------
    text : str
        Lines with the fields JobID, State, ExitCode (``code:signal``), NodeList, JobName, separated by ``|``.
    """
    found: defaultdict[str, dict[int, ElementState]] = defaultdict(dict)
    names: dict[str, str] = {}
    for line in text.splitlines():
        words = line.split("|")
        if len(words) != 5 or not words[1]:
            continue
        job, _, rest = words[0].partition("_")
        names[job] = words[4]
        code, _, signal = words[2].partition(":")
        for index in _indices(rest or "0"):
            native = f"{job}_{index}" if rest else job
            found[job][index] = _state(
                words[1].split()[0], int(code or 0), int(signal or 0), words[3], native
            )
    return {job: JobState(elements, name=names[job]) for job, elements in found.items()}


def _no_such_job(answer: Answer) -> bool:
    return answer.status == 1 and "Invalid job id" in answer.err


def _already_ended(answer: Answer) -> bool:
    """Whether scancel complained of nothing but jobs that have ended."""
    lines = [line for line in answer.err.splitlines() if line.strip()]
    known = ("Invalid job id", "already completing or completed", "Job/step already")
    return bool(lines) and all(any(words in line for words in known) for line in lines)


def _seconds(text: str) -> float | None:
    """Return a time limit of Slurm, ``1-12:00:00`` or ``UNLIMITED``, in seconds."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(word or 0) for word in match.groups())
    return 86400.0 * days + 3600.0 * hours + 60.0 * minutes + seconds


def _of_partitions(partitions: list[dict[str, str]]) -> tuple[float | None, int | None]:
    """Return the longest time limit of partitions [s], None where there is none, and the number of nodes."""
    limits = [_seconds(one.get("MaxTime", "")) for one in partitions]
    sizes = [int(size) for one in partitions if (size := one.get("TotalNodes", "")).isdigit()]
    known = [limit for limit in limits if limit is not None]
    longest_s = max(known) if known and len(known) == len(limits) else None
    return longest_s, max(sizes, default=None)


class Slurm:
    """
    Array jobs by sbatch, states by squeue and, where there is accounting, by sacct.

    Parameters
    ----------
    site : Site
        Settings of the site.
    """

    name = "slurm"

    def __init__(self, site: Site) -> None:
        self.site = site
        self._patience_s = site.queue.command_timeout_s

    @cached_property
    def _settings(self) -> dict[str, str]:
        """What the cluster is set to, asked once."""
        lines = ask(("scontrol", "show", "config"), self._patience_s).out.splitlines()
        pairs = (line.partition("=") for line in lines if "=" in line)
        return {name.strip(): value.strip() for name, _, value in pairs}

    def _number(self, name: str) -> int | None:
        match = re.match(r"\d+", self._settings.get(name, ""))
        return int(match.group()) if match else None

    @property
    def _accounting(self) -> bool:
        return not self._settings.get("AccountingStorageType", "none").endswith("none")

    def limits(self) -> Limits:
        """Ask the controller; the site's settings may only lower what it says."""
        sizes = [self._number("MaxArraySize"), self.site.queue.max_array_size]
        # The largest legal index is one less than the setting, which is then the number of elements.
        size = min((one for one in sizes if one is not None), default=None)
        longest_s, n_nodes = _of_partitions(self._partitions())
        return Limits(
            size, self._number("MaxJobCount"), self._number("MinJobAge"), longest_s, n_nodes=n_nodes
        )

    def _partitions(self) -> list[dict[str, str]]:
        """Return the properties of the partitions that are used."""
        lines = ask(("scontrol", "show", "partition", "--oneliner"), self._patience_s).out.splitlines()
        wanted = self.site.queue.name.split(",") if self.site.queue.name else []
        known = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]
        return [
            one
            for one in known
            if one.get("PartitionName") in wanted or (not wanted and one.get("Default") == "YES")
        ]

    def script(self, job: Job) -> str:
        """Return the text of ``array.sh``."""
        return render_script(job, self.site)

    def arguments(self, job: Job) -> tuple[str, ...]:
        """Return the words of sbatch."""
        queue = self.site.queue
        throttle = job.throttle or queue.max_running
        log = str(log_directory(job).resolve()).replace("%", "%%") + "/%A_%a.scheduler.log"
        return (
            "sbatch",
            "--parsable",
            f"--job-name={job.name}",
            f"--comment={job.name}",
            f"--array=0-{job.n_elements - 1}" + (f"%{throttle}" if throttle else ""),
            "--nodes=1",
            "--ntasks=1",
            f"--cpus-per-task={job.cpus}",
            f"--mem={job.mem_mb}M",
            f"--time={math.ceil(job.walltime_s / 60)}",
            f"--signal=B:USR1@{warning_s(job.walltime_s)}",
            "--requeue",
            "--open-mode=append",
            f"--output={log}",
            f"--chdir={job.directory.resolve()}",
            # What is exported is what `plain_environment` leaves; neither do the limits of the session count.
            "--export=ALL",
            "--propagate=NONE",
            *([f"--partition={queue.name}"] if queue.name else []),
            *([f"--account={queue.account}"] if queue.account else []),
            # Colons: after a comma, Slurm 22.05 takes the kind of the dependency from its own default.
            *([f"--dependency=afterany:{':'.join(job.depends_on)}"] if job.depends_on else []),
            *([f"--exclude={','.join(job.exclude_nodes)}"] if job.exclude_nodes else []),
            *queue.options,
            str(job.directory.resolve() / "array.sh"),
        )

    def submit(self, job: Job) -> str:
        """Hand over a job and return its id; a job whose reply was lost is found by its name."""
        # Slurm fails an element without a trace if the directory of its log is missing.
        make_directory(log_directory(job), group_writable=self.site.plan.group_writable)
        reply = hand_over(
            self.arguments(job),
            self._patience_s,
            lambda: self.find([job.name]).get(job.name),
            plain_environment(),
        )
        number = reply.splitlines()[-1].split(";")[0].strip()
        if not number.isdigit():
            raise SchedulerError(
                f"sbatch: printed {reply[:200]!r} instead of an id; see squeue --name={job.name}"
            )
        return number

    def find(self, names: Collection[str]) -> dict[str, str]:
        """Return the ids of jobs with these names."""
        if not names:
            return {}
        words = ("squeue", "-h", "-t", "all", f"--name={','.join(names)}", "-o", "%F|%j")
        lines = ask(words, self._patience_s).out.splitlines()
        if self._accounting:
            since = (datetime.now(UTC) - timedelta(days=30)).strftime("%Y-%m-%d")
            words = (
                "sacct",
                "-X",
                "-n",
                "-P",
                f"--name={','.join(names)}",
                "-S",
                since,
                "-o",
                "JobID,JobName",
            )
            lines += ask(words, self._patience_s).out.splitlines()
        pairs = [line.strip().split("|", 1) for line in lines if "|" in line]
        ids = sorted(((int(re.match(r"\d*", job).group() or 0), name) for job, name in pairs), reverse=True)
        return {name: str(job) for job, name in ids if name in names}

    def query(self, ids: Collection[str]) -> dict[str, JobState]:
        """
        Return the states of jobs by id.

        What squeue does not list the controller has forgotten; then only accounting can know it.
        """
        if not ids:
            return {}
        listed = ",".join(sorted(ids))
        words = ("squeue", "-h", "-r", "-t", "all", "-j", listed, "-O", _FORMAT)
        found = read_queue(ask(words, self._patience_s, _no_such_job).out)
        if (forgotten := [job for job in ids if job not in found]) and self._accounting:
            words = (
                "sacct",
                "-X",
                "-n",
                "-P",
                "-j",
                ",".join(forgotten),
                "-o",
                "JobID,State,ExitCode,NodeList,JobName",
            )
            found |= read_accounting(ask(words, self._patience_s).out)
        return {job: found.get(job, JobState(known=False)) for job in ids}

    def cancel(self, ids: Collection[str]) -> None:
        """End jobs; those that have ended already are no error."""
        if not ids:
            return
        answer = ask(("scancel", *sorted(ids)), self._patience_s, lambda answer: not answer.passing)
        if answer.status != 0 and not _already_ended(answer):
            raise refusal(answer, "only the user who submitted a job may cancel it")
