"""Spectrum of a source: a fit where the counts allow it, and points."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import astropy.units as u
import numpy as np
from gammapy.datasets import SpectrumDatasetOnOff
from gammapy.modeling import Fit
from gammapy.modeling.models import (
    LogParabolaSpectralModel,
    PowerLawSpectralModel,
    SkyModel,
    SpectralModel,
)

from sst1m.quicklook.counts import OnOffCounts
from sst1m.quicklook.flux import (
    counts_in,
    crab_flux,
    crab_model,
    expected_counts,
    flux_from_counts,
    free_covariance,
    integral,
    propagated,
    safe_bins,
)
from sst1m.quicklook.on_off import SpectrumData
from sst1m.quicklook.options import QuicklookOptions

__all__ = ["Spectrum", "fit_spectrum", "spectrum_points", "total_flux"]

_LOG = logging.getLogger(__name__)
#: A shape is fitted to no less than this.
_MIN_SIGNIFICANCE, _MIN_COUNTS = 3.0, 10
_N_PARAMETERS = {"power-law": 2, "log-parabola": 3}
_POINTS_PER_DECADE = 5
#: An index beyond this is none of a source of gammas: the fit ran away.
_STEEPEST = 10.0
_DIFFERENTIAL = u.Unit("cm-2 s-1 TeV-1")


@dataclass(frozen=True, eq=False)
class Spectrum:
    """
    What is known about the spectrum.

    Parameters
    ----------
    model : SpectralModel
        The fitted one, or else that of the Crab nebula, by which counts become fluxes.
    fitted : bool
        Which of the two.
    reason : str or None
        Why there is no fit.
    energy_tev : tuple of float or None
        Range [TeV] of the safe bins.
    counts : OnOffCounts or None
        In the safe bins.
    facts : mapping
        Parameters of the fit as JSON values.
    """

    model: SpectralModel
    fitted: bool
    reason: str | None
    energy_tev: tuple[float, float] | None = None
    counts: OnOffCounts | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        if not self.fitted:
            return {"status": "not fitted", "reason": self.reason} | self._range()
        return {"status": "fitted"} | dict(self.facts) | self._range()

    def _range(self) -> dict[str, Any]:
        if self.energy_tev is None or self.counts is None:
            return {}
        low, high = self.energy_tev
        return {"fit_min_tev": low, "fit_max_tev": high, "counts": self.counts.to_dict()}


def fit_spectrum(data: SpectrumData, options: QuicklookOptions) -> Spectrum:
    """
    Fit the wanted shape to the sum of all observations (W statistic).

    Parameters
    ----------
    data : SpectrumData
        On and off counts with responses.
    options : QuicklookOptions
        The shape.

    Returns
    -------
    Spectrum
        Says why where there is no fit that can be trusted.
    """
    if not data.datasets:
        return Spectrum(crab_model(), False, data.reason)
    counts, energy_tev = counts_in(data.datasets), _safe_range(data)
    n_parameters, n_bins = _N_PARAMETERS[options.spectrum], _n_bins(data)
    if reason := _too_little(counts) or _too_few_bins(n_bins, n_parameters):
        return Spectrum(crab_model(), False, reason, energy_tev, counts)
    model, stacked = _start(options, counts, data, energy_tev), data.stacked()
    stacked.models = [SkyModel(spectral_model=model, name="source")]
    try:
        result = Fit().run([stacked])
        reason = _bad_fit(result.success, model)
    except (ValueError, RuntimeError, ArithmeticError, np.linalg.LinAlgError) as error:
        _LOG.warning("the spectrum could not be fitted", exc_info=error)
        reason = f"the fit failed: {error}"
    if reason is not None:
        return Spectrum(crab_model(), False, reason, energy_tev, counts)
    return Spectrum(model, True, None, energy_tev, counts, _fit_facts(model, stacked, options, energy_tev))


def _too_little(counts: OnOffCounts) -> str | None:
    if counts.n_off == 0:
        return "no off counts, so the background at each energy is not known"
    if counts.n_on < _MIN_COUNTS:
        return f"{counts.n_on} counts in the on-region in the bins that can be used; {_MIN_COUNTS} are needed"
    significance = counts.significance or 0.0
    if significance < _MIN_SIGNIFICANCE:
        return f"the excess has {significance:.1f} sigma; {_MIN_SIGNIFICANCE:g} are needed"
    return None


def _too_few_bins(n_bins: int, n_parameters: int) -> str | None:
    if n_bins >= n_parameters:
        return None
    return f"{n_bins} bins of energy that can be used do not determine {n_parameters} parameters"


def _n_bins(data: SpectrumData) -> int:
    return int(np.any([safe_bins(dataset) for dataset in data.datasets], axis=0).sum())


def _safe_range(data: SpectrumData) -> tuple[float, float]:
    """Return the range of energies [TeV] in which any observation has safe bins."""
    used = np.flatnonzero(np.any([safe_bins(dataset) for dataset in data.datasets], axis=0))
    edges = data.datasets[0].counts.geom.axes["energy"].edges.to_value("TeV")
    return float(edges[used[0]]), float(edges[used[-1] + 1])


def _start(
    options: QuicklookOptions, counts: OnOffCounts, data: SpectrumData, energy_tev: tuple[float, float]
) -> SpectralModel:
    """Return the shape, as bright as the counts say, to begin with."""
    crab = crab_model()
    norm = flux_from_counts(counts, float(expected_counts(data.datasets, crab).sum())).norm or 1.0
    # Far from all energies the amplitude would depend on the index; 1 TeV where that is inside.
    low, high = energy_tev
    reference = 1.0 if low <= 1.0 <= high else float(f"{np.sqrt(low * min(high, 10 * low)):.2g}")
    amplitude = norm * crab(reference * u.TeV).to(_DIFFERENTIAL)
    if options.spectrum == "log-parabola":
        return LogParabolaSpectralModel(amplitude=amplitude, alpha=2.5, beta=0.1, reference=reference * u.TeV)
    return PowerLawSpectralModel(amplitude=amplitude, index=crab.index.value, reference=reference * u.TeV)


def _bad_fit(success: bool, model: SpectralModel) -> str | None:
    """Say why a fit cannot be trusted."""
    if not success:
        return "the fit did not converge"
    for parameter in model.parameters.free_parameters:
        if not np.isfinite(parameter.value) or not np.isfinite(parameter.error) or parameter.error <= 0:
            return f"the fit gives no error of {parameter.name}"
    if model.amplitude.value <= 0 or abs(model.parameters[_index_name(model)].value) > _STEEPEST:
        return "the fit ended at parameters that no source has"
    return None


def _index_name(model: SpectralModel) -> str:
    return "alpha" if isinstance(model, LogParabolaSpectralModel) else "index"


def _fit_facts(
    model: SpectralModel,
    stacked: SpectrumDatasetOnOff,
    options: QuicklookOptions,
    energy_tev: tuple[float, float],
) -> dict[str, Any]:
    value, error = (float(found) for found in propagated(model, lambda m: integral(m, energy_tev)))
    crab = crab_flux(energy_tev)
    parameters: dict[str, dict[str, Any]] = {
        parameter.name: {
            "value": float(parameter.value),
            "error": float(parameter.error),
            "unit": parameter.unit.to_string("fits"),
        }
        for parameter in model.parameters.free_parameters
    }
    if "beta" in parameters:
        # many papers use the decadic logarithm
        decadic = {key: parameters["beta"][key] * np.log(10) for key in ("value", "error")}
        parameters["beta"] |= {f"{key}_for_log10": number for key, number in decadic.items()}
    return {
        "model": options.spectrum,
        "formula": _FORMULAS[options.spectrum],
        "reference_tev": float(model.reference.value),
        "parameters": parameters,
        "covariance": free_covariance(model).tolist(),
        "statistic": float(stacked.stat_sum()),
        "n_bins": int(stacked.mask.data.sum()),
        "flux": value,
        "flux_error": error,
        "flux_unit": "cm-2 s-1",
        "flux_crab": value / crab,
        "flux_crab_error": error / crab,
    }


_FORMULAS = {
    "power-law": "amplitude * (E / reference)**(-index)",
    "log-parabola": "amplitude * (E / reference)**(-alpha - beta * ln(E / reference))",
}


def spectrum_points(data: SpectrumData, spectrum: Spectrum) -> list[dict[str, Any]]:
    """
    Return differential fluxes in ranges of energy: the model times excess over expected counts.

    Parameters
    ----------
    data : SpectrumData
        Observations.
    spectrum : Spectrum
        Shape within a range; points depend on it little.
    """
    if spectrum.energy_tev is None:
        return []
    edges = data.datasets[0].counts.geom.axes["energy"].edges.to_value("TeV")
    expected = expected_counts(data.datasets, spectrum.model).sum(axis=0)
    points = []
    for bins in _groups(edges, spectrum.energy_tev):
        low, high = float(edges[bins.start]), float(edges[bins.stop])
        found = flux_from_counts(counts_in(data.datasets, bins), float(expected[bins].sum()))
        energy = float(np.sqrt(low * high))
        scale = float(spectrum.model(energy * u.TeV).to_value(_DIFFERENTIAL))
        values = {
            "dnde": found.norm,
            "error_low": found.norm_low,
            "error_high": found.norm_high,
            "upper_limit_95": found.norm_limit,
        }
        counts = found.counts.to_dict()
        points.append(
            {"energy_tev": energy, "energy_min_tev": low, "energy_max_tev": high}
            | {"status": "ok" if found.reason is None else found.reason}
            | {key: None if value is None else value * scale for key, value in values.items()}
            | {key: counts[key] for key in ("n_on", "n_off", "alpha", "excess", "significance")}
        )
    return points


def _groups(edges: np.ndarray, energy_tev: tuple[float, float]) -> list[slice]:
    """Return about five groups of bins per decade within a range."""
    first, last = (int(np.argmin(np.abs(np.log(edges / energy)))) for energy in energy_tev)
    n_points = max(round(_POINTS_PER_DECADE * np.log10(edges[last] / edges[first])), 1)
    borders = np.unique(np.rint(np.linspace(first, last, n_points + 1)).astype(int))
    return [slice(int(start), int(stop)) for start, stop in zip(borders, borders[1:], strict=False)]


def total_flux(data: SpectrumData, spectrum: Spectrum) -> dict[str, Any]:
    """Return the flux in the range of the fit from all counts, as JSON values."""
    if spectrum.energy_tev is None or spectrum.counts is None:
        return {"status": spectrum.reason or "no spectrum"}
    found = flux_from_counts(spectrum.counts, float(expected_counts(data.datasets, spectrum.model).sum()))
    low, high = spectrum.energy_tev
    return {
        "energy_min_tev": low,
        "energy_max_tev": high,
        "unit": "cm-2 s-1",
        "shape": "fitted" if spectrum.fitted else "assumed, as of the Crab nebula",
    } | found.to_dict(integral(spectrum.model, spectrum.energy_tev), crab_flux(spectrum.energy_tev))
