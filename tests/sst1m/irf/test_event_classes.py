"""Classes of events: edges in bins of energy, what has no class, and features by their names in data."""

from dataclasses import dataclass

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from sst1m.errors import InputError, ModelMismatchError
from sst1m.events import ReconstructedEvents
from sst1m.io.astropy_tables import read_table, write_tables
from sst1m.irf.event_classes import ClassEdges, class_edges, edges_path
from sst1m.reco.misdirection import feature_columns

INTENSITY = "camera_frame_hillas_intensity"


@dataclass
class KnownForest:
    """Predicts what the image intensity says: ten times brighter, ten times better."""

    card_sha256: str = "c" * 64

    def predict(self, events: ReconstructedEvents) -> np.ndarray:
        return 1 - np.log10(events.table[f"{INTENSITY}_tel1"])


@pytest.fixture(scope="module")
def gammas(make_events) -> ReconstructedEvents:
    events = make_events(n_showers=60_000)
    rng = np.random.default_rng(4)
    events.table[f"{INTENSITY}_tel1"] = 10 ** rng.uniform(2, 4, len(events))
    return events


@pytest.fixture(scope="module")
def edges(gammas, mc_config) -> ClassEdges:
    return class_edges(gammas, KnownForest(), mc_config)


def test_quartiles_of_each_bin_hold_equal_numbers(edges, gammas):
    energy = gammas.table["reco_energy"].to_value(u.TeV)
    classes = edges.classify(energy, KnownForest().predict(gammas))
    known = np.isfinite(np.asarray(edges.table["log_midirection_edge_1"]))
    assert 4 <= known.sum() < len(known), "some bins hold too few gammas"
    for low, high in edges.table["low", "high"][known]:
        inside = (energy >= low.value) & (energy < high.value)
        counts = np.bincount(classes[inside], minlength=5)
        assert counts[0] == 0 and np.ptp(counts[1:]) <= 2
    intensity = gammas.table[f"{INTENSITY}_tel1"]
    assert np.all(np.diff([np.median(intensity[classes == n]) for n in (1, 2, 3, 4)]) < 0)


def test_what_lies_outside_has_no_class(edges):
    table = edges.table
    row = int(np.flatnonzero(np.isfinite(np.asarray(table["log_midirection_edge_1"])))[0])
    inside = table["center"][row].value
    inner = [float(table[f"log_midirection_edge_{i}"][row]) for i in (1, 2, 3)]
    assert edges.classify([inside] * 4, [-9, inner[0], inner[1], 9]).tolist() == [1, 2, 3, 4]
    ends = [table["low"][0].value * 0.99, table["high"][-1].value, np.nan, inside]
    assert edges.classify(ends, [-1, -1, -1, np.nan]).tolist() == [0, 0, 0, 0]
    empty = int(np.flatnonzero(np.isnan(np.asarray(table["log_midirection_edge_1"])))[0])
    assert edges.classify([table["center"][empty].value], [-1]).tolist() == [0]
    assert edges.classify([], []).tolist() == []


def test_the_file_has_the_known_layout_and_reads_back(edges, tmp_path):
    path = edges_path(tmp_path, "tel_021")
    assert path.name == "misdirection_edges_tel_001.h5"
    edges.write(path)
    table = read_table(path, "misdirection_edges")
    assert table.colnames == ["low", "high", "center", *(f"log_midirection_edge_{i}" for i in range(5))]
    assert np.all(table["log_midirection_edge_0"] == -np.inf)
    assert np.all(table["log_midirection_edge_4"] == np.inf)
    assert ClassEdges.read(path).fingerprint == edges.fingerprint
    other = edges.table.copy()
    other["log_midirection_edge_2"] += 1e-6
    assert ClassEdges(other, edges.model).fingerprint != edges.fingerprint
    assert ClassEdges(edges.table, "d" * 64).fingerprint != edges.fingerprint
    write_tables(path, {"misdirection_edges": edges.table["low", "high"]})
    with pytest.raises(InputError, match="lack log_midirection_edge_0"):
        ClassEdges.read(path)


def test_features_are_found_by_the_names_of_data():
    names = (
        f"log_{INTENSITY}_tel2",
        "camera_frame_hillas_width_tel1",
        "HillasReconstructor_tel_impact_distance_tel2",
    )
    table = QTable(
        {
            f"{INTENSITY}_tel22": [100.0, 1000.0],
            "camera_frame_hillas_width_tel21": [0.1, 0.2] * u.m,
            "HillasReconstructor_tel_impact_distance_tel2": [90.0, 110.0] * u.m,
        }
    )
    found = feature_columns(ReconstructedEvents(table, "stereo"), names)
    assert [list(found[name]) for name in names] == [[2, 3], [0.1, 0.2], [90, 110]]
    with pytest.raises(ModelMismatchError, match="no column 'camera_frame_timing_slope_tel1'"):
        feature_columns(ReconstructedEvents(table, "stereo"), ("camera_frame_timing_slope_tel1",))
