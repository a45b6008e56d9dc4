"""What became of what was submitted: results say it, and the batch system where there are none."""

import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from submit.campaign import Campaign
from submit.history import remember
from submit.jobs import Backend, ElementState, JobState
from submit.results import read_results, result_lines
from submit.rounds import ArrayRecord, Round, open_rounds, rounds_of
from submit.site import Site
from submit.state_files import write_json, write_lines

__all__ = ["Account", "Jobs", "ask_jobs", "close_ended", "open_records", "take_stock"]

#: An order whose answer was lost shows up in the batch system's list within this time [s].
_REPLY_S = 60.0

#: Exit status of a job that was ended by SIGKILL.
_KILLED = 137

#: A shard that is put back into the queue does again what was left with any other outcome.
_FINAL = frozenset({"done", "skipped", "failed"})

Record = dict[str, Any]


@dataclass
class Account:
    """
    What is known of a campaign's submissions.

    Parameters
    ----------
    active : dict of str to str
        Tasks that a job of ours is going to do or does, by id: ``planned``, ``queued``, ``running``.
    failures : dict of str to list
        Failed attempts by task id, the oldest first, without those that are forgiven.
    latest : dict of str to dict
        Newest result of every task that ever had one.
    elements : Counter
        Number of elements by phase.
    well : dict of str to float
        When a task was last done on a node, by the node's name [s, Unix].
    """

    active: dict[str, str] = field(default_factory=dict)
    failures: dict[str, list[Record]] = field(default_factory=lambda: defaultdict(list))
    latest: dict[str, Record] = field(default_factory=dict)
    elements: Counter[str] = field(default_factory=Counter)
    well: dict[str, float] = field(default_factory=dict)

    def bad_nodes(self, limit: int, n_nodes: int | None = None) -> tuple[str, ...]:
        """
        Return the nodes on which tasks died with their node, and on which none was done since.

        Parameters
        ----------
        limit : int
            So many died there.
        n_nodes : int, optional
            Number of nodes: where most of them are bad, it is not the nodes, and none is named.
        """
        dead = Counter(
            str(failure.get("node"))
            for failures in self.failures.values()
            for failure in failures
            if failure.get("class") == "node" and failure.get("node") and not self._since_well(failure)
        )
        bad = tuple(sorted(node for node, number in dead.items() if number >= limit))
        return () if n_nodes is not None and len(bad) > n_nodes / 2 else bad

    def _since_well(self, failure: Record) -> bool:
        """Whether the node of a failure has done a task since."""
        return self.well.get(str(failure.get("node")), 0.0) > float(failure.get("ended") or 0)


@dataclass(frozen=True)
class Jobs:
    """
    Answer of the batch system about all jobs of a campaign.

    Parameters
    ----------
    states : mapping of str to JobState
        By native id.
    found : mapping of str to str
        Native ids of jobs whose order was not answered, by name.
    when : float
        When it was asked [s, Unix].
    """

    states: Mapping[str, JobState]
    found: Mapping[str, str]
    when: float = math.inf

    def state_of(self, record: ArrayRecord) -> JobState | None:
        """
        Return what the batch system says of an array; None where it was not asked, or not yet.

        Slurm gives the number of a job away again if its controller died before it wrote the job down.
        """
        if record.asked_at > self.when:
            return None
        state = self.states.get(record.native_id)
        foreign = state is not None and state.name not in ("", record.job_name)
        return JobState(known=False) if foreign else state


def ask_jobs(campaign: Campaign, backend: Backend) -> Jobs:
    """Ask the batch system about all jobs that may be alive: one call, and one more if a reply was lost."""
    records, when = open_records(campaign), time.time()
    lost = {record.job_name for record in records if record.state == "submitting"}
    found = backend.find(lost) if lost else {}
    ids = {record.native_id for record in records if record.state in ("submitted", "cancelled")}
    ids |= set(found.values())
    return Jobs(backend.query(ids - {""}) if ids - {""} else {}, found, when)


def open_records(campaign: Campaign) -> list[ArrayRecord]:
    """Return all arrays of rounds that are not closed, with the finalizers."""
    rounds = open_rounds(campaign)
    finalizers = (known.finalizer for known in rounds)
    return [*(r for known in rounds for r in known.arrays()), *(r for r in finalizers if r is not None)]


def take_stock(campaign: Campaign, site: Site, jobs: Jobs | None, *, write: bool = True) -> Account:
    """
    Gather what is known of all rounds; close those whose jobs have ended.

    Parameters
    ----------
    campaign : Campaign
        The campaign.
    site : Site
        Settings of the site.
    jobs : Jobs or None
        Answer of the batch system; None where it was not asked: what has no result is then taken to be alive.
    write : bool
        Whether orders that were found again, and closed rounds, are written down.
    """
    account = Account()
    forgiven = campaign.forgotten()
    for known in rounds_of(campaign):
        if known.is_here:
            # What the planner tried itself is told, and counts no further.
            account.latest.update((result["id"], result) for result in _closed_results(known))
            continue
        if known.is_closed:
            _enter(account, result_lines(known.results), forgiven)
            continue
        look = _RoundLook(known, site, jobs, write=write)
        results = look.results()
        _enter(account, results, forgiven)
        account.active.update(look.active)
        account.elements.update(look.elements)
        if write and jobs is not None and not look.alive:
            _close(known, site, results)
    return account


def _closed_results(known: Round) -> Iterable[Record]:
    return result_lines(known.results) if known.is_closed else ()


