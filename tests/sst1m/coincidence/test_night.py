"""Coincidences of a simulated night and of files that tests make, and their fallbacks."""

import itertools
import logging

import numpy as np
import pytest

from sst1m.coincidence import match_night, read_coincidences, write_coincidences
from sst1m.coincidence.light_travel import light_delay_ns
from sst1m.errors import InputError
from sst1m.instrument import sst1m_subarray
from sst1m.io.dl1 import check_dl1
from sst1m.io.rawfile import RawFile
from sst1m.simulation.trigger import DEAD_TIME_NS

METHODS = ("WhiteRabbitClosest", "SWATEventIDs", "SlidingWindow")


def keys(coincidences):
    """Return the pairs as (event of 21, event of 22)."""
    pairs = coincidences.pairs
    return set(zip(pairs["event_id_21"].tolist(), pairs["event_id_22"].tolist(), strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_every_simulated_coincidence_is_found_and_no_other(night, method_config, method):
    found = match_night(night.files[21], night.files[22], method_config(method))
    assert len(night.coincident) > 40
    assert keys(found) == {(number, number) for number in night.coincident}
    assert found.info["method"] == method
    assert found.info["notes"] == []
    assert found.pairs["by_number"].all() == (method == "SWATEventIDs")
    limit = 300 if method == "SlidingWindow" else 100
    assert np.abs(found.pairs["residual_ns"]).max() < limit


def test_light_travel_explains_the_time_differences(night, method_config):
    config = method_config("WhiteRabbitClosest")
    found = match_night(night.files[21], night.files[22], config)
    assert found.info["light_travel_corrected"]
    # 62 deg high in the south: the second telescope, in the north, is later
    delay = light_delay_ns(np.array([193.3]), np.array([61.6]))[0]
    assert np.median(found.pairs["time_difference_ns"]) == pytest.approx(delay, abs=20)
    assert abs(found.offset_ns) < 20
    without = method_config("WhiteRabbitClosest", correct_light_travel=False)
    without = match_night(night.files[21], night.files[22], without)
    assert not without.info["light_travel_corrected"]
    assert keys(without) == keys(found)
    assert without.offset_ns == pytest.approx(delay, abs=20)


def test_the_delay_is_that_of_the_baseline():
    baseline = sst1m_subarray().positions[22] - sst1m_subarray().positions[21]
    baseline = np.linalg.norm(baseline.to_value("m"))
    azimuth = np.linspace(0, 360, 721)
    level = light_delay_ns(azimuth, np.zeros(721))
    assert np.abs(level).max() == pytest.approx(baseline / 0.299792458, abs=1)
    # telescope 22 stands in the north-west: light from there reaches it first
    earliest = azimuth[level == level.min()].mean()
    assert earliest == pytest.approx(360 - np.rad2deg(np.arctan2(60.86, 142.76)), abs=0.5)
    assert light_delay_ns(np.zeros(1), np.full(1, 90.0))[0] == pytest.approx(-2.85 / 0.2998, abs=1)


def test_events_of_both_telescopes_are_all_explained(night, method_config):
    found = match_night(night.files[21], night.files[22], method_config("WhiteRabbitClosest"))
    for tel_id in (21, 22):
        for run, path in zip(found.files[tel_id], night.files[tel_id], strict=True):
            counts = run["counts"]
            assert counts["n_events"] == check_dl1(path)["n_events_written"]
            parts = ("unmatched", "tel1_no_image", "tel2_no_image", "written")
            assert sum(counts[name] for name in parts) == counts["n_events"]
    counts = found.info["counts"]
    assert counts["written_21"] == counts["written_22"] == np.count_nonzero(found.pairs["has_images"])
    assert found.matched_fraction == len(found) / min(counts["n_events_21"], counts["n_events_22"])


def test_what_is_written_is_read_again(night, method_config, tmp_path):
    found = match_night(night.files[21], night.files[22], method_config("SlidingWindow"))
    write_coincidences(found, tmp_path / "pairs.h5")
    again = read_coincidences(tmp_path / "pairs.h5")
    np.testing.assert_array_equal(again.pairs, found.pairs)
    assert (again.info, again.files) == (found.info, found.files)
    assert (tmp_path / "pairs.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs.h5", "pairs.json", "pairs.png"]
    histogram = found.info["histogram"]
    assert sum(histogram["counts"]) == pytest.approx(len(found), rel=0.02)
    (tmp_path / "pairs.h5").write_bytes((tmp_path / "pairs.h5").read_bytes()[:3000])
    with pytest.raises(InputError, match=r"pairs\.h5: its 3000 bytes are not .* damaged"):
        read_coincidences(tmp_path / "pairs.h5")


def test_info_of_a_run_tells_its_live_time_and_night_sky(night):
    for path in (*night.files[21], *night.files[22]):
        info = check_dl1(path)
        with RawFile(night.raw[path.name]) as raw:
            times = np.sort(raw.index.time_ns)
        live = info["live_time"]
        assert live["intervals_ns"] == [[times[0], times[-1]]]
        truth = 1 - (len(times) - 1) * DEAD_TIME_NS / (times[-1] - times[0])
        assert live["deadc"] == pytest.approx(truth, abs=6 * live["deadc_error"])
        assert info["nsb_mhz"] == pytest.approx(100, rel=0.02)
        assert info["mean_pointing"]["alt_deg"] == pytest.approx(61.6, abs=0.1)
        assert info["mean_pointing"]["az_deg"] == pytest.approx(193.5, abs=0.5)


@pytest.fixture(scope="module")
def split(toy_events, make_dl1, tmp_path_factory):
    """Return the same events in two ways of cutting them into files."""
    events = toy_events(seconds=20.0, seed=4)
    directories = []
    for cuts in ((0.4,), (0.2, 0.33, 0.9)):
        root = tmp_path_factory.mktemp("cut")
        for telescope, (times, tags) in enumerate(zip(events.time_ns, events.shower, strict=True)):
            edges = [0, *(round((cut + 0.03 * telescope) * len(times)) for cut in cuts), len(times)]
            for run, (start, stop) in enumerate(itertools.pairwise(edges), start=1):
                rows = np.random.default_rng(run).permutation(np.arange(start, stop))
                # the number identifies an event wherever it stands
                make_dl1(
                    root / f"cs{telescope + 1}",
                    21 + telescope,
                    run,
                    times[rows],
                    number=np.where(tags >= 0, tags + 1, 10**6 * (telescope + 1) - tags)[rows],
                    event_id=np.arange(1, len(times) + 1)[rows],
                )
        directories.append(root)
    return events, directories


@pytest.mark.parametrize("method", METHODS)
def test_results_do_not_depend_on_files_nor_on_orders(split, method_config, method):
    """Events shuffled within files, other boundaries of runs, files in another order: the same pairs."""
    events, directories = split
    config, results = method_config(method), []
    for root, backwards in ((directories[0], False), (directories[1], False), (directories[1], True)):
        files = [sorted((root / name).iterdir(), reverse=backwards) for name in ("cs1", "cs2")]
        results.append(match_night(*files, config))
    assert keys(results[0]) == keys(results[1]) == keys(results[2])
    np.testing.assert_array_equal(results[1].pairs, results[2].pairs)
    for found in results:
        pairs = found.pairs
        for tel_id in (21, 22):
            assert len(np.unique(pairs[f"event_id_{tel_id}"])) == len(pairs)
        tags = [events.shower[t][pairs[f"event_id_{21 + t}"] - 1] for t in (0, 1)]
        assert np.count_nonzero(tags[0] == tags[1]) >= 0.995 * events.n_common
        assert np.count_nonzero(tags[0] != tags[1]) <= 0.03 * len(pairs)


def test_missing_array_numbers_fall_back_loudly(toy_events, make_dl1, method_config, tmp_path, caplog):
    """In one run the array trigger gave no numbers: its events are matched by time, and the log says so."""
    events = toy_events(seconds=20.0, seed=8)
    files = []
    for telescope, (times, tags) in enumerate(zip(events.time_ns, events.shower, strict=True)):
        number = np.where(tags >= 0, tags + 1, 10**6 * (telescope + 1) - tags)
        half = len(times) // 2
        files.append(
            [
                make_dl1(
                    tmp_path / f"cs{telescope + 1}", 21 + telescope, 1, times[:half], number=number[:half]
                ),
                make_dl1(tmp_path / f"cs{telescope + 1}", 21 + telescope, 2, times[half:]),
            ]
        )
    with caplog.at_level(logging.WARNING, logger="sst1m"):
        found = match_night(*files, method_config("SWATEventIDs"))
    assert "matched by WhiteRabbitClosest instead of SWATEventIDs" in caplog.text
    assert any("no array event number" in note for note in found.info["notes"])
    assert len(found) == pytest.approx(events.n_common, rel=0.01)
    assert 0.4 < found.pairs["by_number"].mean() < 0.6
    assert not found.pairs["by_number"][found.pairs["obs_id_21"] % 10 == 2].any()


def test_numbers_that_begin_anew_are_told_apart_by_time(toy_events, make_dl1, method_config, tmp_path):
    """After a restart of the array trigger the same numbers come again, five seconds later."""
    events = toy_events(seconds=10.0, seed=9)
    files = []
    for telescope, (times, tags) in enumerate(zip(events.time_ns, events.shower, strict=True)):
        late = times >= 1_709_576_137_000_000_000 + 5_000_000_000
        order = np.argsort(np.argsort(tags)) + 1
        number = np.where(tags >= 0, tags % 500 + 1, 10**6 * (telescope + 1) + order)
        number[late & (tags >= 0)] = (tags[late & (tags >= 0)]) % 500 + 1
        files.append([make_dl1(tmp_path / f"cs{telescope + 1}", 21 + telescope, 1, times, number=number)])
    found = match_night(*files, method_config("SWATEventIDs"))
    tags = [events.shower[t][found.pairs[f"event_id_{21 + t}"] - 1] for t in (0, 1)]
    assert np.count_nonzero(tags[0] == tags[1]) == events.n_common
    assert np.count_nonzero(tags[0] != tags[1]) <= 0.001 * len(found)


def test_only_runs_of_the_same_pointing_are_paired(toy_events, make_dl1, method_config, tmp_path):
    times = toy_events(seconds=4.0).time_ns
    first = [make_dl1(tmp_path, 21, 1, times[0], ra_deg=359.9)]
    for ra_deg, together in ((0.1, True), (0.2, False)):
        second = [make_dl1(tmp_path, 22, 1, times[1], ra_deg=ra_deg)]
        found = match_night(first, second, method_config("WhiteRabbitClosest"))
        # 0.2 deg of right ascension are 0.185 deg at declination 22
        assert (len(found) > 100) == together


def test_a_night_of_one_telescope_has_no_pairs(night, method_config, tmp_path):
    for method in METHODS:
        found = match_night(night.files[21], [], method_config(method))
        assert len(found) == 0
        assert found.offset_ns is None
        assert found.matched_fraction == 0
        counts = found.info["counts"]
        assert counts["unmatched_21"] == counts["n_events_21"] > 0
        write_coincidences(found, tmp_path / "pairs.h5")
        assert len(read_coincidences(tmp_path / "pairs.h5")) == 0
    assert len(match_night([], [], method_config("WhiteRabbitClosest"))) == 0


def test_times_before_white_rabbit_are_noted(toy_events, make_dl1, method_config, tmp_path):
    times = [time_ns - 200 * 86_400 * 10**9 for time_ns in toy_events(seconds=4.0).time_ns]
    files = [[make_dl1(tmp_path, 21 + t, 1, time_ns)] for t, time_ns in enumerate(times)]
    found = match_night(*files, method_config("WhiteRabbitClosest"))
    assert "before the start of White Rabbit" in found.info["notes"][0]


def test_files_that_cannot_take_part_are_refused(night, make_dl1, method_config, tmp_path):
    config = method_config("WhiteRabbitClosest")
    with pytest.raises(InputError, match=r"telescope \[22\], expected 21"):
        match_night(night.files[22], night.files[21], config)
    times = np.arange(5) * 10**9 + 1_709_576_137_000_000_000
    twice = [make_dl1(tmp_path / name, 21, 1, times) for name in ("a", "b")]
    with pytest.raises(InputError, match="same run 202403040001"):
        match_night(twice, night.files[22], config)
    broken = tmp_path / "SST1M2_20240304_0009_W1_dl1.h5"
    broken.write_bytes(b"nothing")
    with pytest.raises(InputError, match="0009_W1_dl1.h5 is not a complete DL1 file"):
        match_night(night.files[21], [broken], config)
