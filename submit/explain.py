"""Why a task is not done: its own state, and the chain of what it waits for."""

import datetime
from collections.abc import Iterable, Iterator, Sequence

from submit.advance import Outcome
from submit.campaign import Campaign
from submit.errors import PlanError
from submit.graph import Node
from submit.rounds import rounds_of
from submit.spec import label_of

__all__ = ["explain", "find_task", "logs_of", "matches", "name_of"]

_SHOWN = 10


def find_task(campaign: Campaign, words: Sequence[str], nodes: Iterable[Node] = ()) -> str | None:
    """
    Return the id of the only task whose id and label contain some words, None if there is none.

    Parameters
    ----------
    campaign : Campaign
        Where to look: at all tasks that were ever submitted.
    words : sequence of str
        The words, e.g. ``["tel", "21", "run", "0012"]``.
    nodes : iterable of Node
        More tasks, e.g. those that are not complete.

    Raises
    ------
    PlanError
        If there is more than one.
    """
    arrays = [array for known in rounds_of(campaign) for array in known.arrays()]
    labels = {item["id"]: str(item.get("label") or "") for array in arrays for _, item in array.items()}
    labels |= {node.task.task_id: label_of(node.task) for node in nodes}
    if " ".join(words) in labels:
        return " ".join(words)
    found = [task_id for task_id, label in labels.items() if matches(task_id, label, words)]
    if len(found) > 1:
        shown = "".join(f"\n  {name_of(task_id, labels[task_id])}" for task_id in found[:_SHOWN])
        more = f"\n  and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise PlanError(
            f"{campaign.name}: {len(found)} tasks have {' '.join(words)!r} in their name:{shown}{more}"
        )
    return found[0] if found else None


def matches(task_id: str, label: str, words: Iterable[str]) -> bool:
    """Whether every word is a part of the id or the label of a task."""
    return all(word in task_id or word in label for word in words)


def name_of(task_id: str, label: str) -> str:
    """Return how a task is shown to people: its label, if it has one, and its id."""
    return f"{label} ({task_id})" if label else task_id


def logs_of(campaign: Campaign, task_id: str) -> list[str]:
    """Return the logs of the attempts of a task, the oldest first."""
    found = campaign.logs.glob(f"*/{task_id}.a*.log")
    return [str(path) for path in sorted(found, key=lambda path: path.stat().st_mtime)]


def explain(campaign: Campaign, outcome: Outcome, task_id: str) -> Iterator[str]:
    """
    Yield lines that say why a task is not done, down to the first cause.

    Parameters
    ----------
    campaign : Campaign
        The campaign.
    outcome : Outcome
        From `submit.advance.look`.
    task_id : str
        The task.
    """
    plan = outcome.plan
    depth = 0
    while task_id in plan.held_up:
        yield f"{'  ' * depth}{_name(outcome, task_id)}: waits for"
        task_id, depth = plan.held_up[task_id], depth + 1
    lead = "  " * depth
    yield f"{lead}{_name(outcome, task_id)}: {_state(outcome, task_id)}"
    failures = outcome.account.failures.get(task_id, [])
    for failure in failures:
        what = f"attempt {failure.get('attempt')}: {failure.get('class')}: {failure.get('error')}"
        yield f"{lead}  {what} (node {failure.get('node')}, log {failure.get('log')})"
    told = {failure.get("log") for failure in failures}
    yield from (f"{lead}  log {path}" for path in logs_of(campaign, task_id) if path not in told)


def _name(outcome: Outcome, task_id: str) -> str:
    node = outcome.plan.graph.nodes.get(task_id)
    return name_of(task_id, label_of(node.task) if node else "")


def _state(outcome: Outcome, task_id: str) -> str:
    plan = outcome.plan
    if task_id in plan.active:
        return f"{plan.active[task_id]} as a part of a job"
    if task_id in plan.quarantine:
        return f"in quarantine: {plan.quarantine[task_id]}; when that is mended: sst1m-submit retry"
    if task_id in plan.later:
        when = datetime.datetime.fromtimestamp(plan.later[task_id], datetime.UTC)
        return f"failed, and is tried again at {when:%H:%M:%S} UTC"
    if task_id in plan.missing:
        return plan.missing[task_id]
    if task_id in plan.graph.nodes:
        return "not done, and nothing stands in its way: sst1m-submit submit takes it"
    return "complete"
