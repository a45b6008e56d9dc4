"""
Read single columns of a zfits table: protobuf messages, spread over the columns of a compressed FITS table.

The data of the table start with a catalogue of the tiles, then follow the tiles. A tile holds a fixed
number of messages: a header, then one block per column. A block names the steps that compressed it, see
`sst1m.io.codecs`. A scalar column stores its values one after the other, an array column stores for every
message the number of bytes and the bytes.

Reading by column leaves alone what is not asked for, and needs no message object per event.
"""

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sst1m.errors import InputError, RawFileError
from sst1m.io.codecs import SUPPORTED_CODES, decode_block
from sst1m.io.fits_header import FitsHdu

__all__ = ["ZfitsColumn", "ZfitsTable"]

_ITEM_SIZE = {"L": 1, "A": 1, "B": 1, "I": 2, "J": 4, "E": 4, "K": 8, "D": 8}
_TILE_HEADER = struct.Struct("<4sIQ")
_BLOCK_HEADER = struct.Struct("<QcB")
_MAX_TILES = 1 << 20
_PADDING = 16  # a writer may fill up a column before it compresses it
_WAY_OUT = "copy the file again from its source"


@dataclass(frozen=True)
class ZfitsColumn:
    """One column: its place in the tiles, and the size of one value [bytes]."""

    name: str
    number: int
    item_size: int


def _columns(hdu: FitsHdu, path: Path) -> dict[str, ZfitsColumn]:
    """Return the columns that a header lists."""
    columns = {}
    n_columns = hdu.cards.get("TFIELDS")
    if (
        not isinstance(n_columns, int)
        or not 0 < n_columns < 1000
        or hdu.cards.get("NAXIS1") != 16 * n_columns
    ):
        raise RawFileError(
            f"{path}: the header does not describe a zfits catalogue (NAXIS1, TFIELDS); {_WAY_OUT}"
        )
    for number in range(n_columns):
        name, form = hdu.cards.get(f"TTYPE{number + 1}"), str(hdu.cards.get(f"ZFORM{number + 1}"))
        match = re.fullmatch(r"\d*([A-Z])", form)
        if not isinstance(name, str) or match is None or match[1] not in _ITEM_SIZE:
            raise RawFileError(
                f"{path}: column {number + 1} has no usable TTYPE and ZFORM ({form!r}); {_WAY_OUT}"
            )
        columns[name] = ZfitsColumn(name, number, _ITEM_SIZE[match[1]])
    return columns


