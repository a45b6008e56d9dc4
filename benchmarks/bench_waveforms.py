"""Simulated waveforms for the benchmark: noise, pedestals, and pulses in an elliptic spot."""

from pathlib import Path

import numpy as np

N_BLOCK = 500
PEDESTAL_EVERY = 3
START_NS = 1_772_000_000_000_000_000


def _spot(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the expected charges [p.e.] of a random ellipse."""
    psi, size = rng.uniform(0, np.pi), 10 ** rng.uniform(1.5, 3.5)
    dx, dy = x - rng.uniform(-0.3, 0.3), y - rng.uniform(-0.3, 0.3)
    along = dx * np.cos(psi) + dy * np.sin(psi)
    across = -dx * np.sin(psi) + dy * np.cos(psi)
    density = np.exp(-0.5 * ((along / 0.06) ** 2 + (across / 0.02) ** 2))
    return size * density / density.sum()


def _block(rng: np.random.Generator, n_events: int, pedestal: np.ndarray, pulse: np.ndarray) -> np.ndarray:
    """Return samples [ADC] around a baseline of 400, shape=(n_events, n_pixels, n_samples)."""
    from sst1m.instrument.camera import pixel_positions

    x, y = pixel_positions()
    samples = 400 + rng.normal(0, 5, size=(n_events, len(x), 50)).astype(np.float32)
    for event in np.flatnonzero(~pedestal):
        charge = rng.poisson(_spot(rng, x, y))
        for pixel in np.flatnonzero(charge):
            start = 15 + rng.integers(0, 3)
            samples[event, pixel, start : start + len(pulse)] += 23 * charge[pixel] * pulse
    return np.clip(np.rint(samples), 0, 4095).astype(np.int16)


def write_run(path: Path, n_events: int, *, seed: int) -> None:
    """Write a raw file of telescope 22 with zstd compression."""
    from sst1m.instrument import camera_readout
    from sst1m.io.rawfile import EventIndex
    from sst1m.simulation.raw_writer import RawWriter

    rng = np.random.default_rng(seed)
    pulse = camera_readout(22).reference_pulse_shape[0][::40][:12]
    pulse = pulse / pulse.sum()
    with RawWriter(path, tel_id=22, compression="zstd") as writer:
        for first in range(0, n_events, N_BLOCK):
            number = np.arange(first, min(first + N_BLOCK, n_events))
            pedestal = number % PEDESTAL_EVERY == 0
            samples = _block(rng, len(number), pedestal, pulse)
            index = EventIndex(
                event_number=number + 1,
                array_event_number=number + 1,
                event_type=np.where(pedestal, 8, 1),
                time_ns=START_NS + number * 3_000_000,
            )
            writer.append(samples, index, baseline=np.full(samples.shape[:2], 400.0))
