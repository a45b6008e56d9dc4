"""Charge and arrival time of every pixel: the local peak window of ctapipe, over blocks of events."""

# ruff: noqa: ANN001 (compiled functions take the types of their arguments from the call)

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from .tables import SAMPLE_WIDTH_NS, require_shape

__all__ = ["ExtractedBlock", "extract_block"]


class ExtractedBlock(NamedTuple):
    """
    What the integration window found in a block of events.

    Attributes
    ----------
    charge : ndarray of float32, shape=(n_events, n_pixels)
        Sum over the window, in the unit of the waveform times samples; no gain, no integration correction.
    peak_time : ndarray of float32, shape=(n_events, n_pixels)
        Mean time of the positive samples of the window [ns].
    maximum : ndarray of float32, shape=(n_events, n_pixels)
        Largest sample above the baseline, in the unit of the waveform.
    """

    charge: NDArray[np.float32]
    peak_time: NDArray[np.float32]
    maximum: NDArray[np.float32]


@njit
def _peaks_of_counts(traces, order, peak):
    # Value and position packed into one 32-bit key: the reduction stays free of branches and runs in vector
    # registers. Of equal samples the first has the largest key, as in argmax.
    for pixel in range(traces.shape[0]):
        trace = traces[pixel]
        best = np.int32(-2147483648)
        for i in range(trace.shape[0]):
            best = max(best, np.int32((np.int32(trace[i]) << np.int32(16)) | order[i]))
        peak[pixel] = trace.shape[0] - 1 - (best & 0xFFFF)


@njit(error_model="numpy")
def _integrate(traces, baseline, peaks, window, sample_width, charge, peak_time, maximum):
    shift, width = window
    n_samples = traces.shape[1]
    samples = traces.reshape(-1)
    for pixel in range(traces.shape[0]):
        level, begin = baseline[pixel], pixel * n_samples
        # argmax of a trace of NaN is 0 by definition
        peak = 0 if np.isnan(level) else np.int64(peaks[pixel])
        total = weighted = positive = 0.0
        # unsigned, because a signed index costs a test for negative values at every sample
        start = np.uint64(begin + max(0, peak - shift))
        for i in range(start, np.uint64(begin + min(peak - shift + width, n_samples))):
            value = np.float64(np.float32(samples[i]) - level)
            weight = value if value > 0 else 0.0
            total += value
            weighted += weight * np.float64(np.int64(i) - begin)
            positive += weight
        mean_index = weighted / positive if positive > 0 else np.float64(peak)
        charge[pixel] = total
        peak_time[pixel] = np.float32(mean_index) * sample_width
        maximum[pixel] = np.float32(samples[np.uint64(begin + peak)]) - level


@njit(cache=True, nogil=True)
def _extract_counts(samples, baseline, window, sample_width, charge, peak_time, maximum):
    order = np.arange(samples.shape[2] - 1, -1, -1).astype(np.int32)
    peaks = np.empty(samples.shape[1], dtype=np.int32)
    for k in range(samples.shape[0]):
        _peaks_of_counts(samples[k], order, peaks)
        _integrate(samples[k], baseline[k], peaks, window, sample_width, charge[k], peak_time[k], maximum[k])


def extract_block(
    samples: NDArray[np.int16], baseline: ArrayLike, *, window_shift: int = 3, window_width: int = 7
) -> ExtractedBlock:
    """
    Integrate the pulses of raw waveforms around the largest sample of each pixel.

    Parameters
    ----------
    samples : ndarray of int16, shape=(n_events, n_pixels, n_samples)
        Raw waveforms [ADC].
    baseline : array-like of float32, shape=(n_events, n_pixels)
        Level of the waveform without signal [ADC]; a pixel with NaN gets charge NaN and time 0.
    window_shift : int
        Number of samples from the start of the window to the peak.
    window_width : int
        Number of samples of the window, which is cut at the ends of the read-out.

    Notes
    -----
    Definition: ``ctapipe.image.LocalPeakWindowSum`` of ``float32(samples) - baseline``. The charge is linear
    in the waveform: integration correction, photo-electron conversion and voltage drop are factors of it.
    """
    samples = np.ascontiguousarray(samples, dtype=np.int16)
    block = ExtractedBlock(*(np.empty(samples.shape[:2], dtype=np.float32) for _ in range(3)))
    baseline = np.ascontiguousarray(baseline, dtype=np.float32)
    require_shape(samples.shape[:2], baseline=baseline)
    _extract_counts(samples, baseline, (window_shift, window_width), SAMPLE_WIDTH_NS, *block)
    return block
