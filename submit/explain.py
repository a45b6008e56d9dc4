"""Why a task is not done: its own state, and the chain of what it waits for."""

import datetime
from collections.abc import Iterable, Iterator

from submit.advance import Outcome
from submit.campaign import Campaign
from submit.errors import PlanError
from submit.rounds import rounds_of

__all__ = ["explain", "find_task", "logs_of"]


def find_task(campaign: Campaign, words: str, graph: Iterable[str] = ()) -> str | None:
    """
    Return the id of the only task whose id contains some text, None if there is none.

    Parameters
    ----------
    campaign : Campaign
        Where to look: at all tasks that were ever submitted.
    words : str
        The text.
    graph : iterable of str
        Ids of more tasks, e.g. of those that are not complete.

    Raises
    ------
    PlanError
        If there is more than one.
    """
    arrays = [array for known in rounds_of(campaign) for array in known.arrays()]
    ids = dict.fromkeys([*(item["id"] for array in arrays for _, item in array.items()), *graph])
    if words in ids:
        return words
    found = [task_id for task_id in ids if words in task_id]
    if len(found) > 1:
        shown = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
        raise PlanError(f"{campaign.name}: {len(found)} tasks have {words!r} in their id: {shown}")
    return found[0] if found else None


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
        yield f"{'  ' * depth}{task_id}: waits for"
        task_id, depth = plan.held_up[task_id], depth + 1
    lead = "  " * depth
    yield f"{lead}{task_id}: {_state(outcome, task_id)}"
    failures = outcome.account.failures.get(task_id, [])
    for failure in failures:
        what = f"attempt {failure.get('attempt')}: {failure.get('class')}: {failure.get('error')}"
        yield f"{lead}  {what} (node {failure.get('node')}, log {failure.get('log')})"
    told = {failure.get("log") for failure in failures}
    yield from (f"{lead}  log {path}" for path in logs_of(campaign, task_id) if path not in told)


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
