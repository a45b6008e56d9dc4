"""The numbers of a first look as JSON."""

import json
import math
from pathlib import Path
from typing import Any

from sst1m.errors import InputError
from sst1m.json_object import json_object, sealed

__all__ = ["SCHEMA", "SCHEMA_VERSION", "check_numbers", "encoded", "read_numbers"]

SCHEMA, SCHEMA_VERSION = "sst1m-quicklook", 1
_MANDATORY = (
    *("source", "simulated", "options", "status", "n_on", "n_off", "alpha", "background", "excess"),
    *("excess_error", "significance", "livetime_h", "observations", "left_out", "spectrum", "flux"),
    *("flux_points", "light_curve", "theta2", "sky_map", "pictures"),
)


def encoded(content: dict[str, Any]) -> bytes:
    """Return numbers as JSON text; what is not a finite number becomes null."""
    return (json.dumps(sealed(_finite(content)), indent=1, allow_nan=False) + "\n").encode()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_numbers(path: Path) -> dict[str, Any]:
    """
    Return the numbers of a first look.

    Raises
    ------
    InputError
        They cannot be read, are of another kind, of a later version, or lack something.
    """
    try:
        content = json_object(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: numbers cannot be read: {error}; run 'sst1m quicklook' again") from error
    if content.get("schema") != SCHEMA:
        raise InputError(f"{path}: are not numbers of 'sst1m quicklook'; check the path")
    if content.get("schema_version") != SCHEMA_VERSION:
        raise InputError(
            f"{path}: has version {content.get('schema_version')} of its schema, known is {SCHEMA_VERSION}; "
            "run 'sst1m quicklook' again"
        )
    if missing := [key for key in _MANDATORY if key not in content]:
        raise InputError(f"{path}: lacks {', '.join(missing)}; run 'sst1m quicklook' again")
    return content


def check_numbers(path: Path) -> None:
    """Raise if a file is not complete, see `read_numbers`."""
    read_numbers(path)
