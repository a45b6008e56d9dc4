"""The part of a task graph that is still to be done."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import luigi
from luigi.task import flatten

from submit.errors import PlanError
from submit.listing import Listing
from submit.quick_luigi import quick_luigi
from submit.spec import is_external

__all__ = ["Graph", "Node", "pending_graph"]

Kind = Literal["run", "virtual", "external", "broken"]


@dataclass(slots=True)
class Node:
    """
    A task that is not complete.

    Parameters
    ----------
    task : luigi.Task
        The task.
    kind : str
        ``run``: to be run; ``virtual``: only stands for its predecessors; ``external``: its product comes
        from elsewhere and is missing; ``broken``: its own code fails while the graph is made.
    needs : list of str
        Ids of the tasks that come before it and are not complete; none of them is virtual.
    problem : str
        What is wrong with a broken one.
    """

    task: luigi.Task
    kind: Kind = "run"
    needs: list[str] = field(default_factory=list)
    problem: str = ""


@dataclass(frozen=True)
class Graph:
    """
    What is still to be done for a root task.

    Parameters
    ----------
    root : luigi.Task
        The root.
    nodes : dict of str to Node
        Everything that is not complete by task id, predecessors first; virtual tasks are left out.
    n_seen : int
        Number of tasks that were looked at.
    """

    root: luigi.Task
    nodes: dict[str, Node]
    n_seen: int

    def held_up(self, held: Iterable[str]) -> dict[str, str]:
        """
        Return the tasks that cannot be run before some others are complete.

        Parameters
        ----------
        held : iterable of str
            Ids of tasks that are not going to be run.

        Returns
        -------
        dict of str to str
            By id, the id of the first of the others that it needs, directly or not.
        """
        cause = {task_id: task_id for task_id in held}
        waiting: dict[str, str] = {}
        for task_id, node in self.nodes.items():
            if task_id in cause:
                continue
            first = next((cause[need] for need in node.needs if need in cause), None)
            if first is not None:
                cause[task_id] = waiting[task_id] = first
        return waiting


def pending_graph(root: luigi.Task, listing: Listing | None = None) -> Graph:
    """
    Walk a task graph from its root down to what is complete.

    Raises
    ------
    PlanError
        If the graph has a cycle, if two tasks have the same id, or if the root cannot say what it needs.
    """
    with quick_luigi():
        walk = _Walk(root, listing or Listing())
        walk.run()
    return Graph(root, _without_virtual(walk.nodes), len(walk.seen))


class _Walk:
    """Depth-first walk with a stack of its own: graphs are deeper than Python's."""

    def __init__(self, root: luigi.Task, listing: Listing) -> None:
        self.root, self.listing = root, listing
        self.nodes: dict[str, Node] = {}
        self.seen: dict[str, luigi.Task] = {}
        self._open: set[str] = set()

    def run(self) -> None:
        stack: list[tuple[Node, Iterator[luigi.Task]]] = []
        self._enter(self.root, stack)
        while stack:
            node, below = stack[-1]
            for task in below:
                if self._enter(task, stack):
                    # An ancestor of what was just entered is left and returned to later.
                    break
            else:
                stack.pop()
                self._open.discard(node.task.task_id)
                self.nodes[node.task.task_id] = node

    def _enter(self, task: luigi.Task, stack: list[tuple[Node, Iterator[luigi.Task]]]) -> bool:
        task_id = task.task_id
        parent = stack[-1][0] if stack else None
        if (known := self.seen.get(task_id)) is not None:
            _check_same(known, task)
            if task_id in self._open:
                raise PlanError(f"{task_id} needs itself, by way of {parent.task.task_id if parent else ''}")
            if parent is not None and task_id in self.nodes:
                parent.needs.append(task_id)
            return False
        self.seen[task_id] = task
        node, below = self._look(task, is_open=parent is not None and _has_parts(parent.task))
        if node is None:
            return False
        if parent is not None:
            parent.needs.append(task_id)
        self._open.add(task_id)
        stack.append((node, iter(below)))
        return True

    def _look(self, task: luigi.Task, *, is_open: bool) -> tuple[Node | None, list[luigi.Task]]:
        """Return the node of a task, None if it is complete, and what comes before it."""
        try:
            if _has_parts(task):
                # What it stands for is what is open of it: none of them is asked again.
                parts = list(task.parts())
                return (Node(task, "virtual"), parts) if parts else (None, [])
            virtual = type(task).complete is luigi.WrapperTask.complete
            if not (virtual or is_open) and self.listing.complete(task):
                return None, []
            if is_external(task):
                return Node(task, "external"), []
            return Node(task, "virtual" if virtual else "run"), _deps(task)
        except Exception as error:  # noqa: BLE001 - the code of any task may fail in any way
            if task is self.root:
                raise
            return Node(task, "broken", problem=f"{type(error).__name__}: {error}"), []


def _has_parts(task: luigi.Task) -> bool:
    return hasattr(task, "parts")


def _deps(task: luigi.Task) -> list[luigi.Task]:
    """Return what comes before a task; flattened only where it is nested."""
    kind = type(task)
    if kind.deps is luigi.Task.deps and kind._requires is luigi.Task._requires:
        needed = task.requires()
        if isinstance(needed, luigi.Task):
            return [needed]
        return needed if _is_flat(needed) else flatten(needed)
    return task.deps()


def _is_flat(needed: object) -> bool:
    return isinstance(needed, list) and all(isinstance(task, luigi.Task) for task in needed)


def _check_same(known: luigi.Task, task: luigi.Task) -> None:
    """Refuse two tasks with one id: its digest is short, and one of them would be lost."""
    if known is task:
        return
    if type(known) is not type(task) or _significant(known) != _significant(task):
        raise PlanError(f"two different tasks have the id {task.task_id}: change a parameter of one of them")


def _significant(task: luigi.Task) -> dict[str, str]:
    return task.to_str_params(only_significant=True)


def _without_virtual(nodes: dict[str, Node]) -> dict[str, Node]:
    """Let what needs a virtual task need what that needs; nodes come predecessors first."""
    stands_for: dict[str, list[str]] = {}
    for task_id, node in nodes.items():
        if any(need in stands_for for need in node.needs):
            needs: dict[str, None] = {}
            for need in node.needs:
                needs.update(dict.fromkeys(stands_for.get(need, (need,))))
            node.needs = list(needs)
        if node.kind == "virtual":
            stands_for[task_id] = node.needs
    return {task_id: node for task_id, node in nodes.items() if node.kind != "virtual"}
