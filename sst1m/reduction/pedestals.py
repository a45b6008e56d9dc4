"""The pedestals of a run while it streams by: looked at ahead for the first events, then sliding."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..calib.pedestals import (
    IMAGE_RING,
    SAMPLE_RING,
    ImageStates,
    MonitoringRow,
    PedestalSamples,
    PedestalTracker,
    SampleStates,
    state_of_events,
)
from ..calib.telescope import TelescopeCalibration
from ..calib.vdrop import VoltageDrop, voltage_drop
from ..config import DataConfig
from .charges import ChargeCalibrator, ImageBlock
from .waveforms import ChargeBlock

__all__ = ["LOOK_AHEAD_EVENTS", "CalibratedBlock", "calibrated_blocks"]

#: The pedestals that describe the first events of a file are searched among this many events.
LOOK_AHEAD_EVENTS = 16384


@dataclass(frozen=True)
class CalibratedBlock:
    """
    Images of a block with the states of the pedestals that describe them.

    Parameters
    ----------
    rows : slice
        Place of the events in the file.
    pedestal : ndarray of bool, shape=(n_events,)
        Which events are pedestals.
    images : ImageBlock
        Calibrated images.
    drop : VoltageDrop
        By state.
    charges : ImageStates or None
        Pedestal charges by state; None where the file has no pedestals.
    row : ndarray of int64, shape=(n_events,)
        State of each event.
    """

    rows: slice
    pedestal: NDArray[np.bool_]
    images: ImageBlock
    drop: VoltageDrop
    charges: ImageStates | None
    row: NDArray[np.int64]


def _look_ahead(blocks: Iterator[ChargeBlock]) -> list[ChargeBlock]:
    """Take blocks until they hold the pedestals that describe the first events."""
    ahead, n_pedestals, n_events = [], 0, 0
    for block in blocks:
        ahead.append(block)
        n_pedestals += len(block.samples)
        n_events += len(block)
        if n_pedestals >= IMAGE_RING or n_events >= LOOK_AHEAD_EVENTS:
            break
    return ahead


def _first_samples(ahead: list[ChargeBlock]) -> PedestalSamples:
    samples = [block.samples for block in ahead]
    joined = PedestalSamples(
        mean=np.concatenate([part.mean for part in samples]),
        std=np.concatenate([part.std for part in samples]),
        time_ns=np.concatenate([part.time_ns for part in samples]),
    )
    return joined[:SAMPLE_RING]


class _Calibration:
    """Constants of a run and its pedestals, applied to charges."""

    def __init__(
        self, config: DataConfig, constants: TelescopeCalibration, charges: ChargeCalibrator
    ) -> None:
        self._mode = config.NsbCalibrator.voltage_drop
        self._constants = constants
        self._charges = charges

    def drop(self, states: SampleStates) -> VoltageDrop:
        return voltage_drop(states.std, self._constants.tel_id, self._mode, self._constants.bad)

    def images(
        self, block: ChargeBlock, states: SampleStates, drop: VoltageDrop, row: NDArray[np.int64]
    ) -> ImageBlock:
        return self._charges(block, drop.factor, states.dead, row)

    def first_images(self, ahead: list[ChargeBlock]) -> NDArray[np.float32]:
        """Return the images of the first pedestals, each with the voltage drop of its own state."""
        tracker = PedestalTracker()
        tracker.prefill_samples(_first_samples(ahead))
        images = []
        for block in ahead:
            states = tracker.add_samples(block.samples)
            pedestals = block.only_pedestals()
            row = np.arange(len(pedestals))
            images.append(self.images(pedestals, states, self.drop(states), row).image)
        return np.concatenate(images)[:IMAGE_RING]


def calibrated_blocks(
    blocks: Iterator[ChargeBlock],
    config: DataConfig,
    constants: TelescopeCalibration,
    charges: ChargeCalibrator,
    monitoring: list[MonitoringRow],
) -> Iterator[CalibratedBlock]:
    """
    Calibrate the blocks of one run in one pass.

    Parameters
    ----------
    blocks : iterator of ChargeBlock
        In the order of the file.
    config : DataConfig
        Kind of the voltage-drop correction.
    constants : TelescopeCalibration
        Of the run.
    charges : ChargeCalibrator
        Made of both.
    monitoring : list of MonitoringRow
        Filled while the run streams by.

    Yields
    ------
    CalibratedBlock
        Nothing in it depends on the size of the blocks.
    """
    ahead = _look_ahead(blocks)
    if not ahead:
        return
    calibration = _Calibration(config, constants, charges)
    tracker = PedestalTracker()
    tracker.prefill_samples(_first_samples(ahead))
    if tracker.has_pedestals:
        tracker.prefill_images(calibration.first_images(ahead))
    tracker.monitoring = monitoring
    for block in itertools.chain(_drain(ahead), blocks):
        row = state_of_events(block.pedestal)
        states = tracker.add_samples(block.samples)
        drop = calibration.drop(states)
        images = calibration.images(block, states, drop, row)
        described = tracker.add_images(images.image[block.pedestal]) if tracker.has_pedestals else None
        yield CalibratedBlock(block.rows, block.pedestal, images, drop, described, row)


def _drain(ahead: list[ChargeBlock]) -> Iterator[ChargeBlock]:
    """Yield the blocks and forget them one by one."""
    ahead.reverse()
    while ahead:
        yield ahead.pop()
