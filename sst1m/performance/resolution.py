"""How well energies and directions are reconstructed, in bins of true energy."""

from collections.abc import Callable
from functools import partial
from typing import cast

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray
from pyirf.benchmarks import angular_resolution as pyirf_angular_resolution
from pyirf.benchmarks import energy_bias_resolution
from pyirf.benchmarks.energy_bias_resolution import ONE_SIGMA_COVERAGE, energy_resolution_absolute_68
from scipy.stats import binom

from ..events import ReconstructedEvents
from ..irf.weights import true_distance

__all__ = [
    "CONFIDENCE",
    "ONE_SIGMA",
    "angular_resolution",
    "correct_sign",
    "energy_resolution",
    "quantile_limits",
]

#: Content of one standard deviation either way of a normal distribution: 68.27 %.
ONE_SIGMA = float(ONE_SIGMA_COVERAGE)
#: Of the limits on quantiles.
CONFIDENCE = 0.95

_Values = NDArray[np.float64]


def quantile_limits(values: _Values, quantile: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """
    Return the limits between which the quantile of the parent distribution lies, whatever its shape.

    The number of values below the true quantile follows a binomial distribution, which chooses the two
    values of the sorted sample (H. A. David & H. N. Nagaraja, Order Statistics, 3rd ed., section 7.1).

    Parameters
    ----------
    values : ndarray, shape=(n_values,)
        The sample.
    quantile : float
        Between 0 and 1.
    confidence : float
        Least probability that the limits enclose the quantile.

    Returns
    -------
    tuple of float
        Lower and upper limit; NaN where the sample is too small to give one.
    """
    ordered, tail = np.sort(values), (1 - confidence) / 2
    n_values = len(ordered)
    if n_values == 0:
        return np.nan, np.nan
    rank = int(binom.ppf(tail, n_values, quantile))
    # ppf gives the first count whose probability reaches the tail; the limit must leave out less than that.
    lower = rank if binom.cdf(rank - 1, n_values, quantile) <= tail else rank - 1
    upper = int(binom.ppf(1 - tail, n_values, quantile)) + 1
    return (
        float(ordered[lower - 1]) if lower >= 1 else np.nan,
        float(ordered[upper - 1]) if upper <= n_values else np.nan,
    )


def energy_resolution(events: ReconstructedEvents, energy_bins: u.Quantity) -> QTable:
    """
    Return energy bias and resolution in bins of true energy.

    Resolution is the 68.27 % quantile of \\|reco - true\\| / true, bias the median of (reco - true) / true.

    Parameters
    ----------
    events : ReconstructedEvents
        Gammas after cuts.
    energy_bins : Quantity, shape=(n_bins + 1,)
        Edges in true energy [TeV].

    Returns
    -------
    QTable
        One row per bin: ``low``, ``high``, ``center`` [TeV], ``n_events``, ``energy_res``,
        ``energy_res_err_lo``, ``energy_res_err_hi`` (95 % limits, not distances to them), ``energy_bias``,
        ``energy_bias_err_lo``, ``energy_bias_err_hi``. NaN where there are no events.
    """
    measure = partial(energy_bias_resolution, events.table, energy_bins, "true")
    absolute, median = partial(_limit, ONE_SIGMA, np.abs), partial(_limit, 0.5, np.asarray)
    values = measure(np.nanmedian, energy_resolution_absolute_68)
    limits = [measure(partial(median, side), partial(absolute, side)) for side in (0, 1)]
    table = _bins(energy_bins, values)
    for name, column in (("energy_res", "resolution"), ("energy_bias", "bias")):
        table[name] = values[column]
        for suffix, limit in zip(("err_lo", "err_hi"), limits, strict=True):
            table[f"{name}_{suffix}"] = limit[column]
    return table


def _limit(quantile: float, transform: Callable[[_Values], _Values], side: int, values: _Values) -> float:
    return quantile_limits(transform(np.asarray(values)), quantile)[side]


def correct_sign(events: ReconstructedEvents) -> NDArray[np.bool_] | None:
    """
    Return which images were taken for the right side of the source; None where there was no such choice.

    Only one telescope with a forest for the sign of disp has it.
    """
    table = events.table
    if events.tel_setup == "stereo" or not {"reco_disp_sign", "disp_sign"} <= set(table.colnames):
        return None
    return np.asarray(table["reco_disp_sign"]) * np.asarray(table["disp_sign"]) > 0


def angular_resolution(events: ReconstructedEvents, energy_bins: u.Quantity) -> QTable:
    """
    Return the angle that contains 68.27 % of the reconstructed directions, in bins of true energy.

    Parameters
    ----------
    events : ReconstructedEvents
        Gammas after cuts.
    energy_bins : Quantity, shape=(n_bins + 1,)
        Edges in true energy [TeV].

    Returns
    -------
    QTable
        One row per bin: ``low``, ``high``, ``center`` [TeV], ``n_events``, ``angular_res``,
        ``angular_res_err_lo``, ``angular_res_err_hi`` [deg] (95 % limits). NaN where there are no events.
    """
    directions = QTable({"true_energy": events.table["true_energy"], "theta": true_distance(events)})
    values = pyirf_angular_resolution(directions, energy_bins, "true", [ONE_SIGMA])
    table = _bins(energy_bins, values)
    table["angular_res"] = values[f"angular_resolution_{100 * ONE_SIGMA:.0f}"].to(u.deg)
    theta = directions["theta"].to_value(u.deg)
    row = np.digitize(directions["true_energy"].to_value(u.TeV), energy_bins.to_value(u.TeV)) - 1
    limits = np.array([quantile_limits(theta[row == i], ONE_SIGMA) for i in range(len(energy_bins) - 1)])
    table["angular_res_err_lo"], table["angular_res_err_hi"] = limits.T * u.deg
    return table


def _bins(energy_bins: u.Quantity, values: QTable) -> QTable:
    """Return the edges and geometric centres of bins, and how many events each has."""
    edges = energy_bins.to_value(u.TeV)
    center = np.sqrt(edges[:-1] * edges[1:])
    table = QTable({"low": edges[:-1] * u.TeV, "high": edges[1:] * u.TeV, "center": center * u.TeV})
    table["n_events"] = np.asarray(cast(NDArray[np.int64], values["n_events"]), dtype=np.int64)
    return table
