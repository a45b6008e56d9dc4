"""
Voltage drop: how the sky's current through the bias resistors lowers the gain of a pixel.

The variance of a pixel's pedestal samples tells the shift of its baseline, and the shift tells gain,
photon detection efficiency and night-sky rate (slopes: arXiv:1910.00348, figure 11.1).
"""

from dataclasses import dataclass
from enum import IntFlag
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import BSpline

__all__ = [
    "DropFlag",
    "VoltageDrop",
    "baseline_shift",
    "baseline_shift_of_nsb_rate",
    "gain_drop",
    "intensity_drop",
    "largest_variance",
    "nsb_rate",
    "photon_rate",
    "voltage_drop",
]

_SAMPLE_US = 4e-3
_PDE = 0.35


class DropFlag(IntFlag):
    """What was done to a voltage drop outside the range in which it was measured."""

    GOOD = 0
    #: quieter than a pixel without light: no drop
    BELOW_RANGE = 1
    #: brighter than the brightest measured sky: the drop at the end of the range
    ABOVE_RANGE = 2
    #: no pedestal of this pixel: the drop is unknown (NaN)
    UNKNOWN = 4


@dataclass(frozen=True)
class _Telescope:
    degree: int
    knots: tuple[float, ...]
    coefficients: tuple[float, ...]
    slope_gain: float
    slope_pde: float
    gain: float


# the coefficients beyond those that the knots ask for are padding and are left out
_TELESCOPES = {
    21: _Telescope(
        degree=2,
        knots=(0, 0, 0, 46.96969697, 60.90909091, 67.57575758, 74.24242424, 74.24242424, 74.24242424),
        coefficients=(-0.4367913, 9.08788226, 39.66927065, 54.18389959, 69.24518367, 104.29418015),
        slope_gain=-0.00487,
        slope_pde=-0.00317,
        gain=21.0,
    ),
    22: _Telescope(
        degree=1,
        knots=(
            *(0, 0, 93.74735497, 126.46232902, 181.54405469, 256.80398702, 266.62290877, 292.98812266),
            *(294.71402901, 295.67072519, 298.04051867, 339.91032956, 339.91032956),
        ),
        coefficients=(
            *(-1.74764142, 48.41280122, 68.36843193, 104.62272377, 168.14318275, 179.34289593),
            *(212.07400565, 214.10474285, 215.17017626, 217.7828114, 268.19128994),
        ),
        slope_gain=-0.00118,
        slope_pde=-0.000663,
        gain=23.5,
    ),
}


@cache
def _spline(tel_id: int) -> BSpline:
    telescope = _TELESCOPES[tel_id]
    return BSpline(np.array(telescope.knots), np.array(telescope.coefficients), telescope.degree)


def largest_variance(tel_id: int) -> float:
    """Return the variance [ADC²] of the brightest sky for which telescope 21 or 22 was measured."""
    return _TELESCOPES[tel_id].knots[-1]


def baseline_shift(variance: ArrayLike, tel_id: int) -> NDArray[np.float64]:
    """
    Return the shift of the baseline that belongs to the variance of the pedestal samples.

    Parameters
    ----------
    variance : array_like
        Variance of raw pedestal samples [ADC²]; NaN stays NaN.
    tel_id : int
        21 or 22.

    Returns
    -------
    ndarray of float64, same shape
        Shift [ADC], never negative, and at most that of `largest_variance`.
    """
    variance = np.asarray(variance, dtype=np.float64)
    inside = np.clip(variance, 0, largest_variance(tel_id))
    return np.maximum(_spline(tel_id)(inside), 0)


def gain_drop(variance: ArrayLike, tel_id: int) -> NDArray[np.float64]:
    """Return the gain relative to darkness, 0 to 1, for a variance [ADC²] of the pedestal samples."""
    return 1 + _TELESCOPES[tel_id].slope_gain * baseline_shift(variance, tel_id)


