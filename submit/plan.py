"""What is to be submitted now: the pending graph without what is on its way, failed for good, or held up."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import luigi

from submit.graph import Graph
from submit.history import History
from submit.jobs import Limits
from submit.pack import Array, Item, make_arrays, make_units
from submit.policy import Decision, decide
from submit.reconcile import Account
from submit.site import PlanSettings, Site
from submit.spec import TaskSpec, spec_of, work_of

__all__ = ["Plan", "longest_s", "make_plan", "runs_here"]

_ARRAY_SIZE = 1000


@dataclass(frozen=True)
class Plan:
    """
    What is to be done about a graph.

    Parameters
    ----------
    graph : Graph
        What is not complete.
    arrays : list of Array
        What is to be submitted.
    active : dict of str to str
        Tasks that jobs of ours do or will do.
    quarantine : dict of str to str
        Tasks that are not tried again, with the reason; those that are newly so as well.
    later : dict of str to float
        Tasks that are tried again after a time [s, Unix].
    missing : dict of str to str
        Tasks of whose product nobody here is the maker, or whose code fails, with what is said about them.
    held_up : dict of str to str
        Tasks that wait for one of all these, with its id.
    changed : set of str
        Tasks whose inputs are about to change, so that their earlier failures count no more.
    """

    graph: Graph
    arrays: list[Array]
    active: dict[str, str]
    quarantine: dict[str, str]
    later: dict[str, float]
    missing: dict[str, str]
    held_up: dict[str, str]
    changed: set[str] = field(default_factory=set)

    @property
    def n_todo(self) -> int:
        """Number of tasks to be submitted."""
        return sum(len(list(shard.items)) for array in self.arrays for shard in array.shards)

    @property
    def n_shards(self) -> int:
        """Number of shards to be submitted."""
        return sum(len(array.shards) for array in self.arrays)

    @property
    def core_hours(self) -> float:
        """Expected use of processors [h]."""
        return sum(shard.seconds * array.cpus for array in self.arrays for shard in array.shards) / 3600


def runs_here(graph: Graph, site: Site) -> list[luigi.Task]:
    """Return light tasks on whose products the rest of the graph depends, and that can be run now."""
    return [
        node.task
        for node in graph.nodes.values()
        if node.kind == "run" and not node.needs and spec_of(type(node.task), site.plan).here
    ]


def make_plan(
    graph: Graph,
    site: Site,
    limits: Limits,
    history: History,
    account: Account,
    quarantined: Mapping[str, Mapping[str, object]],
) -> Plan:
    """
    Decide what of a graph is submitted now, and in which arrays.

    Parameters
    ----------
    graph : Graph
        What is not complete.
    site : Site
        Settings of the site.
    limits : Limits
        What the batch system allows.
    history : History
        How long tasks took.
    account : Account
        What became of earlier submissions.
    quarantined : mapping
        Records of the tasks in quarantine by id.

    Raises
    ------
    PlanError
        If a class of tasks asks for something that is not known.
    """
    active = {task_id: state for task_id, state in account.active.items() if task_id in graph.nodes}
    quarantine = {
        task_id: str(record.get("error", "by hand"))
        for task_id, record in quarantined.items()
        if task_id in graph.nodes
    }
    missing = {
        task_id: node.problem or "its product comes from elsewhere and is not there"
        for task_id, node in graph.nodes.items()
        if node.kind != "run"
    }
    decisions = _decisions(graph, account, site, {*active, *missing})
    changed = _changed(graph, {*active, *missing}, {*decisions, *quarantine})
    quarantine = {task_id: reason for task_id, reason in quarantine.items() if task_id not in changed}
    later: dict[str, float] = {}
    for task_id, decision in decisions.items():
        if task_id in changed or task_id in quarantine:
            continue
        if decision.quarantine:
            quarantine[task_id] = decision.quarantine
        elif decision.not_before > time.time():
            later[task_id] = decision.not_before
    held_up = graph.held_up([*active, *quarantine, *later, *missing])
    out = {*active, *quarantine, *later, *missing, *held_up}
    items = _items(graph, out, site, history, decisions)
    most = min(limits.max_array_size or _ARRAY_SIZE, _ARRAY_SIZE, site.queue.max_queued or _ARRAY_SIZE)
    arrays = make_arrays(
        make_units(items),
        max_elements=most,
        max_walltime_s=longest_s(site, limits),
        slots=limits.slots or 1,
    )
    return Plan(graph, arrays, active, quarantine, later, missing, held_up, changed - out)


def longest_s(site: Site, limits: Limits) -> int:
    """Return the longest time limit that a job may ask for [s]."""
    return int(min(60 * site.queue.max_walltime_minutes, limits.walltime_s or math.inf))


def _decisions(graph: Graph, account: Account, site: Site, out: set[str]) -> dict[str, Decision]:
    return {
        task_id: decide(failures, site.plan)
        for task_id, failures in account.failures.items()
        if task_id in graph.nodes and task_id not in out
    }


def _changed(graph: Graph, out: set[str], failed: set[str]) -> set[str]:
    """Return failed tasks before which there is something to be done: they meet another situation then."""
    held = graph.held_up(out | failed)
    return {
        task_id
        for task_id in failed
        if any(
            need not in out and need not in failed and need not in held for need in graph.nodes[task_id].needs
        )
    }


def _items(
    graph: Graph, out: set[str], site: Site, history: History, decisions: Mapping[str, Decision]
) -> dict[str, Item]:
    specs: dict[type, TaskSpec] = {}
    # Many tasks are alike: one number serves them all.
    known: dict[tuple[str, float], float] = {}
    items: dict[str, Item] = {}
    for task_id, node in graph.nodes.items():
        if task_id in out:
            continue
        kind = type(node.task)
        if kind not in specs:
            specs[kind] = _limited(spec_of(kind, site.plan), site.plan)
        spec, work = specs[kind], work_of(node.task)
        key = (spec.stage, work)
        if key not in known:
            known[key] = history.seconds(spec.stage, work, spec.seconds)
        items[task_id] = Item(task_id, node, spec, known[key], work, spec.mem_mb)
        if task_id in decisions:
            _adapt(items[task_id], decisions[task_id])
    return items


def _limited(spec: TaskSpec, settings: PlanSettings) -> TaskSpec:
    return replace(
        spec,
        max_items=min(spec.max_items or settings.max_items, settings.max_items),
        shard_minutes=spec.shard_minutes or settings.shard_minutes,
    )


def _adapt(item: Item, decision: Decision) -> None:
    """Ask for what earlier attempts lacked."""
    item.seconds *= decision.time_factor
    item.mem_mb = max(item.mem_mb, decision.mem_mb)
    item.attempt, item.alone = decision.attempt, decision.alone
