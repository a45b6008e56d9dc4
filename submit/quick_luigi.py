"""Lets luigi make tasks several times faster while a large graph is planned."""

import contextlib
import gc
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import luigi
import luigi.task
from luigi.configuration import get_config
from luigi.parameter import ParameterVisibility
from luigi.task_register import Register

__all__ = ["quick_luigi"]

_depth: list[int] = []
_REPLACED = ("get_params", "get_param_values", "to_str_params", "_warn_on_wrong_param_types")
_INSTANCES = "_Register__instance_cache"
_SUMMARISED = luigi.task.TASK_ID_INCLUDE_PARAMS


@contextlib.contextmanager
def quick_luigi() -> Iterator[None]:
    """
    Make tasks without looking the same things up again for each.

    The parameters of a class are declared in it and cannot change, but luigi finds them four times per task
    by ``dir()``; it reads the values of each task twice, checks their types each time, and builds an
    encoder for each id. All this is done once here, with the same results. Its table of all tasks ever
    made, whose keys take as much memory as the tasks, is not kept: a graph knows its tasks by their ids.
    Cyclic garbage is not searched for: tasks are kept anyway, and each search goes through all of them.
    What is changed is put back at the end.
    """
    if _depth:
        yield
        return
    _depth.append(1)
    before = {name: luigi.Task.__dict__[name] for name in _REPLACED}
    original_id = luigi.task.task_id_str
    luigi.Task.get_params = classmethod(_remembered_params(before["get_params"].__func__))
    luigi.Task.get_param_values = classmethod(_remembered_values(before["get_param_values"].__func__))
    luigi.Task.to_str_params = _quick_text()
    luigi.Task._warn_on_wrong_param_types = _once_per_class(before["_warn_on_wrong_param_types"])
    luigi.task.task_id_str = _quick_id
    instances = getattr(Register, _INSTANCES)
    Register.disable_instance_cache()
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        for name, method in before.items():
            setattr(luigi.Task, name, method)
        luigi.task.task_id_str = original_id
        setattr(Register, _INSTANCES, instances)
        if collected:
            gc.enable()
        _depth.clear()


def _once_per_class(original: Any) -> Any:  # noqa: ANN401 - functions of luigi
    seen: set[type] = set()

    def check(self: luigi.Task) -> None:
        if type(self) not in seen:
            seen.add(type(self))
            original(self)

    return check


_canonical = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


def _quick_id(task_family: str, params: dict[str, str]) -> str:
    """Return the id that luigi gives a task; a test compares the two."""
    digest = hashlib.md5(_canonical(params).encode(), usedforsecurity=False).hexdigest()
    first = (params[name][: luigi.task.TASK_ID_TRUNCATE_PARAMS] for name in sorted(params)[:_SUMMARISED])
    summary = luigi.task.TASK_ID_INVALID_CHAR_REGEX.sub("_", "_".join(first))
    return f"{task_family}_{summary}_{digest[: luigi.task.TASK_ID_TRUNCATE_HASH]}"


def _remembered_params(original: Any) -> Any:  # noqa: ANN401
    known: dict[type, list] = {}

    def get_params(cls: type[luigi.Task]) -> list:
        if cls not in known:
            known[cls] = original(cls)
        return known[cls]

    return get_params


def _remembered_values(original: Any) -> Any:  # noqa: ANN401
    last: list[Any] = [None, None, None, None]
    configured: dict[type, bool] = {}

    def get_param_values(cls: type[luigi.Task], params: list, args: tuple, kwargs: dict) -> list:
        # luigi asks twice in a row for the values of one task: for its cache, and to set its attributes.
        if last[0] is cls and last[1] == args and last[2] == kwargs:
            return last[3]
        if cls not in configured:
            configured[cls] = cls.get_task_family() in get_config().sections()
        if args or configured[cls] or len(kwargs) != len(params):
            found = original(cls, params, args, kwargs)
        else:
            found = [(name, _hashable(param.normalize(kwargs[name]))) for name, param in params]
        last[:] = cls, args, kwargs, found
        return found

    return get_param_values


def _quick_text() -> Any:  # noqa: ANN401
    chosen: dict[tuple[type, bool, bool], list] = {}

    def to_str_params(
        self: luigi.Task, only_significant: bool = False, only_public: bool = False
    ) -> dict[str, str]:
        key = (type(self), only_significant, only_public)
        if key not in chosen:
            chosen[key] = [
                (name, param.serialize)
                for name, param in self.get_params()
                if (param.significant or not only_significant)
                and (param.visibility == ParameterVisibility.PUBLIC or not only_public)
                and param.visibility != ParameterVisibility.PRIVATE
            ]
        values = self.param_kwargs
        return {name: serialize(values[name]) for name, serialize in chosen[key]}

    return to_str_params


def _hashable(value: object) -> object:
    return tuple(value) if isinstance(value, list | set) else value
