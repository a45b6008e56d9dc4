"""The writer of raw files, read back by other software."""

import hashlib

import numpy as np
import protozfits
import pytest
from astropy.io import fits

from sst1m.errors import InputError, OutputError
from sst1m.io.raw_header import verify_raw_file
from sst1m.io.rawfile import EventIndex, RawFile
from sst1m.simulation.raw_writer import COMPRESSIONS, STYLE_2018, RawWriter, repeat_raw_file


@pytest.fixture(scope="module")
def events():
    rng = np.random.default_rng(3)
    samples = rng.normal(400, 5, (9, 1296, 50)).astype(np.int16)
    index = EventIndex(
        event_number=2**32 - 9 + np.arange(9),
        array_event_number=np.arange(9),
        event_type=np.full(9, 1),
        time_ns=1_700_000_000_999_999_000 + 500 * np.arange(9),
    )
    return samples, index


def write(path, events, step=9, **options):
    samples, index = events
    with RawWriter(path, **{"tel_id": 22, "rows_per_tile": 4} | options) as writer:
        for start in range(0, len(index), step):
            rows = slice(start, start + step)
            writer.append(samples[rows], index[rows], baseline=np.full((len(index[rows]), 1296), 400.0))
    return path


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_every_field_comes_back_through_the_official_reader(tmp_path, events, compression):
    samples, index = events
    triggers = {
        "trigger_input_traces": np.random.default_rng(1).integers(0, 256, (9, 28800), dtype=np.uint8),
        "trigger_output_patch7": np.eye(9, 2700, dtype=np.uint8),
    }
    path = tmp_path / "run.fits.fz"
    with RawWriter(path, tel_id=22, compression=compression, rows_per_tile=4, with_config=True) as writer:
        writer.append(samples, index, baseline=np.full((9, 1296), 400.5), triggers=triggers)
    with protozfits.File(str(path)) as file:
        assert len(file.DigicamConfig) == 1
        for row, event in enumerate(file.Events):
            waveforms = event.hiGain.waveforms
            assert sorted(waveforms.pixelsIndices) == list(range(1296))
            assert list(waveforms.pixelsIndices) != list(range(1296))
            np.testing.assert_array_equal(
                waveforms.samples.reshape(1296, 50), samples[row, waveforms.pixelsIndices]
            )
            assert set(waveforms.baselines) == {6408}
            assert set(event.pixels_flags) == {1}
            assert (event.telescopeID, event.num_gains, event.event_type) == (22, 1, 1)
            assert (event.eventNumber, event.arrayEvtNum) == (index.event_number[row], row)
            assert event.local_time_sec * 10**9 + event.local_time_nanosec == index.time_ns[row]
            for name, values in triggers.items():
                np.testing.assert_array_equal(getattr(event, name), values[row])
        assert row == 8


def test_checksums_satisfy_astropy(tmp_path, events, recwarn):
    path = write(tmp_path / "run.fits.fz", events, target="Crab_W1_84.4_22.0", with_config=True)
    with fits.open(path, checksum=True, disable_image_compression=True) as hdus:
        hdus.verify("exception")
        assert hdus["Events"].header["CHECKSUM"] != "0" * 16
    assert not [warning for warning in recwarn if "hecksum" in str(warning.message)]


@pytest.mark.parametrize("seed", range(20))
def test_checksum_letters_for_other_headers(tmp_path, seed):
    path = tmp_path / "run.fits.fz"
    with RawWriter(path, tel_id=21, cards={"SEED": seed, "NOISE": str(hash((seed, 1)))}):
        pass
    with fits.open(path, checksum=True, disable_image_compression=True) as hdus:
        assert hdus[1].verify_checksum() == 1
        assert hdus[1].verify_datasum() == 1


def test_how_events_are_appended_does_not_matter(tmp_path, events):
    digests = {
        hashlib.sha256(write(tmp_path / f"{step}.fits.fz", events, step).read_bytes()).hexdigest()
        for step in (1, 2, 5, 9)
    }
    assert len(digests) == 1


