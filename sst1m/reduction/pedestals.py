"""The pedestals of a run while it streams by: looked at ahead for the first events, then sliding."""

import itertools
import logging
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
    is_pedestal,
    state_of_events,
)
from ..calib.telescope import TelescopeCalibration
from ..calib.vdrop import VoltageDrop, voltage_drop
from ..config import DataConfig
from ..errors import DataQualityError
from ..instrument import N_PIXELS
from ..io.rawfile import RawFile
from .charges import ChargeCalibrator, ImageBlock
from .waveforms import ChargeBlock

__all__ = ["LOOK_AHEAD_EVENTS", "CalibratedBlock", "calibrated_blocks", "note_missing_pedestals"]

log = logging.getLogger(__name__)

#: The pedestals that describe the first events of a file are searched among this many events; if there are
#: none, the first one of the file does. Blocks up to the last of them wait in memory, 12 kB per event.
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


def note_missing_pedestals(raw: RawFile, config: DataConfig) -> None:
    """
    Without pedestals fail or fall back, as the configuration says, never in silence.

    Parameters
    ----------
    raw : RawFile
        Open.
    config : DataConfig
        Its ``no_pedestal_fallback`` decides.

    Raises
    ------
    DataQualityError
        There are events, none of them is a pedestal, and the configuration wants that to be an error.
    """
    if raw.n_events == 0 or is_pedestal(raw.index.event_type).any():
        return
    if config.ImageProcessor.ImageCleanerSST.no_pedestal_fallback == "error":
        raise DataQualityError(
            f"{raw.path} has no pedestal events (type 8); set no_pedestal_fallback of ImageCleanerSST to "
            "constant_thresholds to reduce it without voltage-drop correction and with constant thresholds"
        )
    log.warning(
        "%s has no pedestal events: no voltage-drop correction, constant picture thresholds", raw.path.name
    )


def _first_pedestals(pedestal: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the rows of the pedestals that describe the first events: the first 1000, but of near ones."""
    rows = np.flatnonzero(pedestal)
    near = rows[rows < LOOK_AHEAD_EVENTS]
    return near[:IMAGE_RING] if len(near) else rows[:1]


def _look_ahead(blocks: Iterator[ChargeBlock], first: NDArray[np.int64]) -> list[ChargeBlock]:
    """Take blocks until they hold the given pedestals."""
    ahead: list[ChargeBlock] = []
    while len(first) and (not ahead or ahead[-1].rows.stop <= first[-1]):
        ahead.append(next(blocks))
    return ahead


def _samples_of(ahead: list[ChargeBlock], n_pedestals: int) -> PedestalSamples:
    """Return the samples of the first pedestals in some blocks."""
    none = np.empty((0, N_PIXELS))
    samples = [block.samples for block in ahead]
    joined = PedestalSamples(
        mean=np.concatenate([none, *(part.mean for part in samples)]),
        std=np.concatenate([none, *(part.std for part in samples)]),
        time_ns=np.concatenate([np.empty(0, dtype=np.int64), *(part.time_ns for part in samples)]),
    )
    return joined[: min(n_pedestals, SAMPLE_RING)]


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

    def first_images(self, ahead: list[ChargeBlock], n_pedestals: int) -> NDArray[np.float32]:
        """Return the images of the first pedestals, each with the voltage drop of its own state."""
        tracker = PedestalTracker(monitor=False)
        tracker.prefill_samples(_samples_of(ahead, n_pedestals))
        images = []
        for block in ahead:
            states = tracker.add_samples(block.samples)
            pedestals = block.only_pedestals()
            row = np.arange(len(pedestals))
            images.append(self.images(pedestals, states, self.drop(states), row).image)
        return np.concatenate(images)[:n_pedestals]


def calibrated_blocks(
    blocks: Iterator[ChargeBlock],
    pedestal: NDArray[np.bool_],
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
    pedestal : ndarray of bool, shape=(n_events_of_the_run,)
        Which events of the run are pedestals.
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
    first = _first_pedestals(pedestal)
    ahead = _look_ahead(blocks, first)
    calibration = _Calibration(config, constants, charges)
    tracker = PedestalTracker()
    tracker.prefill_samples(_samples_of(ahead, len(first)))
    if tracker.has_pedestals:
        tracker.prefill_images(calibration.first_images(ahead, len(first)))
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
