"""The reader of raw files, against the official reader and against what was written."""

import struct
import tracemalloc
import zlib

import numpy as np
import protozfits
import pytest

from sst1m.errors import RawFileError
from sst1m.io.protozfits_table import ProtozfitsTable
from sst1m.io.rawfile import EventIndex, RawBlock, RawFile
from sst1m.simulation.raw_encoders import encode_block
from sst1m.simulation.raw_writer import (
    COMPRESSIONS,
    STYLE_2017,
    STYLE_2018,
    STYLE_2023,
    RawWriter,
    repeat_raw_file,
)
from sst1m.times import WHITE_RABBIT_START_NS


def read_with_protozfits(path, scale=16) -> RawBlock:
    """Read all events message by message, as existing software does."""
    samples, baselines, present, index = [], [], [], []
    with protozfits.File(str(path)) as file:
        for event in file.Events:
            waveforms = event.hiGain.waveforms
            order = np.argsort(waveforms.pixelsIndices)
            samples.append(waveforms.samples.reshape(1296, 50)[order])
            present.append(event.pixels_flags[order] != 0)
            baselines.append(np.where(present[-1], waveforms.baselines[order] / scale, np.nan))
            time_ns = event.local_time_sec * 10**9 + event.local_time_nanosec
            index.append((event.eventNumber, event.arrayEvtNum or 0, event.event_type, time_ns))
    # protozfits gives the camera's count, which was UTC until White Rabbit disciplined it
    index = [(*row[:3], row[3] + (37_000_000_000 if row[3] < WHITE_RABBIT_START_NS else 0)) for row in index]
    return RawBlock(
        0,
        np.array(samples),
        np.array(baselines),
        np.array(present),
        EventIndex(*np.array(index, dtype=np.int64).T),
    )


def assert_same(ours: RawBlock, expected: RawBlock) -> None:
    np.testing.assert_array_equal(ours.samples, expected.samples)
    np.testing.assert_array_equal(ours.baseline, expected.baseline)
    np.testing.assert_array_equal(ours.present, expected.present)
    for name in ("event_number", "array_event_number", "event_type", "time_ns"):
        np.testing.assert_array_equal(getattr(ours.index, name), getattr(expected.index, name))


def test_real_file_is_read_as_the_official_reader_does(real_raw_file):
    with RawFile(real_raw_file) as raw:
        assert raw.tel_id == 22
        assert raw.baseline_scale == 16
        (block,) = raw.blocks()
    assert_same(block, read_with_protozfits(real_raw_file))
    assert block.samples.dtype == np.int16
    assert block.baseline.dtype == np.float32
    assert block.index.time_ns.dtype == np.int64
    assert block.index.time_ns[0] == 1534982438_673508228
    # The camera's baseline is that of the waveform itself.
    assert abs(np.median(block.baseline) - np.median(block.samples)) < 5


@pytest.mark.parametrize("style", [STYLE_2023, STYLE_2018, STYLE_2017], ids=["2023", "2018", "2017"])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_written_files_are_read_by_both_readers(tmp_path, make_raw_file, style, compression):
    path = tmp_path / "run.fits.fz"
    events = make_raw_file(path, 6, style=style, compression=compression)
    with RawFile(path) as raw:
        block = raw.read(0, 6)
        assert raw.tel_id == 21
        assert raw.baseline_scale == style.baseline_scale
    assert_same(block, read_with_protozfits(path, style.baseline_scale))
    np.testing.assert_array_equal(block.samples, events.samples)
    np.testing.assert_array_equal(block.present, events.present)
    np.testing.assert_allclose(block.baseline, events.baseline, atol=0.51 / style.baseline_scale)
    expected = events.index.array_event_number if style.has_array_numbers else np.zeros(6)
    np.testing.assert_array_equal(block.index.array_event_number, expected)


