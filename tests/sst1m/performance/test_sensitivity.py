"""Rates, sensitivity and detection times that can be computed by hand."""

import astropy.units as u
import numpy as np
import pytest
from pyirf.spectral import CRAB_HEGRA, DAMPE_P_He_SPECTRUM, PowerLaw
from pyirf.statistics import li_ma_significance

from sst1m.errors import InputError
from sst1m.performance.detection_time import detection_time
from sst1m.performance.effective_area import effective_areas
from sst1m.performance.leakage import leaking_share
from sst1m.performance.rates import background_radius, in_on_region, on_regions, source_rates
from sst1m.performance.samples import point_signal
from sst1m.performance.sensitivity import flux_sensitivity

BINS = np.geomspace(0.5, 50, 6) * u.TeV
AREA = np.pi * 500**2 * u.m**2
DIFFUSE = PowerLaw(1e-5 / (u.TeV * u.s * u.cm**2 * u.sr), -2.7)


def integral(spectrum, low, high):
    energy = np.geomspace(low.to_value("TeV"), high.to_value("TeV"), 2001) * u.TeV
    return np.trapezoid(spectrum(energy), energy)


@pytest.fixture(scope="module")
def gammas(make_events):
    return make_events(200_000, energy_error=0.0, psf_deg=0.05, seed=3)


@pytest.fixture(scope="module")
def protons(make_events):
    return make_events(400_000, primary=101, cone=(0, 5), energy_error=0.0, psf_deg=0.0, seed=4)


@pytest.fixture(scope="module")
def regions(gammas, mc_config):
    return on_regions(gammas, BINS, mc_config)


@pytest.fixture(scope="module")
def rates(gammas, protons, regions):
    return source_rates(gammas, CRAB_HEGRA, {"proton": (protons, DIFFUSE)}, regions)


def test_signal_rate_is_flux_times_area(rates):
    # Half of the showers are seen, and all of those within 0.2 deg where the PSF is 0.05 deg.
    for row in rates:
        wanted = integral(CRAB_HEGRA, row["low"], row["high"]) * AREA * 0.5
        error = 4 / np.sqrt(row["n_signal"])
        assert (row["signal_rate"] / wanted).to_value(u.one) == pytest.approx(1, abs=error + 0.01)


def test_background_rate_is_flux_times_area_times_solid_angle_of_the_on_region(rates):
    cap = 2 * np.pi * (1 - np.cos(np.deg2rad(0.2))) * u.sr
    for row in rates:
        wanted = integral(DIFFUSE, row["low"], row["high"]) * AREA * 0.5 * cap
        error = 4 / np.sqrt(row["n_background"])
        assert (row["background_rate"] / wanted).to_value(u.one) == pytest.approx(1, abs=error + 0.01)
    assert rates["n_proton"].tolist() == rates["n_background"].tolist()


def test_several_particles_add_up(gammas, protons, regions):
    both = {"proton": (protons, DIFFUSE), "electron": (protons, DAMPE_P_He_SPECTRUM)}
    rates = source_rates(gammas, CRAB_HEGRA, both, regions)
    assert u.allclose(rates["background_rate"], rates["proton_rate"] + rates["electron_rate"])
    assert np.all(rates["n_background"] == rates["n_proton"] + rates["n_electron"])


def test_few_background_events_are_looked_for_in_the_whole_field(make_events, protons):
    assert background_radius([protons], BINS, 10) == 1.2
    few = make_events(400, primary=101, cone=(0, 5), seed=9)
    assert background_radius([few], BINS, 10) == 4.0
    assert background_radius([make_events(400, primary=101, cone=(0, 1.5))], BINS, 1000) == 1.2


def test_background_from_a_wider_field_gives_the_same_rate(gammas, protons, regions, rates):
    wide = source_rates(gammas, CRAB_HEGRA, {"proton": (protons, DIFFUSE)}, regions, 4.0)
    assert wide["n_background"].sum() > 8 * rates["n_background"].sum()
    ratio = (wide["background_rate"] / rates["background_rate"]).to_value(u.one)
    assert np.all(np.abs(ratio - 1) < 4 / np.sqrt(rates["n_background"]))


