"""Which runs make one photon list."""

import numpy as np
import pytest

from sst1m.dl3.blocks import BlockRules, group_runs
from sst1m.dl3.pointing import mean_direction, separation_deg
from sst1m.dl3.runs import observed_run
from sst1m.nodes import Node


@pytest.fixture
def blocks_of(config, new_run, reconstruct, tmp_path):
    """Return a function: run numbers by block."""

    def call(*runs, rules: BlockRules | None = None):
        rules = rules or BlockRules()
        observed = [
            part
            for run in runs
            for part in observed_run(
                reconstruct(run),
                tmp_path / f"{run.number}.h5",
                setup="cs1",
                config=config,
                max_gap_s=rules.max_gap_s,
            )
        ]
        blocks, left_out = group_runs(observed, "cs1", rules)
        numbers = [[run.obs_id % 10000 for run in block.runs] for block in blocks]
        return numbers, {path.name: reason for path, reason in left_out.items()}

    return call


def test_pauses_between_runs_are_gaps_of_the_good_time_and_no_new_list(blocks_of, new_run):
    runs = [new_run(number=n, start_s=n * 40.0) for n in range(1, 8)]
    assert blocks_of(*reversed(runs)) == ([[1, 2, 3, 4, 5, 6, 7]], {})


def test_a_long_pause_begins_a_new_list(blocks_of, new_run):
    runs = [new_run(number=1), new_run(number=2, start_s=905.0), new_run(number=3, start_s=1830.0)]
    assert blocks_of(*runs)[0] == [[1, 2], [3]]
    assert blocks_of(*runs, rules=BlockRules(max_gap_s=600))[0] == [[1], [2], [3]]


def test_a_moved_pointing_begins_a_new_list(blocks_of, new_run):
    runs = [
        new_run(number=1, axis=(83.0, 22.0)),
        new_run(number=2, start_s=60, axis=(83.0, 22.19)),
        new_run(number=3, start_s=120, axis=(83.0, 22.21)),
        new_run(number=4, start_s=180, axis=(83.0, 22.0)),
    ]
    assert blocks_of(*runs)[0] == [[1, 2], [3], [4]]


def test_other_models_begin_a_new_list(blocks_of, new_run):
    runs = [new_run(number=1), new_run(number=2, start_s=60, node=Node(40, 220, 100))]
    assert blocks_of(*runs)[0] == [[1], [2]]


def test_another_night_sky_begins_a_new_list(blocks_of, new_run):
    levels = {1: 100.0, 2: 128.0, 3: 133.0, 4: None}
    runs = [new_run(number=n, start_s=60 * n, nsb_mhz=level) for n, level in levels.items()]
    assert blocks_of(*runs)[0] == [[1, 2], [3, 4]]


def test_a_setting_source_begins_a_new_list_where_the_air_mass_has_grown(blocks_of, new_run):
    """In the hour before, sec(zenith) grows from 1.5 to 2: so it takes some lists of 0.15 each."""
    runs = [new_run(number=n, start_s=4 * 3600 + 300.0 * n, n_events=5) for n in range(1, 13)]
    blocks, _ = blocks_of(*runs)
    assert 3 <= len(blocks) <= 9 and [n for block in blocks for n in block] == list(range(1, 13))
    assert blocks_of(*runs, rules=BlockRules(max_sec_zenith=10))[0] == [list(range(1, 13))]


def test_a_long_pause_within_a_run_begins_a_new_list(blocks_of, new_run):
    """Shorter ones stay gaps, and what follows the pause goes on with the next run."""
    runs = [
        new_run(number=1, n_events=161, pauses=((3.0, 5.0), (9.0, 35.0))),
        new_run(number=2, start_s=60),
        new_run(number=3, start_s=90),
    ]
    assert blocks_of(*runs)[0] == [[1, 2, 3]]
    assert blocks_of(*runs, rules=BlockRules(max_gap_s=25))[0] == [[1], [1, 2, 3]]
    assert blocks_of(*runs, rules=BlockRules(max_gap_s=1.5))[0] == [[1], [1], [1], [2], [3]]


def test_a_run_whose_pointing_wanders_is_in_no_list(config, new_run, reconstruct, tmp_path):
    """The header has one pointing; events that were taken at another have no place in the list."""
    moved = []
    for away_deg in (0.15, 0.25):
        events = reconstruct(new_run(n_events=81))
        altitude = events.table["true_alt_tel"].copy()
        altitude[40:] += away_deg * altitude.unit
        events.table["true_alt_tel"] = altitude
        moved.append(events)
    for events, left in zip(moved, (False, True), strict=True):
        parts = observed_run(events, tmp_path / "1.h5", setup="cs1", config=config, max_gap_s=900)
        blocks, left_out = group_runs(parts, "cs1", BlockRules())
        assert (len(blocks), len(left_out)) == (0, 1) if left else (1, 0)
        if left:
            assert "up to 0.25 deg away from where the header" in left_out[tmp_path / "1.h5"]


def test_runs_without_good_time_are_named(blocks_of, new_run):
    numbers, left_out = blocks_of(new_run(number=1), new_run(number=2, start_s=60, n_events=1))
    assert numbers == [[1]]
    assert left_out == {"2.h5": "no good time (no time was measured: 1 triggers)"}


def test_directions_are_averaged_as_vectors():
    around_north = np.array([359.0, 1.0])
    assert mean_direction(around_north, np.array([40.0, 40.0]), np.ones(2))[0] % 360 == pytest.approx(
        0, abs=1e-9
    )
    lon, lat = mean_direction(np.array([350.0, 20.0]), np.array([10.0, 10.0]), np.array([2.0, 1.0]))
    assert (lon + 180) % 360 - 180 == pytest.approx(0, abs=0.2) and lat > 10
    assert separation_deg((359.9, 0.0), (0.1, 0.0)) == pytest.approx(0.2)
    assert separation_deg((10.0, 90.0), (200.0, 90.0)) == pytest.approx(0, abs=1e-9)
    assert separation_deg((0.0, 0.0), (180.0, 0.0)) == pytest.approx(180)
