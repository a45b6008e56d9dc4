"""Reads the file of a production, and says everything that is wrong with it at once."""

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ..errors import ConfigError
from ..names import printable
from ..toml_file import read_toml
from .model import Production

__all__ = ["load_production", "production_from_dict"]

_SHOWN_LENGTH = 60
#: Names that pydantic puts into the place of an error for its own branches.
_BRANCHES = frozenset({"simulator", "files", "command", "constrained-float"})


def load_production(path: Path) -> Production:
    """
    Read and check the file of a production.

    Parameters
    ----------
    path : Path
        TOML; see config/productions/standard.toml.

    Raises
    ------
    ConfigError
        If the file cannot be read or is not TOML, or with one line for each key that is misspelt, missing
        or outside its allowed values.
    """
    return production_from_dict(read_toml(path, "a production"), path)


def production_from_dict(document: Mapping[str, Any], source: str | Path = "production") -> Production:
    """
    Check a production that is already in memory.

    Parameters
    ----------
    document : mapping
        The content of a production file.
    source : str or Path
        Its name in messages.

    Raises
    ------
    ConfigError
        With one line for each problem.
    """
    try:
        return Production.model_validate(_immutable(document))
    except ValidationError as failure:
        errors = failure.errors(include_url=False)
        places = [error["loc"] for error in errors]
        # A list whose members are wrong is also reported as too short.
        causes = [e for e in errors if e["type"] != "too_short" or not _has_deeper(e["loc"], places)]
        lines = list(dict.fromkeys(printable(line) for error in causes for line in _lines(error, document)))
    if len(lines) == 1:
        raise ConfigError(f"{source}: {lines[0]}")
    raise ConfigError(f"{source}: {len(lines)} problems\n  " + "\n  ".join(lines))


def _immutable(value: object) -> Any:  # noqa: ANN401 - a TOML value
    """Return the document with tuples for arrays, as the models hold them."""
    if isinstance(value, Mapping):
        return {name: _immutable(item) for name, item in value.items()}
    return tuple(_immutable(item) for item in value) if isinstance(value, list | tuple) else value


def _has_deeper(place: tuple[str | int, ...], places: list[tuple[str | int, ...]]) -> bool:
    return any(len(other) > len(place) and other[: len(place)] == place for other in places)


def _lines(error: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[str]:
    """Put one of pydantic's errors into the words of the file."""
    key = _key_of(error["loc"], document)
    if error["type"] == "extra_forbidden":
        yield f"{key}: unknown key{_hint(key, document)}"
    elif error["type"] in ("missing", "union_tag_not_found"):
        name = f"{key}.kind" if error["type"] == "union_tag_not_found" else key
        yield f"{name}: missing{_meaning(name)}"
    elif error["type"] == "value_error":
        for reason in str(error["ctx"]["error"]).split("\n"):
            yield f"{key}: {reason}" if key else reason
    else:
        message = error["msg"].replace("Input should be", "allowed:").replace("Input tag", "kind")
        yield f"{key}: found {_shown(_at(document, key))}; {message}{_meaning(key)}"


def _key_of(location: tuple[str | int, ...], document: object) -> str:
    """Return the key path of a problem, without the names that pydantic adds for its own branches."""
    key, here = "", document
    for position, part in enumerate(location):
        last = position == len(location) - 1
        if isinstance(part, int):
            if not isinstance(here, list | tuple):
                break
            key, here = f"{key}[{part}]", here[part] if part < len(here) else None
        elif isinstance(here, Mapping) and (part in here or (last and part not in _BRANCHES)):
            key, here = f"{key}.{part}" if key else part, here.get(part)
        elif not isinstance(here, Mapping):
            break
    return key


def _at(document: object, key: str) -> object:
    for part in key.replace("[", ".[").split("."):
        if part.startswith("[") and isinstance(document, list | tuple):
            index = int(part.strip("[]"))
            document = document[index] if index < len(document) else None
        elif isinstance(document, Mapping):
            document = document.get(part)
    return document


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[: _SHOWN_LENGTH - 3]}..."


def _known_keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every key of the models with its meaning."""
    for name, info in model.model_fields.items():
        key = f"{prefix}{name}"
        yield key, info.description or ""
        for section in _sections(info.annotation):
            yield from _known_keys(section, f"{key}.")


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 - any type
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _sections(argument)


def _meaning(key: str) -> str:
    if key == "source.kind":
        return ' ("simulator", "files" or "command")'
    meanings = [text for known, text in _known_keys(Production) if known == key.split("[")[0] and text]
    return f" ({meanings[0]})" if meanings else ""


def _hint(key: str, document: Mapping[str, Any]) -> str:
    section, _, name = key.rpartition(".")
    prefix = f"{section}." if section else ""
    known = {k.removeprefix(prefix) for k, _ in _known_keys(Production) if k.startswith(prefix)}
    present = _at(document, section) if section else document
    siblings = {k for k in known if "." not in k}
    free = siblings - set(present if isinstance(present, Mapping) else ())
    close = get_close_matches(name, sorted(free), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else f"; known are {', '.join(sorted(siblings))}"
