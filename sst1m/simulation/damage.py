"""Raw files damaged at random, as disks, copies and programs damage them, for campaigns of tests."""

import io
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..io.fits_header import BLOCK_SIZE, data_sum, read_hdus
from ..io.raw_header import read_raw_header

__all__ = ["WAYS", "Damage", "RawDamage"]

_CARD, _SECTOR = 80, 512
#: Cards that count something; a wrong one sends a reader to a wrong place.
_COUNTS = (
    *("BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "TFIELDS", "THEAP"),
    *("ZNAXIS1", "ZNAXIS2", "ZTILELEN", "ZHEAPPTR", "ZSHRINK", "DATASUM"),
)
_WRONG_COUNTS = (0, 1, 2, -1, 7, 255, 65_535, 2**31 - 1, 2**31, 2**47, 2**63 - 1, 10**19)


@dataclass(frozen=True)
class Damage:
    """
    A damaged file.

    Parameters
    ----------
    way : str
        One of `WAYS`.
    content : bytes
        Of the whole file.
    checksum_holds : bool
        Whether the checksum of the events was made right again: what was changed cannot be seen then.
    """

    way: str
    content: bytes
    checksum_holds: bool = False


class RawDamage:
    """
    Damages copies of a raw file.

    Parameters
    ----------
    path : Path
        A good raw file with checksums.
    seed : int
        Of the random numbers: the same seed and number give the same damage.
    """

    def __init__(self, path: Path, seed: int) -> None:
        self._content, self._seed = path.read_bytes(), seed
        self._events = read_raw_header(path).events
        self._boundaries = sorted(self._structure(path))

    def _structure(self, path: Path) -> set[int]:
        """Return where headers, data, tiles and columns begin and end."""
        places = {0, len(self._content)}
        for hdu in read_hdus(path):
            places |= {hdu.header_offset, hdu.data_offset, hdu.data_offset + hdu.data_size, hdu.end}
        start, cards = self._events.data_offset, self._events.cards
        heap = start + int(str(cards["THEAP"]))
        catalogue = np.frombuffer(self._content[start:heap], dtype=">i8").reshape(-1, 2)
        places |= {heap + int(offset) for _, offset in catalogue}
        return places | set(range(0, start + 1, BLOCK_SIZE))

    def make(self, number: int) -> Damage:
        """Return a damage; the ways take turns."""
        way = list(WAYS)[number % len(WAYS)]
        rng = np.random.default_rng([self._seed, number])
        return Damage(way, WAYS[way](self, rng), checksum_holds=way.endswith("_with_sum"))

    def _place(self, rng: np.random.Generator, events_only: bool = False) -> int:
        start, stop = (self._events.data_offset, self._events.end) if events_only else (0, len(self._content))
        return int(rng.integers(start, stop))

    def bits(self, rng: np.random.Generator, n_bits: int, events_only: bool = False) -> bytes:
        """Flip bits at random places."""
        content = bytearray(self._content)
        for _ in range(n_bits):
            content[self._place(rng, events_only)] ^= 1 << int(rng.integers(8))
        return bytes(content)

    def cut(self, rng: np.random.Generator, at_structure: bool) -> bytes:
        """Leave out the end, from anywhere, or from near a boundary of the format."""
        if not at_structure:
            return self._content[: self._place(rng)]
        place = int(rng.choice(self._boundaries)) + int(rng.integers(-1, 2))
        return self._content[: min(max(place, 0), len(self._content) - 1)]

    def sector(self, rng: np.random.Generator, moved: bool) -> bytes:
        """Lose some sectors to zeros, or to other sectors of the file."""
        size = _SECTOR * int(rng.integers(1, 9))
        place, other = (self._place(rng) // _SECTOR * _SECTOR for _ in range(2))
        piece = self._content[other : other + size] if moved else bytes(size)
        whole = self._content[:place] + piece + self._content[place + len(piece) :]
        return whole[: len(self._content)]

    def shifted(self, rng: np.random.Generator) -> bytes:
        """Insert or leave out a few bytes in the middle."""
        place, n_bytes = self._place(rng), int(rng.integers(1, 9))
        if rng.random() < 0.5:
            return self._content[:place] + rng.bytes(n_bytes) + self._content[place:]
        return self._content[:place] + self._content[place + n_bytes :]

    def count(self, rng: np.random.Generator) -> bytes:
        """Give a card of the events' header a wrong count."""
        start, stop = self._events.header_offset, self._events.data_offset
        head = self._content[start:stop]
        name = str(rng.choice([name for name in _COUNTS if f"{name:<8}= ".encode() in head]))
        value = f"{int(rng.choice(np.array(_WRONG_COUNTS, dtype=object))):>20}".encode()
        pattern = re.compile(f"({name:<8}= ).{{20}}".encode())
        return self._content[:start] + pattern.sub(rb"\g<1>" + value, head, count=1) + self._content[stop:]

    def with_sum(self, content: bytes) -> bytes:
        """Make the checksum of the events right again, as a program would that writes nonsense."""
        events = self._events
        total = data_sum(
            io.BytesIO(content[events.data_offset : events.end]), 0, events.end - events.data_offset
        )
        head = content[events.header_offset : events.data_offset]
        place = head.index(b"DATASUM = ")
        card = f"DATASUM = '{total}'".ljust(_CARD).encode()
        changed = head[:place] + card + head[place + _CARD :]
        return content[: events.header_offset] + changed + content[events.data_offset :]

    def catalogue(self, rng: np.random.Generator) -> bytes:
        """Give a column of a tile a wrong place or length."""
        start = self._events.data_offset
        n_words = int(str(self._events.cards["THEAP"])) // 8
        place = start + 8 * int(rng.integers(n_words))
        wrong = struct.pack(">q", int(rng.choice([0, 1, -1, 2**31, 2**62, len(self._content)])))
        return self._content[:place] + wrong + self._content[place + 8 :]


#: Ways of damage by name; those that end with ``_with_sum`` have a checksum that holds.
WAYS: dict[str, Callable[[RawDamage, np.random.Generator], bytes]] = {
    "bit": lambda raw, rng: raw.bits(rng, 1),
    "bit_of_events": lambda raw, rng: raw.bits(rng, 1, events_only=True),
    "bits": lambda raw, rng: raw.bits(rng, int(rng.integers(2, 20))),
    "cut": lambda raw, rng: raw.cut(rng, at_structure=False),
    "cut_at_structure": lambda raw, rng: raw.cut(rng, at_structure=True),
    "lost_sectors": lambda raw, rng: raw.sector(rng, moved=False),
    "moved_sectors": lambda raw, rng: raw.sector(rng, moved=True),
    "shifted": lambda raw, rng: raw.shifted(rng),
    "count": lambda raw, rng: raw.count(rng),
    "bits_with_sum": lambda raw, rng: raw.with_sum(raw.bits(rng, int(rng.integers(1, 20)), events_only=True)),
    "catalogue_with_sum": lambda raw, rng: raw.with_sum(raw.catalogue(rng)),
}
