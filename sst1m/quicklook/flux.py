"""Fluxes from counts: how much brighter a source is than its model, in any range of energy and time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np
from gammapy.datasets import SpectrumDatasetOnOff
from gammapy.modeling.models import PowerLawSpectralModel, SkyModel, SpectralModel
from numpy.typing import NDArray
from scipy.special import gammaincc, gammainccinv

from sst1m.irf.spectra import GAMMA_SPECTRUM, SPECTRA
from sst1m.quicklook.counts import OnOffCounts, combined

__all__ = [
    "FLUX_UNIT",
    "FluxFromCounts",
    "counts_in",
    "crab_flux",
    "crab_model",
    "expected_counts",
    "flux_from_counts",
    "free_covariance",
    "integral",
    "propagated",
    "safe_bins",
]

FLUX_UNIT = u.Unit("cm-2 s-1")
#: Below this significance the upper limit is the result.
_LIMIT_BELOW = 2.0
#: Gaussian standard deviations of a one-sided limit of 95 %.
_LIMIT_SIGMA = 1.6449
#: Derivatives are taken over this fraction of a standard error.
_STEP = 0.01
_ENERGY = np.geomspace(1, 10, 3)


@dataclass(frozen=True)
class FluxFromCounts:
    """
    Flux relative to a model.

    Parameters
    ----------
    counts : OnOffCounts
        What was seen.
    expected : float
        Counts of the source that its model predicts.
    norm, norm_low, norm_high : float or None
        Flux in units of that of the model, and its errors down and up (both positive).
    norm_limit : float or None
        Upper limit, 95 %, where the significance is below 2.
    reason : str or None
        Why there is no flux.
    """

    counts: OnOffCounts
    expected: float
    norm: float | None = None
    norm_low: float | None = None
    norm_high: float | None = None
    norm_limit: float | None = None
    reason: str | None = None

    def to_dict(self, flux: float, crab: float) -> dict[str, Any]:
        """
        Return it as JSON values.

        Parameters
        ----------
        flux, crab : float
            Of the model and of the Crab nebula in the same range [cm-2 s-1].
        """
        scaled = {
            "flux": self.norm,
            "error_low": self.norm_low,
            "error_high": self.norm_high,
            "upper_limit_95": self.norm_limit,
        }
        values: dict[str, Any] = {
            key: None if value is None else value * flux for key, value in scaled.items()
        }
        values |= {
            f"{key}_crab": None if value is None else value * flux / crab for key, value in scaled.items()
        }
        status = "ok" if self.reason is None else self.reason
        return {"status": status} | values | {"expected_counts": self.expected} | _seen(self.counts)


def _seen(counts: OnOffCounts) -> dict[str, Any]:
    keys = ("n_on", "n_off", "alpha", "excess", "significance")
    return {key: counts.to_dict()[key] for key in keys}


def crab_model() -> PowerLawSpectralModel:
    """Return the Crab nebula of HEGRA, to which our simulations are weighted (ApJ 614, 897)."""
    crab = SPECTRA[GAMMA_SPECTRUM]
    # The pure power law is read off the curve, so that its numbers stand in one place only.
    flux = crab(_ENERGY * u.TeV).to_value("TeV-1 cm-2 s-1")
    index = -np.log10(flux[-1] / flux[0])
    return PowerLawSpectralModel(
        index=float(index), amplitude=float(flux[0]) * u.Unit("TeV-1 cm-2 s-1"), reference=1 * u.TeV
    )


def crab_flux(energy_tev: tuple[float, float]) -> float:
    """Return the flux of the Crab nebula [cm-2 s-1] between two energies [TeV]."""
    return integral(crab_model(), energy_tev)


def integral(model: SpectralModel, energy_tev: tuple[float, float]) -> float:
    """Return the flux of a model [cm-2 s-1] between two energies [TeV]."""
    low, high = energy_tev
    return float(model.integral(low * u.TeV, high * u.TeV).to_value(FLUX_UNIT))


def propagated(
    model: SpectralModel, function: Callable[[SpectralModel], NDArray[np.float64] | float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """
    Return a function of a fitted model and its standard error, by the covariance of the parameters.

    gammapy 2.1 draws random parameters instead, and its error of a log parabola's flux is half of this.

    Parameters
    ----------
    model : SpectralModel
        With the covariance of its fit.
    function : callable
        Of a model; gives a number or an array.
    """
    free = [
        name
        for name, parameter in zip(model.parameters.names, model.parameters, strict=True)
        if not parameter.frozen
    ]
    covariance, slopes = free_covariance(model), []
    for name in free:
        step, ends = _STEP * model.parameters[name].error, []
        for sign in (1, -1):
            varied = model.copy()
            varied.parameters[name].value = model.parameters[name].value + sign * step
            ends.append(np.asarray(function(varied), dtype=float))
        slopes.append((ends[0] - ends[1]) / (2 * step))
    gradient = np.array(slopes)
    variance = np.einsum("i...,ij,j...->...", gradient, covariance, gradient)
    return np.asarray(function(model), dtype=float), np.sqrt(np.maximum(variance, 0))


def free_covariance(model: SpectralModel) -> NDArray[np.float64]:
    """Return the covariance of the parameters that were fitted, in their order."""
    free = [number for number, parameter in enumerate(model.parameters) if not parameter.frozen]
    return np.asarray(model.covariance.data)[np.ix_(free, free)]


def expected_counts(datasets: Sequence[SpectrumDatasetOnOff], model: SpectralModel) -> NDArray[np.float64]:
    """
    Return how many gammas in each bin of reconstructed energy a model predicts.

    Parameters
    ----------
    datasets : sequence of SpectrumDatasetOnOff
        Observations.
    model : SpectralModel
        Spectrum of the source.

    Returns
    -------
    ndarray, shape=(n_observations, n_energy_bins)
        Zero outside the bins that are safe.
    """
    rows = []
    for dataset in datasets:
        dataset.models = [SkyModel(spectral_model=model.copy(), name="source")]
        rows.append(np.ravel(dataset.npred_signal().data) * safe_bins(dataset))
    return np.array(rows)


def safe_bins(dataset: SpectrumDatasetOnOff) -> NDArray[np.bool_]:
    """Return which bins of reconstructed energy an observation can be used in, shape=(n_energy_bins,)."""
    return np.ravel(dataset.mask_safe.data)


def counts_in(datasets: Sequence[SpectrumDatasetOnOff], bins: slice | None = None) -> OnOffCounts:
    """Return the counts of observations in safe bins of energy, all or some of them."""
    parts, livetimes = [], []
    for dataset in datasets:
        chosen = np.zeros(len(safe_bins(dataset)), dtype=bool)
        chosen[bins if bins is not None else slice(None)] = True
        chosen &= safe_bins(dataset)
        on, off = (np.ravel(counts.data)[chosen] for counts in (dataset.counts, dataset.counts_off))
        n_regions = float(np.ravel(dataset.acceptance_off.data)[0])
        parts.append(OnOffCounts(int(on.sum()), int(off.sum()), 1 / n_regions))
        livetimes.append(float(dataset.gti.time_sum.to_value("s")))
    return combined(parts, livetimes)


def flux_from_counts(counts: OnOffCounts, expected: float) -> FluxFromCounts:
    """
    Return the flux relative to a model from the counts in one range of energy.

    The norm is the excess over what the model predicts; errors and limit follow from the likelihood of the
    counts on and off (W statistic).

    Parameters
    ----------
    counts : OnOffCounts
        On and off.
    expected : float
        Gammas that the model predicts.
    """
    if not expected > 0:
        return FluxFromCounts(counts, expected, reason="no exposure")
    if not counts.background_known:
        return FluxFromCounts(counts, expected, reason="no off counts, so the background is not known")
    statistic, limit = counts.statistic, None
    if float(statistic.sqrt_ts) < _LIMIT_BELOW:
        limit = _upper_limit(counts) / expected
    low, high = (float(value) / expected for value in (statistic.compute_errn(), statistic.compute_errp()))
    return FluxFromCounts(counts, expected, counts.excess / expected, _finite(low), _finite(high), limit)


def _upper_limit(counts: OnOffCounts) -> float:
    """
    Return the excess that is excluded at 95 %.

    The W statistic alone excludes too much where hardly anything was counted (1.35 for nothing). So the
    larger of it and of the limit for a known background holds (Helene 1983, NIM 212, 319; 3.0 for nothing).
    """
    shape, background = counts.n_on + 1, counts.background
    known = float(gammainccinv(shape, 0.05 * gammaincc(shape, background))) - background
    profile = float(counts.statistic.compute_upper_limit(_LIMIT_SIGMA))
    return max(limit for limit in (known, profile, 0.0) if np.isfinite(limit))


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
