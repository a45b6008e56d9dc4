"""Energy spectra by name: what gammas, nuclei and electrons of a simulation are weighted to."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Protocol

import astropy.units as u
import numpy as np
from pyirf.spectral import (
    CRAB_HEGRA,
    CRAB_MAGIC_JHEAP2015,
    IRFDOC_ELECTRON_SPECTRUM,
    IRFDOC_PROTON_SPECTRUM,
    DAMPE_P_He_SPECTRUM,
    LogParabola,
    PowerLaw,
)

from ..errors import ConfigError

__all__ = [
    "ELECTRON_SPECTRUM",
    "GAMMA_SPECTRUM",
    "PROTON_SPECTRUM",
    "SPECTRA",
    "CutoffPowerLaw",
    "NaturalLogParabola",
    "Spectrum",
    "spectrum_named",
]

#: Names of the spectra that weights use where nothing else is asked for.
GAMMA_SPECTRUM = "CRAB_HEGRA"
PROTON_SPECTRUM = "DAMPE_P_He_SPECTRUM"
ELECTRON_SPECTRUM = "IRFDOC_ELECTRON_SPECTRUM"

_FLUX = u.Unit("TeV-1 cm-2 s-1")


class Spectrum(Protocol):
    """Differential flux as a function of energy."""

    def __call__(self, energy: u.Quantity) -> u.Quantity:
        """Return the flux at an energy."""


@dataclass(frozen=True)
class CutoffPowerLaw:
    """
    Power law with an exponential cut-off, ``normalization (E / e_ref)**index exp(-E / e_cutoff)``.

    Parameters
    ----------
    normalization : Quantity
        Flux at the reference energy without the cut-off [TeV-1 cm-2 s-1].
    index : float
        With its sign.
    e_cutoff, e_ref : Quantity
        Energies [TeV].
    """

    normalization: u.Quantity
    index: float
    e_cutoff: u.Quantity
    e_ref: u.Quantity = 1 * u.TeV

    def __call__(self, energy: u.Quantity) -> u.Quantity:
        """Return the flux at an energy."""
        power = (energy / self.e_ref).to_value(u.one) ** self.index
        return self.normalization * power * np.exp(-(energy / self.e_cutoff).to_value(u.one))


@dataclass(frozen=True)
class NaturalLogParabola:
    """
    Log parabola with the natural logarithm, ``normalization x**(a + b ln x)`` with ``x = E / e_ref``.

    pyirf's own log parabola takes the decadic one.

    Parameters
    ----------
    normalization : Quantity
        Flux at the reference energy [TeV-1 cm-2 s-1].
    a, b : float
        Index and curvature, with their signs.
    e_ref : Quantity
        Energy [TeV].
    """

    normalization: u.Quantity
    a: float
    b: float
    e_ref: u.Quantity = 1 * u.TeV

    def __call__(self, energy: u.Quantity) -> u.Quantity:
        """Return the flux at an energy."""
        x = (energy / self.e_ref).to_value(u.one)
        return self.normalization * x ** (self.a + self.b * np.log(x))


def _power_law(flux: float, index: float, e_ref_tev: float = 1) -> PowerLaw:
    return PowerLaw(flux * _FLUX, index, e_ref_tev * u.TeV)


def _cutoff(flux: float, index: float, e_cutoff_tev: float) -> CutoffPowerLaw:
    return CutoffPowerLaw(flux * _FLUX, index, e_cutoff_tev * u.TeV)


def _decadic(flux: float, a: float, b: float, e_ref_tev: float = 1) -> LogParabola:
    return LogParabola(flux * _FLUX, a, b, e_ref_tev * u.TeV)


def _natural(flux: float, a: float, b: float, e_ref_tev: float = 1) -> NaturalLogParabola:
    return NaturalLogParabola(flux * _FLUX, a, b, e_ref_tev * u.TeV)


SPECTRA: Mapping[str, Spectrum] = MappingProxyType(
    {
        # Aharonian et al. 2004, ApJ 614, 897
        "CRAB_HEGRA": CRAB_HEGRA,
        # Aleksic et al. 2015, JHEAp 5, 30
        "CRAB_MAGIC_JHEAP2015": CRAB_MAGIC_JHEAP2015,
        # Acciari et al. 2020, A&A 635, A158: large zenith angles, to 100 TeV
        "CRAB_MAGIC_2020": _decadic(2.95e-11, -2.48, -0.23),
        # Abeysekara et al. 2019, ApJ 881, 134: ground parameter, and neural network; natural logarithm
        "CRAB_HAWC_2019": _natural(2.35e-13, -2.79, -0.10, 7),
        "CRAB_HAWC_2019_NN": _natural(2.31e-13, -2.73, -0.06, 7),
        # Meagher 2015, arXiv:1508.06442; its flux points say that the logarithm is decadic
        "CRAB_VERITAS_2015": _decadic(3.75e-11, -2.467, -0.16),
        # Cao et al. 2021, Science 373, 425
        "CRAB_LHAASO_2022": _decadic(8.2e-14, -2.90, -0.19, 10),
        # Abe et al. 2023, arXiv:2306.12960; natural logarithm
        "CRAB_LST_2023": _natural(3.05e-10, -2.25, -0.114, 0.4),
        # Acciari et al. 2011, ApJ 738, 25: states of Mrk 421
        "MRK421_VERITAS_VERY_LOW": _cutoff(4.48e-11, -2.29, 1.59),
        "MRK421_VERITAS_LOW": _cutoff(7.60e-11, -2.285, 2.95),
        "MRK421_VERITAS_HIGH": _cutoff(2.223e-10, -1.88, 3.06),
        # Godambe et al. 2008, J. Phys. G 35, 065202
        "MRK501_TACTIC": _power_law(1.66e-11, -2.80),
        # Acciari et al. 2011, ApJ 729, 2, and Abdo et al. 2011, ApJ 727, 129
        "MRK501_VERITAS_LOW": _power_law(5.78e-12, -2.72),
        "MRK501_VERITAS_HIGH": _power_law(8.8e-12, -2.26),
        # Abeysekara et al. 2020, arXiv:1909.08609 (eHWC J1907+063); natural logarithm
        "LHAASO_J1908": _natural(9.5e-14, -2.46, -0.11, 10),
        # Abe et al. 2023, arXiv:2210.00775
        "LHAASO_J2108": _cutoff(7.6e-14, -1.37, 50),
        # Tibet AS-gamma 2021, Nature Astronomy 5, 460, and Albert et al. 2020, ApJL 896, L29
        "LHAASO_J2226_ASg": _power_law(9.5e-16, -2.95, 40),
        "LHAASO_J2226_HAWC": _power_law(2.46e-15, -2.29, 20),
        # Aharonian et al. 2003, A&A 406, L9
        "ES1959_HEGRA_LOW": _cutoff(6.0e-12, -1.8, 2.7),
        "ES1959_HEGRA_HIGH": _cutoff(5.6e-11, -1.83, 4.2),
        # Abdalla et al. 2021, A&A 653, A152 (J1702-420A)
        "HESS_J1702": _power_law(1.6e-13, -1.53),
        # DAMPE protons and helium to 8 TeV, then a flatter continuation (pyirf)
        "DAMPE_P_He_SPECTRUM": DAMPE_P_He_SPECTRUM,
        # Description of CTA instrument response functions, Prod3b, section 4.3.1
        "IRFDOC_PROTON_SPECTRUM": IRFDOC_PROTON_SPECTRUM,
        "IRFDOC_ELECTRON_SPECTRUM": IRFDOC_ELECTRON_SPECTRUM,
    }
)

#: Spectra that have a name elsewhere, and why they have none here.
_WITHDRAWN = {"CRAB_HESS_2024": "the curve printed in arXiv:2403.12608 does not fit its flux points"}


def spectrum_named(name: str) -> Spectrum:
    """
    Return a spectrum by its name.

    Raises
    ------
    ConfigError
        If there is none of that name; the message says which there are.
    """
    if name in SPECTRA:
        return SPECTRA[name]
    if name in _WITHDRAWN:
        raise ConfigError(f"spectrum {name} cannot be used: {_WITHDRAWN[name]}; take another Crab spectrum")
    close = get_close_matches(name, SPECTRA, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(SPECTRA))}"
    raise ConfigError(f"spectrum {name!r} is not known; {hint}")
