"""Reads a TOML file that a person wrote: its content, or one error that says what it is instead."""

import tomllib
from pathlib import Path
from typing import Any

from sst1m.errors import ConfigError

__all__ = ["read_toml"]

_LARGEST_FILE = 1_000_000
_DEEPEST = 20


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """
    Read a TOML file.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        What should be in it, for messages, e.g. ``a production``.

    Raises
    ------
    ConfigError
        It cannot be read, or is no TOML.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ConfigError(f"{path}: is larger than 1 MB, so it is not {what}; give a TOML file")
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; give the TOML file of {what}") from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); check the path and its rights"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not text in UTF-8; give the TOML file of {what}") from None
    except (ValueError, RecursionError) as error:
        # Not only TOMLDecodeError: a number of thousands of digits is a plain ValueError.
        raise ConfigError(f"{path}: is not TOML: {error}") from None
    if _is_deeper(document, _DEEPEST):
        raise ConfigError(f"{path}: is nested deeper than {_DEEPEST} levels, so it is not {what}")
    return document


def _is_deeper(document: object, limit: int) -> bool:
    level = [document]
    for _ in range(limit):
        level = [
            inner
            for value in level
            for inner in (
                value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
            )
        ]
    return bool(level)
