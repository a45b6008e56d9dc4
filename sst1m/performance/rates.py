"""Rates of gammas and of background in the on-region of a source, in bins of reconstructed energy."""

from collections.abc import Iterable, Mapping
from typing import Literal

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray
from pyirf.cuts import calculate_percentile_cut, evaluate_binned_cut
from pyirf.sensitivity import estimate_background

from ..config import McConfig
from ..errors import InputError
from ..events import ReconstructedEvents
from ..irf.spectra import Spectrum
from ..irf.weights import event_weights, pointing_offset, thrown_showers, true_distance

__all__ = [
    "BACKGROUND_RADIUS_DEG",
    "Theta2Method",
    "background_radius",
    "in_on_region",
    "on_regions",
    "source_rates",
]

Theta2Method = Literal["global", "efficiency"]

#: Background is counted this far around the axis and scaled to the on-region by solid angle.
BACKGROUND_RADIUS_DEG = 1.2
#: Near the edge of the view cone background is missing that would have come from behind it.
_EDGE_DEG = 1.0

#: Limits of energy-dependent on-regions, and what bins with too few gammas get.
_THETA_LIMITS = (0.01 * u.deg, 1.0 * u.deg)
_THETA_FILL = 0.5 * u.deg
_THETA_MIN_EVENTS = 100


def on_regions(
    signal: ReconstructedEvents, energy_bins: u.Quantity, config: McConfig, method: Theta2Method = "global"
) -> QTable:
    """
    Return the radius of the on-region in bins of reconstructed energy.

    Parameters
    ----------
    signal : ReconstructedEvents
        Gammas after the cut in gammaness.
    energy_bins : Quantity, shape=(n_bins + 1,)
        Edges in reconstructed energy [TeV].
    config : McConfig
        Has the radius (``global_theta_cut``) and the share of gammas to keep (``theta2_efficiency``).
    method : {"global", "efficiency"}
        One radius, or the one that keeps the share of gammas of a bin.

    Returns
    -------
    QTable
        ``low``, ``high``, ``center`` [TeV], ``n_events`` and ``cut`` [deg], one row per bin.
    """
    analysis = config.analysis
    theta, energy = true_distance(signal), signal.table["reco_energy"]
    table = calculate_percentile_cut(
        theta,
        energy,
        energy_bins,
        fill_value=_THETA_FILL,
        percentile=100 * analysis.theta2_efficiency,
        min_value=_THETA_LIMITS[0],
        max_value=_THETA_LIMITS[1],
        min_events=_THETA_MIN_EVENTS,
    )
    if method == "global":
        table["cut"] = np.full(len(table), analysis.global_theta_cut) * u.deg
    return table


def in_on_region(signal: ReconstructedEvents, regions: QTable) -> NDArray[np.bool_]:
    """Return which gammas are reconstructed in the on-region of their energy."""
    if not len(signal):
        return np.zeros(0, dtype=bool)
    return evaluate_binned_cut(true_distance(signal), signal.table["reco_energy"], regions, np.less)


def background_radius(samples: Iterable[ReconstructedEvents], energy_bins: u.Quantity, least: int) -> float:
    """
    Return how far around the axis background is counted [deg].

    That is `BACKGROUND_RADIUS_DEG`, where the background is as at a source; with few simulated events all of
    the field of view that the simulation fills, which takes the background for a little less than it is.

    Parameters
    ----------
    samples : iterable of ReconstructedEvents
        Diffuse particles after the cut in gammaness.
    energy_bins : Quantity, shape=(n_bins + 1,)
        Edges in reconstructed energy [TeV].
    least : int
        With more events than this in one bin the smaller radius will do.
    """
    widest, near = [BACKGROUND_RADIUS_DEG], np.zeros(len(energy_bins) - 1, dtype=np.int64)
    for events in samples:
        inside = pointing_offset(events, "reco").to_value(u.deg) < BACKGROUND_RADIUS_DEG
        near += np.histogram(events.table["reco_energy"][inside], energy_bins)[0]
        widest.append(thrown_showers(events).viewcone_max_deg - _EDGE_DEG)
    return BACKGROUND_RADIUS_DEG if np.any(near > least) else max(widest)


def source_rates(
    signal: ReconstructedEvents,
    spectrum: Spectrum,
    background: Mapping[str, tuple[ReconstructedEvents, Spectrum]],
    regions: QTable,
    background_radius_deg: float = BACKGROUND_RADIUS_DEG,
) -> QTable:
    """
    Return what is counted per second in the on-region of a source.

    Parameters
    ----------
    signal : ReconstructedEvents
        Gammas of a point source after the cut in gammaness.
    spectrum : callable
        Of the source.
    background : mapping of str to (ReconstructedEvents, callable)
        Diffuse particles after the cut in gammaness and their spectrum, by name.
    regions : QTable
        From `on_regions`.
    background_radius_deg : float
        Background is counted this far around the axis [deg], from no further than it was thrown.

    Returns
    -------
    QTable
        ``low``, ``high``, ``center`` [TeV], ``theta_cut`` [deg], ``signal_rate`` and ``background_rate``
        [1/s], ``n_signal`` and ``n_background`` (simulated events behind them), and ``<name>_rate``,
        ``n_<name>`` of each particle.
    """
    edges = np.append(regions["low"], regions["high"][-1])
    chosen = signal.select(in_on_region(signal, regions))
    energy = chosen.table["reco_energy"].to_value(u.TeV)
    weights = event_weights(chosen, spectrum, 1 * u.s)
    table = QTable({"low": regions["low"], "high": regions["high"]})
    table["center"] = np.sqrt(regions["low"] * regions["high"])
    table["theta_cut"] = regions["cut"]
    table["n_signal"], _ = np.histogram(energy, edges.to_value(u.TeV))
    signal_rate, _ = np.histogram(energy, edges.to_value(u.TeV), weights=weights)
    table["signal_rate"] = signal_rate / u.s
    table["n_background"], table["background_rate"] = 0, 0.0 / u.s
    for name, (events, flux) in background.items():
        counted, rate = _background_rate(events, flux, regions, background_radius_deg)
        table[f"n_{name}"], table[f"{name}_rate"] = counted, rate
        table["n_background"] += counted
        table["background_rate"] += rate
    return table


def _background_rate(
    events: ReconstructedEvents, spectrum: Spectrum, regions: QTable, radius_deg: float
) -> tuple[NDArray[np.int64], u.Quantity]:
    """Return simulated events around the axis, and the rate in an on-region."""
    thrown, edges = thrown_showers(events), np.append(regions["low"], regions["high"][-1])
    if thrown.is_point_source:
        raise InputError("background needs diffuse simulated particles; these come from a point source")
    radius = min(radius_deg, thrown.viewcone_max_deg) * u.deg
    offset = pointing_offset(events, "reco")
    table = QTable(
        {
            "reco_energy": events.table["reco_energy"],
            "reco_source_fov_offset": offset,
            "weight": event_weights(events, spectrum, 1 * u.s),
        }
    )
    counted, _ = np.histogram(table["reco_energy"][offset < radius], edges)
    scaled = estimate_background(table, edges, regions, 1.0, 0 * u.deg, radius)
    return counted, np.asarray(scaled["n_weighted"], dtype=np.float64) / u.s
