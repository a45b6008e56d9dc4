"""Light of the night sky in a pixel: long noise traces from which every event cuts its own piece."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.optimize import brentq

from ..calib.vdrop import (
    baseline_shift,
    baseline_shift_of_nsb_rate,
    gain_drop,
    intensity_drop,
    largest_variance,
)
from ..instrument import N_SAMPLES, camera_readout

__all__ = ["NightSky", "PulseShape", "fired_cells", "night_sky", "pulse_shape"]

SAMPLE_NS = 4.0
_PHASES = 40
_TRACE_SAMPLES = 1 << 19
_TUNING_STEPS = 4


@dataclass(frozen=True)
class PulseShape:
    """
    Pulse of one photo-electron as the camera samples it.

    Attributes
    ----------
    values : ndarray of float32, shape=(n_phases, n_pulse_samples)
        Samples of a pulse that starts ``phase / n_phases`` of a sample after the first one; they add up to 1
        in the mean over the phases.
    peak_ns : float
        Time from start to maximum [ns].
    """

    values: NDArray[np.float32]
    peak_ns: float


@cache
def pulse_shape(tel_id: int) -> PulseShape:
    """Return the reference pulse of telescope 21 or 22, sampled every 4 ns at 40 phases."""
    readout = camera_readout(tel_id)
    fine = readout.reference_pulse_shape[0]
    step = readout.reference_pulse_sample_width.to_value("ns")
    n_pulse = int(np.ceil(len(fine) * step / SAMPLE_NS)) + 1
    phase = np.arange(_PHASES)[:, np.newaxis] / _PHASES
    time = (np.arange(n_pulse) - phase) * SAMPLE_NS
    values = np.interp(time, np.arange(len(fine)) * step, fine, left=0.0, right=0.0)
    values /= values.sum(axis=1).mean()
    return PulseShape(values.astype(np.float32), float(fine.argmax() * step))


@cache
def _borel_cumulative(crosstalk: float) -> NDArray[np.float64]:
    """Return the distribution function of the number of fired cells, from 1 on."""
    cells = np.arange(1, 31)
    log_factorial = np.cumsum(np.log(cells))
    log_probability = -crosstalk * cells + (cells - 1) * np.log(crosstalk * cells) - log_factorial
    return np.cumsum(np.exp(log_probability))


def fired_cells(n: int, crosstalk: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """
    Return the cells that fire for each of ``n`` photo-electrons, itself included.

    Parameters
    ----------
    n : int
        Photo-electrons.
    crosstalk : float
        Mean number of cells that each fired cell sets off directly; the mean in all is 1 / (1 - crosstalk).
    rng : numpy.random.Generator
        Source of random numbers.

    Notes
    -----
    A branching Poisson process, hence the Borel distribution (S. Vinogradov, NIM A 695 (2012) 247), the
    single-electron case of the generalised Poisson spectrum to which dark runs are fitted.
    """
    if crosstalk <= 0:
        return np.ones(n, dtype=np.int64)
    return 1 + np.searchsorted(_borel_cumulative(round(crosstalk, 4)), rng.random(n))


@njit(cache=True, nogil=True)
def _add_to_ring(trace: np.ndarray, start: np.ndarray, charge: np.ndarray, pulse: np.ndarray) -> None:
    """Add pulses that start at times [samples] to a trace whose end is joined to its beginning."""
    n_phases, n_pulse = pulse.shape
    for i in range(len(start)):
        begin = int(np.floor(start[i]))
        shape = pulse[int((start[i] - begin) * n_phases)]
        for k in range(n_pulse):
            trace[(begin + k) % len(trace)] += charge[i] * shape[k]


@dataclass(frozen=True)
class NightSky:
    """
    The night sky at one level, as a mean pixel of one telescope sees it.

    Attributes
    ----------
    nsb_mhz : float
        Photo-electron rate [MHz per pixel], as `sst1m.calib.vdrop.nsb_rate` would measure it.
    trace : ndarray of float32, shape=(n_samples,)
        Fluctuation about the baseline [ADC], electronic noise included; any 50 samples are one read-out.
    shift : float
        Shift of the baseline [ADC].
    gain : float
        Gain relative to darkness.
    detection : float
        Photon detection efficiency relative to darkness.
    pulse_scale : float
        Size of the sky's pulses in the trace relative to those of Cherenkov light.
    variance : float
        Squared mean of the standard deviation of 50 samples [ADC²], which the calibration looks at.
    """

    nsb_mhz: float
    trace: NDArray[np.float32]
    shift: float
    gain: float
    detection: float
    pulse_scale: float
    variance: float


@dataclass(frozen=True)
class _Pixel:
    """A mean pixel: ADC sum and spread of one cell, cross-talk, noise [ADC], dark counts [MHz]."""

    tel_id: int
    cell_charge: float
    cell_spread: float
    crosstalk: float
    noise: float
    dark_mhz: float


def _variance_of_shift(shift: float, tel_id: int) -> float:
    """Return the variance [ADC²] from which the calibration infers a shift of the baseline [ADC]."""
    largest = largest_variance(tel_id)
    if shift >= float(baseline_shift(largest, tel_id)):
        raise ValueError(f"telescope {tel_id} was never measured at a baseline shift of {shift:.0f} ADC")
    return float(brentq(lambda variance: float(baseline_shift(variance, tel_id)) - shift, 0.0, largest))


def _pulses(pixel: _Pixel, rate_mhz: float, gain: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a Poisson process of photo-electrons about its mean [ADC]."""
    n = int(rng.poisson(rate_mhz * 1e-3 * SAMPLE_NS * _TRACE_SAMPLES))
    cells = fired_cells(n, pixel.crosstalk, rng)
    charge = pixel.cell_charge * gain * (cells + pixel.cell_spread * np.sqrt(cells) * rng.normal(size=n))
    trace = np.zeros(_TRACE_SAMPLES)
    start = rng.uniform(0, _TRACE_SAMPLES, n)
    _add_to_ring(trace, start, charge, pulse_shape(pixel.tel_id).values.astype(np.float64))
    return trace - trace.mean()


