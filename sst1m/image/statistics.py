"""Moments of the charges or the arrival times of an image, whatever their place."""

# ruff: noqa: ANN001 (compiled functions take the types of their arguments from the call)

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["statistics_block"]


@njit(error_model="numpy")
def _describe(values, out):
    mean = values.mean()
    second = third = fourth = 0.0
    for value in values:
        squared = (value - mean) ** 2
        second += squared
        third += squared * (value - mean)
        fourth += squared * squared
    variance = second / len(values)
    # the mean is NaN if any value is; max and min alone would hide it
    out[0], out[1] = values.max() + 0 * mean, values.min() + 0 * mean
    out[2], out[3] = mean, np.sqrt(variance)
    out[4] = third / len(values) / variance**1.5
    out[5] = fourth / len(values) / variance**2 - 3


@njit(cache=True, nogil=True)
def _statistics_events(events, first, values, out):
    row = np.empty(out.shape[0])
    for event in events:
        _describe(values[first[event] : first[event + 1]], row)
        out[:, event] = row


def statistics_block(
    events: NDArray[np.int64], first: NDArray[np.int64], values: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """
    Return maximum, minimum, mean, standard deviation, skewness and excess kurtosis, event by event.

    Parameters
    ----------
    events : ndarray of int64, shape=(n_parametrized,)
        The events to describe; NaN in all others.
    first : ndarray of int64, shape=(n_events + 1,)
        Where the values of each event begin.
    values : ndarray of float64, shape=(n_selected,)
        Charges [p.e.] or arrival times [ns].

    Notes
    -----
    Definition: ``ctapipe.image.descriptive_statistics``, here in double precision: values that are all equal
    have no skewness (NaN), where single precision may leave a random one.
    """
    out = np.full((6, len(first) - 1), np.nan)
    _statistics_events(events, first, values, out)
    return dict(zip(("max", "min", "mean", "std", "skewness", "kurtosis"), out, strict=True))
