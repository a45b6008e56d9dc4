"""
Small tables as ECSV text, read and written without astropy.

A night must be planned, and a finished one recognised, in a fraction of a second; importing astropy's
tables alone takes longer. astropy reads what is written here, and the operator may leave out the header of
a table made by hand.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sst1m.errors import ConfigError
from sst1m.names import shown

__all__ = ["Column", "TextTable", "ecsv_text", "read_ecsv"]

Cell = str | int | float | None

_LARGEST_TABLE = 50_000_000
_SHOWN_COLUMNS = 12
_META = re.compile(r"#\s+- \{(\w+): (.*)\}\s*")


@dataclass(frozen=True)
class Column:
    """A column of a table: name, ECSV data type, unit and what it holds."""

    name: str
    datatype: str
    unit: str = ""
    description: str = ""

    def header(self) -> str:
        """The column's line in the header."""
        fields = [f"name: {self.name}", f"datatype: {self.datatype}"]
        if self.unit:
            fields.insert(1, f"unit: {self.unit}")
        if self.description:
            fields.append(f"description: {json.dumps(self.description)}")
        return f"# - {{{', '.join(fields)}}}"


@dataclass(frozen=True)
class TextTable:
    """A table as it stands in its file: metadata, column names, and rows of text with their line numbers."""

    path: Path
    meta: dict[str, object]
    names: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]

    def shown_names(self) -> str:
        """Return the column names for a message, whatever they are."""
        more = f" and {len(self.names) - _SHOWN_COLUMNS} more" if len(self.names) > _SHOWN_COLUMNS else ""
        return ", ".join(map(shown, self.names[:_SHOWN_COLUMNS])) + more


def ecsv_text(
    columns: Sequence[Column], rows: Iterable[Mapping[str, Cell]], meta: Mapping[str, object]
) -> str:
    """
    Return a table as ECSV text, the same text for the same content.

    Parameters
    ----------
    columns : sequence of Column
        In their order.
    rows : iterable of mapping
        One value per column; None is a missing value.
    meta : mapping
        Values that JSON can hold.
    """
    out = io.StringIO()
    lines = ["# %ECSV 1.0", "# ---", "# delimiter: ','", "# datatype:"]
    lines += [column.header() for column in columns]
    if meta:
        lines.append("# meta: !!omap")
        lines += [f"# - {{{key}: {json.dumps(value)}}}" for key, value in meta.items()]
    lines.append("# schema: astropy-2.0")
    out.write("\n".join(lines) + "\n")
    writer = csv.writer(out, lineterminator="\n")
    names = [column.name for column in columns]
    writer.writerow(names)
    writer.writerows(["" if row[name] is None else _cell(row[name]) for name in names] for row in rows)
    return out.getvalue()


def _cell(value: Cell) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def read_ecsv(path: Path) -> TextTable:
    """
    Read a table of text, with or without an ECSV header, separated by commas or by blanks.

    Raises
    ------
    ConfigError
        If the file cannot be read or a row does not have as many values as there are columns.
    """
    meta: dict[str, object] = {}
    body: list[tuple[int, str]] = []
    in_meta = False
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        in_meta = line.startswith("# meta:") or (in_meta and line.startswith("# - "))
        if in_meta and (match := _META.fullmatch(line)):
            meta[match[1]] = _meta_value(match[2])
        elif line.strip() and not line.startswith("#"):
            body.append((number, line.strip()))
    if not body:
        raise ConfigError(
            f"{path}: has no line with column names; see the header of manifest.ecsv for the format"
        )
    delimiter = "," if "," in body[0][1] else " "
    split = [(number, _cells(path, number, line, delimiter)) for number, line in body]
    table = TextTable(path, meta, split[0][1], tuple(split[1:]))
    for number, cells in table.rows:
        if len(cells) != len(table.names):
            raise ConfigError(
                f"{path} line {number}: {len(cells)} values for {len(table.names)} columns "
                f"({table.shown_names()})"
            )
    return table


def _cells(path: Path, number: int, line: str, delimiter: str) -> tuple[str, ...]:
    # Blanks may be repeated to align columns; commas may not, two of them enclose an empty value.
    try:
        row = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise ConfigError(f"{path} line {number}: is no row of a table ({error}); correct it") from None
    return tuple(cell.strip() for cell in row)


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST_TABLE:
            raise ConfigError(f"{path}: is larger than 50 MB, so it is not the table that belongs here")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not text in UTF-8; save it as such") from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); check the path and its rights"
        ) from None


def _meta_value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text
