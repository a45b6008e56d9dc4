"""Gammaness cuts: which events they keep at the edges, their files, and how they are chosen."""

from collections.abc import Callable
from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
import tables
from astropy.table import QTable
from gammapy.stats import WStatCountsStatistic

from sst1m.errors import InputError, ModelMismatchError
from sst1m.irf.cuts import GammanessCuts
from sst1m.irf.optimise import make_cut_table
from sst1m.irf.spectra import spectrum_named
from sst1m.irf.weights import event_weights


@pytest.fixture
def table() -> GammanessCuts:
    rows = QTable({"low": [1.0, 2.0, 5.0] * u.TeV, "high": [2.0, 5.0, 10.0] * u.TeV})
    rows["center"] = 0.5 * (rows["low"] + rows["high"])
    rows["n_events"], rows["cut"] = [300, 200, 100], [0.5, 0.75, 0.9]
    return GammanessCuts("efficiency", table=rows, efficiency=0.7)


def test_a_global_cut_keeps_what_is_above_it_at_any_energy(mc_config):
    cuts = GammanessCuts.from_config(mc_config)
    assert cuts.tag == "0.75"
    kept = cuts.passes([0.01, 1, 1, 1e6, np.nan, 1], [0.76, 0.75, np.nextafter(0.75, 1), 1, 0.9, np.nan])
    assert kept.tolist() == [True, False, True, True, True, False]


def test_a_table_keeps_what_is_at_or_above_the_cut_of_its_bin(table):
    assert table.tag == "energydep"
    assert table.passes([1, 1, 2, 4.99, 4.99], [0.5, 0.49, 0.74, 0.75, 0.7499]).tolist() == [
        True,
        False,
        False,
        True,
        False,
    ]


def test_a_table_keeps_nothing_outside_its_bins(table):
    energies = [np.nextafter(1, 0), 10.0, 11, 0, -1, np.nan, np.inf, np.nextafter(10, 0), 1.0]
    assert table.passes(energies, np.ones(9)).tolist() == [False] * 7 + [True, True]


def test_a_cut_of_one_class_keeps_its_events_only(table, mc_config):
    for cut, tag in ((GammanessCuts.from_config(mc_config), "0.75"), (table, "energydep")):
        second = cut.of_class(2)
        assert second.tag == f"{tag}_ec2" and second.of_class(None).tag == cut.tag == tag
        request = ([1, 1, 1], [0.9, 0.9, 0.1])
        assert second.passes(*request, [2, 3, 2]).tolist() == [True, False, False]
        with pytest.raises(InputError, match="no classes"):
            second.passes(*request)
        with pytest.raises(ModelMismatchError, match="events of class 2"):
            cut.require_same_kind(second, "x")
        with pytest.raises(InputError, match="no event class 5"):
            cut.of_class(5)


def test_a_table_survives_its_file(table, tmp_path):
    path = tmp_path / "gammaness_cuts_efficiency_stereo.h5"
    table.write(path)
    again = GammanessCuts.read(path)
    assert (again.method, again.efficiency) == ("efficiency", 0.7)
    assert again.table.colnames == table.table.colnames
    for name in table.table.colnames:
        assert np.all(again.table[name] == table.table[name])
    assert again.table["n_events"].dtype.kind == "i"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_the_file_has_the_layout_that_astropy_gives_tables(table, tmp_path):
    path = tmp_path / "cuts.h5"
    table.write(path)
    with tables.open_file(str(path)) as h5file:
        rows = h5file.root._f_get_child("gammaness_cuts").read()
        header = h5file.root._f_get_child("gammaness_cuts.__table_column_meta__").read()
    assert rows.dtype.names == ("low", "high", "center", "n_events", "cut")
    assert any(b"name: low, unit: TeV" in line for line in header)


def test_a_file_without_units_and_origin_is_read_as_tev(tmp_path):
    path = tmp_path / "cuts.h5"
    rows = np.array([(100.0, 200.0, 5, 0.5), (200.0, 400.0, 7, 0.6)], dtype="f8,f8,i8,f8")
    rows.dtype.names = ("low", "high", "n_gamma_events", "cut")
    with tables.open_file(str(path), "w") as h5file:
        h5file.create_table("/", "gammaness_cuts", obj=rows)
    cuts = GammanessCuts.read(path)
    assert (cuts.method, cuts.efficiency) == ("significance", None)
    assert cuts.passes([150, 250], [0.5, 0.5]).tolist() == [True, False]


@pytest.mark.parametrize(
    ("low", "cut", "problem"),
    [([1.0, 3.0], [0.5, 0.5], "without gaps"), ([1.0, 2.0], [0.5, np.nan], "no numbers")],
)
def test_an_impossible_table_is_refused(low, cut, problem):
    rows = QTable({"low": low * u.TeV, "high": [2.0, 4.0] * u.TeV, "cut": cut})
    with pytest.raises(InputError, match=problem):
        GammanessCuts("efficiency", table=rows)


