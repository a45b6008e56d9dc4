"""Arrival time along the main axis of the image: a straight line, robust against late or stray pixels."""

# ruff: noqa: ANN001 (compiled functions take the types of their arguments from the call)

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .selection import SelectedPixels

__all__ = ["N_STARTS", "start_pairs", "timing_block"]

N_STARTS = 5
_KEPT_FRACTION = 0.85
_MAX_STEPS = 20
_TOLERANCE = 1e-12
# ctapipe.fitting regards a smaller determinant of the normal equations as singular
_SINGULAR = 2 * np.finfo(np.float64).eps

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


@njit
def _mix(state):
    # finaliser of SplitMix64 (Steele, Lea, Flood 2014, doi:10.1145/2714064.2660195)
    state = (state ^ (state >> np.uint64(30))) * _MIX_1
    state = (state ^ (state >> np.uint64(27))) * _MIX_2
    return state ^ (state >> np.uint64(31))


@njit
def _draw(key, counter, n):
    bits = _mix(key + np.uint64(counter + 1) * _GOLDEN) >> np.uint64(32)
    return np.int64((bits * np.uint64(n)) >> np.uint64(32))


@njit(cache=True)
def start_pairs(seed: np.uint64, event_id: np.uint64, n_points: int) -> NDArray[np.int64]:
    """
    Return the pairs of points from which the fits of one event start.

    Parameters
    ----------
    seed : numpy.uint64
        Seed of the analysis.
    event_id : numpy.uint64
        Identity of the event.
    n_points : int
        Number of points of the fit, at least 2.

    Returns
    -------
    ndarray of int64, shape=(5, 2)
        Two different points each, uniform over all pairs; a function of the arguments alone.
    """
    key = _mix(_mix(seed + _GOLDEN) ^ event_id)
    pairs = np.empty((N_STARTS, 2), dtype=np.int64)
    for i in range(N_STARTS):
        pairs[i, 0] = _draw(key, 2 * i, n_points)
        other = _draw(key, 2 * i + 1, n_points - 1)
        pairs[i, 1] = other + (other >= pairs[i, 0])
    return pairs


@njit
def _kth_smallest(values, k):
    # Hoare's selection; reorders the values
    low, high = 0, len(values) - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return values[k]


@njit
def _keep_closest(squared, n_kept, scratch, kept):
    scratch[:] = squared
    limit = _kth_smallest(scratch, n_kept - 1)
    n = 0
    for i in range(len(squared)):
        if squared[i] < limit:
            kept[n] = i
            n += 1
    for i in range(len(squared)):
        if n < n_kept and squared[i] == limit:
            kept[n] = i
            n += 1


@njit(error_model="numpy")
def _fit_line(x, y, points):
    n = len(points)
    mean_x = mean_y = 0.0
    for i in points:
        mean_x += x[i] / n
        mean_y += y[i] / n
    sum_xx = sum_xy = 0.0
    for i in points:
        sum_xx += (x[i] - mean_x) ** 2
        sum_xy += (x[i] - mean_x) * (y[i] - mean_y)
    slope = sum_xy / sum_xx if n * sum_xx >= _SINGULAR else np.nan
    intercept = mean_y - slope * mean_x
    error = 0.0
    for i in points:
        error += (y[i] - slope * x[i] - intercept) ** 2
    return slope, intercept, error


@njit
def _concentrate(x, y, pair, n_kept, scratch):
    # repeat: fit, keep the closest points, until the sum of their squared distances stays the same
    squared, copy = scratch
    kept = np.empty(n_kept, dtype=np.int64)
    slope, intercept, error = _fit_line(x, y, pair)
    for _ in range(_MAX_STEPS):
        if np.isnan(slope):
            break
        for i in range(len(x)):
            squared[i] = (y[i] - (slope * x[i] + intercept)) ** 2
        _keep_closest(squared, n_kept, copy, kept)
        last = error
        slope, intercept, error = _fit_line(x, y, kept)
        if abs(last - error) < _TOLERANCE:
            break
    return slope, intercept, error


@njit
def _fit_trimmed(x, y, seed, event_id):
    n_points = len(x)
    best_slope, best_intercept, best_error = np.nan, np.nan, np.inf
    n_kept = np.int64(_KEPT_FRACTION * n_points)
    if n_kept < 2:
        return best_slope, best_intercept
    scratch = np.empty((2, n_points))
    pairs = start_pairs(seed, event_id, n_points)
    for start in range(N_STARTS):
        slope, intercept, error = _concentrate(x, y, pairs[start], n_kept, scratch)
        # differences below the tolerance are rounding errors: the first start wins
        if error < best_error - _TOLERANCE:
            best_slope, best_intercept, best_error = slope, intercept, error
    return best_slope, best_intercept


@njit(cache=True, nogil=True, error_model="numpy")
def _timing_events(events, first, x, y, time, cog_x, cog_y, psi, seed, event_ids, out):
    for event in events:
        own = slice(first[event], first[event + 1])
        t = time[own]
        cos_psi, sin_psi = np.cos(psi[event]), np.sin(psi[event])
        along = (x[own] - cog_x[event]) * cos_psi + (y[own] - cog_y[event]) * sin_psi
        finite = np.isfinite(along) & np.isfinite(t)
        slope, intercept = _fit_trimmed(along[finite], t[finite], seed, event_ids[event])
        out[0, event] = intercept
        out[1, event] = np.sqrt(np.mean((along * slope + intercept - t) ** 2))
        out[2, event] = slope


def timing_block(
    selected: SelectedPixels,
    events: NDArray[np.int64],
    hillas: dict[str, NDArray[np.float64]],
    seed: int,
    event_ids: NDArray[np.int64],
) -> dict[str, NDArray[np.float64]]:
    """
    Return intercept [ns], deviation [ns] and slope [ns/m] of the arrival times along the main axis.

    Parameters
    ----------
    selected : SelectedPixels
        Surviving pixels of the block.
    events : ndarray of int64, shape=(n_parametrized,)
        The events to parametrize.
    hillas : dict of ndarray, shape=(n_events,)
        Result of `hillas_block`.
    seed : int
        Seed of the analysis.
    event_ids : ndarray of int64, shape=(n_events,)
        Identities of the events.

    Returns
    -------
    dict of ndarray of float64, shape=(n_events,)
        NaN where the line is undefined: fewer than three pixels, or image without length.

    Notes
    -----
    Definition: ``ctapipe.image.timing_parameters``, a least trimmed squares fit (Rousseeuw and Van Driessen
    2006, doi:10.1007/s10618-005-0024-4): from each of five random pairs of pixels, fit and keep the closest
    85 % until nothing changes; of the five results the one with the smallest sum of squares holds.

    ctapipe draws the pairs from one generator that all events share, so that its numbers depend on what
    was processed before. Here the pairs follow from the seed and the identity of the event alone
    (`start_pairs`). From the same pairs ctapipe's own functions arrive at the same line, up to rounding. Only
    with three pixels every start fits two of them exactly, and ctapipe's choice is made by rounding errors;
    here the first start decides.
    """
    out = np.full((3, selected.n_events), np.nan)
    _timing_events(
        events,
        selected.first,
        selected.x,
        selected.y,
        selected.time,
        hillas["x"],
        hillas["y"],
        hillas["psi"],
        np.uint64(seed % 2**64),
        np.ascontiguousarray(event_ids, dtype=np.int64).view(np.uint64),
        out,
    )
    return dict(zip(("intercept", "deviation", "slope"), out, strict=True))