@pytest.mark.parametrize("max_events", [1, 3, 4, 5, 100])
def test_block_boundaries_change_nothing(tmp_path, make_raw_file, max_events):
    path = tmp_path / "run.fits.fz"
    events = make_raw_file(path, 10)
    with RawFile(path) as raw:
        blocks = list(raw.blocks(max_events))
        assert len(raw.index) == 10
    assert [block.first for block in blocks] == list(range(0, 10, max_events))
    assert {len(block) for block in blocks[:-1]} <= {max_events}
    joined = {
        name: np.concatenate([getattr(block, name) for block in blocks])
        for name in ("samples", "baseline", "present")
    }
    for name, values in joined.items():
        np.testing.assert_array_equal(values, getattr(events, name))
    np.testing.assert_array_equal(np.concatenate([b.index.time_ns for b in blocks]), events.index.time_ns)


def test_reused_buffers_hold_the_same_values(tmp_path, make_raw_file):
    events = make_raw_file(tmp_path / "run.fits.fz", 10)
    with RawFile(tmp_path / "run.fits.fz") as raw:
        seen = []
        for block in raw.blocks(4, reuse_buffers=True):
            rows = slice(block.first, block.first + len(block))
            np.testing.assert_array_equal(block.samples, events.samples[rows])
            np.testing.assert_array_equal(block.baseline, events.baseline[rows])
            np.testing.assert_array_equal(block.present, events.present[rows])
            seen.append(block)
    assert [len(block) for block in seen] == [4, 4, 2]
    assert np.shares_memory(seen[0].samples, seen[2].samples)


def test_absent_pixels_have_no_baseline(tmp_path, make_raw_file):
    path = tmp_path / "run.fits.fz"
    events = make_raw_file(path)
    with RawFile(path) as raw:
        block = raw.read(0, 7)
    assert not events.present.all()
    np.testing.assert_array_equal(np.isnan(block.baseline), ~events.present)


@pytest.mark.parametrize("column", ["hiGain_waveforms_baselines", "pixels_flags"])
def test_missing_optional_columns(tmp_path, make_raw_file, rewrite_column, column):
    events = make_raw_file(tmp_path / "whole.fits.fz")
    rewrite_column(tmp_path / "whole.fits.fz", tmp_path / "run.fits.fz", column, None)
    with RawFile(tmp_path / "run.fits.fz") as raw:
        block = raw.read(0, 7)
    np.testing.assert_array_equal(block.samples, events.samples)
    if column == "pixels_flags":
        assert block.present.all()
        # The baselines of absent pixels are negative.
        np.testing.assert_array_equal(block.baseline, events.baseline)
    else:
        assert np.isnan(block.baseline).all()


def test_missing_required_column_is_named(tmp_path, make_raw_file, rewrite_column):
    make_raw_file(tmp_path / "whole.fits.fz")
    rewrite_column(tmp_path / "whole.fits.fz", tmp_path / "run.fits.fz", "local_time_sec", None)
    with pytest.raises(RawFileError, match="run.fits.fz: no column local_time_sec"):
        RawFile(tmp_path / "run.fits.fz")


def test_files_of_no_and_one_event(tmp_path, make_events, make_raw_file):
    path = tmp_path / "SST1M1_20240304_0001.fits.fz"
    with RawWriter(path, tel_id=21):
        pass
    with RawFile(path) as raw:
        assert (raw.n_events, raw.tel_id, len(raw.index), list(raw.blocks())) == (0, 21, 0, [])
    events = make_raw_file(path, 1, with_config=True)
    with RawFile(path) as raw:
        (block,) = raw.blocks()
    np.testing.assert_array_equal(block.samples, events.samples)