def _seen_variance(trace: NDArray[np.floating]) -> float:
    """Return what the calibration would call the variance of a pixel's pedestal samples [ADC²]."""
    windows = np.rint(trace[: len(trace) // N_SAMPLES * N_SAMPLES]).reshape(-1, N_SAMPLES)
    return float(windows.std(axis=1).mean() ** 2)


@cache
def night_sky(
    tel_id: int,
    nsb_mhz: float,
    cell_charge: float,
    cell_spread: float,
    crosstalk: float,
    noise: float,
    dark_mhz: float,
    seed: int,
) -> NightSky:
    """
    Return the night sky of a level, tuned so that the calibration finds that level again.

    Parameters
    ----------
    tel_id : int
        21 or 22.
    nsb_mhz : float
        Photo-electron rate of the sky [MHz per pixel]; 0 for a closed lid.
    cell_charge : float
        ADC sum of one fired cell in darkness.
    cell_spread : float
        Relative spread of the charge of a cell.
    crosstalk : float
        See `fired_cells`.
    noise : float
        Electronic noise of a sample [ADC].
    dark_mhz : float
        Dark counts [MHz].
    seed : int
        Of the noise.

    Raises
    ------
    ValueError
        The level is brighter than any for which the voltage drop was measured.

    Notes
    -----
    Baseline shift and drop of gain and efficiency are those of `sst1m.calib.vdrop`. By Campbell's theorem a
    Poisson process of that rate, with pulses of the calibrated size, would fluctuate about twice as much (in
    variance) as the measured relation of variance and shift has it. Reductions invert the measured
    relation, so the traces follow it: the rate is kept and the sky's pulses are smaller, by ``pulse_scale``.
    Skewness and correlation of the samples of the real pedestals of 2018 speak for this choice and against
    fewer pulses of full size.
    """
    pixel = _Pixel(tel_id, cell_charge, cell_spread, crosstalk, noise, dark_mhz)
    rng = np.random.default_rng((seed, tel_id, round(nsb_mhz * 1000)))
    electronics = rng.normal(scale=noise, size=_TRACE_SAMPLES)
    if nsb_mhz <= 0:
        trace = (electronics + _pulses(pixel, dark_mhz, 1.0, rng)).astype(np.float32)
        return NightSky(0.0, trace, 0.0, 1.0, 1.0, 1.0, _seen_variance(trace))
    shift = float(baseline_shift_of_nsb_rate(nsb_mhz, tel_id))
    wanted = _variance_of_shift(shift, tel_id)
    gain = float(gain_drop(wanted, tel_id))
    drop, _ = intensity_drop(wanted, tel_id)
    pulses = _pulses(pixel, nsb_mhz + dark_mhz, gain, rng)
    scale, floor = 0.7, _seen_variance(electronics)
    for _ in range(_TUNING_STEPS):
        seen = _seen_variance(electronics + scale * pulses)
        scale *= np.sqrt(max(wanted - floor, 0.0) / max(seen - floor, 1e-3))
    trace = (electronics + scale * pulses).astype(np.float32)
    return NightSky(nsb_mhz, trace, shift, gain, float(drop) / gain, float(scale), _seen_variance(trace))