def test_background_from_a_point_is_refused(gammas, regions):
    with pytest.raises(InputError, match="diffuse"):
        source_rates(gammas, CRAB_HEGRA, {"proton": (gammas, DIFFUSE)}, regions)


@pytest.mark.parametrize("max_offset", [0.5, 1.0, 5.0])
def test_diffuse_gammas_near_the_axis_give_the_rate_of_a_point_source(
    make_events, protons, regions, rates, max_offset
):
    diffuse = make_events(800_000, cone=(0, 5), energy_error=0.0, psf_deg=0.05, seed=5)
    signal, text = point_signal(diffuse, max_offset)
    found = source_rates(signal, CRAB_HEGRA, {}, regions)
    error = 4 * np.sqrt(1 / found["n_signal"].sum() + 1 / rates["n_signal"].sum())
    ratio = found["signal_rate"].sum() / rates["signal_rate"].sum()
    assert ratio.to_value(u.one) == pytest.approx(1, abs=error + 0.01)
    assert f"{max_offset:g} deg" in text


def test_gammas_only_far_from_the_axis_are_refused(make_events):
    with pytest.raises(InputError, match="within 1 deg"):
        point_signal(make_events(100, cone=(2, 5)))


def made_rates(signal, background, n_signal=1000, n_background=1000):
    table = np.full(len(BINS) - 1, 1.0)
    from astropy.table import QTable

    return QTable(
        {
            "low": BINS[:-1],
            "high": BINS[1:],
            "center": np.sqrt(BINS[:-1] * BINS[1:]),
            "signal_rate": signal * table / u.h,
            "background_rate": background * table / u.h,
            "n_signal": np.full(len(table), n_signal),
            "n_background": np.full(len(table), n_background),
        }
    )


def relative(table):
    return table["relative_sensitivity"] / 100


def test_sensitivity_is_five_sigma_where_that_rules():
    # 10 gammas and 2 background events an hour: in 50 h 500 on 100; 5 sigma needs less than half of it.
    table = flux_sensitivity(made_rates(10, 2), CRAB_HEGRA, 50 * u.h, 5)
    excess = relative(table) * 500
    assert excess.min() > 10 and excess.min() > 0.05 * 100
    np.testing.assert_allclose(li_ma_significance(100 + excess, np.full(5, 500.0), 0.2), 5, rtol=1e-6)
    flux = table["energy"] ** 2 * CRAB_HEGRA(table["energy"])
    assert u.allclose(table["flux_sensitivity"], relative(table) * flux)
    assert table["flux_sensitivity"].unit == u.Unit("TeV cm-2 s-1")


def test_sensitivity_needs_ten_counts_where_there_is_hardly_background():
    table = flux_sensitivity(made_rates(10, 1e-4), CRAB_HEGRA, 50 * u.h, 5)
    np.testing.assert_allclose(relative(table) * 500, 10, rtol=1e-6)


def test_sensitivity_needs_five_percent_of_a_large_background():
    table = flux_sensitivity(made_rates(1000, 1e4), CRAB_HEGRA, 50 * u.h, 5)
    np.testing.assert_allclose(relative(table) * 50_000, 0.05 * 5e5, rtol=1e-6)


@pytest.mark.parametrize("few", [{"n_signal": 10}, {"n_background": 10}, {"n_background": 0}])
def test_bins_with_too_few_simulated_events_have_no_sensitivity(few):
    table = flux_sensitivity(made_rates(10, 2, **few), CRAB_HEGRA, 50 * u.h, 5)
    for name in ("relative_sensitivity", "flux_sensitivity", "flux_sensitivity_err_plus"):
        assert np.isnan(table[name]).all()


def test_errors_follow_the_number_of_simulated_events():
    few, many = (flux_sensitivity(made_rates(10, 2, n, n), CRAB_HEGRA, 50 * u.h, 5) for n in (100, 10_000))
    for name in ("flux_sensitivity_err_minus", "flux_sensitivity_err_plus"):
        np.testing.assert_allclose(few[name] / many[name], 10, rtol=0.3)
        assert np.all(many[name] > 0)