def _enter(account: Account, results: Iterable[Record], forgiven: Mapping[str, float]) -> None:
    for result in results:
        task_id = result["id"]
        account.latest[task_id] = result
        if result["outcome"] == "done":
            node = str(result.get("node"))
            account.well[node] = max(account.well.get(node, 0.0), float(result.get("ended") or 0))
        if result["outcome"] == "failed" and float(result.get("ended") or 0) > forgiven.get(task_id, 0.0):
            account.failures[task_id].append(result)


def _close(known: Round, site: Site, results: list[Record]) -> None:
    write_lines(known.results, results)
    outcomes = Counter(result["outcome"] for result in results)
    write_json(known.closing, {"closed": time.time(), "outcomes": dict(outcomes)})
    remember(site.state_dir, (result for result in results if result["outcome"] == "done"))


def close_ended(known: Round, site: Site) -> list[Record]:
    """Close a round of which no job is left, and return its results."""
    results = _RoundLook(known, site, Jobs({}, {}), write=False).results()
    _close(known, site, results)
    return results


class _RoundLook:
    """One look at a round that is not closed."""

    def __init__(self, known: Round, site: Site, jobs: Jobs | None, *, write: bool) -> None:
        self.known, self.site, self.jobs, self.write = known, site, jobs, write
        self.active: dict[str, str] = {}
        self.elements: Counter[str] = Counter()
        self.alive = False

    def results(self) -> list[Record]:
        """Return the newest result of every task that has one; note which shards are alive."""
        gathered: list[Record] = []
        for record in self.known.arrays():
            self._settle_order(record)
            gathered += self._array(record)
        return gathered

    def _settle_order(self, record: ArrayRecord) -> None:
        """An order without an answer was carried out or not: the list of jobs knows its name."""
        if record.state != "submitting" or self.jobs is None:
            return
        if record.job_name in self.jobs.found:
            record.native_id, record.state = self.jobs.found[record.job_name], "submitted"
        elif time.time() - record.asked_at > _REPLY_S:
            record.state = "planned"
        if self.write:
            record.write()

    def _array(self, record: ArrayRecord) -> list[Record]:
        lines = read_results(record.directory)
        manifests: dict[int, list[Record]] = defaultdict(list)
        for index, item in record.items():
            manifests[index].append(item)
        job = self.jobs.state_of(record) if self.jobs else None
        gathered: list[Record] = []
        for index, items in manifests.items():
            said = lines.get(index, [])
            phase, element = self._phase(record, job, index, said)
            self.elements[phase] += 1
            if phase != "ended":
                self.alive = True
            gathered += self._shard(items, said, phase, element)
        return gathered

    def _phase(
        self, record: ArrayRecord, job: JobState | None, index: int, said: list[Record]
    ) -> tuple[str, ElementState]:
        """Say whether a shard is ``planned``, ``queued``, ``running`` or ``ended``."""
        unknown = ElementState("unknown")
        if record.state == "cancelled" and job is None:
            return "ended", ElementState("ended", "cancelled")
        if record.state in ("planned", "submitting"):
            return "planned", unknown
        element = job.elements.get(index) if job else None
        if element is not None and element.phase != "unknown":
            return element.phase, element
        if any("end" in line for line in said):
            return "ended", ElementState("ended")
        if record.state == "cancelled":
            return "ended", ElementState("ended", "cancelled")
        if self.jobs is not None and self._silent(record, said):
            return "ended", ElementState("ended", "node")
        return ("running" if said else "queued"), unknown

    def _silent(self, record: ArrayRecord, said: list[Record]) -> bool:
        """Whether an element that the batch system does not list has not been heard of for too long."""
        heard = max((float(line.get("started") or 0) for line in said), default=0.0)
        return time.time() - max(heard, record.asked_at) > self.site.plan.lost_after_s

    def _shard(
        self, items: list[Record], said: list[Record], phase: str, element: ElementState
    ) -> list[Record]:
        last: dict[str, Record] = {line["id"]: line for line in said if "id" in line}
        gathered = []
        for item in items:
            task_id = item["id"]
            line = last.get(task_id)
            final = line is not None and (phase == "ended" or line["outcome"] in _FINAL)
            if final and line["outcome"] != "started":
                gathered.append({**_described(item), **line})
            elif phase != "ended":
                # What comes later in a shard that runs is still to be begun.
                self.active[task_id] = "queued" if line is None and phase == "running" else phase
            elif line is not None:
                gathered.append({**_described(item), **line, **_death(element)})
        return gathered


def _described(item: Record) -> Record:
    """Return what the manifest says of a task and a result does not."""
    return {key: item.get(key) for key in ("family", "stage", "by", "work", "mem_mb", "attempt")}


def _death(element: ElementState) -> Record:
    """Describe the end of a task whose worker died with it."""
    if element.reason == "cancelled":
        return {"outcome": "cancelled", "class": None, "error": "its job was cancelled", "ended": time.time()}
    kinds: dict[str | None, tuple[str, str]] = {
        "oom": ("oom", "its job used more memory than it had asked for"),
        "timeout": ("timeout", "its job reached the time limit"),
    }
    kind, error = kinds.get(
        element.reason, ("node", "its job ended without a word: the node or the job died")
    )
    if element.reason == "failed" and element.exit_code == _KILLED:
        # Where memory is not guarded by control groups, who uses too much is killed and nobody says so.
        kind, error = "oom", "its job was killed, as it happens when more memory is used than was asked for"
    more = {"node": element.node} if element.node else {}
    return {"outcome": "failed", "class": kind, "error": error, "ended": time.time(), **more}
