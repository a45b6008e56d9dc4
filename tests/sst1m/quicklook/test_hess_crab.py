"""Four real observations of the Crab nebula by H.E.S.S., as published in A&A 625, A10 (2019)."""

from pathlib import Path

import astropy.units as u
import pytest
from gammapy.estimators import FluxPointsEstimator
from gammapy.modeling.models import SkyModel

from sst1m.quicklook.look import quicklook
from sst1m.quicklook.observations import select_observations
from sst1m.quicklook.on_off import off_regions, spectrum_data
from sst1m.quicklook.options import QuicklookOptions
from sst1m.quicklook.regions import excluded_regions, exclusion_mask, on_region
from sst1m.quicklook.spectrum import fit_spectrum, spectrum_points

PUBLISHED = QuicklookOptions(
    on_radius_deg=0.11, energy_min_tev=0.66, energy_max_tev=30, spectrum="log-parabola"
)


@pytest.fixture(scope="module")
def store(shared_data) -> Path:
    return shared_data / "dl3" / "hess_crab"


@pytest.fixture(scope="module")
def content(store, tmp_path_factory, crab) -> dict:
    return quicklook(store, tmp_path_factory.mktemp("hess"), source=crab, options=PUBLISHED).content


def test_published_counts(content):
    assert content["livetime_h"] == pytest.approx(1.75, abs=0.005)
    assert content["n_on"] == pytest.approx(459, abs=10)
    assert content["background"] == pytest.approx(27.5, abs=1.5)
    assert content["excess"] == pytest.approx(431.5, abs=10)
    assert content["significance"] > 35
    assert content["simulated"] is False


def test_published_spectrum(content):
    found = content["spectrum"]["parameters"]
    published = {"amplitude": (4.47e-11, 0.29e-11), "alpha": (2.39, 0.18), "beta": (0.37, 0.22)}
    for name, (value, error) in published.items():
        assert found[name]["value"] == pytest.approx(value, abs=error)
        assert found[name]["error"] <= 1.1 * error
    # the same curvature with the decadic logarithm, in which the publication states it
    assert found["beta"]["value_for_log10"] == pytest.approx(0.37, abs=0.05)
    assert found["beta"]["error_for_log10"] == pytest.approx(0.22, abs=0.03)


def test_flux_and_its_error_follow_the_counts(content):
    spectrum, flux = content["spectrum"], content["flux"]
    assert spectrum["flux"] == pytest.approx(flux["flux"], rel=0.02)
    assert spectrum["flux_error"] == pytest.approx(flux["error_high"], rel=0.15)
    assert 1.2 < flux["flux_crab"] < 1.8


def test_points_agree_with_those_of_gammapy(store, crab):
    # one observation is enough to compare, and quicker
    used = select_observations(store, crab, PUBLISHED).used[:1]
    region = on_region(used, crab, PUBLISHED)
    mask = exclusion_mask(excluded_regions(region, (), PUBLISHED), PUBLISHED)
    data = spectrum_data(used, region, {used[0].name: off_regions(used[0], region, mask)}, PUBLISHED)
    spectrum = fit_spectrum(data, PUBLISHED)
    bright = [p for p in spectrum_points(data, spectrum) if (p["significance"] or 0) > 8]
    assert bright
    stacked = data.stacked()
    stacked.models = [SkyModel(spectral_model=spectrum.model.copy(), name="source")]
    for point in bright:
        edges = [point["energy_min_tev"], point["energy_max_tev"]] * u.TeV
        estimator = FluxPointsEstimator(energy_edges=edges, source="source", selection_optional=[])
        theirs = estimator.run([stacked])
        assert point["dnde"] == pytest.approx(float(theirs.dnde.quantity.value.item()), rel=0.05)
        error = float(theirs.dnde_err.quantity.value.item())
        assert (point["error_low"] + point["error_high"]) / 2 == pytest.approx(error, rel=0.15)


def test_map_without_background_responses(content):
    sky = content["sky_map"]
    assert sky["acceptance"] == "events"
    assert sky["peak"]["distance_deg"] < 0.05
    assert sky["significance_at_source"] == pytest.approx(content["significance"], rel=0.05)
    assert sky["background_mean"] == pytest.approx(0, abs=0.1)
    assert sky["background_std"] == pytest.approx(1, abs=0.1)


def test_light_curve_of_three_nights(content):
    curve = content["light_curve"]
    assert [point["name"] for point in curve["nights"]] == ["2004-12-04", "2004-12-06", "2004-12-08"]
    mean = content["flux"]["flux"]
    for point in curve["observations"]:
        assert point["flux"] == pytest.approx(mean, abs=3 * point["error_high"])
