"""Looks at the raw files of a night and says of each what is to be done with it; reads headers only."""

import datetime
import hashlib
import json
import os
import stat
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sst1m.checkpoint import system_error_text
from sst1m.corrections import Correction, corrections_digest, read_corrections
from sst1m.errors import ConfigError, InputError, OutputError, RawFileError
from sst1m.layout import NightLayout, parse_raw_path, raw_directory
from sst1m.manifest import Manifest, ManifestRow, sorted_rows
from sst1m.names import UNDEFINED_WOBBLE, RawName, Target, parse_target, shown

__all__ = ["NightRequest", "RawListing", "is_current", "list_raw_files", "night_signature", "scan_night"]

_NS_PER_MINUTE = 60_000_000_000


@dataclass(frozen=True)
class NightRequest:
    """
    Which raw files make a night, and where its products go.

    Parameters
    ----------
    root_dir : Path
        Root of the raw files.
    night : NightLayout
        Paths of the night's products.
    tel_ids : tuple of int
        Telescopes to be reduced, of 21 and 22.
    settle_minutes : float
        An incomplete file that was changed less than this ago [min] is taken to be in transfer.
    asked_ns : int
        Unix time at which the command began [ns]: what could not be read before is looked at again.
    """

    root_dir: Path
    night: NightLayout
    tel_ids: tuple[int, ...]
    settle_minutes: float
    asked_ns: int = 0

    @property
    def date(self) -> datetime.date:
        """The night."""
        return self.night.date

    def raw_directory(self, tel_id: int) -> Path:
        """Directory of the raw files of one telescope."""
        return raw_directory(self.root_dir, self.date, tel_id - 20)


RawListing = dict[int, dict[str, tuple[int, int] | None]]
"""Size [byte] and last change [ns] by telescope id and file name; None where nothing is to be found there."""


def list_raw_files(request: NightRequest) -> RawListing:
    """
    List what lies in the raw directories of a night.

    Raises
    ------
    InputError
        If there is nothing at all, or a directory cannot be read.
    """
    listing: RawListing = {}
    for tel_id in request.tel_ids:
        directory = request.raw_directory(tel_id)
        try:
            with os.scandir(directory) as entries:
                listing[tel_id] = {entry.name: _status(entry) for entry in entries}
        except FileNotFoundError:
            listing[tel_id] = {}
        except OSError as error:
            raise InputError(
                f"{directory}: cannot be listed ({error.strerror}); check the mount and the rights"
            ) from None
    if not any(listing.values()):
        places = " and ".join(str(request.raw_directory(tel_id)) for tel_id in request.tel_ids)
        raise InputError(
            f"no raw files of the night {request.date:%Y-%m-%d} in {places}; "
            "check --date, [site] root_dir and the copy"
        )
    return listing


def _status(entry: os.DirEntry[str]) -> tuple[int, int] | None:
    try:
        status = entry.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def night_signature(listing: RawListing, corrections: str, copying: Mapping[str, int]) -> str:
    """
    Return a digest of everything from which a manifest is made.

    Parameters
    ----------
    listing : dict
        From `list_raw_files`.
    corrections : str
        From `corrections_digest`.
    copying : mapping
        Final size of the files that were still being copied; while they are smaller, their growth is no news.
    """
    seen = {
        tel_id: sorted(
            [name, None if 0 < (status[0] if status else 0) < copying.get(name, 0) else status]
            for name, status in files.items()
        )
        for tel_id, files in listing.items()
    }
    return hashlib.sha256(json.dumps([seen, corrections]).encode()).hexdigest()


def is_current(manifest: Manifest | None, request: NightRequest) -> bool:
    """Whether a manifest still describes the raw files and the corrections of the night."""
    if manifest is None or manifest.date != request.date:
        return False
    if manifest.unreadable_ns is not None and manifest.unreadable_ns < request.asked_ns:
        return False
    if manifest.recheck_after_ns is not None and time.time_ns() > manifest.recheck_after_ns:
        return False
    digest = corrections_digest(request.night.corrections)
    return manifest.signature == night_signature(list_raw_files(request), digest, manifest.copying)


