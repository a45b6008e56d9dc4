"""The camera: from photo-electrons to the 12-bit samples of the read-out."""

from dataclasses import dataclass, fields, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..calib.modules import channel_of_pixel
from ..instrument import N_PIXELS, N_SAMPLES
from .night_sky import SAMPLE_NS, NightSky, fired_cells, night_sky, pulse_shape
from .photoelectrons import PhotoElectrons

__all__ = ["ADC_MAX", "REFERENCE_NS", "CameraModel", "Digitiser", "RawEvents", "camera_model", "wired"]

ADC_MAX = 4095
#: Place of the maximum of a pulse that arrives at the reference time of its event [ns].
REFERENCE_NS = 72.0
_BASELINE_JITTER = 0.15


@dataclass(frozen=True)
class _Typical:
    """Mean figures of a camera: averages of the dark runs of 2023 and 2024."""

    gain: float
    gain_spread: float
    crosstalk: float
    cell_spread: float
    noise: float
    dark_mhz: float
    n_bad: int


_TYPICAL = {
    21: _Typical(21.0, 0.035, 0.105, 0.149, 0.95, 1.8, 5),
    22: _Typical(23.5, 0.050, 0.113, 0.148, 1.05, 1.5, 21),
}


@dataclass(frozen=True)
class CameraModel:
    """
    The truth about one simulated camera, in the order of its read-out channels.

    Attributes
    ----------
    tel_id : int
        21 or 22.
    gain : ndarray of float64, shape=(n_pixels,)
        ADC sum of one fired cell in darkness.
    baseline : ndarray of float64, shape=(n_pixels,)
        In darkness [ADC].
    window : ndarray of float64, shape=(n_pixels,)
        Relative transmission of the window, at most 1.
    calibrated : ndarray of bool, shape=(n_pixels,)
        Whether the dark-run fit of the pixel is good (``calib_flag``).
    dead : ndarray of bool, shape=(n_pixels,)
        Pixels that always give their baseline.
    absent : ndarray of bool, shape=(n_pixels,)
        Pixels that are not read out.
    crosstalk, cell_spread, noise, dark_mhz : float
        See `sst1m.simulation.night_sky.night_sky`.
    """

    tel_id: int
    gain: NDArray[np.float64]
    baseline: NDArray[np.float64]
    window: NDArray[np.float64]
    calibrated: NDArray[np.bool_]
    dead: NDArray[np.bool_]
    absent: NDArray[np.bool_]
    crosstalk: float
    cell_spread: float
    noise: float
    dark_mhz: float

    @property
    def dc_to_pe(self) -> NDArray[np.float64]:
        """ADC sum of one photo-electron, cross-talk included, shape=(n_pixels,)."""
        return self.gain / (1 - self.crosstalk)

    def sky(self, nsb_mhz: float, seed: int) -> NightSky:
        """Return the night sky as the mean pixel of this camera sees it."""
        typical = _TYPICAL[self.tel_id].gain
        return night_sky(
            *(self.tel_id, float(nsb_mhz), typical, self.cell_spread),
            *(self.crosstalk, self.noise, self.dark_mhz, seed),
        )


def camera_model(
    tel_id: int,
    seed: int,
    *,
    dead: tuple[int, ...] = (),
    absent: tuple[int, ...] = (),
) -> CameraModel:
    """
    Return a camera whose pixels scatter about the figures of the real one.

    Parameters
    ----------
    tel_id : int
        21 or 22.
    seed : int
        The same seed gives the same camera.
    dead, absent : tuple of int
        Channels that give their baseline only, and that are not read out at all.
    """
    typical = _TYPICAL[tel_id]
    rng = np.random.default_rng([seed, tel_id, 1])
    gain = typical.gain * (1 + typical.gain_spread * np.clip(rng.normal(size=N_PIXELS), -3, 3))
    # the calibration takes the median pixel for the whole camera
    gain *= typical.gain / np.median(gain)
    calibrated = np.ones(N_PIXELS, dtype=bool)
    calibrated[rng.choice(N_PIXELS, typical.n_bad, replace=False)] = False
    flags = np.zeros((2, N_PIXELS), dtype=bool)
    flags[0, list(dead)], flags[1, list(absent)] = True, True
    return CameraModel(
        tel_id=tel_id,
        gain=gain,
        baseline=np.clip(rng.normal(375, 15, N_PIXELS), 330, 425),
        window=np.clip(rng.normal(0.98, 0.01, N_PIXELS), 0.93, 1.0),
        calibrated=calibrated,
        dead=flags[0],
        absent=flags[1],
        crosstalk=typical.crosstalk,
        cell_spread=typical.cell_spread,
        noise=typical.noise,
        dark_mhz=typical.dark_mhz,
    )


def wired(model: CameraModel, time_ns: int) -> tuple[CameraModel, NDArray[np.int64]]:
    """
    Return a camera in the order of its pixels, as its cables were plugged at a time.

    Parameters
    ----------
    model : CameraModel
        In the order of the channels.
    time_ns : int
        TAI nanoseconds since 1970.

    Returns
    -------
    model : CameraModel
        In the order of the pixels.
    channel : ndarray of int64, shape=(n_pixels,)
        ``samples[:, channel]`` brings samples from pixels to channels and back.
    """
    channel = channel_of_pixel(model.tel_id, time_ns)
    arrays = {f.name: getattr(model, f.name) for f in fields(model)}
    return replace(model, **{k: v[channel] for k, v in arrays.items() if isinstance(v, np.ndarray)}), channel