def test_no_file_appears_after_an_error(tmp_path, events):
    samples, index = events
    path = tmp_path / "run.fits.fz"
    with pytest.raises(RuntimeError), RawWriter(path, tel_id=21, rows_per_tile=2) as writer:
        writer.append(samples, index)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_nothing_temporary_stays(tmp_path, events):
    write(tmp_path / "run.fits.fz", events, with_config=True)
    assert [path.name for path in tmp_path.iterdir()] == ["run.fits.fz"]


def test_missing_directory_is_explained(tmp_path, events):
    with pytest.raises(OutputError, match="cannot be written .No such file"):
        write(tmp_path / "nowhere" / "run.fits.fz", events)


def test_values_that_do_not_fit_are_refused(tmp_path, events):
    samples, index = events
    too_large = EventIndex(
        index.event_number + 100, index.array_event_number, index.event_type, index.time_ns
    )
    with pytest.raises(ValueError, match="eventNumber holds uint32"):
        write(tmp_path / "run.fits.fz", (samples, too_large))


def test_target_needs_a_style_that_has_it(tmp_path):
    with pytest.raises(ValueError, match="no TARGET"):
        RawWriter(tmp_path / "run.fits.fz", tel_id=21, style=STYLE_2018, target="Crab")


def test_file_without_events_is_valid(tmp_path):
    path = tmp_path / "run.fits.fz"
    with RawWriter(path, tel_id=21, target="Crab_W1_84.4_22.0"):
        pass
    header = verify_raw_file(path)
    assert (header.n_events, header.t_start_ns, header.target) == (0, None, "Crab_W1_84.4_22.0")


def test_repeated_real_file(tmp_path, real_raw_file):
    path = tmp_path / "long.fits.fz"
    assert repeat_raw_file(real_raw_file, path, 65) == 96
    assert verify_raw_file(path).n_events == 96
    with RawFile(real_raw_file) as raw:
        one = raw.read(0, 32)
    with RawFile(path) as raw:
        three = raw.read(0, 96)
        assert raw.tel_id == 22
    np.testing.assert_array_equal(three.samples, np.tile(one.samples, (3, 1, 1)))
    np.testing.assert_array_equal(three.baseline, np.tile(one.baseline, (3, 1)))
    np.testing.assert_array_equal(three.index.event_type, np.tile(one.index.event_type, 3))
    assert (np.diff(three.index.event_number) > 0).all()
    assert (np.diff(three.index.time_ns) > 0).all()
    np.testing.assert_array_equal(three.index[:32].time_ns, one.index.time_ns)
    with protozfits.File(str(path)) as file:
        assert [event.eventNumber for event in file.Events] == three.index.event_number.tolist()


def test_repeated_file_keeps_target_and_unique_array_numbers(tmp_path, events):
    source = write(tmp_path / "one.fits.fz", (events[0][:8], events[1][:8]), target="Crab_W1_84.4_22.0")
    # Camera numbers of the source end at the largest possible one.
    with pytest.raises(ValueError, match="eventNumber holds uint32"):
        repeat_raw_file(source, tmp_path / "long.fits.fz", 16)
    samples, index = events
    small = EventIndex(
        index.event_number - 10**6, 1 + index.array_event_number, index.event_type, index.time_ns
    )
    source = write(tmp_path / "one.fits.fz", (samples[:8], small[:8]), target="Crab_W1_84.4_22.0")
    repeat_raw_file(source, tmp_path / "long.fits.fz", 24)
    with RawFile(tmp_path / "long.fits.fz") as raw:
        assert raw.header.target == "Crab_W1_84.4_22.0"
        assert len(np.unique(raw.index.array_event_number)) == 24


def test_files_with_a_shorter_last_tile_cannot_be_repeated(tmp_path, events):
    source = write(tmp_path / "one.fits.fz", events)
    with pytest.raises(InputError, match="tiles of one length"):
        repeat_raw_file(source, tmp_path / "long.fits.fz", 20)
    with pytest.raises(InputError, match="No such file"):
        repeat_raw_file(tmp_path / "other.fits.fz", tmp_path / "long.fits.fz", 20)
