"""What the commands show: tables in a terminal."""

from collections.abc import Iterator, Sequence

from submit.advance import Outcome
from submit.explain import name_of
from submit.spec import label_of
from submit.status import STATES, Status

__all__ = ["duration", "plan_lines", "status_lines", "summary_line"]

_EXAMPLES = 5


def table(rows: Sequence[Sequence[str]], n_left: int = 1) -> Iterator[str]:
    """Yield lines with the columns aligned: the first ones to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.ljust(width) if column < n_left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def duration(seconds: float) -> str:
    """Return a duration for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def plan_lines(outcome: Outcome) -> Iterator[str]:
    """Yield what is to be submitted, and why other tasks are not."""
    plan = outcome.plan
    if outcome.complete:
        yield "complete: nothing is missing"
        return
    now = (
        f"{plan.n_todo} to be submitted in {plan.n_shards} shards of {len(plan.arrays)} arrays, "
        f"{plan.core_hours:.1f} core hours"
    )
    missing = f"{len(plan.graph.nodes)} tasks are missing ({plan.graph.n_seen} looked at)"
    yield f"{missing}: {now}" if plan.arrays else f"{missing}, none of them to be submitted now"
    if plan.arrays:
        rows = [("array", "tasks", "shards", "cores", "memory", "time limit", "expected")]
        for array in plan.arrays:
            longest = max(shard.seconds for shard in array.shards)
            n_tasks = sum(len(list(shard.items)) for shard in array.shards)
            rows.append((
                array.name, str(n_tasks), str(len(array.shards)), str(array.cpus), f"{array.mem_mb} MB",
                duration(array.walltime_s), duration(longest),
            ))  # fmt: skip
        yield from table(rows)
    groups = (
        ("on their way", plan.active),
        ("in quarantine", plan.quarantine),
        ("missing, or broken", plan.missing),
        ("to be tried again later", dict.fromkeys(plan.later, "")),
        ("waiting for one of these", plan.held_up),
    )
    for title, tasks in groups:
        if tasks:
            yield f"{len(tasks)} {title}:"
            yield from (
                f"  {_name(outcome, key)}{': ' if text else ''}{text}"
                for key, text in list(tasks.items())[:_EXAMPLES]
            )
            if len(tasks) > _EXAMPLES:
                yield f"  ... and {len(tasks) - _EXAMPLES} more"


def _name(outcome: Outcome, task_id: str) -> str:
    return name_of(task_id, label_of(outcome.plan.graph.nodes[task_id].task))


def summary_line(status: Status) -> str:
    """Return how far a campaign is, in one sentence."""
    total = status.total
    rounds = f"{status.rounds} submission{'s' if status.rounds != 1 else ''}"
    text = f"{total['done']} of {sum(total.values())} tasks done after {rounds}"
    if status.eta_s is None:
        return text
    return f"{text}; {status.elements['running']} jobs run, about {duration(status.eta_s)} left"


def status_lines(status: Status) -> Iterator[str]:
    """Yield a table by stage, and the failures grouped by class with an example."""
    total = status.total
    yield f"{status.name}: {status.root}"
    yield summary_line(status)
    if status.scheduler:
        yield f"the batch system {status.scheduler}"
    if not status.rows:
        yield "nothing was submitted yet"
        return
    columns = [state for state in STATES if total[state]]
    rows = [("stage", "", "total", *columns)]
    for row in status.rows:
        rows.append((row.stage, row.by, str(row.total), *(str(row.counts[state] or "") for state in columns)))
    yield from table(rows, 2)
    yield from _failures(status)


def _failures(status: Status) -> Iterator[str]:
    groups: dict[tuple[str, str], list[dict]] = {}
    for failure in status.failures:
        groups.setdefault((failure["state"], str(failure["class"])), []).append(failure)
    for (state, kind), failures in groups.items():
        first = failures[0]
        yield f"{len(failures)} {state} ({kind}), e.g. {name_of(first['id'], first['label'])}"
        yield f"  {first['error']}"
        if first["log"]:
            yield f"  log: {first['log']}"