@dataclass
class _Scan:
    """What has been found out so far."""

    rows: list[ManifestRow] = field(default_factory=list)
    copying: dict[str, int] = field(default_factory=dict)
    recheck_after_ns: int | None = None
    unreadable: set[str] = field(default_factory=set)


def scan_night(request: NightRequest) -> Manifest:
    """
    Make the manifest of a night from names, headers and corrections; runs to be reduced are waiting.

    Raises
    ------
    InputError
        If the night has no raw files.
    ConfigError
        If ``corrections.ecsv`` is not valid.
    """
    listing = list_raw_files(request)
    digest = corrections_digest(request.night.corrections)
    corrections = read_corrections(request.night.corrections)
    scan = _Scan()
    for tel_id, files in listing.items():
        for name, status in files.items():
            scan.rows.append(_row(request, scan, tel_id, name, status, corrections))
    _check_runs_exist(corrections, scan.rows, request)
    rows = sorted_rows(_without_rivals(scan.rows))
    return Manifest(
        date=request.date,
        rows=rows,
        signature=night_signature(listing, digest, scan.copying),
        copying=scan.copying,
        recheck_after_ns=scan.recheck_after_ns,
        unreadable_ns=time.time_ns() if scan.unreadable else None,
        unreadable=frozenset(scan.unreadable),
    )


def _row(
    request: NightRequest,
    scan: _Scan,
    tel_id: int,
    file: str,
    status: tuple[int, int] | None,
    corrections: Mapping[tuple[int, int], Correction],
) -> ManifestRow:
    """Return the row of one entry of a raw directory."""
    path = request.raw_directory(tel_id) / file
    try:
        name = RawName.parse(file)
    except RawFileError:
        return ManifestRow(
            tel_id, None, shown(file, 200), "skipped", "name is not a raw name", **_facts(status)
        )
    row = ManifestRow(tel_id, name.run, file, "waiting", **_facts(status))
    try:
        parse_raw_path(request.root_dir, path)
    except RawFileError as error:
        return replace(row, run=None).with_state("quarantined", str(error))
    try:
        problem = _file_problem(path, status)
    except OSError as error:
        scan.unreadable.add(file)
        return row.with_state("waiting", system_error_text(error))
    if problem or status is None:
        return row.with_state("quarantined", f"{path}: {problem}; remove it or put the file there")
    correction = corrections.get((tel_id, name.run), Correction(tel_id, name.run))
    if correction.exclude:
        return row.with_state("skipped", f"excluded by the operator: {correction.reason}")
    try:
        target, row = _read_header(path, row)
    except _IncompleteError as error:
        return _incomplete(request, scan, row, status, error)
    except RawFileError as error:
        return _incomplete(request, scan, row, status, _IncompleteError(str(error)))
    except InputError as error:
        scan.unreadable.add(file)
        return row.with_state("waiting", str(error))
    return _planned(request.night, name, row, target, correction)


def _facts(status: tuple[int, int] | None) -> dict[str, int]:
    return {} if status is None else {"size": status[0], "mtime_ns": status[1]}


def _file_problem(path: Path, status: tuple[int, int] | None) -> str:
    """Say what an entry is if it is no file; an OSError where the disk does not tell."""
    if status is None and stat.S_ISLNK(path.lstat().st_mode):
        return "a link that leads nowhere"
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        return "a directory and not a file"
    return "" if stat.S_ISREG(mode) else "not a regular file"


class _IncompleteError(RawFileError):
    """A file is shorter than its header says, or its header cannot be read at all."""

    expected_size = 0


def _read_header(path: Path, row: ManifestRow) -> tuple[Target, ManifestRow]:
    """Read what the header says; raise if the file is shorter than that."""
    from sst1m.io.raw_header import read_raw_header

    header = read_raw_header(path)
    if header.size < header.expected_size:
        error = _IncompleteError(
            f"{path}: truncated: {header.size} bytes, the header announces {header.expected_size}; "
            "copy the file again from its source"
        )
        error.expected_size = header.expected_size
        raise error
    row = replace(
        row,
        n_events=header.n_events,
        t_start=_utc_text(header.t_start_ns),
        t_stop=_utc_text(header.t_stop_ns),
    )
    return parse_target(header.target), row


