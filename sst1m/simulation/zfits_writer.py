"""
Write zfits tables: the compressed FITS container of raw files.

A table grows tile by tile in a temporary file, so that the memory needed does not depend on the number of
events; when all tiles are known the headers and the catalogue are put before them. The bytes depend on the
content alone.
"""

import os
import shutil
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from sst1m.errors import OutputError
from sst1m.io.fits_header import BLOCK_SIZE, CardValue, data_sum, fold_sum
from sst1m.simulation.raw_encoders import encode_block

__all__ = ["ColumnSpec", "TableSpool", "write_zfits"]

_CARD_SIZE = 80
_NO_CHECKSUM = "0" * 16


@dataclass(frozen=True)
class ColumnSpec:
    """
    One column of a zfits table.

    Attributes
    ----------
    name : str
        Path of the protobuf field, joined by underscores.
    protobuf_id : str
        Numbers of the protobuf fields, joined by dots.
    form : str
        Values per row and letter of their type, as in ``1296I``.
    offset : int or None
        Content of ``TZERO``, which marks unsigned values but is never added; None for signed values.
    codes : tuple of int
        Compression steps.
    """

    name: str
    protobuf_id: str
    form: str
    offset: int | None = None
    codes: tuple[int, ...] = (0,)

    def encode(self, values: NDArray) -> bytes:
        """Return the block of one tile: scalars one after the other, arrays after their numbers of bytes."""
        values = np.ascontiguousarray(values)
        if values.ndim == 1:
            return encode_block(self.codes, values.tobytes())
        rows = values.view(np.uint8).reshape(len(values), -1)
        sizes = np.full((len(values), 1), rows.shape[1], dtype="<u4").view(np.uint8)
        return encode_block(self.codes, np.hstack([sizes, rows]).tobytes())