def test_files_that_are_no_cuts_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        GammanessCuts.read(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(InputError, match="cannot be read"):
        GammanessCuts.read(tmp_path / "text.h5")
    with tables.open_file(str(tmp_path / "other.h5"), "w") as h5file:
        h5file.create_group("/", "nothing")
    with pytest.raises(InputError, match="its table 'gammaness_cuts' cannot be read"):
        GammanessCuts.read(tmp_path / "other.h5")
    with pytest.raises(InputError, match="a key of the configuration"):
        GammanessCuts("global", value=0.5).write(tmp_path / "global.h5")


def test_cuts_of_another_kind_do_not_belong_together(table):
    other_values = replace(table, table=QTable(table.table, copy=True))
    other_values.table["cut"] = 0.3
    table.require_same_kind(other_values, "x")
    with pytest.raises(ModelMismatchError, match=r"efficiency 0.5 .* not efficiency 0.7"):
        table.require_same_kind(replace(table, efficiency=0.5), "x")
    with pytest.raises(ModelMismatchError):
        table.require_same_kind(replace(table, table=table.table[:2]), "x")
    with pytest.raises(ModelMismatchError, match="global 0.6, not global 0.75"):
        GammanessCuts("global", value=0.75).require_same_kind(GammanessCuts("global", value=0.6), "x")


def test_cuts_by_efficiency_keep_the_fraction_of_gammas(make_events: Callable, mc_config):
    gamma = make_events(n_showers=400_000)
    cuts = make_cut_table("efficiency", gamma, None, mc_config)
    rows, energy = cuts.table, gamma.table["reco_energy"].to_value(u.TeV)
    score = gamma.table["gammaness"]
    assert rows.colnames == ["low", "high", "center", "n_events", "cut"]
    assert len(rows) == mc_config.analysis.n_energy_bins - 1
    kept = cuts.passes(energy, score)
    full = 0
    for row in rows:
        inside = (energy >= row["low"].value) & (energy < row["high"].value)
        if row["n_events"] < 100:
            assert row["cut"] == score.max()
        else:
            full += 1
            assert kept[inside].mean() == pytest.approx(0.7, abs=0.08)
            assert 0.1 <= row["cut"] <= 0.95
    assert full >= 5


def test_cuts_by_significance_are_the_best_of_a_scan(make_events, make_mc_config, tmp_path):
    config = make_mc_config(significance_fit=False)
    gamma, proton = make_events(offset_deg=0.5), make_events("proton", n_showers=400_000)
    cuts = make_cut_table("significance", gamma, proton, config)
    row = cuts.table[4]
    g = gamma.select((gamma.table["reco_energy"] >= row["low"]) & (gamma.table["reco_energy"] < row["high"]))
    p = proton.select(
        (proton.table["reco_energy"] >= row["low"]) & (proton.table["reco_energy"] < row["high"])
    )
    g_weight = event_weights(g, spectrum_named("CRAB_HEGRA"), 50 * u.h)
    p_weight = event_weights(p, spectrum_named("DAMPE_P_He_SPECTRUM"), 50 * u.h)
    near = _separation(g, "true") < 0.2
    around = _separation(p, "pointing") < 1.2
    scanned = []
    for cut in np.linspace(0.3, 0.95, 100):
        signal = g_weight[near & (g.table["gammaness"] >= cut)].sum()
        background = p_weight[around & (p.table["gammaness"] >= cut)].sum() * (0.2 / 1.2) ** 2
        scanned.append(
            WStatCountsStatistic(signal + background, 5 * background, 0.2).sqrt_ts if background else 0
        )
    assert row["cut"] == pytest.approx(np.linspace(0.3, 0.95, 100)[np.nanargmax(scanned)])
    assert (row["n_gamma_events"], row["n_proton_events"]) == (near.sum(), around.sum())
    assert cuts.table["cut"][-1] == gamma.table["gammaness"].max()
    cuts.write(tmp_path / "cuts.h5")
    assert GammanessCuts.read(tmp_path / "cuts.h5").method == "significance"


def test_cuts_by_significance_need_protons(make_events, mc_config):
    with pytest.raises(InputError, match="needs protons"):
        make_cut_table("significance", make_events(n_showers=2000), None, mc_config)


def _separation(events, other: str) -> np.ndarray:
    """Return angles [deg] between reconstructed and true direction or pointing, by vectors."""
    names = {"true": ("true_az", "true_alt"), "pointing": ("true_az_tel", "true_alt_tel")}[other]

    def vector(az, alt):
        az, alt = events.table[az].to_value(u.rad), events.table[alt].to_value(u.rad)
        return np.stack([np.cos(alt) * np.cos(az), np.cos(alt) * np.sin(az), np.sin(alt)])

    cos = (vector("reco_az", "reco_alt") * vector(*names)).sum(axis=0)
    return np.rad2deg(np.arccos(np.clip(cos, -1, 1)))
