"""Stereo DL1 files: which events they hold, that others can read them, and that nothing is lost."""

import time

import astropy.units as u
import numpy as np
import pytest
import tables
from ctapipe.io import HDF5EventSource, TableLoader

from sst1m.coincidence import match_night, stereo_name, write_stereo_run
from sst1m.errors import InputError
from sst1m.io.dl1 import check_dl1
from sst1m.monitoring import LiveTime

START_NS = 1_709_576_137_000_000_000


@pytest.fixture(scope="module")
def found(night, method_config):
    return match_night(night.files[21], night.files[22], method_config("WhiteRabbitClosest"))


@pytest.fixture(scope="module")
def stereo(night, found, method_config, tmp_path_factory):
    """Stereo files of both runs, by name, with their summaries."""
    directory = tmp_path_factory.mktemp("stereo")
    config = method_config("WhiteRabbitClosest")
    return {
        directory / stereo_name(path): write_stereo_run(found, path, directory / stereo_name(path), config)
        for path in night.files[21]
    }


def rows_of(path, tel_id, group="dl1"):
    with tables.open_file(str(path)) as h5:
        root = h5.root if group == "dl1" else h5.root.sst1m
        return root.dl1.event.telescope.parameters[f"tel_{tel_id:03d}"].read()


def test_names_and_completeness(stereo):
    names = ["SST1M1_20240304_0001_W1_dl1_stereo.h5", "SST1M1_20240304_0002_W1_dl1_stereo.h5"]
    assert [path.name for path in stereo] == names
    for path, summary in stereo.items():
        info = check_dl1(path)
        assert info["n_events_written"] == summary.n_events > 10
        assert info["simulated"]
        assert path.with_suffix(".json").is_file()
        with tables.open_file(str(path)) as h5:
            assert "images" not in h5.root.dl1.event.telescope


def test_every_event_is_explained_and_no_run_boundary_uses_one_twice(night, stereo):
    partners = []
    for path, raw in zip(stereo, night.files[21], strict=True):
        counts = check_dl1(path)["counts"]
        assert counts["n_tel1"] == check_dl1(raw)["n_events_written"]
        parts = ("unmatched", "tel1_no_image", "tel2_no_image", "written")
        assert sum(counts[name] for name in parts) == counts["n_tel1"]
        extras = rows_of(path, 22, "sst1m")
        partners += list(zip(extras["tel_obs_id"].tolist(), extras["tel_event_id"].tolist(), strict=True))
    assert len(set(partners)) == len(partners)


def test_events_are_the_coincidences_with_both_images(night, stereo):
    expected = set(night.coincident)
    for tel_id in (21, 22):
        with_image = [rows_of(path, tel_id) for path in night.files[tel_id]]
        good = [rows["event_id"][rows["camera_frame_hillas_intensity"] > 0] for rows in with_image]
        expected &= set(np.concatenate(good).tolist())
    written = np.concatenate([rows_of(path, 21)["event_id"] for path in stereo])
    assert set(written.tolist()) == expected
    assert len(written) == len(expected)


@pytest.mark.parametrize("tel_id", [21, 22])
def test_columns_are_those_of_the_telescope_under_the_identity_of_the_first(night, stereo, tel_id):
    source = {path: (rows_of(path, tel_id), rows_of(path, tel_id, "sst1m")) for path in night.files[tel_id]}
    for path, own in zip(stereo, source.values(), strict=True):
        parameters, extras = rows_of(path, tel_id), rows_of(path, tel_id, "sst1m")
        place = {event: row for row, event in enumerate(own[0]["event_id"].tolist())}
        rows = [place[event] for event in extras["tel_event_id"].tolist()]
        for written, original in ((parameters, own[0]), (extras, own[1])):
            for name in set(original.dtype.names) - {"obs_id", "event_id"}:
                np.testing.assert_array_equal(written[name], original[name][rows], err_msg=name)
        obs_id = check_dl1(path)["obs_id"]
        assert (parameters["obs_id"] == obs_id).all() and (extras["obs_id"] == obs_id).all()
        assert (extras["tel_obs_id"] == own[0]["obs_id"][rows]).all()
    assert obs_id == 202403040002


def test_ctapipe_reads_triggers_parameters_and_pointing_of_both(stereo):
    for path, summary in stereo.items():
        with TableLoader(path) as loader:
            events = loader.read_telescope_events()
            assert len(events) == 2 * summary.n_events
            assert set(np.unique(events["tel_id"])) == {21, 22}
            assert (loader.read_subarray_events()["tels_with_trigger"]).all()
        rows = {tel_id: rows_of(path, tel_id) for tel_id in (21, 22)}
        with HDF5EventSource(path) as source:
            for number, event in enumerate(source):
                for tel_id in (21, 22):
                    hillas = event.dl1.tel[tel_id].parameters.hillas
                    assert hillas.intensity == rows[tel_id]["camera_frame_hillas_intensity"][number]
                    altitude = event.monitoring.tel[tel_id].pointing.altitude
                    assert altitude.to_value(u.deg) == pytest.approx(61.6, abs=0.1)
        assert number + 1 == summary.n_events


