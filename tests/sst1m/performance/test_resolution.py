"""Resolutions of events whose errors are known."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from scipy.stats import foldnorm

from sst1m.performance.resolution import (
    ONE_SIGMA,
    angular_resolution,
    correct_sign,
    energy_resolution,
    quantile_limits,
)

BINS = np.array([0.1, 0.5, 1, 3, 10, 50, 100]) * u.TeV


@pytest.mark.parametrize(("n_values", "quantile"), [(10, 0.5), (30, ONE_SIGMA), (200, ONE_SIGMA)])
def test_limits_enclose_the_true_quantile_in_95_percent_of_the_samples(n_values, quantile):
    samples = np.random.default_rng(1).random((2000, n_values))
    limits = np.array([quantile_limits(sample, quantile) for sample in samples])
    inside = np.mean((limits[:, 0] <= quantile) & (quantile <= limits[:, 1]))
    # At least 95 % by construction, and not much more, or the limits would say nothing.
    assert 0.94 < inside < 0.99


def test_textbook_limits_of_a_median():
    # n = 10: the 2nd and the 9th value enclose the median with 97.9 %, the 3rd and 8th with only 89 %.
    assert quantile_limits(np.arange(1.0, 11.0), 0.5) == (2.0, 9.0)


@pytest.mark.parametrize("n_values", [0, 1, 5])
def test_samples_too_small_for_a_limit_have_none(n_values):
    assert np.isnan(quantile_limits(np.arange(float(n_values)), 0.5)).all()


def test_energy_resolution_of_a_known_error(make_events):
    events = make_events(60_000, energy_error=0.15, energy_bias=0.03)
    table = energy_resolution(events, BINS)
    filled = table["n_events"] > 0
    assert filled.tolist() == [False, True, True, True, True, False]
    wanted = foldnorm(0.03 / 0.15, scale=0.15).ppf(ONE_SIGMA)
    rows = table[filled]
    assert np.all((rows["energy_res_err_lo"] < wanted) & (wanted < rows["energy_res_err_hi"]))
    error_of_median = 0.15 * np.sqrt(np.pi / 2 / rows["n_events"])
    assert np.all(np.abs(rows["energy_bias"] - 0.03) < 4 * error_of_median)
    assert np.all(rows["energy_bias_err_hi"] - rows["energy_bias_err_lo"] > 3 * error_of_median)
    assert np.isnan(table["energy_res"][~filled]).all() and np.isnan(table["energy_bias"][~filled]).all()


def test_angular_resolution_of_a_known_psf(make_events):
    table = angular_resolution(make_events(60_000, psf_deg=0.1), BINS)
    wanted = 0.1 * np.sqrt(-2 * np.log(1 - ONE_SIGMA))
    rows = table[1:5]
    assert np.all(rows["angular_res_err_lo"].to_value("deg") < wanted)
    assert np.all(rows["angular_res_err_hi"].to_value("deg") > wanted)
    assert np.isnan(table["angular_res"][[0, 5]]).all()
    assert rows["angular_res"].unit == u.deg


def test_no_events_at_all_give_no_number(make_events):
    nothing = make_events(10, acceptance=0.0)
    for table, name in (
        (energy_resolution(nothing, BINS), "energy_res"),
        (angular_resolution(nothing, BINS), "angular_res"),
    ):
        assert len(table) == 6 and np.isnan(table[name]).all() and not table["n_events"].any()


def test_one_telescope_knows_which_images_it_turned_the_wrong_way(make_events):
    events = make_events(1000, setup="tel_001")
    assert correct_sign(events) is None
    table = events.table.copy()
    table["disp_sign"] = np.where(np.arange(len(table)) % 2, 1.0, -1.0)
    table["reco_disp_sign"] = np.ones(len(table))
    mono = replace(events, table=table)
    assert correct_sign(mono).mean() == pytest.approx(0.5, abs=0.01)
    assert correct_sign(replace(mono, tel_setup="stereo")) is None