def intensity_drop(variance: ArrayLike, tel_id: int) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """
    Return the signal relative to darkness (gain and photon detection efficiency).

    Parameters
    ----------
    variance : array_like
        Variance of raw pedestal samples [ADC²].
    tel_id : int
        21 or 22.

    Returns
    -------
    factor : ndarray of float64, same shape
        Charges are divided by it. Never above 1, never below its value at the end of the measured range
        (0.16 for telescope 21, 0.51 for 22); NaN where the variance is not finite.
    flag : ndarray of uint8, same shape
        `DropFlag`.

    Notes
    -----
    Cross-talk falls as well, but its effect is part of the calibrated ``dc_to_pe`` and is not corrected.
    """
    variance = np.asarray(variance, dtype=np.float64)
    telescope = _TELESCOPES[tel_id]
    known = np.isfinite(variance)
    factor = 1 + (telescope.slope_gain + telescope.slope_pde) * baseline_shift(variance, tel_id)
    flag = np.zeros(variance.shape, dtype=np.uint8)
    with np.errstate(invalid="ignore"):
        raw_shift = _spline(tel_id)(np.clip(variance, 0, largest_variance(tel_id)))
        flag[raw_shift < 0] = DropFlag.BELOW_RANGE
        flag[variance > largest_variance(tel_id)] = DropFlag.ABOVE_RANGE
    flag[~known] = DropFlag.UNKNOWN
    return np.where(known, factor, np.nan), flag


def nsb_rate(variance: ArrayLike, tel_id: int) -> NDArray[np.float64]:
    """Return the photo-electron rate of the night sky [MHz per pixel] for a variance [ADC²]."""
    charge = baseline_shift(variance, tel_id) / (_TELESCOPES[tel_id].gain * gain_drop(variance, tel_id))
    return charge / _SAMPLE_US


def photon_rate(variance: ArrayLike, tel_id: int) -> NDArray[np.float64]:
    """Return the photon rate of the night sky [MHz per pixel] for a variance [ADC²], at a PDE of 0.35."""
    factor, _ = intensity_drop(variance, tel_id)
    return baseline_shift(variance, tel_id) / (_TELESCOPES[tel_id].gain * factor) / _SAMPLE_US / _PDE


def baseline_shift_of_nsb_rate(rate: ArrayLike, tel_id: int) -> NDArray[np.float64]:
    """Return the shift of the baseline [ADC] that a photo-electron rate [MHz] causes; undoes `nsb_rate`."""
    telescope = _TELESCOPES[tel_id]
    undamped = np.asarray(rate, dtype=np.float64) * telescope.gain * _SAMPLE_US
    return undamped / (1 - telescope.slope_gain * undamped)


@dataclass(frozen=True)
class VoltageDrop:
    """
    Voltage drop of the states of a pedestal buffer.

    Attributes
    ----------
    factor : ndarray of float64, shape=(n_states, 1) or (n_states, n_pixels)
        Charges are divided by it.
    flag : ndarray of uint8, same shape
        `DropFlag`.
    """

    factor: NDArray[np.float64]
    flag: NDArray[np.uint8]


def _median_of_good(values: NDArray[np.float64], good: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the median over the good pixels that have a value, NaN for a state without any."""
    chosen = values[:, good]
    median = np.full(len(chosen), np.nan)
    whole = np.isfinite(chosen).all(axis=1)
    if chosen.shape[1]:
        # np.median would look for NaN once more, at six times the cost
        middle = sorted({(chosen.shape[1] - 1) // 2, chosen.shape[1] // 2})
        median[whole] = np.partition(chosen[whole], middle, axis=1)[:, middle].mean(axis=1)
    for state in np.flatnonzero(~whole & np.isfinite(chosen).any(axis=1)):
        median[state] = np.nanmedian(chosen[state])
    return median


def voltage_drop(
    std: NDArray[np.float64],
    tel_id: int,
    mode: Literal["pixelwise", "global", "none"],
    bad: NDArray[np.bool_],
) -> VoltageDrop:
    """
    Return the correction of the voltage drop for each state of a pedestal buffer.

    Parameters
    ----------
    std : ndarray of float64, shape=(n_states, n_pixels)
        Fluctuation of the raw pedestal samples [ADC]; NaN where a pixel has no pedestal.
    tel_id : int
        21 or 22.
    mode : {"pixelwise", "global", "none"}
        From each pixel's own variance, from the median of the pixels that are not bad, or no correction.
    bad : ndarray of bool, shape=(n_pixels,)
        Pixels that do not enter the median.
    """
    if mode == "none":
        return VoltageDrop(np.ones((len(std), 1)), np.zeros((len(std), 1), dtype=np.uint8))
    variance = np.asarray(std, dtype=np.float64) ** 2
    if mode == "global":
        variance = _median_of_good(variance, ~np.asarray(bad, dtype=bool))[:, np.newaxis]
    return VoltageDrop(*intensity_drop(variance, tel_id))