def test_order_of_read_out_may_change_within_a_file(tmp_path, make_events):
    events = make_events(4)
    path = tmp_path / "run.fits.fz"
    orders = [np.random.default_rng(i // 2).permutation(1296) for i in range(4)]
    with RawWriter(path, tel_id=21, rows_per_tile=4) as writer:
        for i, order in enumerate(orders):
            writer._order = order
            rows = slice(i, i + 1)
            writer.append(
                events.samples[rows],
                events.index[rows],
                baseline=events.baseline[rows],
                present=events.present[rows],
            )
    with RawFile(path) as raw:
        assert_same(
            raw.read(0, 4), RawBlock(0, events.samples, events.baseline, events.present, events.index)
        )


def test_pixel_ids_that_are_no_permutation_are_refused(tmp_path, make_raw_file):
    order = np.arange(1296)
    order[7] = 8
    make_raw_file(tmp_path / "run.fits.fz", pixel_order=order)
    with (
        RawFile(tmp_path / "run.fits.fz") as raw,
        pytest.raises(RawFileError, match="pixel ids of event 0 are not"),
    ):
        raw.read(0, 7)


@pytest.mark.parametrize("n_bytes", [0, 100, 2 * 1296 * 49, 2 * 1296 * 51])
def test_events_with_other_waveforms_are_refused(tmp_path, make_raw_file, rewrite_column, n_bytes):
    make_raw_file(tmp_path / "whole.fits.fz", 4)
    row = struct.pack("<I", 129_600) + bytes(129_600)
    odd = struct.pack("<I", n_bytes) + bytes(n_bytes)

    def block(n_rows):
        return encode_block((7,), row + odd + row * (n_rows - 2))

    rewrite_column(tmp_path / "whole.fits.fz", tmp_path / "run.fits.fz", "hiGain_waveforms_samples", block)
    with (
        RawFile(tmp_path / "run.fits.fz") as raw,
        pytest.raises(RawFileError, match="event 1 does not have|zlib stream"),
    ):
        raw.read(0, 4)


@pytest.mark.parametrize(("column", "value"), [("local_time_sec", 2**63 + 5), ("local_time_nanosec", 10**10)])
def test_impossible_times_are_refused(tmp_path, make_raw_file, rewrite_column, column, value):
    make_raw_file(tmp_path / "whole.fits.fz", 4)
    rewrite_column(
        tmp_path / "whole.fits.fz",
        tmp_path / "run.fits.fz",
        column,
        lambda n_rows: encode_block((0,), struct.pack(f"<{n_rows}Q", 7, 7, value, *[7] * (n_rows - 3))),
    )
    with (
        RawFile(tmp_path / "run.fits.fz") as raw,
        pytest.raises(RawFileError, match="event 2 has an impossible time"),
    ):
        raw.read(0, 1)


def test_two_telescopes_in_one_file_are_refused(tmp_path, make_raw_file, rewrite_column):
    make_raw_file(tmp_path / "whole.fits.fz", 4)
    rewrite_column(
        tmp_path / "whole.fits.fz",
        tmp_path / "run.fits.fz",
        "telescopeID",
        lambda n_rows: encode_block((0,), struct.pack(f"<{n_rows}i", 21, *[22] * (n_rows - 1))),
    )
    with (
        RawFile(tmp_path / "run.fits.fz") as raw,
        pytest.raises(RawFileError, match=r"telescopes \[21, 22\]"),
    ):
        assert raw.tel_id


def same_values_block(n_rows: int) -> bytes:
    """Return a block in a codec that only the official reader knows: runs of equal values, then zlib."""
    payload = zlib.compress(struct.pack("<III", 1, n_rows, 8))
    return struct.pack("<QcBHH", 14 + len(payload), b"C", 2, 17, 7) + payload


def test_unknown_codec_falls_back_to_the_official_reader(tmp_path, make_raw_file, rewrite_column):
    path = tmp_path / "run.fits.fz"
    events = make_raw_file(tmp_path / "whole.fits.fz", 8)
    rewrite_column(tmp_path / "whole.fits.fz", path, "event_type", same_values_block)
    with RawFile(path) as raw:
        assert isinstance(raw._table, ProtozfitsTable)
        blocks = list(raw.blocks(5))
        assert raw.tel_id == 21
    np.testing.assert_array_equal(np.concatenate([block.samples for block in blocks]), events.samples)
    np.testing.assert_array_equal(np.concatenate([block.baseline for block in blocks]), events.baseline)
    np.testing.assert_array_equal(np.concatenate([block.index.event_type for block in blocks]), np.full(8, 8))
    np.testing.assert_array_equal(
        np.concatenate([b.index.array_event_number for b in blocks]), events.index.array_event_number
    )


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"\x40\x01", b"\x41\x01", "checksum"),
        (b"ZTILELEN=                    4", b"ZTILELEN=                    0", "CHECKSUM"),
        (b"DATASUM", b"DATASUN", "no DATASUM"),
    ],
)
def test_fallback_never_meets_a_damaged_file(tmp_path, make_raw_file, rewrite_column, old, new, reason):
    path = tmp_path / "run.fits.fz"
    make_raw_file(tmp_path / "whole.fits.fz", 8)
    rewrite_column(tmp_path / "whole.fits.fz", path, "event_type", same_values_block)
    data = path.read_bytes()
    start = data.rindex(old)
    path.write_bytes(data[:start] + new + data[start + len(old) :])
    with pytest.raises(RawFileError, match=reason):
        RawFile(path).read(0, 8)


