"""Reads a configuration file, and says everything that is wrong with it at once."""

import json
import math
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import ConfigError
from ..names import printable
from .describe import describe_config
from .fields import telescope_key
from .models import AnalysisConfig, DataConfig, McConfig

__all__ = ["config_from_dict", "load_config"]

_LARGEST_FILE = 10_000_000
_SHOWN_LENGTH = 80
_DEEPEST = 20


class _Object(dict[str, Any]):
    """A JSON object that remembers keys which stood in it more than once."""

    repeated: tuple[str, ...] = ()


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    result = _Object(pairs)
    names = [name for name, _ in pairs]
    result.repeated = tuple(dict.fromkeys(name for name in names if names.count(name) > 1))
    return result


def _read_text(path: Path) -> str:
    try:
        if path.is_dir():
            raise ConfigError(f"{path}: is a directory; give the configuration file in it")
        if path.stat().st_size > _LARGEST_FILE:
            raise ConfigError(f"{path}: is larger than 10 MB, so it is no configuration; give a JSON file")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; give the path of a JSON configuration") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not text in UTF-8; give a JSON configuration") from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); check the path and its rights"
        ) from None


def _parse(text: str, path: Path) -> _Object:
    try:
        document = json.loads(text, object_pairs_hook=_object)
        # Escapes can stand for half of a character, which nothing after this could write or print.
        json.dumps(document, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{path}: is not JSON, line {error.lineno} column {error.colno}: {error.msg}"
        ) from None
    except (RecursionError, ValueError) as error:
        raise ConfigError(f"{path}: is not a usable JSON configuration ({error})") from None
    if not isinstance(document, _Object):
        raise ConfigError(
            f"{path}: holds a JSON {type(document).__name__}; a configuration is an object {{...}}"
        )
    return document


