"""Encoders of the column blocks of a zfits tile: the inverse of `sst1m.io.codecs`."""

import heapq
import struct
import zlib
from collections.abc import Callable

import numpy as np
import zstandard
from numba import njit
from numpy.typing import NDArray

from sst1m.io.codecs import (
    DIFFERENCE,
    DOUBLE_DIFFERENCE,
    HALFMAN16,
    HUFFMAN16,
    OFFSET_128,
    RAW,
    SMOOTHING,
    SPLIT_HI_LO_16,
    SPLIT_HI_LO_32,
    ZLIB,
    ZSTD,
)

__all__ = ["encode_block"]

# The fastest levels: noise does not get smaller by trying harder.
_ZLIB_LEVEL = 1
_ZSTD_LEVEL = 1


def _code_lengths(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """
    Return the lengths [bits] of the Huffman codes of symbols with these counts.

    Parameters
    ----------
    counts : ndarray, shape=(n_symbols,)
        At least two symbols.
    """
    n_symbols = len(counts)
    parents = np.zeros(2 * n_symbols - 1, dtype=np.int64)
    heap = [(int(count), number) for number, count in enumerate(counts)]
    heapq.heapify(heap)
    for node in range(n_symbols, 2 * n_symbols - 1):
        (first, one), (second, two) = heapq.heappop(heap), heapq.heappop(heap)
        parents[one] = parents[two] = node
        heapq.heappush(heap, (first + second, node))
    lengths = np.zeros(2 * n_symbols - 1, dtype=np.int64)
    for node in range(2 * n_symbols - 3, -1, -1):  # parents have higher numbers, the root is the last
        lengths[node] = lengths[parents[node]] + 1
    return lengths[:n_symbols]


def _codes(lengths: NDArray[np.int64]) -> list[int]:
    """Return prefix codes of these lengths, the bit that is read first being the lowest one."""
    codes = [0] * len(lengths)
    code = previous = 0
    for number in np.argsort(lengths, kind="stable"):
        length = int(lengths[number])
        code <<= length - previous
        codes[number] = int(f"{code:0{length}b}"[::-1], 2)
        code, previous = code + 1, length
    return codes


@njit(cache=True)
def _pack(
    words: NDArray[np.uint16], codes: NDArray[np.uint64], lengths: NDArray[np.int64], out: NDArray[np.uint8]
) -> None:
    """Write the codes of all words as one stream of bits, lowest bit first."""
    pending, n_pending, position = np.uint64(0), 0, 0
    for word in words:
        pending |= codes[word] << np.uint64(n_pending)
        n_pending += lengths[word]
        while n_pending >= 8:
            out[position] = np.uint8(pending & np.uint64(255))
            position += 1
            pending >>= np.uint64(8)
            n_pending -= 8
    if n_pending > 0:
        out[position] = np.uint8(pending & np.uint64(255))


def _huffman_stream(data: NDArray[np.uint8]) -> bytes:
    """Return one Huffman stream: the number of 16-bit words, the code table, the bits."""
    words = data.view("<u2")
    symbols, counts = np.unique(words, return_counts=True)
    head = struct.pack("<QQ", len(words), len(symbols))
    if len(symbols) < 2:
        return head + symbols.tobytes()
    lengths = _code_lengths(counts)
    codes = _codes(lengths)
    table = b"".join(
        struct.pack("<HB", int(symbol), int(length)) + code.to_bytes(-(-int(length) // 8), "little")
        for symbol, length, code in zip(symbols, lengths, codes, strict=True)
    )
    all_codes, all_lengths = np.zeros(1 << 16, dtype=np.uint64), np.zeros(1 << 16, dtype=np.int64)
    all_codes[symbols], all_lengths[symbols] = codes, lengths
    stream = np.empty(-(-int(counts @ lengths) // 8), dtype=np.uint8)
    _pack(words, all_codes, all_lengths, stream)
    return head + table + stream.tobytes()


def _huffman16(data: NDArray[np.uint8]) -> bytes:
    """Return one Huffman stream after its size."""
    stream = _huffman_stream(data)
    return struct.pack("<I", len(stream)) + stream


def _halfman16(data: NDArray[np.uint8]) -> bytes:
    """Return two Huffman streams, one for each half of the words, after their sizes."""
    middle = data.size // 4 * 2
    first, second = _huffman_stream(data[:middle]), _huffman_stream(data[middle:])
    return struct.pack("<II", len(first), len(second)) + first + second


def _difference(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Replace each 16-bit word but the first by its difference to the one before."""
    words = data.view("<i2")
    return np.diff(words, prepend=words.dtype.type(0)).view(np.uint8)


def _smooth(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Subtract the mean of the two words before, rounded towards zero."""
    words = data.view("<i2")
    means = np.fix((words[1:-1].astype(np.int64) + words[:-2]) / 2).astype(np.int64)
    return np.concatenate([words[:2], (words[2:] - means).astype("<i2")]).view(np.uint8)


def _split(data: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Put the low halves of all words of `size` bytes before the high halves."""
    half = size // 2
    return np.ascontiguousarray(data.reshape(-1, 2, half).transpose(1, 0, 2)).ravel()


_SINKS: dict[int, Callable[[NDArray[np.uint8]], bytes]] = {
    RAW: lambda data: data.tobytes(),
    HUFFMAN16: _huffman16,
    ZLIB: lambda data: zlib.compress(data.tobytes(), _ZLIB_LEVEL),
    HALFMAN16: _halfman16,
    ZSTD: lambda data: zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(data.tobytes()),
}
_TRANSFORMS: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    SMOOTHING: _smooth,
    DIFFERENCE: _difference,
    DOUBLE_DIFFERENCE: lambda data: _difference(_difference(data)),
    SPLIT_HI_LO_16: lambda data: _split(data, 2),
    SPLIT_HI_LO_32: lambda data: _split(data, 4),
    OFFSET_128: lambda data: (data.view("<i2") + np.int16(128)).view(np.uint8),
}


def encode_block(codes: tuple[int, ...], data: bytes) -> bytes:
    """
    Return a block of a zfits tile, header included.

    Parameters
    ----------
    codes : tuple of int
        Steps to apply, the last one being one that makes bytes (`RAW`, `ZLIB`, `ZSTD`, `HUFFMAN16`,
        `HALFMAN16`).
    data : bytes
        The column; whole 16-bit words for every step but `RAW`, `ZLIB` and `ZSTD`.
    """
    values = np.frombuffer(data, dtype=np.uint8)
    for code in codes[:-1]:
        values = _TRANSFORMS[code](values)
    payload = _SINKS[codes[-1]](values)
    size = 10 + 2 * len(codes) + len(payload)
    return struct.pack(f"<QcB{len(codes)}H", size, b"C", len(codes), *codes) + payload