def test_detection_time_is_the_first_minute_with_five_sigma():
    rates = made_rates(1.0, 2.0)
    found = detection_time(rates, 5)
    signal, background = 5.0, 10.0

    def significance(hours):
        return li_ma_significance((signal + background) * hours, background * hours * 5, 0.2)

    assert found.reason == "" and found.hours * 60 == pytest.approx(round(found.hours * 60))
    assert significance(found.hours) >= 5 > significance(found.hours - 1 / 60)
    assert found.significance_1h == pytest.approx(significance(1.0))
    assert found.signal_rate == pytest.approx(signal / 60)


def test_detection_time_above_an_energy_uses_its_bins_only():
    low, high = detection_time(made_rates(1, 2), 5), detection_time(made_rates(1, 2), 5, BINS[2].value)
    # Three of five bins: the same significance takes 5/3 of the time.
    assert high.hours == pytest.approx(low.hours * 5 / 3, abs=0.04)


@pytest.mark.parametrize(
    ("rates", "reason"),
    [
        (made_rates(1e-3, 2), "not detected within 500 h"),
        (made_rates(1, 2, n_background=1), "5 background events are left"),
        (made_rates(0, 2), "no gamma of this source"),
    ],
)
def test_no_detection_has_its_reason(rates, reason):
    found = detection_time(rates, 5)
    assert found.hours is None and reason in found.reason


def test_a_source_without_background_needs_ten_counts():
    rates = made_rates(1, 1e-9)
    assert detection_time(rates, 5).hours == pytest.approx(2.0)


def test_energy_dependent_regions_keep_the_share_that_is_asked_for(gammas, mc_config):
    cuts = on_regions(gammas, BINS, mc_config, "efficiency")
    kept = gammas.table["reco_energy"].to_value("TeV") < 50
    assert in_on_region(gammas, cuts)[kept].mean() == pytest.approx(0.68, abs=0.01)
    wanted = 0.05 * np.sqrt(-2 * np.log(1 - 0.68))
    assert cuts["cut"][0].to_value("deg") == pytest.approx(wanted, rel=0.05)
    assert cuts["n_events"].min() > 100


def test_effective_area_of_a_known_acceptance(gammas):
    everything = np.ones(len(gammas), dtype=bool)
    half = np.arange(len(gammas)) % 2 == 0
    bins = np.array([0.1, 0.4, *BINS.value, 100]) * u.TeV
    table = effective_areas(gammas, {"all": everything, "half": half, "none": ~everything}, bins)
    inside = slice(2, 7)
    pull = (table["effective_area_all"] - 0.5 * AREA) / table["effective_area_err_all"]
    assert np.all(np.abs(pull[inside]) < 4)
    assert u.allclose(table["effective_area_half"][inside], 0.25 * AREA, rtol=0.1)
    assert np.all(table["effective_area_none"][inside] == 0)
    assert np.isnan(table["effective_area_err_none"][inside]).all()
    # Nothing was thrown below 0.5 TeV: no area, and not an area of zero.
    assert np.isnan(table["effective_area_all"][[0, -1]]).all()


def test_gammas_on_the_mirrored_side_leak_into_an_off_region(make_events, mc_config):
    from dataclasses import replace

    events = make_events(2000, cone=(0.7, 0.7), psf_deg=0.0, energy_error=0.0, setup="tel_001")
    table = events.table.copy()
    # Every tenth gamma ends up opposite of the axis, where one of five off-regions lies.
    turned = np.arange(len(table)) % 10 == 0
    from astropy.coordinates import offset_by, position_angle

    axis = (table["true_az_tel"], table["true_alt_tel"])
    angle = position_angle(*axis, table["true_az"], table["true_alt"])
    az, alt = offset_by(*axis, angle + 180 * u.deg, 0.7 * u.deg)
    for name, value in (("reco_az", az), ("reco_alt", alt)):
        table[name] = np.where(turned, value, table[name]).to(u.deg)
    events = replace(events, table=table)
    cuts = on_regions(events, BINS, mc_config)
    share = leaking_share(events, np.ones(len(events)), cuts, 5)
    np.testing.assert_allclose(share, (1 / 10) / (9 / 10) / 5, rtol=0.5)
    # On the axis the regions would overlap, and nothing can be told.
    on_axis = make_events(500, psf_deg=0.0, setup="tel_001")
    assert np.isnan(leaking_share(on_axis, np.ones(len(on_axis)), cuts, 5)).all()
