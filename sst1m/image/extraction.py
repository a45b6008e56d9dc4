"""Charge and arrival time of every pixel: the local peak window of ctapipe, over blocks of events."""

# ruff: noqa: ANN001 (compiled functions take the types of their arguments from the call)

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from .tables import SAMPLE_WIDTH_NS, require_shape
from .vectors import LANES, first_largest, window_sums

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


class _Windows(NamedTuple):
    """
    The samples to add up for each place of the peak, in steps of some samples.

    Attributes
    ----------
    begin : ndarray of int64, shape=(n_samples, n_steps)
        First sample of each step; all samples of a step lie in the read-out.
    inside : ndarray of int32, shape=(n_samples, n_steps, n_lanes)
        -1 for the samples of the window, 0 for others, which are the neighbours of the window or of the step.
    """

    begin: NDArray[np.int64]
    inside: NDArray[np.int32]

    @classmethod
    def around_peaks(cls, n_samples: int, shift: int, width: int) -> "_Windows":
        """Return the windows of a read-out."""
        n_lanes = min(LANES, n_samples)
        peak = np.arange(n_samples)[:, np.newaxis, np.newaxis]
        n_steps = -(-min(width, n_samples) // n_lanes)
        wanted = np.maximum(peak - shift, 0) + n_lanes * np.arange(n_steps)[:, np.newaxis]
        begin = np.clip(wanted, 0, n_samples - n_lanes)
        sample = begin + np.arange(n_lanes)
        inside = (sample >= wanted) & (sample < wanted + n_lanes) & (sample < peak - shift + width)
        return cls(begin[..., 0], -inside.astype(np.int32))


@njit(error_model="numpy")
def _write(level, peak, top, sums, sample_width, charge, peak_time, maximum):
    total, positive, weighted = sums
    for pixel in range(len(level)):
        # argmax of a trace of NaN is 0 by definition
        latest = 0.0 if np.isnan(level[pixel]) else np.float64(peak[pixel])
        mean_index = weighted[pixel] / positive[pixel]
        mean_index = mean_index if positive[pixel] > 0 else latest
        charge[pixel] = total[pixel]
        peak_time[pixel] = np.float32(mean_index) * sample_width
        maximum[pixel] = np.float32(top[pixel]) - level[pixel]


@cache
def _kernel(n_samples: int) -> Callable:
    # compiled for one length of the read-out; peaks, sums and the rest apart, so that none waits for another
    n_lanes = min(LANES, n_samples)

    @njit(cache=True, nogil=True)
    def extract(samples, baseline, begin, inside, sample_width, charge, peak_time, maximum):
        n_pixels, n_steps = baseline.shape[1], len(begin) // n_samples
        peak, top = np.empty(n_pixels, np.int64), np.empty(n_pixels, np.int16)
        sums = np.empty(n_pixels), np.empty(n_pixels), np.empty(n_pixels)
        for event in range(len(baseline)):
            first, level = event * n_pixels * n_samples, baseline[event]
            for pixel in range(n_pixels):
                peak[pixel], top[pixel] = first_largest(samples, first + pixel * n_samples, n_samples)
            for pixel in range(n_pixels):
                total = positive = weighted = 0.0
                for step in range(peak[pixel] * n_steps, (peak[pixel] + 1) * n_steps):
                    place, row = begin[step], step * n_lanes
                    trace = first + pixel * n_samples
                    part = window_sums(samples, trace + place, level[pixel], inside, row, n_lanes)
                    total += part[0]
                    positive += part[1]
                    weighted += part[2] + part[1] * place
                sums[0][pixel], sums[1][pixel], sums[2][pixel] = total, positive, weighted
            _write(level, peak, top, sums, sample_width, charge[event], peak_time[event], maximum[event])

    return extract


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
    n_samples, width = samples.shape[2], np.float32(SAMPLE_WIDTH_NS)
    windows = _Windows.around_peaks(n_samples, window_shift, window_width)
    tables = (table.reshape(-1) for table in windows)
    _kernel(n_samples)(samples.reshape(-1), baseline, *tables, width, *block)
    return block
