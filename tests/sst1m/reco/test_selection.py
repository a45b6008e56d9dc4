"""Cuts on reconstructed events, one by one in their order."""

import numpy as np
import pytest

from sst1m.errors import ModelMismatchError
from sst1m.events import ReconstructedEvents
from sst1m.io.dl2_columns import column_table
from sst1m.reco.selection import select_events

IMAGE = {
    "camera_frame_hillas_intensity": 100.0,
    "camera_frame_hillas_width": 0.02,
    "camera_frame_hillas_length": 0.05,
    "leakage_intensity_width_2": 0.1,
}


def _events(setup, n, **columns):
    suffixes = {"stereo": ("_tel21", "_tel22")}.get(setup, ("",))
    table = {f"{name}{suffix}": np.full(n, value) for suffix in suffixes for name, value in IMAGE.items()}
    return ReconstructedEvents(column_table(table | columns), setup)


def test_intervals_are_closed_and_counted_in_order(mc_config):
    intensity = np.array([49.9, 50.0, 1e6, np.nan, 100.0, 49.0])
    leakage = np.array([0.1, 0.1, 0.7, 0.1, 0.8, 0.9])
    events = _events("tel_021", 6, camera_frame_hillas_intensity=intensity, leakage_intensity_width_2=leakage)
    selection = select_events(events, mc_config)
    assert selection.mask.tolist() == [False, True, True, False, False, False]
    assert selection.counts == {
        "n_dl2": 6,
        "camera_frame_hillas_intensity": 3,
        "camera_frame_hillas_width": 0,
        "camera_frame_hillas_length": 0,
        "leakage_intensity_width_2": 1,
        "n_selected": 2,
    }


def test_both_telescopes_must_pass(mc_config):
    events = _events("stereo", 3, camera_frame_hillas_intensity_tel22=np.array([10.0, 100.0, 100.0]))
    assert select_events(events, mc_config).mask.tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("key", "limit", "expected"),
    [
        ("stereo_delta_disp_cut_deg", 0.5, [True, False, True]),
        ("stereo_relative_std_reco_energy_cut", 0.3, [True, True, False]),
        ("stereo_std_gammaness_cut", 0.1, [False, True, True]),
    ],
)
def test_telescopes_must_agree(mc_config, key, limit, expected):
    stereo = {
        "min_distance": np.deg2rad([0.1, 0.5, 0.2]),
        "reco_energy": np.array([1.0, 2.0, 10.0]),
        "var_reco_energy": np.array([0.04, 0.04, 10.0]),
        "var_gammaness": np.array([0.01, 0.0, 0.009]),
    }
    analysis = mc_config.analysis.model_copy(update={key: limit})
    config = mc_config.model_copy(update={"analysis": analysis})
    selection = select_events(_events("stereo", 3, **stereo), config)
    assert selection.mask.tolist() == expected
    assert selection.counts[key] == 1
    assert select_events(_events("stereo", 3, **stereo), mc_config).mask.all()


def test_missing_column_is_named(mc_config):
    events = ReconstructedEvents(column_table({"gammaness": np.ones(2)}), "tel_021")
    with pytest.raises(ModelMismatchError, match="no column 'camera_frame_hillas_intensity'"):
        select_events(events, mc_config)
