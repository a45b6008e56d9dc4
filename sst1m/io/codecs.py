"""
Decoders of the column blocks of a zfits tile.

A block names a chain of steps, in the order in which the writer applied them: ``(3, 2)`` means that the
differences of neighbouring 16-bit words were taken and the result was Huffman coded. The last step of the
chain holds the bytes, so the reader starts there and walks the chain backwards. All words are
little-endian.

The numbers of the steps are those of the format's definition (enumeration ``CompressionProcess_t`` of the
ADH APIs, which extends that of the FACT telescope). Every decoder checks its input against the size that
the block may have, so that damaged bytes end in a `RawFileError`, never in a crash, an endless loop or an
allocation without limit.
"""

import struct
import zlib
from collections.abc import Callable

import numpy as np
import zstandard
from numba import njit
from numpy.typing import NDArray

from sst1m.errors import RawFileError

__all__ = [
    "DIFFERENCE",
    "DOUBLE_DIFFERENCE",
    "HALFMAN16",
    "HUFFMAN16",
    "OFFSET_128",
    "RAW",
    "SMOOTHING",
    "SPLIT_HI_LO_16",
    "SPLIT_HI_LO_32",
    "SUPPORTED_CODES",
    "ZLIB",
    "ZSTD",
    "decode_block",
]

RAW = 0
SMOOTHING = 1
HUFFMAN16 = 2
DIFFERENCE = 3
DOUBLE_DIFFERENCE = 4
SPLIT_HI_LO_16 = 5
ZLIB = 7
HALFMAN16 = 12
SPLIT_HI_LO_32 = 14
OFFSET_128 = 16
ZSTD = 23

_LOOKUP_BITS = 12
_LOOKUPS_PER_WINDOW = 5  # 5 x 12 bits always fit into a window of 64 bits
_OUTPUT_PADDING = 3 * _LOOKUPS_PER_WINDOW  # symbols that one window can write past the end
_MAX_CODE_BITS = 48
_MAX_SYMBOLS = 1 << 16


