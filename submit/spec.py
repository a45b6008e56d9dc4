"""What a task says about the resources that it needs, and what is assumed of one that says nothing."""

from dataclasses import dataclass, fields
from typing import Any

import luigi

from submit.errors import PlanError
from submit.site import PlanSettings

__all__ = ["TaskSpec", "is_external", "label_of", "spec_of", "work_of"]


@dataclass(frozen=True)
class TaskSpec:
    """
    Resources of the tasks of a class; the class gives them as a mapping ``farm`` with these keys.

    Parameters
    ----------
    stage : str
        Name of the stage in tables; tasks of a stage are packed together. Default: the family.
    seconds : float
        Expected duration [s] per unit of work, until there is a history. The work of a task is what its
        method ``farm_work()`` returns (bytes, events; in any unit), else 1.
    mem_mb : int
        Memory [MB].
    cpus : int
        Cores.
    here : bool
        Whether it is light, and is run by the planner itself, because what follows depends on its product.
    fuse : bool
        Whether it may follow its only predecessor within the same shard.
    max_items : int or None
        Largest number of such tasks in a shard.
    shard_minutes : float or None
        Expected duration of a shard of such tasks [min]; None: as the site says.
    by : str
        Name of the parameter after whose value the status table has rows, e.g. that of the telescope.
    """

    stage: str
    seconds: float
    mem_mb: int
    cpus: int = 1
    here: bool = False
    fuse: bool = True
    max_items: int | None = None
    shard_minutes: float | None = None
    by: str = ""


_KEYS = frozenset(field.name for field in fields(TaskSpec))


def spec_of(task_class: type[luigi.Task], settings: PlanSettings) -> TaskSpec:
    """
    Return the resources of a class of tasks.

    Raises
    ------
    PlanError
        If the class gives something that is not known.
    """
    given: dict[str, Any] = dict(getattr(task_class, "farm", {}))
    if unknown := sorted(given.keys() - _KEYS):
        raise PlanError(
            f"{task_class.__module__}.{task_class.__name__}.farm: {', '.join(unknown)} is not known; "
            f"there are {', '.join(sorted(_KEYS))}"
        )
    defaults = {
        "stage": task_class.get_task_family(),
        "seconds": settings.default_seconds,
        "mem_mb": settings.default_mem_mb,
    }
    return TaskSpec(**{**defaults, **given})


def work_of(task: luigi.Task) -> float:
    """Return the work of a task in the unit of its class."""
    measure = getattr(task, "farm_work", None)
    return 1.0 if measure is None else max(float(measure()), 1e-9)


def label_of(task: luigi.Task) -> str:
    """Return how messages call a task: what its attribute ``label`` says; empty if there is none."""
    try:
        return str(getattr(task, "label", ""))
    except Exception:  # noqa: BLE001 - the code of any task may fail in any way
        return ""


def is_external(task: luigi.Task) -> bool:
    """Whether nobody here can make the product of a task."""
    return task.run is None or task.run is NotImplemented
