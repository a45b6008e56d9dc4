"""
Index of photon lists, by which gammapy's `DataStore` finds them (GADF, hdu-index and obs-index).

gammapy's own maker of indices loses point spread function and background, so it is not used.
"""

import contextlib
import gzip
import hashlib
import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import QTable

from sst1m.checkpoint import committed, explained_write_errors
from sst1m.dl3.files import COMPONENTS, check_dl3
from sst1m.dl3.header import HDU_CLASS, Cards, time_cards, update_header
from sst1m.errors import InputError

__all__ = ["HDU_INDEX", "OBS_INDEX", "remove_index", "write_index"]

HDU_INDEX = "hdu-index.fits.gz"
OBS_INDEX = "obs-index.fits.gz"

_CLASS_OF: dict[str, str] = {"events": "events", "gti": "gti", "pointing": "pointing"}

#: Cards of EVENTS that become columns: numbers with their unit, then text.
_NUMBERS: dict[str, u.UnitBase | None] = {
    **dict.fromkeys(("RA_PNT", "DEC_PNT", "ALT_PNT", "AZ_PNT", "ZEN_PNT", "RA_OBJ", "DEC_OBJ"), u.deg),
    **dict.fromkeys(("TSTART", "TSTOP", "ONTIME", "LIVETIME"), u.s),
    **dict.fromkeys(("DEADC", "NSBLEVEL"), None),
}
_TEXTS = (
    *("OBJECT", "OBS_MODE", "DATE-OBS", "DATE-END", "TELESCOP", "INSTRUME", "TELLIST"),
    *("RFNODE", "CREATOR"),
)


def write_index(
    files: Sequence[Path],
    output_dir: Path,
    *,
    side_files: Mapping[Path, Callable[[], bytes]] | None = None,
) -> tuple[Path, Path]:
    """
    Write ``hdu-index.fits.gz`` and then ``obs-index.fits.gz``; both follow from the photon lists alone.

    Parameters
    ----------
    files : sequence of Path
        Photon lists, in any order.
    output_dir : Path
        Where the index goes; it names the files relative to it.
    side_files : mapping of Path to callable, optional
        Content of the files beside ``obs-index.fits.gz``, see `committed`.

    Returns
    -------
    tuple of Path
        The two files.

    Raises
    ------
    InputError
        There is no photon list, one is not complete, or two have the same OBS_ID.
    """
    observations = _observations(files)
    hdu_rows = [row for path, headers in observations for row in _hdu_rows(path, headers, output_dir)]
    tables = {
        HDU_INDEX: _hdu(_hdu_table(hdu_rows), "HDU_INDEX", {"HDUCLAS2": ("HDU", "")}),
        OBS_INDEX: _hdu(
            _obs_table([headers["events"] for _, headers in observations]),
            "OBS_INDEX",
            {"HDUCLAS2": ("OBS", "")} | time_cards(),
        ),
    }
    for name, hdu in tables.items():
        beside = side_files if name == OBS_INDEX else None
        with committed(output_dir / name, validate=_check_readable, side_files=beside) as part:
            part.write_bytes(_compressed(hdu))
    return output_dir / HDU_INDEX, output_dir / OBS_INDEX


def remove_index(output_dir: Path) -> None:
    """Remove an index before the files that it names change."""
    for name in (OBS_INDEX, HDU_INDEX):
        with explained_write_errors(output_dir / name):
            (output_dir / name).unlink(missing_ok=True)


def _observations(files: Sequence[Path]) -> list[tuple[Path, dict[str, fits.Header]]]:
    """Return the headers of all files in the order of their OBS_ID."""
    if not files:
        raise InputError("there is no photon list to make an index of; check the paths")
    by_id: dict[int, tuple[Path, dict[str, fits.Header]]] = {}
    for path in sorted(set(files)):
        headers = check_dl3(path)
        obs_id = int(headers["events"]["OBS_ID"])
        if obs_id in by_id:
            raise InputError(
                f"{by_id[obs_id][0]} and {path} have the same OBS_ID {obs_id}; "
                "leave one of them out, or their events would count twice"
            )
        by_id[obs_id] = path, headers
    return [by_id[obs_id] for obs_id in sorted(by_id)]


def _hdu_rows(path: Path, headers: Mapping[str, fits.Header], output_dir: Path) -> list[dict[str, Any]]:
    # symbolic links are followed first: ".." beyond one leads elsewhere
    directory = os.path.relpath(path.parent.resolve(), output_dir.resolve())
    content = path.read_bytes()
    common = {
        "FILE_DIR": directory,
        "FILE_NAME": path.name,
        "SIZE": len(content),
        "MD5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
    }
    return [
        {
            "OBS_ID": int(headers["events"]["OBS_ID"]),
            "HDU_TYPE": name,
            "HDU_CLASS": _CLASS_OF.get(name) or str(headers[name]["HDUCLAS4"]).strip().lower(),
            "HDU_NAME": headers[name]["EXTNAME"],
        }
        | common
        for name in COMPONENTS
    ]


def _hdu_table(rows: Sequence[Mapping[str, Any]]) -> QTable:
    names = ("OBS_ID", "HDU_TYPE", "HDU_CLASS", "FILE_DIR", "FILE_NAME", "HDU_NAME", "SIZE", "MD5")
    return QTable({name: [row[name] for row in rows] for name in names})


def _obs_table(headers: Sequence[fits.Header]) -> QTable:
    """Return one row per observation; QUALITY is 0 (best), or 1 with responses from beyond their nodes."""
    table = QTable({"OBS_ID": np.array([header["OBS_ID"] for header in headers], dtype=np.int64)})
    for name, unit in _NUMBERS.items():
        values = np.array([float(header[name]) for header in headers])
        table[name] = values if unit is None else values * unit
    for name in _TEXTS:
        table[name] = [str(header[name]) for header in headers]
    table["N_TELS"] = np.array([header["N_TELS"] for header in headers], dtype=np.int16)
    table["EVENT_COUNT"] = np.array([header["N_WRITE"] for header in headers], dtype=np.int64)
    table["SIMULAT"] = np.array([bool(header["SIMULAT"]) for header in headers])
    flags = [bool(header.get("IRFEXTR")) or bool(header.get("IRFNEAR")) for header in headers]
    table["QUALITY"] = np.array(flags, dtype=np.int16)
    return table


def _hdu(table: QTable, name: str, cards: Cards) -> fits.BinTableHDU:
    hdu = fits.BinTableHDU(table, name=name)
    update_header(hdu.header, HDU_CLASS | {"HDUCLAS1": ("INDEX", "")} | cards)
    return hdu


def _compressed(hdu: fits.BinTableHDU) -> bytes:
    """Return a gzip file that depends on the table alone: without name and time."""
    plain, packed = io.BytesIO(), io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(plain)
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as file:
        file.write(plain.getvalue())
    return packed.getvalue()


def _check_readable(path: Path) -> None:
    with contextlib.closing(fits.open(path)) as hdus:
        hdus[1].data  # noqa: B018 - reading it is the check