def _utc_text(clock_ns: int | None) -> str:
    """Return a time of the camera's clock as UTC text; empty where the header has none."""
    if not clock_ns or clock_ns < 0:
        return ""
    import numpy as np

    from sst1m.times import camera_clock_to_tai, ns_to_utc_text

    return ns_to_utc_text(int(camera_clock_to_tai(np.array([clock_ns]))[0]))


def _incomplete(
    request: NightRequest, scan: _Scan, row: ManifestRow, status: tuple[int, int], error: _IncompleteError
) -> ManifestRow:
    """Return the row of an unreadable file: perhaps still being copied, or damaged."""
    settled_ns = status[1] + int(request.settle_minutes * _NS_PER_MINUTE)
    if time.time_ns() >= settled_ns:
        return row.with_state("quarantined", str(error))
    scan.copying[row.file] = error.expected_size
    scan.recheck_after_ns = min(settled_ns, scan.recheck_after_ns or settled_ns)
    return row.with_state("waiting", f"still being copied? Run the same command again later. ({error})")


def _planned(
    night: NightLayout, name: RawName, row: ManifestRow, target: Target, correction: Correction
) -> ManifestRow:
    """Return the row of a readable raw file: to be reduced, skipped, or waiting for the operator."""
    kind = "science" if correction.target else target.kind
    if kind in ("dark", "transition", "test"):
        return replace(row, kind=kind).with_state("skipped", f"{kind} run: {target.reason}")
    pointing_source, ra, dec = _pointing(target, correction)
    wobble = correction.wobble or target.wobble
    if not correction.wobble and wobble == UNDEFINED_WOBBLE and pointing_source != "header":
        # UNDEF says that a header gives a pointing without a wobble tag; a pointing given by hand has no
        # tag at all.
        wobble = ""
    row = replace(
        row,
        kind=kind,
        target=correction.target or target.name,
        wobble=wobble,
        ra=ra,
        dec=dec,
        pointing_source=pointing_source,
    )
    missing = ([] if row.target else ["target"]) + ([] if ra is not None else ["ra", "dec"])
    if missing:
        reason = f"{target.reason}; " if target.reason else ""
        return row.with_state("waiting", f"{reason}{_advice(name, missing)}")
    try:
        product = night.checked_inside(night.dl1_path(name, row.target, wobble))
    except OutputError as error:
        return row.with_state("waiting", str(error))
    return replace(row, product=str(product.relative_to(night.root))).with_state("waiting", "not reduced yet")


def _pointing(target: Target, correction: Correction) -> tuple[str, float | None, float | None]:
    if correction.ra_deg is not None:
        return "corrections", correction.ra_deg, correction.dec_deg
    if target.ra_deg is not None:
        return "header", target.ra_deg, target.dec_deg
    return "none", None, None


def _advice(name: RawName, missing: list[str]) -> str:
    return (
        f"give {', '.join(missing)} of tel {name.tel_id} run {name.run} in corrections.ecsv, "
        "or exclude the run there with a reason"
    )


def _without_rivals(rows: list[ManifestRow]) -> list[ManifestRow]:
    """Quarantine all files that claim to be the same run: nothing says which one is right."""
    claims: dict[RawName, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        try:
            claims[RawName.parse(row.file)].append(index)
        except RawFileError:
            continue
    for name, indices in claims.items():
        for index in indices if len(indices) > 1 else ():
            others = ", ".join(f"cs{rows[other].tel - 20}" for other in indices if other != index)
            reason = f"another file named {name} lies in the raw directory of {others}; remove the wrong one"
            rows[index] = replace(rows[index], product="").with_state("quarantined", reason)
    return rows


def _check_runs_exist(
    corrections: Mapping[tuple[int, int], Correction], rows: list[ManifestRow], request: NightRequest
) -> None:
    """Refuse a correction of a run that does not exist: by that slip another run stays uncorrected."""
    known = {(row.tel, row.run) for row in rows}
    problems = [
        f"line {correction.line}: telescope {tel_id} has no run {run} in this night"
        for (tel_id, run), correction in corrections.items()
        if tel_id in request.tel_ids and (tel_id, run) not in known
    ]
    if problems:
        raise ConfigError(f"{request.night.corrections}: " + "; ".join(problems))