class ZfitsTable:
    """
    The tiles of a zfits table.

    Parameters
    ----------
    path : Path
        The file.
    hdu : FitsHdu
        The header-data unit of the table.

    Attributes
    ----------
    columns : dict of str to ZfitsColumn
        The columns by name.
    tile_starts : ndarray, shape=(n_tiles + 1,)
        First row of each tile, and the number of rows.

    Raises
    ------
    RawFileError
        If the catalogue or the header of a tile contradicts the header of the table.
    """

    def __init__(self, path: Path, hdu: FitsHdu) -> None:
        self.path = path
        self.columns = _columns(hdu, path)
        self._hdu = hdu
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read ({error.strerror or error}); check its rights"
            ) from error
        try:
            self._heap = hdu.data_offset + self._count("ZHEAPPTR")
            self._catalogue = self._read_catalogue()
            self.tile_starts = self._read_tile_starts()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def is_decodable(self, names: list[str]) -> bool:
        """Tell whether all blocks of some columns are compressed with steps that we can undo."""
        if self._hdu.cards.get("ZSHRINK", 1) != 1:
            return False  # then a row of the catalogue stands for several tiles
        return all(
            SUPPORTED_CODES.issuperset(self._block_codes(tile, self.columns[name]))
            for name in names
            for tile in range(self.n_tiles)
        )

    @property
    def n_tiles(self) -> int:
        """Number of tiles."""
        return len(self._catalogue)

    def read(self, tile: int, name: str, dtype: DTypeLike, n_items: int) -> NDArray:
        """
        Return the values of one column in one tile.

        Parameters
        ----------
        tile : int
            Number of the tile.
        name : str
            Name of the column.
        dtype : dtype-like
            Type of its values; must have the size that the header gives.
        n_items : int
            Values per row: 0 for a scalar column, else the length that every row must have.

        Returns
        -------
        values : ndarray, shape=(n_rows,) or (n_rows, n_items)
            May be a view of the decoded bytes, in which rows do not follow each other without a gap.

        Raises
        ------
        RawFileError
            If the block is damaged, or a row has another length.
        """
        dtype = np.dtype(dtype)
        if self.columns[name].item_size != dtype.itemsize:
            raise RawFileError(
                f"{self.path}: column {name} does not hold values of {dtype.itemsize} bytes; {_WAY_OUT}"
            )
        n_rows = int(self.tile_starts[tile + 1] - self.tile_starts[tile])
        row_size = dtype.itemsize if n_items == 0 else 4 + n_items * dtype.itemsize
        data = self._decode(tile, self.columns[name], n_rows * row_size + _PADDING)
        if n_items == 0:
            self._check_length(tile, name, data, n_rows * row_size)
            return data[: n_rows * row_size].view(dtype)
        row = self._first_odd_row(data, n_rows, row_size)
        if row is not None:
            raise RawFileError(
                f"{self.path}: event {self.tile_starts[tile] + row} does not have {n_items} values "
                f"in {name}; {_WAY_OUT}"
            )
        return data[: n_rows * row_size].reshape(n_rows, row_size)[:, 4:].view(dtype)

    def read_block(self, tile: int, name: str) -> bytes:
        """Return the compressed bytes of one column in one tile, with the header of the block."""
        return self._block(tile, self.columns[name])[0]

    def _decode(self, tile: int, column: ZfitsColumn, limit: int) -> NDArray[np.uint8]:
        """Return the uncompressed bytes of a block."""
        block, codes = self._block(tile, column)
        try:
            return decode_block(codes, memoryview(block)[_BLOCK_HEADER.size + 2 * len(codes) :], limit)
        except RawFileError as error:
            raise self._damaged(tile, column.name, str(error)) from error

    def _damaged(self, tile: int, name: str, reason: str) -> RawFileError:
        """Return the error of a damaged block."""
        return RawFileError(f"{self.path}: tile {tile}, column {name}: {reason}; {_WAY_OUT}")

    def _check_length(self, tile: int, name: str, data: NDArray[np.uint8], wanted: int) -> None:
        """Raise if a block decoded to less than its rows need."""
        if data.size < wanted:
            raise self._damaged(tile, name, f"it decodes to {data.size} bytes, {wanted} are needed")

    @staticmethod
    def _first_odd_row(data: NDArray[np.uint8], n_rows: int, row_size: int) -> int | None:
        """Return the first row of an array column that does not have its size, None if all have."""
        n_whole = min(n_rows, data.size // row_size)
        sizes = np.ascontiguousarray(data[: n_whole * row_size].reshape(n_whole, row_size)[:, :4]).view(
            "<u4"
        )[:, 0]
        odd = np.flatnonzero(sizes != row_size - 4)
        if odd.size:
            return int(odd[0])
        return None if n_whole == n_rows else n_whole

    def _block(self, tile: int, column: ZfitsColumn) -> tuple[bytes, tuple[int, ...]]:
        """Return the bytes of a block, header included, and the steps that compressed it."""
        size, offset = self._block_place(tile, column)
        block = self._read(self._heap + offset, size)
        return block, self._codes(tile, column, block, size)

    def _block_codes(self, tile: int, column: ZfitsColumn) -> tuple[int, ...]:
        """Return the steps that compressed a block, from its header alone."""
        size, offset = self._block_place(tile, column)
        return self._codes(tile, column, self._read(self._heap + offset, min(size, 64)), size)

    def _block_place(self, tile: int, column: ZfitsColumn) -> tuple[int, int]:
        """Return size and offset of a block in the heap, according to the catalogue."""
        size, offset = (int(value) for value in self._catalogue[tile, column.number])
        if not self._is_inside(offset, size) or size < _BLOCK_HEADER.size:
            raise self._damaged(
                tile, column.name, f"the catalogue points outside the file ({size} bytes at {offset})"
            )
        return size, offset

    def _codes(self, tile: int, column: ZfitsColumn, start: bytes, catalogue_size: int) -> tuple[int, ...]:
        """Return the steps that the header of a block names."""
        size, ordering, n_codes = _BLOCK_HEADER.unpack_from(start)
        end = _BLOCK_HEADER.size + 2 * n_codes
        if size != catalogue_size or ordering not in (b"C", b"R") or n_codes == 0 or end > len(start):
            raise self._damaged(tile, column.name, "the header of the block is damaged")
        return struct.unpack_from(f"<{n_codes}H", start, _BLOCK_HEADER.size)

    def _is_inside(self, offset: int, size: int) -> bool:
        """Tell whether a part of the heap is inside the data of the table."""
        end = self._hdu.data_offset + self._hdu.data_size - self._heap
        return offset >= 0 and size >= 0 and offset + size <= end

    def _read(self, offset: int, size: int) -> bytes:
        """Read bytes of the file; that it is too short is its own fault, what the disk refuses is not."""
        try:
            data = os.pread(self._file.fileno(), size, offset)
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot be read ({error.strerror or error}); check the disk"
            ) from error
        if len(data) < size:
            raise RawFileError(
                f"{self.path}: ends at {offset + len(data)} of {offset + size} bytes; {_WAY_OUT}"
            )
        return data

    def _count(self, keyword: str) -> int:
        """Return a card that counts something inside the data of the table."""
        value = self._hdu.cards.get(keyword)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= self._hdu.data_size:
            raise RawFileError(f"{self.path}: the header has {keyword} = {value!r}; {_WAY_OUT}")
        return value

    def _read_catalogue(self) -> NDArray[np.int64]:
        """Read size and offset of every block, shape=(n_tiles, n_columns, 2)."""
        n_tiles = self._count("NAXIS2")
        size = 16 * n_tiles * len(self.columns)
        if n_tiles > _MAX_TILES or size > self._hdu.data_size:
            raise RawFileError(f"{self.path}: the header has NAXIS2 = {n_tiles}; {_WAY_OUT}")
        data = np.frombuffer(self._read(self._hdu.data_offset, size), dtype=">i8")
        return data.astype(np.int64).reshape(n_tiles, len(self.columns), 2)

    def _tile_rows(self) -> Iterator[int]:
        """Yield the number of rows of each tile, from the header that stands before its first block."""
        for tile, blocks in enumerate(self._catalogue):
            offset = int(blocks[blocks[:, 0] > 0, 1].min(initial=2**62)) - _TILE_HEADER.size
            if not self._is_inside(offset, _TILE_HEADER.size):
                raise RawFileError(
                    f"{self.path}: the catalogue points outside the file for tile {tile}; {_WAY_OUT}"
                )
            mark, n_rows, _ = _TILE_HEADER.unpack(self._read(self._heap + offset, _TILE_HEADER.size))
            if mark != b"TILE":
                raise RawFileError(
                    f"{self.path}: no tile where the catalogue says that tile {tile} is; {_WAY_OUT}"
                )
            yield n_rows

    def _read_tile_starts(self) -> NDArray[np.int64]:
        """Return the first row of every tile, and the number of rows."""
        starts = np.concatenate([[0], np.cumsum(np.fromiter(self._tile_rows(), dtype=np.int64))])
        n_rows = self._hdu.cards.get("ZNAXIS2")
        if self._hdu.cards.get("ZSHRINK", 1) == 1 and starts[-1] != n_rows:
            raise RawFileError(
                f"{self.path}: the tiles hold {starts[-1]} events, the header says {n_rows}; {_WAY_OUT}"
            )
        return starts
