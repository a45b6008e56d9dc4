"""Pulses beyond the linear range of the read-out, integrated over their whole length."""

# ruff: noqa: ANN001 (compiled functions take the types of their arguments from the call)

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from .tables import SAMPLE_WIDTH_NS, require_shape

__all__ = ["SaturatedPulses", "find_saturated_pulses"]

SATURATION_LEVEL = 3000.0
WIDTH_LEVEL = 2500.0
MAX_NORMAL_WIDTH = 5
EDGE_RATIO = 5.0


class SaturatedPulses(NamedTuple):
    """
    The saturated pulses of a block, one entry each, ordered by event and pixel.

    Attributes
    ----------
    event, pixel : ndarray of int64, shape=(n_pulses,)
        Index in the block and pixel id.
    charge : ndarray of float32, shape=(n_pulses,)
        Integral of the pulse [ADC], to be used without integration correction.
    peak_time : ndarray of float32, shape=(n_pulses,)
        Middle of the part above 2500 ADC [ns].
    """

    event: NDArray[np.int64]
    pixel: NDArray[np.int64]
    charge: NDArray[np.float32]
    peak_time: NDArray[np.float32]


@njit
def _high_samples(trace, baseline):
    count, first = 0, -1
    for i in range(trace.shape[0]):
        if np.float32(trace[i]) - baseline > WIDTH_LEVEL:
            if first < 0:
                first = i
            count += 1
    return count, first


@njit
def _pulse_integral(trace, baseline):
    peak = trace.argmax()
    maximum = np.float64(np.float32(trace[peak]) - baseline)
    total, started = 0.0, False
    for i in range(trace.shape[0]):
        value = np.float64(np.float32(trace[i]) - baseline)
        # multiplied, not divided: exact where a sample lies just on the edge
        high = EDGE_RATIO * value >= maximum
        started = started or high
        if started:
            total += value
        if i > peak and not high:
            break
    return total


@njit(cache=True, nogil=True)
def _integrate_candidates(samples, baseline, event, pixel, sample_width, charge, peak_time):
    saturated = np.zeros(len(event), dtype=np.bool_)
    for k in range(len(event)):
        trace, level = samples[event[k], pixel[k]], baseline[event[k], pixel[k]]
        count, first = _high_samples(trace, level)
        saturated[k] = count > MAX_NORMAL_WIDTH
        if saturated[k]:
            charge[k] = _pulse_integral(trace, level)
            peak_time[k] = (count / 2 + first) * sample_width
    return saturated


def find_saturated_pulses(
    samples: NDArray[np.int16], baseline: ArrayLike, maximum: NDArray[np.float32]
) -> SaturatedPulses:
    """
    Return charge and time of the pulses that are too large and too long for the integration window.

    Parameters
    ----------
    samples : ndarray of int16, shape=(n_events, n_pixels, n_samples)
        Raw waveforms [ADC].
    baseline : array-like of float32, shape=(n_events, n_pixels)
        Level without signal [ADC].
    maximum : ndarray of float32, shape=(n_events, n_pixels)
        Largest sample above the baseline, as `extract_block` returns it; the waveforms themselves are read
        only where it is above 3000 ADC.

    Notes
    -----
    A pulse is saturated if its maximum exceeds 3000 ADC and more than five samples of the read-out exceed
    2500 ADC. Its integral runs from the first sample of at least a fifth of the maximum to the first sample
    after the maximum that is lower than that, both included, or to the end of the read-out.
    """
    baseline = np.ascontiguousarray(baseline, dtype=np.float32)
    require_shape(samples.shape[:2], baseline=baseline, maximum=maximum)
    # most events have none, which their largest maximum says without a mask of all pixels; fmax ignores NaN
    bright = np.flatnonzero(np.fmax.reduce(maximum, axis=1, initial=-np.inf) > SATURATION_LEVEL)
    event, pixel = np.nonzero(maximum[bright] > SATURATION_LEVEL)
    event = bright[event]
    charge, peak_time = np.empty(len(event), np.float32), np.empty(len(event), np.float32)
    if len(event) == 0:
        return SaturatedPulses(event, pixel, charge, peak_time)
    samples = np.ascontiguousarray(samples, dtype=np.int16)
    saturated = _integrate_candidates(samples, baseline, event, pixel, SAMPLE_WIDTH_NS, charge, peak_time)
    return SaturatedPulses(*(column[saturated] for column in (event, pixel, charge, peak_time)))