class TableSpool:
    """
    The tiles of a table that is being written.

    Parameters
    ----------
    path : Path
        Temporary file of the tiles; removed by `close`.
    name, message : str
        Name of the extension, and of the protobuf message.
    columns : sequence of ColumnSpec
        The columns.
    rows_per_tile : int
        Number of rows of every tile but the last.
    """

    def __init__(
        self, path: Path, name: str, message: str, columns: Sequence[ColumnSpec], rows_per_tile: int
    ) -> None:
        self.name, self.message, self.columns, self.rows_per_tile = (
            name,
            message,
            tuple(columns),
            rows_per_tile,
        )
        self.n_rows = 0
        self._catalogue: list[int] = []
        self._size = 0
        self._path = path
        self._file = path.open("wb+")

    def add_tile(self, values: Mapping[str, NDArray]) -> None:
        """Compress and append a tile, from arrays of shape (n_rows,) or (n_rows, n_items)."""
        n_rows = len(values[self.columns[0].name])
        self.add_blocks(n_rows, [column.encode(values[column.name]) for column in self.columns])

    def add_blocks(self, n_rows: int, blocks: Sequence[bytes]) -> None:
        """Append a tile of blocks that are compressed already, one per column."""
        if self.n_rows % self.rows_per_tile:
            raise ValueError("only the last tile of a table can be shorter than the others")
        header = struct.pack("<4sIQ", b"TILE", n_rows, sum(len(block) for block in blocks))
        self._file.write(header)
        self._size += len(header)
        for block in blocks:
            self._catalogue += [len(block), self._size]
            self._file.write(block)
            self._size += len(block)
        self.n_rows += n_rows

    def close(self) -> None:
        """Remove the temporary file."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, file: BinaryIO, cards: Mapping[str, CardValue]) -> None:
        """Append the table to a FITS file, with further cards in its header."""
        start = file.tell()
        header = self._header(cards)
        file.write(_header_bytes(header))
        data_offset = file.tell()
        file.write(np.array(self._catalogue, dtype=">i8").tobytes())
        self._file.seek(0)
        shutil.copyfileobj(self._file, file, 1 << 20)
        file.write(bytes(-(file.tell() - data_offset) % BLOCK_SIZE))
        end = file.tell()
        complete = _with_checksums(header, data_sum(file, data_offset, end - data_offset))
        file.seek(start)
        file.write(_header_bytes(complete))
        file.seek(end)

    def _header(self, cards: Mapping[str, CardValue]) -> dict[str, CardValue]:
        """Return the cards of the table, with placeholders for the checksums."""
        n_tiles = len(self._catalogue) // (2 * len(self.columns))
        catalogue_size = 8 * len(self._catalogue)
        header: dict[str, CardValue] = {
            "XTENSION": "BINTABLE",
            "BITPIX": 8,
            "NAXIS": 2,
            "NAXIS1": 16 * len(self.columns),
            "NAXIS2": n_tiles,
            "PCOUNT": self._size,
            "GCOUNT": 1,
            "TFIELDS": len(self.columns),
            "EXTNAME": self.name,
            "CHECKSUM": _NO_CHECKSUM,
            "DATASUM": "0",
            "ZTABLE": True,
            "ZNAXIS1": sum(_row_size(column.form) for column in self.columns),
            "ZNAXIS2": self.n_rows,
            "ZPCOUNT": 0,
            "ZHEAPPTR": catalogue_size,
            "ZTILELEN": self.rows_per_tile,
            "THEAP": catalogue_size,
            "RAWSUM": "0",
            "ZSHRINK": 1,
            "ORIGIN": "CTA",
            "PBFHEAD": self.message,
            **cards,
        }
        for number, column in enumerate(self.columns, start=1):
            header |= {f"TFORM{number}": "1QB", f"TTYPE{number}": column.name}
            if column.offset is not None:
                header[f"TZERO{number}"] = column.offset
            header |= {
                f"ZFORM{number}": column.form,
                f"ZCTYP{number}": "CTA",
                f"TPBID{number}": column.protobuf_id,
            }
        return header


def _row_size(form: str) -> int:
    """Return the bytes of one row of a column."""
    return int(form[:-1]) * {"B": 1, "I": 2, "J": 4, "K": 8}[form[-1]]


def _card(keyword: str, value: CardValue) -> str:
    """Return one card of a header."""
    if isinstance(value, bool):
        text = f"{'T' if value else 'F':>20}"
    elif isinstance(value, str):
        text = f"'{value.replace(chr(39), 2 * chr(39)):<8}'"
    else:
        text = f"{value!r:>20}"
    card = f"{keyword:<8}= {text}"
    if len(card) > _CARD_SIZE:
        raise ValueError(f"the value of {keyword} does not fit into a FITS card: {value!r}")
    return f"{card:<{_CARD_SIZE}}"


def _header_bytes(cards: Mapping[str, CardValue]) -> bytes:
    """Return a header, filled up to whole blocks."""
    text = "".join(_card(keyword, value) for keyword, value in cards.items()) + f"{'END':<{_CARD_SIZE}}"
    return (text + " " * (-len(text) % BLOCK_SIZE)).encode("ascii")


def _with_checksums(cards: Mapping[str, CardValue], datasum: int) -> dict[str, CardValue]:
    """Return the cards with the checksum of the data, and the one that makes the whole unit sum up to -0."""
    complete = {**cards, "CHECKSUM": _NO_CHECKSUM, "DATASUM": str(datasum)}
    words = np.frombuffer(_header_bytes(complete), dtype=">u4")
    total = fold_sum(int(words.sum(dtype=np.uint64)) + datasum)
    complete["CHECKSUM"] = _encode_checksum(~total & 0xFFFFFFFF)
    return complete


def _encode_checksum(value: int) -> str:
    """Return 16 letters and digits whose bytes add up to a checksum (FITS standard 4.0, appendix J)."""
    columns = []
    for byte in value.to_bytes(4, "big"):
        quarters = [byte // 4 + ord("0") + (byte % 4 if i == 0 else 0) for i in range(4)]
        # Pairs are moved apart until none is a punctuation mark; their sum stays.
        while any(chr(q) in ":;<=>?@[\\]^_`" for q in quarters):
            for i in (0, 2):
                if any(chr(q) in ":;<=>?@[\\]^_`" for q in quarters[i : i + 2]):
                    quarters[i] += 1
                    quarters[i + 1] -= 1
        columns.append(quarters)
    text = "".join(chr(columns[byte][quarter]) for quarter in range(4) for byte in range(4))
    # The value starts at the twelfth byte of its card: one place to the right aligns it with the words.
    return text[-1] + text[:-1]


def write_zfits(path: Path, tables: Sequence[tuple[TableSpool, Mapping[str, CardValue]]]) -> None:
    """
    Put tables together to a FITS file, which appears under its name only when it is complete.

    Parameters
    ----------
    path : Path
        The file; replaced if it exists.
    tables : sequence of (TableSpool, mapping)
        The tables in order, each with further cards of its header.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    primary: dict[str, CardValue] = {"SIMPLE": True, "BITPIX": 8, "NAXIS": 0, "EXTEND": True}
    primary |= {"CHECKSUM": _NO_CHECKSUM, "DATASUM": "0"}
    temporary = path.with_name(f".part{os.getpid()}.{path.name}")
    try:
        try:
            with temporary.open("wb+") as file:
                file.write(_header_bytes(_with_checksums(primary, 0)))
                for spool, cards in tables:
                    spool.write(file, cards)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{path}: cannot be written ({reason}); check disk space and rights") from error
