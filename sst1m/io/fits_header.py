"""
Read the headers of a FITS file and check its data against them, without reading the data into memory.

A night has hundreds of raw files, and a truncated or damaged one has to be found before a decoder meets it:
this module needs about a millisecond per file for the headers, and runs at the speed of the disk for the
checksums.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from sst1m.errors import InputError, RawFileError

__all__ = ["BLOCK_SIZE", "CardValue", "FitsHdu", "expected_size", "data_sum", "fold_sum", "read_hdus"]

BLOCK_SIZE = 2880
CardValue = bool | int | float | str | None

_CARD_SIZE = 80
_MAX_AXES = 999  # FITS standard 4.0, section 4.4.1
_MAX_HEADER_BLOCKS = 400  # 14 400 cards; a real header has about 130
_CHUNK = 1 << 20


@dataclass(frozen=True)
class FitsHdu:
    """One header-data unit: its cards, and where its header and its data start."""

    cards: dict[str, CardValue]
    header_offset: int
    data_offset: int
    data_size: int

    @property
    def name(self) -> str:
        """Name of the extension; empty for the primary unit."""
        return str(self.cards.get("EXTNAME", ""))

    @property
    def end(self) -> int:
        """Offset of the next unit: the data are filled up to whole blocks of 2880 bytes."""
        return self.data_offset + -(-self.data_size // BLOCK_SIZE) * BLOCK_SIZE

    @property
    def datasum(self) -> int | None:
        """Checksum of the data according to the header."""
        value = self.cards.get("DATASUM")
        try:
            return None if value is None else int(str(value).strip())
        except ValueError:
            return None


def _card_value(text: str) -> CardValue:
    """Return the value of a card from the text after ``= ``."""
    text = text.strip()
    if text.startswith("'"):
        # A quote inside a string is doubled; the first single one ends it.
        return text[1:].replace("''", "\0").split("'", 1)[0].rstrip().replace("\0", "'")
    text = text.split("/", 1)[0].strip()
    if text in ("T", "F"):
        return text == "T"
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text or None


def _read_cards(file: BinaryIO, path: Path) -> dict[str, CardValue]:
    """Return the cards of the header at the present position, and leave the file at its data."""
    cards: dict[str, CardValue] = {}
    for _ in range(_MAX_HEADER_BLOCKS):
        block = file.read(BLOCK_SIZE)
        if len(block) < BLOCK_SIZE:
            raise RawFileError(
                f"{path}: truncated inside a FITS header, at {file.tell()} bytes; "
                "copy the file again from its source"
            )
        text = block.decode("ascii", errors="replace")
        for start in range(0, BLOCK_SIZE, _CARD_SIZE):
            card = text[start : start + _CARD_SIZE]
            if card.rstrip() == "END":
                return cards
            if card[8:10] == "= ":
                cards[card[:8].rstrip()] = _card_value(card[10:])
    raise RawFileError(f"{path}: a FITS header without END; copy the file again from its source")


def _data_size(cards: dict[str, CardValue], path: Path) -> int:
    """Return the bytes of data that a header announces (FITS standard 4.0, equation 2)."""
    n_axes = _whole_number(cards.get("NAXIS"), "NAXIS", path, below=_MAX_AXES + 1)
    axes = [cards.get(f"NAXIS{i + 1}") for i in range(n_axes)]
    if not axes:
        return 0
    size = _whole_number(cards.get("PCOUNT", 0), "PCOUNT", path)
    product = 1
    for number, axis in enumerate(axes, start=1):
        product *= _whole_number(axis, f"NAXIS{number}", path)
    bits = abs(int(cards["BITPIX"])) if isinstance(cards.get("BITPIX"), int) else 8
    return bits // 8 * (product + size)


def _whole_number(value: CardValue, keyword: str, path: Path, *, below: int = 1 << 48) -> int:
    """Return a card that counts something, as a number that can be one."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < below:
        raise RawFileError(
            f"{path}: the FITS header has {keyword} = {value!r}, not a count; "
            "copy the file again from its source"
        )
    return value


def read_hdus(path: Path) -> list[FitsHdu]:
    """
    Read all headers of a FITS file, skipping the data.

    Raises
    ------
    RawFileError
        If the file is empty, is not FITS, or ends inside a header.
    InputError
        If it cannot be opened or read, which says nothing about the file.
    """
    try:
        with path.open("rb") as file:
            return list(_walk_hdus(file, path))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}); check the path and its rights"
        ) from error


def _walk_hdus(file: BinaryIO, path: Path) -> Iterator[FitsHdu]:
    """Yield the units of a file until it ends or something follows that is not an extension."""
    start = file.read(6)
    if not start:
        raise RawFileError(f"{path}: the file is empty; copy it again from its source")
    if start != b"SIMPLE":
        raise RawFileError(f"{path}: not a FITS file (it starts with {start!r}); check what was copied here")
    size = os.fstat(file.fileno()).st_size
    offset = 0
    while offset < size:
        file.seek(offset)
        if offset and file.read(8) != b"XTENSION":
            return
        file.seek(offset)
        cards = _read_cards(file, path)
        hdu = FitsHdu(cards, offset, file.tell(), _data_size(cards, path))
        yield hdu
        offset = hdu.end


def expected_size(hdus: list[FitsHdu]) -> int:
    """Return the size [bytes] of a file with these units."""
    return hdus[-1].end


def fold_sum(total: int) -> int:
    """Fold a sum of 32-bit words to 32 bits, adding every carry at the low end."""
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def data_sum(file: BinaryIO, offset: int, size: int) -> int:
    """
    Return the checksum of a part of a file that starts at a whole 32-bit word of the data unit.

    The sum is the ones' complement sum of the big-endian 32-bit words (FITS standard 4.0, appendix J).

    Parameters
    ----------
    file : binary file
        Must be open for reading; its position is moved.
    offset, size : int
        The part [bytes]; missing bytes at its end count as zeros.
    """
    buffer = np.zeros(_CHUNK // 8, dtype="<u8")
    file.seek(offset)
    total = 0
    while size > 0:
        wanted = min(size, _CHUNK)
        n_read = file.readinto(memoryview(buffer).cast("B")[:wanted])
        if not n_read:
            break
        buffer.view(np.uint8)[n_read : -(-n_read // 8) * 8] = 0
        words = buffer[: -(-n_read // 8)].byteswap(inplace=True)
        # The halves of 131 072 words of 64 bits cannot overflow their sums.
        total += int((words & np.uint64(0xFFFFFFFF)).sum()) + int((words >> np.uint64(32)).sum())
        size -= n_read
    return fold_sum(total)