@dataclass(frozen=True)
class RawEvents:
    """
    Digitised events.

    Attributes
    ----------
    samples : ndarray of int16, shape=(n_events, n_pixels, n_samples)
        [ADC]; 0 in absent pixels.
    baseline : ndarray of float32, shape=(n_events, n_pixels)
        The camera's own estimate [ADC]; NaN in absent pixels.
    present : ndarray of bool, shape=(n_events, n_pixels)
        Pixels that were read out.
    """

    samples: NDArray[np.int16]
    baseline: NDArray[np.float32]
    present: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.samples)

    def select(self, events: NDArray[np.bool_]) -> "RawEvents":
        """Return the chosen events."""
        return RawEvents(self.samples[events], self.baseline[events], self.present[events])

    def reordered(self, channel: NDArray[np.int64]) -> "RawEvents":
        """Return the events with other numbers for the pixels."""
        if np.array_equal(channel, np.arange(len(channel))):
            return self
        return RawEvents(self.samples[:, channel], self.baseline[:, channel], self.present[:, channel])


@njit(cache=True, nogil=True)
def _digitise(
    trace: np.ndarray,
    offset: np.ndarray,
    scale: np.ndarray,
    level: np.ndarray,
    first: np.ndarray,
    pixel: np.ndarray,
    start: np.ndarray,
    charge: np.ndarray,
    pulse: np.ndarray,
    samples: np.ndarray,
) -> None:
    n_events, n_pixels, n_samples = samples.shape
    n_phases, n_pulse = pulse.shape
    analog = np.empty((n_pixels, n_samples), dtype=np.float32)
    half, largest = np.float32(0.5), np.float32(ADC_MAX)
    for event in range(n_events):
        for p in range(n_pixels):
            noise = trace[offset[event, p] : offset[event, p] + n_samples]
            for i in range(n_samples):
                analog[p, i] = level[p] + scale[p] * noise[i]
        for row in range(first[event], first[event + 1]):
            begin = int(np.floor(start[row]))
            phase = int((start[row] - begin) * n_phases)
            shape, target = pulse[phase], analog[pixel[row]]
            for i in range(max(begin, 0), min(begin + n_pulse, n_samples)):
                target[i] += charge[row] * shape[i - begin]
        for p in range(n_pixels):
            for i in range(n_samples):
                value = analog[p, i] + half
                samples[event, p, i] = np.int16(min(max(value, half), largest))


class Digitiser:
    """
    Digitises photo-electrons under one night sky.

    Parameters
    ----------
    model : CameraModel
        In the order of the pixels (`wired`).
    nsb_mhz : float
        Photo-electron rate of the night sky [MHz per pixel], 0 to about 1000.
    seed : int
        Of the noise traces; the events themselves draw from the generator they are given.
    """

    def __init__(self, model: CameraModel, nsb_mhz: float, seed: int) -> None:
        self.model = model
        self.sky = model.sky(nsb_mhz, seed)
        self.pulse = pulse_shape(model.tel_id)
        silent = model.dead | model.absent
        self._scale = np.where(silent, 0.0, model.gain / np.median(model.gain)).astype(np.float32)
        self._level = np.where(model.dead, model.baseline, model.baseline + self.sky.shift)
        self._detected = np.where(silent, 0.0, self.sky.detection * model.window)

    def __call__(self, light: PhotoElectrons, rng: np.random.Generator) -> RawEvents:
        """
        Return the samples of some events.

        Parameters
        ----------
        light : PhotoElectrons
            As in darkness behind a perfect window: what the sky and the window cost is taken off here.
        rng : numpy.random.Generator
            Source of random numbers.
        """
        n_events = len(light)
        offset = rng.integers(0, len(self.sky.trace) - N_SAMPLES, (n_events, N_PIXELS), dtype=np.int32)
        samples = np.empty((n_events, N_PIXELS, N_SAMPLES), dtype=np.int16)
        level = self._level.astype(np.float32)
        pulses = self._pulses(light, rng)
        _digitise(self.sky.trace, offset, self._scale, level, *pulses, self.pulse.values, samples)
        present = np.broadcast_to(~self.model.absent, (n_events, N_PIXELS))
        samples[~present] = 0
        jitter = rng.normal(scale=_BASELINE_JITTER, size=(n_events, N_PIXELS))
        baseline = np.where(present, self._level + jitter, np.nan).astype(np.float32)
        return RawEvents(samples, baseline, present)

    def _pulses(self, light: PhotoElectrons, rng: np.random.Generator) -> tuple[NDArray, ...]:
        """Return first row by event; pixel, start [samples] and charge [ADC] of the detected pulses."""
        detected = rng.random(len(light.pixel)) < self._detected[light.pixel]
        kept = np.concatenate([[0], np.cumsum(detected)])
        pixel = light.pixel[detected]
        cells = fired_cells(len(pixel), self.model.crosstalk, rng)
        spread = self.model.cell_spread * np.sqrt(cells) * rng.standard_normal(len(pixel))
        charge = self.model.gain[pixel] * self.sky.gain * (cells + spread)
        start = (light.time[detected] + REFERENCE_NS - self.pulse.peak_ns) / SAMPLE_NS
        return kept[light.first], pixel, start.astype(np.float64), charge.astype(np.float32)
