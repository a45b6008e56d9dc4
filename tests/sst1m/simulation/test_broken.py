"""Broken raw files: each kind is really broken in its own way, and nothing else about it."""

import numpy as np
import pytest

from sst1m.errors import InputError, RawFileError
from sst1m.io.raw_header import read_raw_header, verify_raw_file
from sst1m.io.rawfile import EventIndex, RawFile
from sst1m.names import parse_target, target_name_problem
from sst1m.simulation.broken import HOSTILE_TARGETS, break_raw_file, with_target
from sst1m.simulation.raw_writer import STYLE_2018, RawWriter

N_EVENTS = 6


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    rng = np.random.default_rng(1)
    index = EventIndex(
        event_number=np.arange(1, N_EVENTS + 1),
        array_event_number=np.arange(1, N_EVENTS + 1),
        event_type=np.ones(N_EVENTS, dtype=np.int64),
        time_ns=1_709_575_237_000_000_000 + np.arange(N_EVENTS),
    )
    path = tmp_path_factory.mktemp("good") / "SST1M1_20240304_0001.fits.fz"
    with RawWriter(path, tel_id=21, target="Crab_W1_84.388_22.013", with_config=True) as writer:
        samples = rng.normal(400, 5, (N_EVENTS, 1296, 50)).astype(np.int16)
        writer.append(samples, index, baseline=np.full((N_EVENTS, 1296), 400.0))
    return path


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("empty", "empty"),
        ("truncated", "truncated"),
        ("truncated_header", "."),
        ("too_long", "longer than its headers say"),
        ("bit_flipped", "checksum"),
        ("zeroed", "checksum"),
        ("not_fits", "."),
        ("no_events_table", "no table 'Events'"),
    ],
)
def test_a_verified_file_is_none_of_these(good, tmp_path, way, message):
    path = break_raw_file(good, tmp_path / good.name, way)
    with pytest.raises(RawFileError, match=message):
        verify_raw_file(path)
    verify_raw_file(good)


def test_a_file_without_the_samples_passes_verification_but_not_reading(good, tmp_path):
    path = break_raw_file(good, tmp_path / good.name, "missing_column")
    assert verify_raw_file(path).n_events == N_EVENTS
    with pytest.raises(RawFileError, match="hiGain_waveforms_samples"), RawFile(path) as raw:
        list(raw.blocks())


def test_valid_files_with_the_wrong_content(good, tmp_path):
    path = break_raw_file(good, tmp_path / "none.fits.fz", "no_events")
    assert verify_raw_file(path).n_events == 0
    path = break_raw_file(good, tmp_path / good.name, "other_telescope")
    with RawFile(path) as raw, RawFile(good) as original:
        assert verify_raw_file(path).telescope_hint == 21 and raw.tel_id == 22
        (ours,), (theirs,) = raw.blocks(), original.blocks()
        np.testing.assert_array_equal(ours.samples, theirs.samples)
        np.testing.assert_array_equal(ours.baseline, theirs.baseline)


def test_an_unknown_way_is_refused(good, tmp_path):
    with pytest.raises(InputError, match="choose one of"):
        break_raw_file(good, tmp_path / "x", "gently")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("target", HOSTILE_TARGETS)
def test_hostile_targets_stay_text(good, tmp_path, target):
    path = with_target(good, tmp_path / good.name, target)
    header = verify_raw_file(path)
    assert header.n_events == N_EVENTS
    seen = parse_target(header.target)
    assert seen.kind == "unknown" or seen.ra_deg is None
    assert not seen.name or not target_name_problem(seen.name)


def test_a_harmless_target_comes_back(good, tmp_path):
    path = with_target(good, tmp_path / good.name, "Mrk421_W2_166.1_38.9")
    assert read_raw_header(path).target == "Mrk421_W2_166.1_38.9"
    with RawWriter(tmp_path / "old.fits.fz", tel_id=21, style=STYLE_2018):
        pass
    with pytest.raises(InputError, match="no TARGET"):
        with_target(tmp_path / "old.fits.fz", tmp_path / "x", "Crab")