def _walk(value: object, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every object, array and value of a document with its key path."""
    if key.count(".") + key.count("[") > _DEEPEST:
        raise ConfigError(
            f"{key[:_SHOWN_LENGTH]}...: is nested deeper than {_DEEPEST} levels; no configuration is"
        )
    yield key, value
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _walk(item, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _walk(item, f"{key}[{index}]")


def _immutable(value: object) -> object:
    """Return the document with tuples for arrays, as the models hold them."""
    if isinstance(value, Mapping):
        return {name: _immutable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_immutable(item) for item in value)
    return value


def _model_of(document: Mapping[str, Any], source: str) -> type[AnalysisConfig]:
    """Decide data or MC by the telescope keys, wherever they stand."""
    names = {name for _, value in _walk(document) if isinstance(value, Mapping) for name in value}
    found = [
        model
        for model in (DataConfig, McConfig)
        if names & {telescope_key(tel_id) for tel_id in model.tel_ids}
    ]
    if len(found) == 1:
        return found[0]
    reason = "has the telescope keys of data and of MC" if found else "has no telescope keys"
    raise ConfigError(
        f"{source}: {reason}; use tel_021 and tel_022 throughout (data) or tel_001 and tel_002 (MC), "
        "e.g. in telescope_coords"
    )


def _key_of(location: tuple[str | int, ...], document: object) -> str:
    """Return the key path of a problem, without the names that pydantic adds for its own branches."""
    key, here = "", document
    for position, part in enumerate(location):
        if isinstance(part, int):
            if not isinstance(here, list | tuple):
                break
            key, here = f"{key}[{part}]", here[part] if part < len(here) else None
        else:
            if not isinstance(here, Mapping) or (part not in here and position < len(location) - 1):
                break
            key, here = f"{key}.{part}" if key else part, here.get(part)
    return key


def _at(document: object, location: tuple[str | int, ...]) -> object:
    """Return the value at a location, or the innermost one that exists."""
    for part in location:
        if isinstance(document, Mapping) and part in document:
            document = document[part]
        elif isinstance(document, list | tuple) and isinstance(part, int) and part < len(document):
            document = document[part]
        else:
            break
    return document


def _shown(value: object) -> str:
    text = "null" if value is None else json.dumps(value, default=str)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[: _SHOWN_LENGTH - 3]}..."


def _without_index(key: str) -> str:
    return ".".join(part.split("[")[0] for part in key.split("."))


class _Explainer:
    """Turns pydantic's errors into lines in the words of the configuration."""

    def __init__(self, model: type[AnalysisConfig], document: Mapping[str, Any]) -> None:
        self.model, self.document = model, document
        self.known = {row.key: row for row in describe_config(model)}
        other = McConfig if model is DataConfig else DataConfig
        self.foreign = {row.key for row in describe_config(other)} - set(self.known)

    def line(self, error: Mapping[str, Any]) -> str:
        key = _key_of(error["loc"], self.document)
        if error["type"] == "extra_forbidden":
            return f"{key}: unknown key{self._hint(key)}"
        if error["type"] == "missing":
            return f"{key}: missing; allowed: {self._allowed(key)}"
        found = _shown(_at(self.document, error["loc"]))
        if error["type"] == "value_error":
            reason = str(error["ctx"]["error"])
            return f"{key}: {reason}" if key else reason
        return f"{key}: found {found}; allowed: {self._allowed(key)}"

    def _allowed(self, key: str) -> str:
        row = self.known.get(_without_index(key))
        return row.allowed if row else "a section {...} with its keys"

    def _hint(self, key: str) -> str:
        section, _, name = _without_index(key).rpartition(".")
        if any(foreign == key or foreign.startswith(f"{key}.") for foreign in self.foreign):
            return f"; it belongs to a configuration of the other kind, this one is '{self.model.kind}'"
        prefix = f"{section}." if section else ""
        present = _at(self.document, tuple(section.split("."))) if section else self.document
        siblings = {
            known.removeprefix(prefix).split(".")[0] for known in self.known if known.startswith(prefix)
        }
        siblings -= set(present) if isinstance(present, Mapping) else set()
        close = get_close_matches(name, sorted(siblings), n=1, cutoff=0.5)
        if close:
            return f"; did you mean '{close[0]}'?"
        elsewhere = sorted(known for known in self.known if known.rpartition(".")[2] == name)
        return (
            f"; did you mean '{elsewhere[0]}'?"
            if elsewhere
            else "; see docs/configuration.md for the known keys"
        )


def _repeated_keys(document: object) -> list[str]:
    return [
        f"{key}.{name}".lstrip(".") + ": stands more than once in the file; keep one"
        for key, value in _walk(document)
        if isinstance(value, _Object)
        for name in value.repeated
    ]


def _out_of_reach(document: object) -> list[str]:
    """Find what JSON does not know (NaN, Infinity) and numbers too large for a double."""
    return [
        f"{key}: found {_shown(value)}; allowed: a finite number"
        for key, value in _walk(document)
        if (isinstance(value, float) and not math.isfinite(value))
        or (isinstance(value, int) and not isinstance(value, bool) and abs(value) > 1e300)
    ]


def _root_causes(failure: ValidationError) -> list[Any]:
    """Return pydantic's errors without "too short", which it reports for a list whose members are wrong."""
    errors = failure.errors(include_url=False)
    locations = [error["loc"] for error in errors]

    def _has_deeper(place: tuple[str | int, ...]) -> bool:
        return any(len(other) > len(place) and other[: len(place)] == place for other in locations)

    return [error for error in errors if error["type"] != "too_short" or not _has_deeper(error["loc"])]


def config_from_dict(document: Mapping[str, Any], source: str | Path = "configuration") -> AnalysisConfig:
    """
    Check a configuration that is already in memory.

    Parameters
    ----------
    document : mapping
        The content of a configuration file.
    source : str or Path
        Its name in messages.

    Returns
    -------
    DataConfig or McConfig
        By the telescope keys.

    Raises
    ------
    ConfigError
        With one line for each problem.
    """
    model = _model_of(document, str(source))
    not_numbers = _out_of_reach(document)
    problems = _repeated_keys(document) + not_numbers
    config = None
    try:
        config = model.model_validate(_immutable(document))
    except ValidationError as failure:
        explainer = _Explainer(model, document)
        told = {line.split(":")[0] for line in not_numbers}
        lines = (explainer.line(error) for error in _root_causes(failure))
        problems += [line for line in dict.fromkeys(lines) if line.split(":")[0] not in told]
    if config is not None and not problems:
        return config
    problems = [printable(problem) for problem in problems]
    if len(problems) == 1:
        raise ConfigError(f"{source}: {problems[0]}")
    raise ConfigError(f"{source}: {len(problems)} problems\n  " + "\n  ".join(problems))


def load_config(path: str | Path) -> AnalysisConfig:
    """
    Read and check a configuration file of observed data or of simulations.

    Parameters
    ----------
    path : str or Path
        JSON with the keys of docs/configuration.md.

    Returns
    -------
    DataConfig or McConfig
        By the telescope keys: tel_021, tel_022 or tel_001, tel_002.

    Raises
    ------
    ConfigError
        If the file cannot be read or is not JSON, or with one line for each key that is misspelt, missing,
        repeated or outside its allowed values.
    """
    path = Path(path)
    config = config_from_dict(_parse(_read_text(path), path), path)
    config._path = path.absolute()
    return config