def test_info_holds_live_time_night_sky_and_pointing_of_both(night, stereo):
    for number, (path, summary) in enumerate(stereo.items()):
        info = check_dl1(path)
        singles = [check_dl1(night.files[tel_id][number]) for tel_id in (21, 22)]
        spans = [single["live_time"]["intervals_ns"][0] for single in singles]
        live = LiveTime.from_dict(info["live_time"])
        assert live.intervals_ns == ((max(s[0] for s in spans), min(s[1] for s in spans)),)
        product = singles[0]["live_time"]["deadc"] * singles[1]["live_time"]["deadc"]
        assert live.deadc == pytest.approx(product)
        assert info["nsb_mhz"] == pytest.approx({"21": 100, "22": 100}, rel=0.02)
        assert info["mean_pointing"]["alt_deg"] == pytest.approx(61.6, abs=0.1)
        assert info["inputs"] == [night.files[21][number].name, night.files[22][number].name]
        assert summary.info["counts"] == info["counts"]


def test_without_the_second_telescope_the_product_is_empty_and_says_why(night, method_config, tmp_path):
    config = method_config("WhiteRabbitClosest")
    for others, path in (([], night.files[21][0]), (night.files[22][1:], night.files[21][0])):
        pairs = match_night(night.files[21], others, config)
        summary = write_stereo_run(pairs, path, tmp_path / "stereo.h5", config)
        assert summary.n_events == 0
        assert summary.reason == "no run of telescope 22 at the same time"
        info = check_dl1(tmp_path / "stereo.h5")
        assert info["reason"] == summary.reason
        assert info["live_time"]["livetime_s"] == 0
        assert info["nsb_mhz"]["22"] is None
        assert info["counts"]["unmatched"] == info["counts"]["n_tel1"] > 0
        with TableLoader(tmp_path / "stereo.h5") as loader:
            assert len(loader.read_telescope_events()) == 0


def test_a_run_whose_partners_lie_in_two_files(make_dl1, method_config, tmp_path):
    """Telescope 22 begins a new run in the middle; images come and go."""
    rng = np.random.default_rng(1)
    times = START_NS + np.sort(rng.integers(0, 10**10, 400))
    image = rng.random((2, 400)) < 0.7
    first = make_dl1(tmp_path, 21, 1, times, image=image[0])
    second = [
        make_dl1(tmp_path, 22, 1, times[:150] + 60, image=image[1, :150]),
        make_dl1(tmp_path, 22, 2, times[150:] + 60, image=image[1, 150:]),
    ]
    config = method_config("WhiteRabbitClosest")
    pairs = match_night([first], second, config)
    summary = write_stereo_run(pairs, first, tmp_path / stereo_name(first), config)
    both = image.all(axis=0)
    assert summary.counts == {
        "n_tel1": 400,
        "unmatched": 0,
        "tel1_no_image": np.count_nonzero(~image[0]),
        "tel2_no_image": np.count_nonzero(image[0] & ~image[1]),
        "written": np.count_nonzero(both),
    }
    extras = rows_of(tmp_path / stereo_name(first), 22, "sst1m")
    assert extras["event_id"].tolist() == (np.flatnonzero(both) + 1).tolist()
    expected = np.concatenate([np.arange(1, 151), np.arange(1, 251)])[both]
    assert extras["tel_event_id"].tolist() == expected.tolist()
    assert set(extras["tel_obs_id"].tolist()) == {202403040001, 202403040002}
    info = check_dl1(tmp_path / stereo_name(first))
    assert 101 < info["nsb_mhz"]["22"] < 102
    assert len(info["live_time"]["intervals_ns"]) == 2


def test_a_file_that_was_made_anew_is_not_mixed_with_old_pairs(make_dl1, method_config, tmp_path):
    times = START_NS + np.arange(60) * 10_000_000
    config = method_config("WhiteRabbitClosest")
    first, second = make_dl1(tmp_path, 21, 1, times), make_dl1(tmp_path, 22, 1, times)
    pairs = match_night([first], [second], config)
    make_dl1(tmp_path, 22, 1, times, event_id=np.arange(60) + 100)
    with pytest.raises(InputError, match=r"SST1M2_.*search again"):
        write_stereo_run(pairs, first, tmp_path / "stereo.h5", config)
    make_dl1(tmp_path, 21, 1, times[1:])
    with pytest.raises(InputError, match=r"SST1M1_.*search again"):
        write_stereo_run(pairs, first, tmp_path / "stereo.h5", config)
    other = make_dl1(tmp_path, 21, 7, times)
    with pytest.raises(InputError, match="took no part"):
        write_stereo_run(pairs, other, tmp_path / "stereo.h5", config)
    assert not (tmp_path / "stereo.h5").exists()


def test_events_are_read_and_written_in_bulk(make_dl1, method_config, tmp_path):
    """More than 50 000 events of both telescopes per second, the fixed cost of a file apart."""
    config, seconds = method_config("WhiteRabbitClosest"), {}
    for number, n_events in enumerate((500, 40_000)):
        times = START_NS + np.sort(np.random.default_rng(1).integers(0, 4_000_000 * n_events, n_events))
        files = [[make_dl1(tmp_path / str(number), tel_id, 1, times)] for tel_id in (21, 22)]
        start = time.process_time()
        pairs = match_night(*files, config)
        summary = write_stereo_run(pairs, files[0][0], tmp_path / str(number) / "stereo.h5", config)
        seconds[n_events] = time.process_time() - start
        assert summary.n_events > 0.98 * n_events
    assert 80_000 / (seconds[40_000] - seconds[500]) > 50_000
