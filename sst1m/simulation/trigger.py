"""The trigger: sums over clusters of seven patches of three pixels, and the camera's dead time."""

from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..instrument.camera import pixel_positions
from .camera import CameraModel, RawEvents

__all__ = [
    "DEAD_TIME_NS",
    "TRIGGER_THRESHOLD_PE",
    "cluster_maxima",
    "patch_clusters",
    "patch_pixels",
    "survives_dead_time",
    "trigger_threshold",
]

#: Photo-electrons that arrive within one sample, in seven patches, for an event to be kept.
TRIGGER_THRESHOLD_PE = 30.0
#: After an event nothing is recorded for this long [ns].
DEAD_TIME_NS = 5_000

_PITCH = 24.3e-3
_N_PATCHES = 432
_CLIP = 255


@cache
def patch_pixels() -> NDArray[np.int64]:
    """
    Return the three pixels of every trigger patch.

    Returns
    -------
    ndarray of int64, shape=(n_patches, 3)
        Pixel ids; patches are numbered by their first pixel, as the read-out software does.

    Notes
    -----
    Patches are equal triangles that tile the camera: every third place of a row is the tip of one, and the
    two pixels that touch it in the next row are its base.
    """
    x, y = pixel_positions()
    row = np.rint((x.max() - x) / (_PITCH * np.sqrt(3) / 2)).astype(np.int64)
    half_column = np.rint(-2 * y / _PITCH).astype(np.int64)
    pixel_at = {place: pixel for pixel, place in enumerate(zip(row, half_column, strict=True))}
    tips = np.flatnonzero((half_column + 3 * row) % 6 == 1)
    return np.array(
        [
            [tip, *(pixel_at[row[tip] + 1, half_column[tip] + step] for step in (-1, 1))]
            for tip in tips.tolist()
        ]
    )


@cache
def patch_clusters() -> NDArray[np.int64]:
    """
    Return the patches whose sum each patch looks at: itself and those that touch it.

    Returns
    -------
    ndarray of int64, shape=(n_patches, 7)
        -1 where a patch at the edge of the camera has fewer neighbours.
    """
    x, y = (values[patch_pixels()].mean(axis=1) for values in pixel_positions())
    distance = np.hypot(x[:, np.newaxis] - x, y[:, np.newaxis] - y)
    near = distance < 1.2 * np.sqrt(3) * _PITCH
    clusters = np.full((_N_PATCHES, 7), -1)
    for patch in range(_N_PATCHES):
        members = np.flatnonzero(near[patch])
        clusters[patch, : len(members)] = members
    return clusters


@njit(cache=True, nogil=True)
def _cluster_maxima(
    samples: np.ndarray, level: np.ndarray, pixels: np.ndarray, clusters: np.ndarray, maxima: np.ndarray
) -> None:
    n_events, _, n_samples = samples.shape
    patch_sum = np.empty((len(pixels), n_samples), dtype=np.int32)
    total = np.empty(n_samples, dtype=np.int32)
    for event in range(n_events):
        for patch in range(len(pixels)):
            a, b, c = pixels[patch]
            base = level[event, a] + level[event, b] + level[event, c]
            for i in range(n_samples):
                value = samples[event, a, i] + samples[event, b, i] + samples[event, c, i] - base
                patch_sum[patch, i] = min(max(value, 0), _CLIP)
        best = 0
        for cluster in clusters:
            total[:] = 0
            for patch in cluster:
                if patch >= 0:
                    total += patch_sum[patch]
            best = max(best, total.max())
        maxima[event] = best


def cluster_maxima(events: RawEvents) -> NDArray[np.int32]:
    """
    Return the largest sum over seven patches that each event reaches in any sample [ADC].

    Parameters
    ----------
    events : RawEvents
        In the order of the pixels.

    Notes
    -----
    As the camera's firmware does it in outline: the sum of a patch above its baselines is cut to 8 bits
    before patches are added up.
    """
    level = np.where(events.present, np.rint(np.nan_to_num(events.baseline)), 0).astype(np.int32)
    maxima = np.empty(len(events), dtype=np.int32)
    _cluster_maxima(events.samples, level, patch_pixels(), patch_clusters(), maxima)
    return maxima


def trigger_threshold(model: CameraModel, pulse_height: float, noise: float, n_sigma: float = 7.0) -> float:
    """
    Return the threshold on `cluster_maxima` [ADC].

    Parameters
    ----------
    model : CameraModel
        The camera.
    pulse_height : float
        Largest sample of a pulse of unit charge.
    noise : float
        Standard deviation of the samples of a pixel [ADC].
    n_sigma : float
        The threshold is at least this many standard deviations of the sum of 21 pixels, as operators raise
        it under a bright sky. Of 400 read-outs of sky alone the highest sum reaches about 6.
    """
    light = TRIGGER_THRESHOLD_PE * float(np.median(model.dc_to_pe)) * pulse_height
    return max(light, n_sigma * np.sqrt(21) * noise)


def survives_dead_time(time_ns: NDArray[np.int64], dead_ns: int = DEAD_TIME_NS) -> NDArray[np.bool_]:
    """
    Return which triggers are recorded; those that come too soon after a recorded one are lost.

    Parameters
    ----------
    time_ns : ndarray of int64, shape=(n_triggers,)
        In order.
    dead_ns : int
        Dead time after each recorded event [ns]; a lost trigger does not prolong it.
    """
    recorded = np.ones(len(time_ns), dtype=bool)
    # only triggers in a chain of close ones need to be looked at one by one
    for i in np.flatnonzero(np.diff(time_ns) < dead_ns) + 1:
        earlier = i - 1
        while earlier >= 0 and not recorded[earlier]:
            earlier -= 1
        recorded[i] = earlier < 0 or time_ns[i] - time_ns[earlier] >= dead_ns
    return recorded
