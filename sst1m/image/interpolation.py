"""Charge and time of bad pixels, filled from their neighbours."""

# ruff: noqa: ANN001 (compiled functions take the types of their arguments from the call)

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .tables import CameraTables, require_shape

__all__ = ["interpolate_bad_pixels"]


@njit
def _mean_of_valid_neighbors(values, bad, neighbors):
    total, count = 0.0, 0
    for neighbor in neighbors:
        if not bad[neighbor]:
            total += values[neighbor]
            count += 1
    return total / count if count > 0 else 0.0


@njit(cache=True, nogil=True)
def _fill_bad_pixels(charge, peak_time, bad, first_neighbor, neighbors):
    flags = bad[0]
    pixels = np.flatnonzero(flags)
    for event in range(charge.shape[0]):
        if bad.shape[0] > 1:
            flags = bad[event]
            pixels = np.flatnonzero(flags)
        for pixel in pixels:
            around = neighbors[first_neighbor[pixel] : first_neighbor[pixel + 1]]
            charge[event, pixel] = _mean_of_valid_neighbors(charge[event], flags, around)
            peak_time[event, pixel] = _mean_of_valid_neighbors(peak_time[event], flags, around)


def interpolate_bad_pixels(
    charge: NDArray[np.float32], peak_time: NDArray[np.float32], bad: NDArray[np.bool_], tables: CameraTables
) -> None:
    """
    Replace charge and time of bad pixels, in place, by the mean over their good neighbours.

    Parameters
    ----------
    charge, peak_time : ndarray of float32, shape=(n_events, n_pixels)
        C-contiguous; changed in place. A bad pixel without a good neighbour becomes 0 in both.
    bad : ndarray of bool, shape=(n_pixels,) or (n_events, n_pixels)
        The pixels to replace, the same for all events or per event.
    tables : CameraTables
        The camera.

    Notes
    -----
    Definition: ``ctapipe.image.NeighborAverage``.
    """
    bad = np.ascontiguousarray(np.atleast_2d(bad), dtype=np.bool_)
    shape = (len(charge), tables.n_pixels)
    require_shape(shape, charge=charge, peak_time=peak_time)
    require_shape((1 if len(bad) == 1 else shape[0], shape[1]), bad=bad)
    if bad.any():
        _fill_bad_pixels(charge, peak_time, bad, tables.first_neighbor, tables.neighbors)
