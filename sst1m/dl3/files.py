"""Photon lists on disk: one self-contained FITS file per block, and what makes such a file valid."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits

from sst1m.io.damage import explained_damage

__all__ = ["COMPONENTS", "check_dl3", "check_sums", "component_of", "write_dl3"]

#: Type and class of each table in an index, by the name of the table; the first three and the responses.
COMPONENTS: dict[str, tuple[str, str]] = {
    "events": ("EVENTS", ""),
    "gti": ("GTI", ""),
    "pointing": ("POINTING", ""),
    "aeff": ("RESPONSE", "EFF_AREA"),
    "edisp": ("RESPONSE", "EDISP"),
    "psf": ("RESPONSE", "RPSF"),
    "bkg": ("RESPONSE", "BKG"),
}


def write_dl3(path: Path, hdus: Sequence[fits.BinTableHDU]) -> None:
    """Write tables to a FITS file: the same bytes for the same tables, with checksums."""
    primary = fits.PrimaryHDU()
    for hdu in hdus:
        # astropy would put the present time into the comments of the checksums
        hdu.add_checksum(when="checksum")
    fits.HDUList([primary, *hdus]).writeto(path)


def component_of(header: fits.Header) -> str | None:
    """Return which component of an observation a table is, by its HDUCLAS keywords; None for any other."""
    clas1, clas2 = (str(header.get(key, "")).strip().upper() for key in ("HDUCLAS1", "HDUCLAS2"))
    if clas1 == "RESPONSE":
        # the text of GADF says RPSF, older writers PSF
        clas2 = {"PSF": "RPSF"}.get(clas2, clas2)
        return next((name for name, known in COMPONENTS.items() if known == (clas1, clas2)), None)
    return next((name for name, known in COMPONENTS.items() if known == (clas1, "")), None)


def check_dl3(path: Path) -> dict[str, fits.Header]:
    """
    Return the headers of a complete photon list, by component.

    Raises
    ------
    InputError
        It does not open, lacks a table, is damaged, or its tables disagree.
    UnreadableError
        The disk does not give it at present.
    """
    with explained_damage(path, "photon list"), fits.open(path, memmap=False, checksum=False) as hdus:
        found = {component_of(hdu.header): hdu for hdu in hdus}
        if problem := _problem(found, hdus[1:]):
            raise ValueError(problem)
        return {name: hdu.header.copy() for name, hdu in found.items() if name is not None}


def check_sums(path: Path) -> None:
    """
    Make sure that a photon list of whatever origin is what its checksums say, as far as it has any.

    Raises
    ------
    InputError
        It does not open, or a table or its header is not what was written.
    UnreadableError
        The disk does not give it at present.
    """
    with explained_damage(path, "photon list"), fits.open(path, memmap=False, checksum=False) as hdus:
        # 2 stands for a table without checksum.
        if damaged := [hdu.name or "PRIMARY" for hdu in hdus if not hdu.verify_checksum()]:
            raise ValueError(f"damaged: {', '.join(damaged)}")


def _problem(found: dict[str | None, fits.BinTableHDU], tables: Sequence[fits.BinTableHDU]) -> str:
    """Say what is wrong with the tables of a file; empty if nothing is."""
    missing = [name for name in COMPONENTS if name not in found]
    if missing:
        return f"it lacks {', '.join(missing)}"
    if damaged := [table.name for table in tables if table.verify_checksum() != 1]:
        return f"damaged: {', '.join(damaged)}"
    events, gti = found["events"], found["gti"].data
    if len(events.data) != events.header["N_WRITE"]:
        return f"{len(events.data)} events instead of {events.header['N_WRITE']}"
    if not len(gti) or np.any(np.diff(np.stack([gti["START"], gti["STOP"]], axis=1).ravel()) <= 0):
        return "its good time intervals are empty or out of order"
    place = np.searchsorted(gti["START"], events.data["TIME"], side="right") - 1
    if np.any(place < 0) or np.any(events.data["TIME"] >= gti["STOP"][place]):
        return "it has events outside its good time"
    return ""
