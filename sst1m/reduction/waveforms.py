"""First half of the reduction: waveforms to uncalibrated charges, the only place that touches samples."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..calib.pedestals import PedestalSamples, is_pedestal, pedestal_samples
from ..config import DataConfig
from ..errors import DataQualityError
from ..image import SaturatedPulses, extract_block, find_saturated_pulses
from ..io.rawfile import RawBlock, RawFile

__all__ = ["BLOCK_EVENTS", "ChargeBlock", "charge_blocks", "in_camera_order"]

#: Events per block: 33 MB of samples, read into the same memory again and again.
BLOCK_EVENTS = 256


@dataclass(frozen=True)
class ChargeBlock:
    """
    Events without their waveforms: charges before any gain, and what the pedestals among them say.

    Charges are linear in the gain, so everything that depends on pedestals of later events can wait
    while the waveforms are already forgotten: 12 kB stay of an event's 130 kB.

    Parameters
    ----------
    rows : slice
        Place of the events in the file.
    pedestal : ndarray of bool, shape=(n_events,)
        Which events are pedestals.
    charge : ndarray of float32, shape=(n_events, n_pixels)
        Sum over the integration window above the baseline [ADC], no correction.
    peak_time : ndarray of float32, shape=(n_events, n_pixels)
        [ns]
    missing : ndarray of bool, shape=(n_events, n_pixels)
        Pixels without samples or baseline in the event.
    saturated : SaturatedPulses
        Charges [ADC] and times of saturated pulses.
    samples : PedestalSamples
        Raw samples of the pedestals of the block.
    """

    rows: slice
    pedestal: NDArray[np.bool_]
    charge: NDArray[np.float32]
    peak_time: NDArray[np.float32]
    missing: NDArray[np.bool_]
    saturated: SaturatedPulses
    samples: PedestalSamples

    def __len__(self) -> int:
        return len(self.charge)

    def only_pedestals(self) -> "ChargeBlock":
        """Return the pedestals of the block as a block of its own."""
        events = np.flatnonzero(self.pedestal)
        place = np.full(len(self), -1)
        place[events] = np.arange(len(events))
        kept = self.pedestal[self.saturated.event]
        chosen = SaturatedPulses(*(column[kept] for column in self.saturated))
        return ChargeBlock(
            rows=self.rows,
            pedestal=np.ones(len(events), dtype=bool),
            charge=self.charge[events],
            peak_time=self.peak_time[events],
            missing=self.missing[events],
            saturated=chosen._replace(event=place[chosen.event]),
            samples=self.samples,
        )


def in_camera_order(block: RawBlock, channel: NDArray[np.int64]) -> RawBlock:
    """Relabel read-out channels as pixels of the camera, where modules were wrongly cabled."""
    if np.array_equal(channel, np.arange(len(channel))):
        return block
    return RawBlock(
        first=block.first,
        samples=block.samples[:, channel],
        baseline=block.baseline[:, channel],
        present=block.present[:, channel],
        index=block.index,
    )


def _missing_pixels(path: Path, block: RawBlock) -> NDArray[np.bool_]:
    """Return the pixels without samples or baseline; a block without any baseline cannot be used."""
    measured = np.isfinite(block.baseline)
    if len(block) and not measured.any():
        raise DataQualityError(
            f"{path}: events {block.first} to {block.first + len(block) - 1} have no baselines, "
            "so charges cannot be measured; exclude the run in corrections.ecsv"
        )
    measured &= block.present
    return np.logical_not(measured, out=measured)


def _extract(block: RawBlock, missing: NDArray[np.bool_], config: DataConfig) -> ChargeBlock:
    window = config.CameraCalibrator.LocalPeakWindowSum
    extracted = extract_block(
        block.samples, block.baseline, window_shift=window.window_shift, window_width=window.window_width
    )
    pedestal = is_pedestal(block.index.event_type)
    return ChargeBlock(
        rows=slice(block.first, block.first + len(block)),
        pedestal=pedestal,
        charge=extracted.charge,
        peak_time=extracted.peak_time,
        missing=missing,
        saturated=find_saturated_pulses(block.samples, block.baseline, extracted.maximum),
        samples=pedestal_samples(
            block.samples[pedestal], block.present[pedestal], block.index.time_ns[pedestal]
        ),
    )


def charge_blocks(raw: RawFile, config: DataConfig, channel: NDArray[np.int64]) -> Iterator[ChargeBlock]:
    """
    Read a raw file once and yield the charges of its events.

    Parameters
    ----------
    raw : RawFile
        Open.
    config : DataConfig
        Gives the integration window.
    channel : ndarray of int64, shape=(n_pixels,)
        Read-out channel of each pixel.

    Raises
    ------
    DataQualityError
        No pixel of a block has a baseline.
    """
    for block in raw.blocks(BLOCK_EVENTS, reuse_buffers=True):
        ordered = in_camera_order(block, channel)
        yield _extract(ordered, _missing_pixels(raw.path, ordered), config)
