"""The state of a run, derived from the disk alone: its product, or the record of why there is none."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from sst1m.checkpoint import held_lock, remove_product, write_json
from sst1m.errors import OutputError, SkippedRun
from sst1m.json_object import json_object
from sst1m.layout import NightLayout, side_paths
from sst1m.manifest import Manifest, ManifestRow, RunState, sorted_rows
from sst1m.names import RawName
from sst1m.provenance import read_provenance

__all__ = [
    "FailureKind",
    "FailureRecord",
    "clear_failures",
    "failure_of",
    "record_failure",
    "remove_stale_products",
    "with_states",
]

FailureKind = Literal["quarantine", "attempts"]


@dataclass(frozen=True)
class FailureRecord:
    """
    Why a run has no product.

    Parameters
    ----------
    kind : str
        ``quarantine``: the file is to blame, and it fails again until it is replaced. ``attempts``:
        something around it failed (disk, calibration, memory), and the next call tries again.
    file : str
        Name of the raw file.
    size, mtime_ns : int
        Size [byte] and time of the last change [ns] of the raw file that failed; the record says nothing
        about another.
    error : str
        Class of the error.
    message : str
        What happened and the way out, on one line.
    log : str
        Log of the attempt, below the directory of the night.
    time : str
        When, UTC.
    time_ns : int
        When, unix time [ns].
    """

    kind: FailureKind
    file: str
    size: int
    mtime_ns: int
    error: str
    message: str
    log: str
    time: str
    time_ns: int


def record_failure(night: NightLayout, name: RawName, record: FailureRecord) -> None:
    """Write the record of a failed run; one of the other kind is replaced by it."""
    write_json(night.failure_record(record.kind, name), asdict(record))
    other = "attempts" if record.kind == "quarantine" else "quarantine"
    _remove(night, other, name)


def _remove(night: NightLayout, kind: str, name: RawName) -> None:
    path = night.failure_record(kind, name)
    path.unlink(missing_ok=True)
    path.with_suffix(".log").unlink(missing_ok=True)


def clear_failures(night: NightLayout, name: RawName) -> None:
    """Remove what is recorded about failures of a run, after it has succeeded or to try it again."""
    for kind in ("quarantine", "attempts"):
        _remove(night, kind, name)


def failure_of(night: NightLayout, name: RawName, kind: FailureKind, raw_file: Path) -> FailureRecord | None:
    """Return the record of a failure; None if there is none, or the raw file has changed since."""
    try:
        record = FailureRecord(**json_object(night.failure_record(kind, name).read_text()))
        status = raw_file.stat()
    except (OSError, ValueError, TypeError):
        return None
    if not all(isinstance(text, str) for text in (record.error, record.message, record.log)):
        return None
    return record if (record.size, record.mtime_ns) == (status.st_size, status.st_mtime_ns) else None


def with_states(manifest: Manifest, night: NightLayout, raw_directory: dict[int, Path]) -> Manifest:
    """
    Return the manifest with the present state of every run that is to be reduced.

    Parameters
    ----------
    manifest : Manifest
        Rows without a product keep the state that the scan gave them.
    night : NightLayout
        Paths of the night.
    raw_directory : dict
        Directory of the raw files by telescope id.
    """
    rows = [
        _with_state(row, night, raw_directory[row.tel] / row.file) if row.product else row
        for row in manifest.rows
    ]
    return replace(manifest, rows=sorted_rows(rows))


def _with_state(row: ManifestRow, night: NightLayout, raw_file: Path) -> ManifestRow:
    product = night.root / row.product
    if product.exists():
        return row.with_state("done", "", str(side_paths(product)["log"].relative_to(night.root)))
    name = RawName.parse(row.file)
    if record := failure_of(night, name, "quarantine", raw_file):
        state: RunState = "skipped" if record.error == SkippedRun.__name__ else "quarantined"
        return row.with_state(state, record.message, record.log)
    if record := failure_of(night, name, "attempts", raw_file):
        return row.with_state("waiting", f"last attempt failed: {record.message}", record.log)
    return row.with_state("waiting", "not reduced yet")


def remove_stale_products(night: NightLayout, rows: Sequence[ManifestRow]) -> Iterator[str]:
    """
    Remove products of raw files or corrections that have changed since, so that the runs are reduced again.

    A run of which no raw file is left keeps its product: raw files move to archives.

    Yields
    ------
    str
        One line for each product: which, and why.
    """
    wanted = {(row.tel, row.run): row for row in rows if row.run is not None}
    listed = set(night.root.glob("*/cs[12]/dl1/*_dl1.h5"))
    # The listing of a network file system may not show yet what is there.
    planned = {night.root / row.product for row in rows if row.product} - listed
    for path in sorted(listed | {path for path in planned if path.exists()}):
        try:
            name = night.parse_dl1_path(path).raw
        except OutputError:
            continue
        row = wanted.get((name.tel_id, name.run))
        reason = row and _staleness(path, row, night)
        if reason:
            with held_lock(night.lock(name)):
                remove_product(path, side_paths(path))
            yield f"removed {path.relative_to(night.root)}: {reason}"


def _staleness(path: Path, row: ManifestRow, night: NightLayout) -> str:
    """Say why a product does not belong to the run as it is now; empty if it does."""
    if not row.product:
        return row.reason
    if path != night.root / row.product:
        return f"the run now belongs to {row.product}"
    run = (read_provenance(side_paths(path)["json"]) or {}).get("run")
    if not isinstance(run, dict):
        return "nothing beside it says from which state of the raw file it was made"
    if (run.get("size"), run.get("mtime_ns")) != (row.size, row.mtime_ns):
        return "the raw file has changed"
    if (run.get("ra_deg"), run.get("dec_deg")) != (row.ra, row.dec):
        return "the pointing was corrected"
    return ""
