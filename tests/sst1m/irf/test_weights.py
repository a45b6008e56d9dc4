"""Spectra by name and the weights that follow from them."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from pyirf.spectral import CRAB_HEGRA, DAMPE_P_He_SPECTRUM

from sst1m.errors import ConfigError, InputError
from sst1m.irf.spectra import SPECTRA, spectrum_named
from sst1m.irf.weights import above_energy, event_weights, pointing_offset, within_cone

DIFFUSE = {"DAMPE_P_He_SPECTRUM", "IRFDOC_PROTON_SPECTRUM", "IRFDOC_ELECTRON_SPECTRUM"}


@pytest.mark.parametrize("name", sorted(SPECTRA))
def test_spectra_are_positive_fluxes_that_fall(name):
    energy = np.geomspace(0.5, 50, 20) * u.TeV
    unit = "TeV-1 cm-2 s-1 sr-1" if name in DIFFUSE else "TeV-1 cm-2 s-1"
    flux = spectrum_named(name)(energy).to_value(unit)
    assert np.all(flux > 0)
    assert np.all(np.diff(flux) < 0)


@pytest.mark.parametrize(
    ("name", "energy_tev", "flux"),
    [
        ("CRAB_HEGRA", 1, 2.83e-11),
        ("CRAB_MAGIC_2020", 1, 2.95e-11),
        ("CRAB_LST_2023", 0.4, 3.05e-10),
        # A flux point of the paper, which decides between the two logarithms.
        ("CRAB_VERITAS_2015", 7.9118, 1.7896e-13),
        ("CRAB_HAWC_2019", 7, 2.35e-13),
        ("MRK421_VERITAS_LOW", 2.95, 7.60e-11 * 2.95**-2.285 / np.e),
        ("LHAASO_J2108", 50, 7.6e-14 * 50**-1.37 / np.e),
    ],
)
def test_spectra_have_the_published_values(name, energy_tev, flux):
    value = spectrum_named(name)(energy_tev * u.TeV).to_value("TeV-1 cm-2 s-1")
    assert value == pytest.approx(flux, rel=0.06 if "VERITAS_2015" in name else 1e-9)


def test_crab_spectra_agree_within_the_errors_of_the_instruments():
    crabs = [spectrum for name, spectrum in SPECTRA.items() if name.startswith("CRAB")]
    fluxes = np.array([s(5 * u.TeV).to_value("TeV-1 cm-2 s-1") for s in crabs])
    assert len(fluxes) >= 7
    assert fluxes.max() / fluxes.min() < 1.6


def test_unknown_spectra_are_refused_with_a_hint():
    with pytest.raises(ConfigError, match="did you mean CRAB_HEGRA"):
        spectrum_named("CRAB_HEGRAA")
    with pytest.raises(ConfigError, match="does not fit its flux points"):
        spectrum_named("CRAB_HESS_2024")


def test_weights_of_a_point_source_sum_to_the_expected_counts(make_events):
    gamma = make_events(offset_deg=0.5, n_showers=300_000)
    weights = event_weights(gamma, CRAB_HEGRA, 10 * u.h)
    energies, edges = gamma.table["true_energy"].to_value(u.TeV), np.geomspace(5, 100, 4)
    seen, squares = (np.histogram(energies, edges, weights=weights**power)[0] for power in (1, 2))
    # flux * area * time * detection probability, which is 0.25 sec^2 / (1 + (threshold / E)^3) at the axis
    for low, high, counts, square in zip(edges[:-1], edges[1:], seen, squares, strict=True):
        energy = np.geomspace(low, high, 400)
        sec = 1 / np.cos(np.deg2rad(20))
        seen_fraction = 0.25 * sec**2 * np.exp(-0.5 * (0.5 / 3) ** 2) / (1 + (1.2 * sec**3 / energy) ** 3)
        flux = 2.83e-11 * energy**-2.62 * seen_fraction
        area_cm2, time_s = np.pi * 500**2 * 1e4, 36_000
        expected = np.trapezoid(flux, energy) * area_cm2 * time_s
        assert counts == pytest.approx(expected, abs=3 * np.sqrt(square))


def test_a_diffuse_simulation_stands_for_a_source_anywhere_in_its_cone(make_events):
    diffuse = within_cone(make_events(n_showers=2_000_000), 1.0)
    point = make_events(offset_deg=0.6)
    one, other = (event_weights(e, CRAB_HEGRA, 1 * u.h).sum() for e in (diffuse, point))
    assert one == pytest.approx(other, rel=0.06)


def test_a_point_source_cannot_stand_for_a_diffuse_flux(make_events):
    with pytest.raises(InputError, match="give a diffuse simulation"):
        event_weights(make_events(offset_deg=0.5, n_showers=2000), DAMPE_P_He_SPECTRUM, 1 * u.h)
    data = replace(make_events(n_showers=2000), thrown=None)
    with pytest.raises(InputError, match="not simulated"):
        event_weights(data, CRAB_HEGRA, 1 * u.h)


def test_parts_of_a_sample_keep_their_weights(make_events):
    whole = make_events("proton")
    weights = event_weights(whole, DAMPE_P_He_SPECTRUM, 1 * u.s)
    energy = whole.table["true_energy"].to_value(u.TeV)
    high = above_energy(whole, 2.0)
    assert np.allclose(event_weights(high, DAMPE_P_He_SPECTRUM, 1 * u.s), weights[energy >= 2.0], rtol=1e-4)
    assert above_energy(high, 1.0) is high
    near = within_cone(whole, 2.0)
    inside = pointing_offset(whole, "true").value <= 2.0
    assert len(near) == inside.sum()
    assert np.allclose(event_weights(near, DAMPE_P_He_SPECTRUM, 1 * u.s), weights[inside], rtol=1e-3)
