"""The decoders of column blocks, against encoders and against damaged bytes."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sst1m.errors import RawFileError
from sst1m.io.codecs import decode_block
from sst1m.simulation.raw_encoders import encode_block

# The chains of the real files, and the single steps.
CHAINS = [
    (0,),
    (7,),
    (23,),
    (2,),
    (12,),
    (3, 2),
    (5, 7),
    (14, 7),
    (5, 1, 12),
    (3, 16, 5, 7),
    (4, 23),
]

WORDS = hnp.arrays(
    np.int16, st.integers(1, 80).map(lambda n: 4 * n), elements=st.integers(-(2**15), 2**15 - 1)
)
FEW_SYMBOLS = hnp.arrays(np.int16, st.integers(1, 80).map(lambda n: 4 * n), elements=st.integers(-2, 2))


def split_block(codes, block):
    return memoryview(block)[10 + 2 * len(codes) :]


@pytest.mark.parametrize("codes", CHAINS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
@given(words=st.one_of(WORDS, FEW_SYMBOLS))
def test_what_was_encoded_is_decoded(codes, words):
    data = words.tobytes()
    assert decode_block(codes, split_block(codes, encode_block(codes, data)), len(data)).tobytes() == data


def test_codes_longer_than_the_lookup_are_decoded():
    # Counts like Fibonacci numbers make the deepest tree: codes up to 22 bits.
    counts = [1, 1]
    while len(counts) < 23:
        counts.append(counts[-1] + counts[-2])
    words = np.repeat(np.arange(len(counts), dtype=np.int16), counts)
    words = np.random.default_rng(0).permutation(words)
    decoded = decode_block((2,), split_block((2,), encode_block((2,), words.tobytes())), words.nbytes)
    np.testing.assert_array_equal(decoded.view(np.int16), words)


@pytest.mark.parametrize("codes", [(), (99,), (3,), (7, 7), (2, 3), (17, 7)])
def test_unknown_chains_are_refused(codes):
    with pytest.raises(RawFileError, match="unknown chain"):
        decode_block(codes, memoryview(b"abcd"), 100)


@pytest.mark.parametrize("codes", [(0,), (7,), (23,), (2,), (12,)])
def test_more_than_the_limit_is_refused(codes):
    data = np.arange(1000, dtype=np.int16).tobytes()
    block = encode_block(codes, data)
    with pytest.raises(RawFileError, match="possible|within"):
        decode_block(codes, split_block(codes, block), len(data) - 2)


@pytest.mark.parametrize("codes", [(7,), (23,), (2,), (12,), (5, 1, 12), (3, 16, 5, 7)])
def test_cut_and_changed_bytes_raise_or_give_bytes(codes):
    rng = np.random.default_rng(1)
    data = rng.normal(0, 30, 2000).astype(np.int16).tobytes()
    payload = bytes(split_block(codes, encode_block(codes, data)))
    n_refused = 0
    for trial in range(300):
        damaged = bytearray(payload[: rng.integers(len(payload))] if trial % 3 == 0 else payload)
        for place in rng.integers(0, min(len(damaged), 200), 2) if damaged else []:
            damaged[place] ^= 1 << rng.integers(8)
        try:
            assert decode_block(codes, memoryview(bytes(damaged)), len(data)).nbytes <= len(data)
        except RawFileError:
            n_refused += 1
    assert n_refused > 50


def test_table_that_is_no_tree_is_refused():
    head = (8).to_bytes(8, "little") + (2).to_bytes(8, "little")
    same_code = b"\x01\x00\x01\x00" + b"\x02\x00\x01\x00"
    block = head + same_code + b"\x00"
    with pytest.raises(RawFileError, match="ambiguous"):
        decode_block((2,), memoryview(len(block).to_bytes(4, "little") + block), 100)
