"""The manifest of a night: every raw file, what it holds, and the one state it is in."""

import datetime
import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from sst1m.ecsv import Cell, Column, TextTable, ecsv_text, read_ecsv
from sst1m.errors import ConfigError

__all__ = ["COLUMNS", "STATES", "Manifest", "ManifestRow", "RunState", "read_manifest"]

RunState = Literal["done", "skipped", "quarantined", "waiting"]
STATES: tuple[RunState, ...] = ("done", "skipped", "quarantined", "waiting")

COLUMNS = (
    Column("tel", "int64", description="telescope, 21 or 22"),
    Column("run", "int64", description="number of the file in its night; empty where the name has none"),
    Column("kind", "string", description="science, dark, transition, test or unknown"),
    Column("target", "string", description="name of the target"),
    Column("wobble", "string", description="wobble tag in the product name; empty: none"),
    Column("ra", "float64", "deg", "pointing of the telescope, ICRS"),
    Column("dec", "float64", "deg", "pointing of the telescope, ICRS"),
    Column("pointing_source", "string", description="header, corrections or none"),
    Column("n_events", "int64", description="events according to the header"),
    Column("size", "int64", "byte", "size of the file"),
    Column("mtime_ns", "int64", "ns", "last change of the file, unix time"),
    Column("t_start", "string", description="first event, UTC"),
    Column("t_stop", "string", description="last event, UTC"),
    Column("file", "string", description="name of the raw file"),
    Column("state", "string", description="done, skipped, quarantined or waiting"),
    Column("reason", "string", description="why the run is not done"),
    Column("product", "string", description="DL1 file, made or to be made, below the directory of the night"),
    Column("log", "string", description="log of the last reduction, below the directory of the night"),
)

_INTEGERS = {column.name for column in COLUMNS if column.datatype == "int64"}
_FLOATS = {column.name for column in COLUMNS if column.datatype == "float64"}


@dataclass(frozen=True)
class ManifestRow:
    """
    One raw file of the night.

    Parameters
    ----------
    tel : int
        Telescope id of the directory in which the file lies, 21 or 22.
    run : int or None
        Run number; None where the file has no raw name.
    kind, target, wobble : str
        From the header, overruled by the operator; empty where unknown.
    ra, dec : float or None
        Pointing of the telescope, ICRS [deg].
    pointing_source : str
        ``header``, ``corrections`` or ``none``.
    n_events : int or None
        Events according to the header.
    size, mtime_ns : int or None
        Size [byte] and time of the last change [ns since 1970, UTC] of the file.
    t_start, t_stop : str
        Times of the first and last event, ISO 8601 in UTC; empty where the header has none.
    file : str
        Name of the raw file, on one line.
    state : str
        One of `STATES`.
    reason : str
        Why the run is not done; for a run that only has to be reduced, that it has not been yet.
    product : str
        Path of the DL1 product below the night; empty for a run that is not to be reduced.
    log : str
        Path of the log below the night; empty while there is none.
    """

    tel: int
    run: int | None
    file: str
    state: RunState
    reason: str = ""
    kind: str = "unknown"
    target: str = ""
    wobble: str = ""
    ra: float | None = None
    dec: float | None = None
    pointing_source: str = "none"
    n_events: int | None = None
    size: int | None = None
    mtime_ns: int | None = None
    t_start: str = ""
    t_stop: str = ""
    product: str = ""
    log: str = ""

    def with_state(self, state: RunState, reason: str, log: str = "") -> "ManifestRow":
        """Return the row in another state."""
        return replace(self, state=state, reason=" ".join(reason.split()), log=log)


@dataclass(frozen=True)
class Manifest:
    """
    All raw files of a night, in the order of telescope and file name.

    Parameters
    ----------
    date : datetime.date
        Night.
    rows : tuple of ManifestRow
        Raw files.
    signature : str
        Digest of the directory listing and the corrections from which the table was made.
    copying : dict
        Size at which a file that is still being copied will be complete, by file name; 0 where unknown.
    recheck_after_ns : int or None
        Unix time after which a file that is still incomplete is no longer taken to be in transfer.
    unreadable_ns : int or None
        Unix time at which a file could not be read; the next command looks at it again.
    unreadable : frozenset of str
        Names of these files; known to the scan only, as the table does not hold them.
    """

    date: datetime.date
    rows: tuple[ManifestRow, ...]
    signature: str
    copying: dict[str, int] = field(default_factory=dict)
    recheck_after_ns: int | None = None
    unreadable_ns: int | None = None
    unreadable: frozenset[str] = frozenset()

    def counts(self) -> dict[int, Counter[str]]:
        """Count the files of each telescope by state."""
        result: dict[int, Counter[str]] = {}
        for row in self.rows:
            result.setdefault(row.tel, Counter())[row.state] += 1
        return result

    def in_state(self, *states: RunState) -> list[ManifestRow]:
        """Return the rows in any of the states."""
        return [row for row in self.rows if row.state in states]

    def text(self) -> str:
        """Return the manifest as ECSV, the same text for the same night."""
        return self._text({"checksum": self.checksum()})

    def checksum(self) -> str:
        """Return the checksum of all that the text says."""
        return hashlib.sha256(self._text({}).encode()).hexdigest()[:32]

    def _text(self, more_meta: dict[str, str]) -> str:
        meta = {
            "night": f"{self.date:%Y-%m-%d}",
            "signature": self.signature,
            "copying": json.dumps(self.copying, sort_keys=True),
            "recheck_after_ns": self.recheck_after_ns or 0,
            "unreadable_ns": self.unreadable_ns or 0,
        }
        return ecsv_text(COLUMNS, (vars(row) for row in self.rows), meta | more_meta)


def read_manifest(path: Path) -> Manifest | None:
    """
    Read a manifest; None where there is none, or one that was damaged or that this version cannot use: it has
    to be made again.
    """
    if not path.exists():
        return None
    try:
        return _manifest(read_ecsv(path))
    except (ConfigError, KeyError, TypeError, ValueError, RecursionError):
        return None


def _manifest(table: TextTable) -> Manifest:
    if table.names != tuple(column.name for column in COLUMNS):
        raise ValueError("other columns")
    meta = table.meta
    manifest = Manifest(
        date=datetime.date.fromisoformat(str(meta["night"])),
        rows=tuple(_row(dict(zip(table.names, cells, strict=True))) for _, cells in table.rows),
        signature=str(meta["signature"]),
        copying=json.loads(str(meta["copying"])),
        recheck_after_ns=int(str(meta["recheck_after_ns"])) or None,
        unreadable_ns=int(str(meta["unreadable_ns"])) or None,
    )
    # A row that was lost, or a digit that has changed, would be a run lost in silence.
    if meta["checksum"] != manifest.checksum():
        raise ValueError("damaged")
    return manifest


def _row(cells: dict[str, str]) -> ManifestRow:
    if cells["state"] not in STATES:
        raise ValueError(cells["state"])
    return ManifestRow(**{name: _value(name, text) for name, text in cells.items()})  # type: ignore[arg-type]


def _value(name: str, text: str) -> Cell:
    if name in _INTEGERS:
        return int(text) if text else None
    if name in _FLOATS:
        return float(text) if text else None
    return text


def sorted_rows(rows: Iterable[ManifestRow]) -> tuple[ManifestRow, ...]:
    """Return the rows in the order of the table: by telescope and file name."""
    return tuple(sorted(rows, key=lambda row: (row.tel, row.file)))
