"""Packs tasks into shards: chains stay together, and shards last about as long as asked."""

import itertools
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from submit.graph import Node
from submit.spec import TaskSpec

__all__ = ["Array", "Item", "Shard", "Unit", "make_arrays", "make_units"]

#: The time limit is this much above the sum of the expected durations ...
_WALLTIME_FACTOR = 1.5
#: ... with this much for the start of the job, and in steps of this [s].
_WALLTIME_START_S = _WALLTIME_STEP_S = 300
_WALLTIME_LEAST_S = 600


@dataclass(slots=True)
class Item:
    """
    A task with what it is expected to need.

    Parameters
    ----------
    task_id : str
        The task.
    node : Node
        Its place in the graph.
    spec : TaskSpec
        What its class asks for, with the limits of the site put in.
    seconds : float
        Expected duration [s].
    work : float
        Its work in the unit of the stage.
    mem_mb : int
        Memory [MB].
    attempt : int
        Number of this attempt, from 1.
    alone : bool
        Whether it must not share a shard.
    """

    task_id: str
    node: Node
    spec: TaskSpec
    seconds: float
    work: float
    mem_mb: int
    attempt: int = 1
    alone: bool = False

    @property
    def by(self) -> str:
        """What its row in the status table is named after."""
        return str(getattr(self.node.task, self.spec.by, "")) if self.spec.by else ""


@dataclass(slots=True)
class Unit:
    """
    Items that are run one after another in the same shard.

    Parameters
    ----------
    items : list of Item
        In their order.
    level : int
        Number of stages before them.
    seconds : float
        Expected duration [s].
    """

    items: list[Item]
    level: int
    seconds: float

    def add(self, item: Item) -> None:
        """Put an item at the end."""
        self.items.append(item)
        self.seconds += item.seconds


@dataclass(slots=True)
class Shard:
    """Units that one element of an array does in turn."""

    units: list[Unit] = field(default_factory=list)

    @property
    def items(self) -> Iterator[Item]:
        """All items, in the order in which they are run."""
        return (item for unit in self.units for item in unit.items)

    @property
    def seconds(self) -> float:
        """Expected duration [s]."""
        return sum(unit.seconds for unit in self.units)


@dataclass(slots=True)
class Array:
    """
    Shards that are submitted in one call.

    Parameters
    ----------
    name : str
        Unique within a submission, e.g. ``002-dl1``.
    stage : str
        Stage, or stages joined by ``+`` where chains go through several.
    shards : list of Shard
        One per element.
    cpus, mem_mb, walltime_s : int
        What each element is given: cores, memory [MB] and time [s].
    needs : list of str
        Names of the arrays that make what this one reads.
    """

    name: str
    stage: str
    shards: list[Shard]
    cpus: int
    mem_mb: int
    walltime_s: int
    needs: list[str]


def make_units(items: Mapping[str, Item]) -> list[Unit]:
    """
    Join chains of items into units, and count for each how many others come before it.

    An item follows its predecessor if that is its only one, nobody else needs that, and both need the same
    cores and memory: its input is then still in the page cache, and a wait in the queue is saved.

    Parameters
    ----------
    items : mapping of str to Item
        By task id, predecessors first.
    """
    users: dict[str, int] = defaultdict(int)
    needs = {key: [need for need in item.node.needs if need in items] for key, item in items.items()}
    for below in needs.values():
        for need in below:
            users[need] += 1
    unit_of: dict[str, Unit] = {}
    units: list[Unit] = []
    for key, item in items.items():
        below = needs[key]
        only = unit_of[below[0]] if len(below) == 1 else None
        if only is not None and users[below[0]] == 1 and _fuses(only, item):
            only.add(item)
            unit_of[key] = only
            continue
        level = 1 + max((unit_of[need].level for need in below), default=-1)
        unit_of[key] = Unit([item], level, item.seconds)
        units.append(unit_of[key])
    return units


def _fuses(unit: Unit, item: Item) -> bool:
    last = unit.items[-1]
    alike = (last.spec.cpus, last.mem_mb) == (item.spec.cpus, item.mem_mb)
    return alike and item.spec.fuse and not item.alone and not last.alone


def make_arrays(
    units: Sequence[Unit], *, max_elements: int, max_walltime_s: int, slots: int = 1
) -> list[Array]:
    """
    Pack units into shards and shards into arrays, in an order in which they can be submitted.

    Parameters
    ----------
    units : sequence of Unit
        From `make_units`.
    max_elements : int
        Largest number of elements of an array.
    max_walltime_s : int
        Largest time limit [s].
    slots : int
        Number of elements that run at a time: no array is packed into fewer shards, if it has as many tasks.
    """
    groups: dict[tuple, list[Unit]] = defaultdict(list)
    for unit in units:
        first = unit.items[0]
        stage = "+".join(dict.fromkeys(item.spec.stage for item in unit.items))
        groups[(unit.level, stage, first.spec.cpus, first.mem_mb)].append(unit)
    arrays: list[Array] = []
    maker: dict[str, str] = {}
    for (_, stage, cpus, mem_mb), members in sorted(groups.items(), key=lambda group: group[0]):
        shards = list(_shards(members, max_walltime_s, slots))
        for start in range(0, len(shards), max_elements):
            part = shards[start : start + max_elements]
            name = f"{len(arrays) + 1:03d}-{re.sub(r'[^A-Za-z0-9_]+', '-', stage)[:40]}"
            needs = dict.fromkeys(
                maker[need] for shard in part for item in shard.items for need in item.node.needs
                if need in maker
            )  # fmt: skip
            walltime = max(_walltime(shard, max_walltime_s) for shard in part)
            arrays.append(Array(name, stage, part, cpus, mem_mb, walltime, list(needs)))
            maker.update((item.task_id, name) for shard in part for item in shard.items)
    return arrays


def _shards(units: list[Unit], max_walltime_s: int, slots: int) -> Iterator[Shard]:
    """Cut a row of units into pieces of about equal duration; neighbours in the graph stay neighbours."""
    together = []
    for unit in units:
        if any(item.alone for item in unit.items):
            yield Shard([unit])
        else:
            together.append(unit)
    if not together:
        return
    specs = {item.spec for unit in together for item in unit.items}
    shard_s = min(*(60 * (spec.shard_minutes or math.inf) for spec in specs), max_walltime_s / 2)
    most = min(spec.max_items or len(together) for spec in specs)
    total = sum(unit.seconds for unit in together)
    n_items = sum(len(unit.items) for unit in together)
    number = min(max(math.ceil(total / shard_s), math.ceil(n_items / most), slots), len(together))
    share = total / number if total > 0 else 1.0
    ends = itertools.accumulate(unit.seconds for unit in together)
    shard, place, held = Shard(), 0, 0
    for unit, end in zip(together, ends, strict=True):
        index = min(int((end - unit.seconds / 2) / share), number - 1)
        if shard.units and (index != place or held + len(unit.items) > most):
            yield shard
            shard, held = Shard(), 0
        place = index
        held += len(unit.items)
        shard.units.append(unit)
    yield shard


def _walltime(shard: Shard, largest_s: int) -> int:
    wanted = _WALLTIME_FACTOR * shard.seconds + _WALLTIME_START_S
    steps = math.ceil(wanted / _WALLTIME_STEP_S) * _WALLTIME_STEP_S
    return int(min(max(steps, _WALLTIME_LEAST_S), largest_s))
