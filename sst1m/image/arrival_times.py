"""Spread of the arrival times of an image, and their correlation with charge."""

# ruff: noqa: ANN001 (compiled functions take the types of their arguments from the call)

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .selection import SelectedPixels

__all__ = ["arrival_time_block"]


@njit(error_model="numpy")
def _spread(charge, time, out):
    mean_time, mean_charge, size = time.mean(), charge.mean(), charge.sum()
    sum_tt = sum_qq = sum_tq = weighted = 0.0
    for i in range(len(time)):
        dt, dq = time[i] - mean_time, charge[i] - mean_charge
        sum_tt += dt * dt
        sum_qq += dq * dq
        sum_tq += dt * dq
        weighted += charge[i] * dt * dt
    out[0] = np.sqrt(sum_tt / len(time))
    out[1] = np.sqrt(weighted / size) if size > 0 else np.nan
    # the mean is NaN if any time is; max and min alone would hide it
    out[2] = time.max() - time.min() + 0 * mean_time
    out[3] = sum_tq / np.sqrt(sum_tt * sum_qq)


@njit(cache=True, nogil=True)
def _arrival_time_events(first, charge, time, out):
    row = np.empty(out.shape[0])
    for event in range(len(first) - 1):
        own = slice(first[event], first[event + 1])
        if first[event + 1] > first[event]:
            _spread(charge[own], time[own], row)
            out[:, event] = row


def arrival_time_block(selected: SelectedPixels) -> dict[str, NDArray[np.float64]]:
    """
    Return spread and duration of the arrival times [ns] and their correlation with charge.

    Parameters
    ----------
    selected : SelectedPixels
        Surviving pixels of the block.

    Returns
    -------
    dict of ndarray of float64, shape=(n_events,)
        With the mean ``m`` of the times ``t`` and charges ``q`` of the surviving pixels:
        ``t_rms = sqrt(mean((t - m)^2))``, ``t_rms_w = sqrt(sum(q (t - m)^2) / sum(q))``,
        ``t_lac = max(t) - min(t)``, and ``len_st``, Pearson's correlation coefficient of ``t`` and ``q``.
        NaN in events without pixels, and where the formula is undefined.
    """
    out = np.full((4, selected.n_events), np.nan)
    _arrival_time_events(selected.first, selected.charge, selected.time, out)
    return dict(zip(("t_rms", "t_rms_w", "t_lac", "len_st"), out, strict=True))
