"""The weakest source that an exposure detects, in bins of reconstructed energy."""

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray
from pyirf.sensitivity import relative_sensitivity

from ..irf.spectra import Spectrum

__all__ = [
    "MIN_EXCESS",
    "MIN_EXCESS_OVER_BACKGROUND",
    "MIN_SIGNIFICANCE",
    "MIN_SIMULATED",
    "flux_sensitivity",
]

#: A detection: this many standard deviations (Li & Ma), counts, and share of the background.
MIN_SIGNIFICANCE = 5.0
MIN_EXCESS = 10.0
MIN_EXCESS_OVER_BACKGROUND = 0.05
#: Bins with this many simulated gammas or background events, or fewer, tell nothing.
MIN_SIMULATED = 10


def flux_sensitivity(
    rates: QTable, spectrum: Spectrum, observation_time: u.Quantity, off_regions: int
) -> QTable:
    """
    Return the differential sensitivity: the flux that is just detected in each energy bin.

    Detected means 5 standard deviations (T.-P. Li & Y.-Q. Ma 1983, ApJ 272, 317, equation 17), at least 10
    counts and at least 5 % of the background.

    Parameters
    ----------
    rates : QTable
        From `source_rates`.
    spectrum : callable
        Of the source that the rates are for.
    observation_time : Quantity
        Exposure.
    off_regions : int
        Number of off-regions, each as large as the on-region.

    Returns
    -------
    QTable
        ``energy``, ``energy_min``, ``energy_max`` [TeV], ``relative_sensitivity`` (% of the spectrum),
        ``flux_sensitivity``, ``flux_sensitivity_err_minus``, ``flux_sensitivity_err_plus``
        [TeV cm-2 s-1] from the numbers of simulated events, and these, ``n_signal`` and ``n_background``;
        ``spectrum_flux`` [TeV cm-2 s-1] of the source. NaN in bins with 10 or fewer of either.
    """
    known = (rates["n_signal"] > MIN_SIMULATED) & (rates["n_background"] > MIN_SIMULATED)
    counts = [
        np.where(known, (rates[f"{kind}_rate"] * observation_time).to_value(u.one), np.nan)
        for kind in ("signal", "background")
    ]
    spread = [1 / np.sqrt(np.where(known, rates[f"n_{kind}"], np.nan)) for kind in ("signal", "background")]
    signal, background = counts
    value = _relative(signal, background, off_regions)
    best = _relative(signal * (1 + spread[0]), background * (1 - spread[1]), off_regions)
    worst = _relative(signal * (1 - spread[0]), background * (1 + spread[1]), off_regions)
    energy = rates["center"]
    source_flux = (energy**2 * spectrum(energy)).to(u.TeV / u.cm**2 / u.s)
    return QTable(
        {
            "energy": energy,
            "energy_min": rates["low"],
            "energy_max": rates["high"],
            "relative_sensitivity": 100 * value,
            "flux_sensitivity": value * source_flux,
            "flux_sensitivity_err_minus": (value - best) * source_flux,
            "flux_sensitivity_err_plus": (worst - value) * source_flux,
            "spectrum_flux": source_flux,
            "n_signal": rates["n_signal"],
            "n_background": rates["n_background"],
        }
    )


def _relative(
    signal: NDArray[np.float64], background: NDArray[np.float64], off_regions: int
) -> NDArray[np.float64]:
    alpha = 1 / off_regions
    relative = relative_sensitivity(
        n_on=signal + background,
        n_off=background / alpha,
        alpha=alpha,
        min_significance=MIN_SIGNIFICANCE,
        min_signal_events=MIN_EXCESS,
        min_excess_over_background=MIN_EXCESS_OVER_BACKGROUND,
    )
    return np.where(np.isfinite(relative), relative, np.nan).astype(np.float64)
