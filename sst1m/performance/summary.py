"""The summary of a measurement as JSON: what pages and tests read, with units and a versioned schema."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import astropy.units as u
import numpy as np
from astropy.table import Column, QTable

from ..checkpoint import committed
from ..errors import InputError
from ..json_object import json_object, sealed

__all__ = ["SCHEMA", "SUMMARY_NAME", "PerformanceSummary", "table_json"]

#: Raise the version where a reader of the old one would go wrong.
SCHEMA = {"name": "sst1m-performance", "version": 1}
SUMMARY_NAME = "summary.json"


def table_json(table: QTable) -> dict[str, Any]:
    """Return a table as JSON: ``columns`` (null where not a number) and ``units`` by column."""
    return {
        "columns": {name: _column(table[name]) for name in table.colnames},
        "units": {name: str(unit) for name in table.colnames if (unit := table[name].unit) is not None},
    }


def _column(column: Column | u.Quantity) -> list[float | int | None]:
    values = np.asarray(column.value)
    if values.dtype.kind in "iu":
        return [int(value) for value in values]
    return [float(value) if np.isfinite(value) else None for value in values]


@dataclass(frozen=True)
class PerformanceSummary:
    """
    What `measure_performance` found.

    Parameters
    ----------
    path : Path
        ``summary.json``.
    content : mapping
        Its content: ``schema``, ``setup``, ``node``, ``signal``, ``spectrum``, ``cuts``, ``counts`` by
        particle and stage, ``tables`` (see `table_json`), ``background`` (of the sensitivity), ``detection``,
        ``missing`` (reason by what is missing), ``files`` and ``figures``.
    """

    path: Path
    content: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Self:
        """
        Read a summary.

        Raises
        ------
        InputError
            If it is missing, broken, or of another schema.
        """
        try:
            content = json_object(path.read_text())
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path}: summary of the performance cannot be read ({error}); make it anew"
            ) from error
        found = content.get("schema")
        if found != SCHEMA:
            raise InputError(f"{path}: its schema is {found}, this version reads {SCHEMA}; make it anew")
        return cls(path, content)

    def write(self) -> None:
        """
        Write it; it appears when it is complete.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        with committed(self.path, validate=type(self).read) as part:
            part.write_text(json.dumps(sealed(self.content), indent=1, allow_nan=False) + "\n")
