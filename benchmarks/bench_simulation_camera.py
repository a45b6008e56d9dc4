"""
Measure the simulated camera: events per second from photo-electrons to samples, trigger and raw file.

    python benchmarks/bench_simulation_camera.py [--events 1000]

Prints one line per step and level of the night sky; times are of this process's CPU, one core.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sst1m.io.rawfile import EventIndex
from sst1m.simulation.camera import Digitiser, camera_model
from sst1m.simulation.photoelectrons import PhotoElectrons
from sst1m.simulation.raw_writer import RawWriter
from sst1m.simulation.trigger import cluster_maxima

BLOCK = 200
PHOTOELECTRONS = 600


def rate(n_events: int, work: Callable[[], object]) -> float:
    """Return the events per second of CPU time of some work on n_events events."""
    start = time.process_time()
    work()
    return n_events / (time.process_time() - start)


def light(rng: np.random.Generator) -> PhotoElectrons:
    """Return events of one compact image each."""
    pixels = rng.integers(600, 640, (BLOCK, PHOTOELECTRONS)).ravel()
    times = rng.normal(scale=3, size=len(pixels)).astype(np.float32)
    return PhotoElectrons(np.arange(BLOCK + 1) * PHOTOELECTRONS, pixels.astype(np.int16), times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--events", type=int, default=1000)
    n_blocks = max(parser.parse_args().events // BLOCK, 1)
    rng = np.random.default_rng(1)
    model, images = camera_model(21, 1), light(rng)
    print(f"{n_blocks * BLOCK} events with {PHOTOELECTRONS} photo-electrons each; events/s of CPU time")
    for nsb_mhz in (0.0, 100.0, 250.0, 600.0):
        digitise = Digitiser(model, nsb_mhz, 1)
        raw = digitise(images, rng)
        cluster_maxima(raw)
        digitised = rate(n_blocks * BLOCK, lambda d=digitise: [d(images, rng) for _ in range(n_blocks)])
        triggered = rate(n_blocks * BLOCK, lambda r=raw: [cluster_maxima(r) for _ in range(n_blocks)])
        written = rate(BLOCK, lambda r=raw: write(r))
        whole = 1 / (1 / digitised + 1 / triggered)
        print(
            f"NSB {nsb_mhz:5.0f} MHz: digitise {digitised:6.0f}  trigger {triggered:6.0f}  "
            f"both {whole:6.0f}  write (zstd) {written:6.0f}"
        )


def write(raw) -> None:
    """Write a block of events as a raw file."""
    numbers = np.arange(1, BLOCK + 1)
    index = EventIndex(numbers, numbers, np.ones(BLOCK, np.int64), 1_709_575_237_000_000_000 + numbers)
    with (
        tempfile.TemporaryDirectory() as directory,
        RawWriter(Path(directory) / "run.fits.fz", tel_id=21, target="Bench_W1_10_10") as writer,
    ):
        writer.append(raw.samples, index, baseline=raw.baseline, present=raw.present)


if __name__ == "__main__":
    main()
