"""Gammas of the source that are reconstructed in an off-region, and so taken for background."""

import astropy.units as u
import numpy as np
from astropy.coordinates import angular_separation, offset_by, position_angle
from astropy.table import QTable
from numpy.typing import NDArray
from pyirf.binning import calculate_bin_indices

from ..events import ReconstructedEvents
from ..irf.weights import pointing_offset
from .rates import in_on_region

__all__ = ["leaking_share"]


def leaking_share(
    signal: ReconstructedEvents, weights: NDArray[np.float64], regions: QTable, n_off: int
) -> NDArray[np.float64]:
    """
    Return gammas in one off-region over those in the on-region, in bins of reconstructed energy.

    Off-regions lie at the distance of the source from the axis, at equal steps around it. Only gammas far
    enough from the axis for regions that do not overlap can tell.

    Parameters
    ----------
    signal : ReconstructedEvents
        Gammas of a point source after the cut in gammaness.
    weights : ndarray, shape=(n_events,)
        Of each event.
    regions : QTable
        From `on_regions`.
    n_off : int
        Number of off-regions.

    Returns
    -------
    ndarray, shape=(n_bins,)
        NaN in bins where no gamma can tell.
    """
    edges = np.append(regions["low"], regions["high"][-1])
    row, valid = calculate_bin_indices(signal.table["reco_energy"], edges)
    radius = np.full(len(signal), np.nan) * u.deg
    radius[valid] = regions["cut"][row[valid]]
    # Neighbouring centres are 2 r sin(pi / (n + 1)) apart, which two radii must fit into.
    apart = pointing_offset(signal, "true") * np.sin(np.pi / (n_off + 1)) > radius
    leaked = np.zeros(len(signal))
    for step in range(1, n_off + 1):
        leaked += _distance(signal, 360 * u.deg * step / (n_off + 1)) < radius
    energy = signal.table["reco_energy"][apart].to_value(u.TeV)
    bins, weights = edges.to_value(u.TeV), weights[apart]
    off, _ = np.histogram(energy, bins, weights=(weights * leaked[apart]) / n_off)
    on, _ = np.histogram(energy, bins, weights=weights * in_on_region(signal, regions)[apart])
    return np.divide(off, on, out=np.full(len(on), np.nan), where=on > 0)


def _distance(signal: ReconstructedEvents, turned: u.Quantity) -> u.Quantity:
    """Return the angle of the reconstructed direction to the source turned about the axis [deg]."""
    table = signal.table
    axis = (table["true_az_tel"], table["true_alt_tel"])
    angle = position_angle(*axis, table["true_az"], table["true_alt"])
    az, alt = offset_by(*axis, angle + turned, pointing_offset(signal, "true"))
    return angular_separation(az, alt, table["reco_az"], table["reco_alt"]).to(u.deg)
