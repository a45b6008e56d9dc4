"""Effective area before and after each cut, in bins of true energy."""

from collections.abc import Mapping

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray
from pyirf.irf import effective_area

from ..events import ReconstructedEvents
from ..irf.weights import thrown_showers
from ..thrown import ThrownShowers

__all__ = ["effective_areas"]


def effective_areas(
    signal: ReconstructedEvents, stages: Mapping[str, NDArray[np.bool_]], energy_bins: u.Quantity
) -> QTable:
    """
    Return the effective area for a point source after each stage of the analysis.

    Area of generation times the fraction of showers that is left, with its binomial error.

    Parameters
    ----------
    signal : ReconstructedEvents
        Gammas of a point source (`point_signal`).
    stages : mapping of str to ndarray of bool, shape=(n_events,)
        Which events are left after a stage, by its name.
    energy_bins : Quantity, shape=(n_bins + 1,)
        Edges in true energy [TeV].

    Returns
    -------
    QTable
        One row per bin: ``low``, ``high``, ``center`` [TeV], ``n_thrown``, and for each stage
        ``effective_area_<stage>`` and ``effective_area_err_<stage>`` [m2]. NaN where less than one shower
        was thrown; the error is NaN where nothing is left, since none can be told then.

    Raises
    ------
    InputError
        If the events are no simulations.
    """
    edges = energy_bins.to_value(u.TeV)
    thrown = thrown_showers(signal)
    n_thrown = thrown.to_pyirf().calculate_n_showers_per_energy(energy_bins)
    n_thrown = np.where(n_thrown >= 1, n_thrown, np.nan)
    table = QTable({"low": edges[:-1] * u.TeV, "high": edges[1:] * u.TeV})
    table["center"] = np.sqrt(edges[:-1] * edges[1:]) * u.TeV
    table["n_thrown"] = n_thrown
    energy = signal.table["true_energy"].to_value(u.TeV)
    for name, mask in stages.items():
        left, _ = np.histogram(energy[mask], edges)
        area, error = _area(left, n_thrown, thrown)
        table[f"effective_area_{name}"], table[f"effective_area_err_{name}"] = area, error
    return table


def _area(
    left: NDArray[np.int64], n_thrown: NDArray[np.float64], thrown: ThrownShowers
) -> tuple[u.Quantity, u.Quantity]:
    disc = np.pi * thrown.max_impact_m**2 * u.m**2
    share = left / n_thrown
    spread = np.sqrt(left * np.clip(1 - share, 0, None))
    error = effective_area(np.where(left > 0, spread, np.nan), n_thrown, disc)
    return effective_area(left, n_thrown, disc), error