@njit(cache=True)
def _read_code_tree(table: NDArray[np.uint8], n_symbols: int) -> tuple[NDArray[np.int32], int]:
    """
    Read the code table into a binary tree.

    Returns
    -------
    children : ndarray, shape=(n_nodes, 2)
        Next node after bit 0 or 1; 0 where there is none, ``-1 - symbol`` for a leaf.
    position : int
        First byte after the table.
    """
    # A Huffman tree has n - 1 inner nodes; a table that needs more is not one.
    children = np.zeros((n_symbols, 2), dtype=np.int32)
    n_nodes, position = 1, 0
    for _ in range(n_symbols):
        if position + 3 > table.size:
            raise ValueError("the Huffman table is cut off")
        symbol = np.int32(table[position]) | (np.int32(table[position + 1]) << 8)
        n_bits = np.int64(table[position + 2])
        position += 3
        if n_bits < 1 or n_bits > _MAX_CODE_BITS or position + (n_bits + 7) // 8 > table.size:
            raise ValueError("the Huffman table holds a code of impossible length")
        node = 0
        for bit_number in range(n_bits):
            bit = (table[position + bit_number // 8] >> (bit_number % 8)) & 1
            child = children[node, bit]
            if child < 0 or (child > 0 and bit_number == n_bits - 1):
                raise ValueError("the Huffman table is ambiguous")
            if bit_number == n_bits - 1:
                children[node, bit] = -1 - symbol
            elif child == 0:
                if n_nodes == n_symbols:
                    raise ValueError("the Huffman table does not describe a tree")
                children[node, bit] = n_nodes
                node = n_nodes
                n_nodes += 1
            else:
                node = child
        position += (n_bits + 7) // 8
    return children, position


@njit(cache=True)
def _lookup_table(children: NDArray[np.int32]) -> NDArray[np.uint64]:
    """
    Return what every window of 12 bits decodes to.

    An entry holds up to three symbols in bits 0-47, their number in bits 48-55 and the bits they take in
    bits 56-63. The number is 0 where the first code is longer than the window; then bits 0-31 hold the node
    reached (0: no such code).
    """
    table = np.zeros(1 << _LOOKUP_BITS, dtype=np.uint64)
    for window in range(table.size):
        node, n_found, used = 0, 0, 0
        entry = np.uint64(0)
        for bit_number in range(_LOOKUP_BITS):
            node = np.int64(children[node, (window >> bit_number) & 1])
            if node == 0:
                break
            if node < 0:
                entry |= np.uint64(-1 - node) << np.uint64(16 * n_found)
                n_found, used, node = n_found + 1, bit_number + 1, 0
                if n_found == 3:
                    break
        if n_found == 0:
            entry, used = np.uint64(node), _LOOKUP_BITS
        table[window] = entry | (np.uint64(n_found) << np.uint64(48)) | (np.uint64(used) << np.uint64(56))
    return table


@njit(cache=True)
def _walk_long_code(
    words: NDArray[np.uint64], n_bits: int, children: NDArray[np.int32], node: int, position: int
) -> tuple[int, int]:
    """Return the symbol of a code longer than the window, from the node reached, and the bit after it."""
    while node > 0:
        if position >= n_bits:
            raise ValueError("the Huffman stream ends inside a code")
        bit = (words[position >> 6] >> np.uint64(position & 63)) & np.uint64(1)
        node = np.int64(children[node, np.int64(bit)])
        position += 1
    if node == 0:
        raise ValueError("the Huffman stream holds a code that its table does not know")
    return -1 - node, position


@njit(cache=True)
def _decode_symbols(
    words: NDArray[np.uint64],
    n_bits: int,
    table: NDArray[np.uint64],
    children: NDArray[np.int32],
    symbols: NDArray[np.uint16],
    n_symbols: int,
) -> None:
    """Decode a bit stream, lowest bit first; `words` has one word more than the stream needs."""
    mask = np.uint64((1 << _LOOKUP_BITS) - 1)
    position, n_done = 0, 0
    while n_done < n_symbols:
        if position >= n_bits:
            raise ValueError("the Huffman stream is shorter than its number of symbols")
        shift = np.uint64(position & 63)
        low, high = words[position >> 6], words[(position >> 6) + 1]
        # Two shifts, because shifting by 64 is undefined.
        window = (low >> shift) | ((high << np.uint64(1)) << (np.uint64(63) - shift))
        for _ in range(_LOOKUPS_PER_WINDOW):
            entry = table[window & mask]
            n_found = np.int64((entry >> np.uint64(48)) & np.uint64(255))
            if n_found == 0:
                node = np.int64(entry & np.uint64(0xFFFFFFFF))
                symbol, position = _walk_long_code(words, n_bits, children, node, position + _LOOKUP_BITS)
                symbols[n_done] = symbol
                n_done += 1
                break
            symbols[n_done] = np.uint16(entry)
            symbols[n_done + 1] = np.uint16(entry >> np.uint64(16))
            symbols[n_done + 2] = np.uint16(entry >> np.uint64(32))
            n_done += n_found
            used = entry >> np.uint64(56)
            position += np.int64(used)
            window >>= used


@njit(cache=True)
def _undo_difference(words: NDArray[np.int16]) -> None:
    """Sum up differences in place, modulo 2**16."""
    total = 0  # wider than the words: cutting only what is stored is faster and gives the same
    for i in range(words.size):
        total += words[i]
        words[i] = total


@njit(cache=True)
def _undo_smoothing(words: NDArray[np.int16]) -> None:
    """Add the mean of the two words before, rounded towards zero as in C, in place, modulo 2**16."""
    for i in range(2, words.size):
        total = np.int64(words[i - 1]) + np.int64(words[i - 2])
        mean = total // 2 if total >= 0 else -((-total) // 2)
        words[i] = np.int16(np.int64(words[i]) + mean)


def _stored(payload: memoryview, limit: int) -> NDArray[np.uint8]:
    """Return bytes stored as they are."""
    if len(payload) > limit:
        raise ValueError(f"{len(payload)} bytes where {limit} are possible")
    return np.frombuffer(payload, dtype=np.uint8)


def _inflate(payload: memoryview, limit: int) -> NDArray[np.uint8]:
    """Return what a zlib stream holds."""
    stream = zlib.decompressobj()
    data = stream.decompress(payload, limit + 1)
    if len(data) > limit or not stream.eof:
        raise ValueError(f"the zlib stream does not end within {limit} bytes")
    return np.frombuffer(data, dtype=np.uint8)


def _decompress_zstd(payload: memoryview, limit: int) -> NDArray[np.uint8]:
    """Return what one zstd frame holds."""
    size = zstandard.frame_content_size(payload)
    if size > limit:
        raise ValueError(f"the zstd frame declares {size} bytes where {limit} are possible")
    data = zstandard.ZstdDecompressor().decompress(payload, max_output_size=limit)
    return np.frombuffer(data, dtype=np.uint8)


def _huffman_stream(payload: memoryview, limit: int) -> NDArray[np.uint8]:
    """Return the 16-bit words of one Huffman stream: their number, the code table, the bits."""
    if len(payload) < 16:
        raise ValueError("the Huffman stream is cut off")
    n_words, n_symbols = struct.unpack_from("<QQ", payload)
    if 2 * n_words > limit or n_symbols > _MAX_SYMBOLS or (n_symbols == 0) != (n_words == 0):
        raise ValueError(
            f"a Huffman stream of {n_words} words and {n_symbols} symbols, {limit} bytes are possible"
        )
    body = np.frombuffer(payload, dtype=np.uint8, offset=16)
    if n_symbols < 2:
        # With a single symbol the table holds nothing else, and there is no bit stream.
        if n_symbols and body.size < 2:
            raise ValueError("the Huffman table is cut off")
        return np.tile(body[:2], n_words)
    children, start = _read_code_tree(body, n_symbols)
    stream = body[start:]
    words = np.zeros(stream.size // 8 + 3, dtype=np.uint64)
    words.view(np.uint8)[: stream.size] = stream
    symbols = np.empty(n_words + _OUTPUT_PADDING, dtype=np.uint16)
    _decode_symbols(words, 8 * stream.size, _lookup_table(children), children, symbols, n_words)
    return symbols[:n_words].view(np.uint8)


def _huffman16(payload: memoryview, limit: int) -> NDArray[np.uint8]:
    """Return the words of a block that is one Huffman stream."""
    if len(payload) < 4:
        raise ValueError("the Huffman stream is cut off")
    (size,) = struct.unpack_from("<I", payload)
    if size > len(payload) - 4:
        raise ValueError(f"a Huffman stream of {size} bytes in a block of {len(payload)}")
    return _huffman_stream(payload[4 : 4 + size], limit)


def _halfman16(payload: memoryview, limit: int) -> NDArray[np.uint8]:
    """Return the words of a block that is two Huffman streams with tables of their own."""
    if len(payload) < 8:
        raise ValueError("the Huffman streams are cut off")
    first, second = struct.unpack_from("<II", payload)
    if first + second > len(payload) - 8:
        raise ValueError(f"Huffman streams of {first} and {second} bytes in a block of {len(payload)}")
    head = _huffman_stream(payload[8 : 8 + first], limit)
    tail = _huffman_stream(payload[8 + first : 8 + first + second], limit - head.size)
    return np.concatenate([head, tail])


def _words(data: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Return the whole 16-bit words of a buffer that may be written to."""
    return data[: data.size // 2 * 2].view(np.int16)


def _sum_differences(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Undo the difference of neighbouring words."""
    _undo_difference(_words(data))
    return data


def _sum_differences_twice(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Undo the second difference of neighbouring words."""
    return _sum_differences(_sum_differences(data))


def _roughen(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Undo the integer smoothing."""
    _undo_smoothing(_words(data))
    return data


def _merge_bytes(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Interleave the low and the high bytes of 16-bit words."""
    if data.size % 2:
        raise ValueError(f"{data.size} bytes are not whole 16-bit words")
    return np.ascontiguousarray(data.reshape(2, -1).T).ravel()


def _merge_halves(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Interleave the low and the high halves of 32-bit words."""
    if data.size % 4:
        raise ValueError(f"{data.size} bytes are not whole 32-bit words")
    return np.ascontiguousarray(data.view(np.uint16).reshape(2, -1).T).ravel().view(np.uint8)


def _subtract_128(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Undo the shift of every word by 128."""
    words = _words(data)
    words -= 128
    return data


_SOURCES: dict[int, Callable[[memoryview, int], NDArray[np.uint8]]] = {
    RAW: _stored,
    HUFFMAN16: _huffman16,
    ZLIB: _inflate,
    HALFMAN16: _halfman16,
    ZSTD: _decompress_zstd,
}
_TRANSFORMS: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    SMOOTHING: _roughen,
    DIFFERENCE: _sum_differences,
    DOUBLE_DIFFERENCE: _sum_differences_twice,
    SPLIT_HI_LO_16: _merge_bytes,
    SPLIT_HI_LO_32: _merge_halves,
    OFFSET_128: _subtract_128,
}

#: Steps that `decode_block` can undo.
SUPPORTED_CODES = frozenset(_SOURCES) | frozenset(_TRANSFORMS)


def decode_block(codes: tuple[int, ...], payload: memoryview, limit: int) -> NDArray[np.uint8]:
    """
    Return the bytes that a column had before it was compressed.

    Parameters
    ----------
    codes : tuple of int
        Steps in the order in which the writer applied them.
    payload : memoryview
        Compressed bytes, without the header of the block.
    limit : int
        Number of bytes that the column can have at most.

    Raises
    ------
    RawFileError
        If a step is unknown, the bytes are damaged, or they decode to more than `limit` bytes.
    """
    if not codes or codes[-1] not in _SOURCES or any(code not in _TRANSFORMS for code in codes[:-1]):
        raise RawFileError(f"unknown chain of compression steps {codes}")
    try:
        data = _SOURCES[codes[-1]](payload, limit)
        if len(codes) > 1 and not data.flags.writeable:
            data = data.copy()
        for code in reversed(codes[:-1]):
            data = _TRANSFORMS[code](data)
    except (ValueError, zlib.error, zstandard.ZstdError, MemoryError) as error:
        raise RawFileError(f"the compressed bytes are damaged ({error})") from error
    return data
