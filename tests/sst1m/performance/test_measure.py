"""One measurement as a whole: files, numbers, and what is said of what is missing."""

import json

import numpy as np
import pytest

from sst1m.errors import ConfigError, InputError
from sst1m.io.astropy_tables import read_table
from sst1m.irf.cuts import GammanessCuts
from sst1m.performance import PerformanceOptions, PerformanceSummary, measure_performance
from sst1m.performance.roc import area_under_curve, roc_table


@pytest.fixture(scope="module")
def cuts(mc_config):
    return GammanessCuts.from_config(mc_config)


@pytest.fixture(scope="module")
def gammas(make_events):
    return make_events(20_000, cone=(0, 5), gammaness=(0.3, 1.0), seed=1)


@pytest.fixture(scope="module")
def protons(make_events):
    return make_events(60_000, primary=101, cone=(0, 5), gammaness=(0.0, 0.9), seed=2)


@pytest.fixture(scope="module")
def measured(tmp_path_factory, gammas, protons, cuts, mc_config):
    directory = tmp_path_factory.mktemp("performance")
    options = PerformanceOptions(detect=("CRAB_HEGRA", "MRK501_TACTIC"), label="prod", max_offset_deg=2.0)
    return measure_performance(
        directory,
        gamma=gammas,
        proton=protons,
        cuts=cuts,
        config=mc_config,
        setup="stereo",
        options=options,
    )


def test_summary_is_read_back_and_has_no_number_that_is_none(measured):
    again = PerformanceSummary.read(measured.path)
    assert again.content == json.loads(json.dumps(measured.content, allow_nan=False))
    assert again.content["node"] == "ze20_az180_nsb100" and again.content["setup"] == "stereo"


def test_counts_fall_from_stage_to_stage(measured, protons):
    for name in ("gamma", "proton"):
        counts = list(measured.content["counts"][name].values())
        assert counts == sorted(counts, reverse=True)
        assert counts[-1] > 0
    proton = measured.content["counts"]["proton"]
    assert proton["thrown"] == protons.thrown.n_showers
    # One sixth of gammaness between 0 and 0.9 lies above 0.75.
    assert proton["gammaness"] / proton["selected"] == pytest.approx(1 / 6, abs=0.01)


def test_every_file_that_the_summary_names_is_there(measured):
    named = {*measured.content["files"], *measured.content["figures"], "summary.json"}
    assert {path.name for path in measured.path.parent.iterdir()} == named
    assert {"energy_resolution_stereo.h5", "flux_sensitivity_stereo.h5", "roc_curve_stereo.png"} <= named
    sensitivity = read_table(measured.path.with_name("flux_sensitivity_stereo.h5"), "sensitivity")
    columns = measured.content["tables"]["flux_sensitivity"]["columns"]
    found = np.array(columns["flux_sensitivity"], dtype=float)
    np.testing.assert_array_equal(sensitivity["flux_sensitivity"].value, found)
    assert np.isfinite(found).any() and np.isnan(found).any()


def test_a_softer_source_takes_longer(measured):
    crab, markarian = measured.content["detection"]
    assert (crab["source"], markarian["source"]) == ("CRAB_HEGRA", "MRK501_TACTIC")
    assert 0 < crab["hours"] < markarian["hours"]


def test_without_protons_all_else_is_measured(tmp_path, gammas, cuts, mc_config):
    summary = measure_performance(
        tmp_path, gamma=gammas, proton=None, cuts=cuts, config=mc_config, setup="stereo", figures=False
    )
    assert summary.content["missing"]["flux_sensitivity"] == "no protons were given"
    assert {"energy_resolution", "angular_resolution", "effective_area"} <= set(summary.content["tables"])
    assert "roc_curve" not in summary.content["tables"] and summary.content["figures"] == []


def test_not_one_event_gives_a_summary_of_nothing(tmp_path, make_events, cuts, mc_config):
    nothing = make_events(100, acceptance=0.0)
    protons = make_events(100, acceptance=0.0, cone=(0, 5), primary=101)
    summary = measure_performance(
        tmp_path, gamma=nothing, proton=protons, cuts=cuts, config=mc_config, setup="stereo"
    )
    resolution = summary.content["tables"]["energy_resolution"]["columns"]["energy_res"]
    assert set(resolution) == {None}
    assert "0 gammas and 0 protons" in summary.content["missing"]["roc_curve"]
    assert "no energy bin" in summary.content["missing"]["flux_sensitivity"]
    assert summary.content["detection"][0]["hours"] is None


def test_energy_dependent_regions_are_stored(tmp_path, gammas, protons, cuts, mc_config):
    summary = measure_performance(
        tmp_path,
        gamma=gammas,
        proton=protons,
        cuts=cuts,
        config=mc_config,
        setup="stereo",
        theta2_cuts="efficiency",
        figures=False,
    )
    assert "theta_edep_cuts_stereo.h5" in summary.content["files"]
    assert read_table(tmp_path / "theta_edep_cuts_stereo.h5", "theta_cuts")["cut"].unit == "deg"


def test_an_old_summary_does_not_outlive_its_files(tmp_path, gammas, cuts, mc_config):
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(ConfigError, match="CRAB_HEGRO"):
        measure_performance(
            tmp_path,
            gamma=gammas,
            proton=gammas,
            cuts=cuts,
            config=mc_config,
            setup="stereo",
            options=PerformanceOptions(spectrum="CRAB_HEGRO"),
        )
    assert not (tmp_path / "summary.json").exists()


def test_events_of_another_setup_are_refused(tmp_path, gammas, cuts, mc_config):
    with pytest.raises(InputError, match="stereo were given to measure tel_001"):
        measure_performance(tmp_path, gamma=gammas, proton=None, cuts=cuts, config=mc_config, setup="tel_001")


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": {"name": "sst1m-performance", "version": 99}}'])
def test_a_broken_or_foreign_summary_is_refused(tmp_path, text):
    path = tmp_path / "summary.json"
    path.write_text(text)
    with pytest.raises(InputError, match="make it anew"):
        PerformanceSummary.read(path)


def test_area_under_the_curve_of_known_distributions(make_events):
    bins = np.geomspace(0.5, 50, 4)
    import astropy.units as u

    gamma = make_events(20_000, gammaness=(0.5, 1.0), energy_error=0.0)
    same = make_events(20_000, gammaness=(0.5, 1.0), energy_error=0.0, seed=2)
    apart = make_events(20_000, gammaness=(0.0, 0.5), energy_error=0.0, seed=3)
    half = make_events(20_000, gammaness=(0.25, 0.75), energy_error=0.0, seed=4)
    # P(gamma above proton) of uniform distributions that overlap by half.
    for proton, wanted in ((same, 0.5), (apart, 1.0), (half, 0.875)):
        found = area_under_curve(gamma, proton, bins * u.TeV)
        np.testing.assert_allclose(found["auc"], wanted, atol=0.04)
    curve = roc_table(gamma, half)
    area = np.trapezoid(curve["true_positive_rate"], curve["false_positive_rate"])
    assert area == pytest.approx(0.875, abs=0.01)
    assert roc_table(gamma, make_events(10, acceptance=0.0)) is None
