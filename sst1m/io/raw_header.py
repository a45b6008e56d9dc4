"""What the header of a raw file says, and whether the file is whole: no waveform is decoded here."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from sst1m.errors import InputError, RawFileError
from sst1m.io.fits_header import CardValue, FitsHdu, data_sum, expected_size, fold_sum, read_hdus

__all__ = ["EVENTS_TABLE", "NANOSECONDS", "RawHeader", "check_size", "read_raw_header", "verify_raw_file"]

EVENTS_TABLE = "Events"
NANOSECONDS = 1_000_000_000

_TELESCOPE_OF_PREFIX = {"SST1M1": 21, "SST1M2": 22}
_FILE_NAME = re.compile(r"(SST1M[12])_")


@dataclass(frozen=True)
class RawHeader:
    """
    The header of a raw file.

    Attributes
    ----------
    path : Path
        The file.
    n_events : int
        Number of events.
    target : str or None
        The ``TARGET`` card as it stands; None before it was introduced in 2023.
    telescope_hint : int or None
        Telescope according to the file name; the events themselves decide (`RawFile.tel_id`).
    t_start_ns, t_stop_ns : int or None
        The camera's clock at the first and the last event [ns]; see `sst1m.times.camera_clock_to_tai`.
    expected_size, size : int
        Bytes that the headers announce, and bytes that the file has.
    datasum : int or None
        Checksum of the events' data; None means that the file's content cannot be verified.
    cards : dict
        All cards of the events table.
    hdus : tuple of FitsHdu
        All header-data units of the file.
    """

    path: Path
    n_events: int
    target: str | None
    telescope_hint: int | None
    t_start_ns: int | None
    t_stop_ns: int | None
    expected_size: int
    size: int
    datasum: int | None
    cards: dict[str, CardValue]
    hdus: tuple[FitsHdu, ...] = field(repr=False)

    @property
    def events(self) -> FitsHdu:
        """The header-data unit of the events table."""
        return next(hdu for hdu in self.hdus if hdu.name == EVENTS_TABLE)


def _header_time(cards: dict[str, CardValue], which: str) -> int | None:
    """Return the time of the first (``TSTART``) or last (``TSTOP``) event [ns]."""
    seconds, nanoseconds = cards.get(f"{which}S"), cards.get(f"{which}NS")
    if not isinstance(seconds, int) or not isinstance(nanoseconds, int):
        return None
    return seconds * NANOSECONDS + nanoseconds


def _number_of_events(cards: dict[str, CardValue], path: Path) -> int:
    """Return the number of uncompressed rows."""
    n_events = cards.get("ZNAXIS2")
    if (
        cards.get("ZTABLE") is not True
        or isinstance(n_events, bool)
        or not isinstance(n_events, int)
        or n_events < 0
    ):
        raise RawFileError(
            f"{path}: the table {EVENTS_TABLE!r} is not a compressed zfits table (ZTABLE, ZNAXIS2); "
            "check what was copied here"
        )
    return n_events


def read_raw_header(path: str | Path) -> RawHeader:
    """
    Read the header of a raw file, in milliseconds.

    Parameters
    ----------
    path : str or Path
        A ``.fits.fz`` file of one run of one telescope.

    Raises
    ------
    RawFileError
        If the file is empty, is not FITS, ends inside a header, or has no table of events.
    InputError
        If it cannot be opened or read, which says nothing about the file.
    """
    path = Path(path)
    hdus = read_hdus(path)
    events = next((hdu for hdu in hdus if hdu.name == EVENTS_TABLE), None)
    if events is None:
        found = ", ".join(repr(hdu.name) for hdu in hdus[1:]) or "no table at all"
        raise RawFileError(f"{path}: no table {EVENTS_TABLE!r} (found {found}); check what was copied here")
    target = events.cards.get("TARGET")
    prefix = _FILE_NAME.match(path.name)
    return RawHeader(
        path=path,
        n_events=_number_of_events(events.cards, path),
        target=None if target is None else str(target),
        telescope_hint=_TELESCOPE_OF_PREFIX[prefix[1]] if prefix else None,
        t_start_ns=_header_time(events.cards, "TSTART"),
        t_stop_ns=_header_time(events.cards, "TSTOP"),
        expected_size=expected_size(hdus),
        size=os.stat(path).st_size,
        datasum=events.datasum,
        cards=events.cards,
        hdus=tuple(hdus),
    )


def verify_raw_file(path: str | Path, *, headers: bool = False) -> RawHeader:
    """
    Check that a raw file is whole: its size, and the checksum of every unit that has one.

    A file without checksum passes, with `RawHeader.datasum` None.

    Parameters
    ----------
    path : str or Path
        A ``.fits.fz`` file.
    headers : bool
        Demand in addition that the events have both checksums, ``DATASUM`` and ``CHECKSUM``, and that the
        second one, which covers the header, holds. Not the default, because a card that is added to a
        header later (by hand, by an archive) breaks it although the events are as they were.

    Raises
    ------
    RawFileError
        As `read_raw_header`; also if the file is truncated or longer than its headers say, or a checksum
        differs.
    """
    header = read_raw_header(path)
    check_size(header)
    if headers and (header.datasum is None or "CHECKSUM" not in header.cards):
        raise RawFileError(f"{path}: no DATASUM and CHECKSUM to verify it by; get a file that has them")
    try:
        with header.path.open("rb") as file:
            for hdu in header.hdus:
                _check_sums(file, hdu, header.path, headers)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); check the disk") from error
    return header


def _check_sums(file: BinaryIO, hdu: FitsHdu, path: Path, headers: bool) -> None:
    """Raise if a checksum of a unit differs from what its header says."""
    if hdu.datasum is None:
        return
    name = repr(hdu.name or "primary")
    found = data_sum(file, hdu.data_offset, hdu.end - hdu.data_offset)
    if found != hdu.datasum:
        raise RawFileError(
            f"{path}: the checksum of {name} is {found}, its header says {hdu.datasum}: bytes were changed; "
            "copy the file again from its source"
        )
    if not headers or "CHECKSUM" not in hdu.cards:
        return
    total = fold_sum(found + data_sum(file, hdu.header_offset, hdu.data_offset - hdu.header_offset))
    if total not in (0, 0xFFFFFFFF):  # plus and minus zero in ones' complement
        raise RawFileError(
            f"{path}: the header of {name} does not agree with its CHECKSUM: bytes were changed; "
            "copy the file again from its source"
        )


def check_size(header: RawHeader) -> None:
    """Raise if the file is shorter or longer than its headers say."""
    if header.size == header.expected_size:
        return
    what = "truncated" if header.size < header.expected_size else "longer than its headers say"
    raise RawFileError(
        f"{header.path}: {what}: {header.size} bytes, expected {header.expected_size}; "
        "wait until it is complete, or copy it again from its source"
    )
