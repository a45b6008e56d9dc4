"""Every configuration key with its type, allowed values, default and meaning, taken from the models."""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from .models import AnalysisConfig

__all__ = ["KeyDescription", "describe_config", "key_table"]

_WORDS = {float: "number", int: "whole number", bool: "true or false", str: "text", type(None): "null"}


@dataclass(frozen=True)
class KeyDescription:
    """One key of a configuration: where it stands and what it may hold."""

    key: str
    allowed: str
    default: str
    meaning: str


def _bounds(metadata: list[Any]) -> str:
    """Return the limits in a field's metadata, e.g. ``> 0, <= 1``."""
    limits = [item for extra in metadata for item in (getattr(extra, "metadata", None) or [extra])]
    texts = []
    for limit in limits:
        for kind, name, sign in ((Ge, "ge", ">="), (Gt, "gt", ">"), (Le, "le", "<="), (Lt, "lt", "<")):
            if isinstance(limit, kind):
                texts.append(f"{sign} {getattr(limit, name):.10g}")
        if isinstance(limit, MinLen):
            texts.append("not empty")
    return ", ".join(texts)


def _allowed(annotation: object, metadata: list[Any]) -> str:
    """Return in words what a type admits."""
    if get_origin(annotation) is Annotated:
        inner, *extras = get_args(annotation)
        return _allowed(inner, [*extras, *metadata])
    bounds = _bounds(metadata)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        text = " or ".join("false" if value is False else f'"{value}"' for value in arguments)
    elif origin in (Union, types.UnionType):
        text = " or ".join(_allowed(argument, []) for argument in arguments)
    elif origin is tuple and arguments[-1] is Ellipsis:
        text = f"list of {_allowed(arguments[0], [])}"
    elif origin is tuple:
        text = f"[{'; '.join(_allowed(argument, []) for argument in arguments)}]"
    else:
        text = _WORDS[annotation]
    return f"{text}, {bounds}" if bounds else text


def _section_of(annotation: object) -> tuple[type[BaseModel] | None, bool]:
    """Return the section that a key holds, and whether it holds a list of them."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    if get_origin(annotation) is tuple and get_args(annotation)[-1] is Ellipsis:
        section, _ = _section_of(get_args(annotation)[0])
        return section, section is not None
    return None, False


def _description(info: FieldInfo) -> str:
    if info.description:
        return info.description
    extras = get_args(info.annotation)[1:] if get_origin(info.annotation) is Annotated else ()
    return next((extra.description for extra in extras if getattr(extra, "description", None)), "")


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    return "null" if info.default is None else f'"{info.default}"'


def _rows(model: type[BaseModel], prefix: str) -> Iterator[KeyDescription]:
    for name, info in model.model_fields.items():
        key = f"{prefix}{name}"
        section, is_list = _section_of(info.annotation)
        if section is None:
            yield KeyDescription(
                key, _allowed(info.annotation, info.metadata), _default(info), _description(info)
            )
        elif not section.model_fields:
            yield KeyDescription(key, "{}", "{}", (section.__doc__ or "").strip().split("\n")[0])
        else:
            if is_list:
                yield KeyDescription(key, "list of sections", "required", (section.__doc__ or "").strip())
            yield from _rows(section, f"{key}.")


def describe_config(model: type[AnalysisConfig]) -> list[KeyDescription]:
    """
    Return every key of one kind of configuration, in the order of the models.

    Parameters
    ----------
    model : type
        `DataConfig` or `McConfig`.
    """
    return list(_rows(model, ""))


def key_table(model: type[AnalysisConfig]) -> str:
    """Return the keys of one kind of configuration as a Markdown table."""
    lines = ["| key | allowed | default | meaning |", "|---|---|---|---|"]
    for row in describe_config(model):
        lines.append(f"| `{row.key}` | {row.allowed} | {row.default} | {row.meaning} |")
    return "\n".join(lines) + "\n"