@pytest.mark.parametrize("arguments", [(-1, 2), (0, 8), (7, 1)])
def test_events_that_do_not_exist_cannot_be_asked_for(tmp_path, make_raw_file, arguments):
    make_raw_file(tmp_path / "run.fits.fz", 7)
    with RawFile(tmp_path / "run.fits.fz") as raw:
        with pytest.raises(ValueError, match="of a file with 7"):
            raw.read(*arguments)
        with pytest.raises(ValueError, match="at least one event"):
            next(raw.blocks(0))


def test_memory_does_not_grow_with_the_file(tmp_path, make_raw_file):
    peaks = []
    for n_copies in (2, 12):
        path = tmp_path / f"run{n_copies}.fits.fz"
        make_raw_file(tmp_path / "one.fits.fz", 8, compression="zlib", rows_per_tile=8)
        repeat_raw_file(tmp_path / "one.fits.fz", path, 8 * n_copies)
        tracemalloc.start()
        with RawFile(path) as raw:
            for _ in raw.blocks(8):
                pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_damaged_files_raise_or_give_arrays(tmp_path, make_raw_file):
    """Flip bits anywhere but in the checksums, without verifying before: no crash, no endless loop."""
    path = tmp_path / "run.fits.fz"
    n_refused = n_flips = 0
    rng = np.random.default_rng(5)
    for compression in COMPRESSIONS:
        make_raw_file(path, 3, compression=compression, rows_per_tile=2)
        whole = path.read_bytes()
        for trial in range(120):
            # A third each in headers and catalogue, around the heads of tiles and blocks, and anywhere.
            places = [
                rng.integers(2880, 11_000),
                rng.integers(11_000, 20_000),
                rng.integers(2880, len(whole)),
            ]
            damaged = bytearray(whole)
            for place in rng.integers(0, 40, 3) + places[trial % 3]:
                damaged[min(place, len(whole) - 1)] ^= 1 << rng.integers(8)
            path.write_bytes(damaged)
            n_flips += 1
            try:
                with RawFile(path) as raw:
                    for block in raw.blocks(2):
                        assert block.samples.shape == (len(block), 1296, 50)
            except RawFileError as error:
                assert str(error).startswith(f"{path}: ")
                n_refused += 1
    assert n_refused > n_flips / 5


@pytest.mark.parametrize("fraction", [0.02, 0.5, 0.95])
def test_truncated_real_file_is_refused_by_the_reader_itself(tmp_path, real_raw_file, fraction):
    data = real_raw_file.read_bytes()
    path = tmp_path / "run.fits.fz"
    path.write_bytes(data[: int(fraction * len(data))])
    with pytest.raises(RawFileError, match="truncated"):
        RawFile(path)
