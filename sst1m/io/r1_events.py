"""The events of a raw file in the containers of ctapipe: calibrated waveforms and what describes them."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.time import Time
from ctapipe.containers import (
    ArrayEventContainer,
    ArrayPointingContainer,
    CameraCalibrationContainer,
    EventType,
    PixelStatus,
    R1CameraContainer,
    StatisticsContainer,
    TelescopePointingContainer,
    TelescopeTriggerContainer,
)
from numpy.typing import NDArray

from ..calib.pedestals import is_pedestal
from ..calib.telescope import TelescopeCalibration
from ..config import DataConfig
from ..errors import RawFileError
from ..image import CameraTables
from ..instrument import TEL_IDS, camera_geometry
from ..pointing import Pointing, horizontal_pointing
from ..reduction.charges import ChargeCalibrator
from ..reduction.identity import choose_event_ids
from ..reduction.pedestals import CalibratedBlock, calibrated_blocks, note_missing_pedestals
from ..reduction.waveforms import charge_blocks, in_camera_order
from ..times import ns_to_time
from .rawfile import RawBlock, RawFile

__all__ = ["RunEvents", "r1_events", "read_run_events"]


@dataclass(frozen=True)
class RunEvents:
    """
    What is known of all events of a run before their waveforms are read.

    Parameters
    ----------
    path : Path
        The raw file.
    obs_id, tel_id : int
        Run and telescope.
    pointing : Pointing
        Direction of the optical axis.
    event_id, time_ns : ndarray of int64, shape=(n_events,)
        Identity and time [ns TAI since 1970].
    time : Time, shape=(n_events,)
        The same time.
    azimuth, altitude : ndarray, shape=(n_events,)
        Of the optical axis [rad].
    """

    path: Path
    obs_id: int
    tel_id: int
    pointing: Pointing
    event_id: NDArray[np.int64]
    time_ns: NDArray[np.int64]
    time: Time
    azimuth: NDArray[np.float64]
    altitude: NDArray[np.float64]


def read_run_events(path: Path, obs_id: int, tel_id: int | None, pointing: Pointing) -> RunEvents:
    """
    Read the small columns of a raw file.

    Parameters
    ----------
    path : Path
        The raw file.
    obs_id : int
        Identity of the run.
    tel_id : int or None
        Telescope that the name of the file tells, if it does.
    pointing : Pointing
        Direction of the optical axis.

    Raises
    ------
    RawFileError
        The events are of another telescope than the name says, or of none of ours.
    """
    with RawFile(path) as raw:
        found, index = raw.tel_id, raw.index
    if found not in TEL_IDS:
        raise RawFileError(f"{path}: telescope {found} is none of {TEL_IDS}; check what was copied here")
    if tel_id is not None and tel_id != found:
        raise RawFileError(
            f"{path}: the events are of telescope {found}, the name says {tel_id}; "
            "correct the name or the copy"
        )
    azimuth, altitude = horizontal_pointing(pointing, found, index.time_ns)
    return RunEvents(
        path=path,
        obs_id=obs_id,
        tel_id=found,
        pointing=pointing,
        event_id=choose_event_ids(index.array_event_number, index.event_number).event_id,
        time_ns=index.time_ns,
        time=ns_to_time(index.time_ns),
        azimuth=azimuth,
        altitude=altitude,
    )


def r1_events(
    run: RunEvents, config: DataConfig, calibration: TelescopeCalibration, *, skip_pedestals: bool
) -> Generator[ArrayEventContainer, None, None]:
    """
    Yield the events of a run with calibrated waveforms.

    Parameters
    ----------
    run : RunEvents
        What is known of the run.
    config : DataConfig
        Configuration of observed data.
    calibration : TelescopeCalibration
        Constants of the run.
    skip_pedestals : bool
        Whether to leave out the pedestal events.

    Raises
    ------
    RawFileError, DataQualityError
        The file is damaged, or its events cannot be calibrated.

    Notes
    -----
    The file is read twice, in step: once as the reduction does, which tells the state of the pedestals of
    every event, and once for the waveforms, which the reduction has forgotten by then.
    """
    charges = ChargeCalibrator(config, calibration, CameraTables.from_geometry(camera_geometry()))
    count = 0
    with RawFile(run.path) as ahead, RawFile(run.path) as raw:
        note_missing_pedestals(raw, config)
        blocks = charge_blocks(ahead, config, calibration.channel_of_pixel)
        pedestal = is_pedestal(raw.index.event_type)
        for block in calibrated_blocks(blocks, pedestal, config, calibration, charges, []):
            waveforms = raw.read(block.rows.start, len(block.pedestal))
            waveforms = in_camera_order(waveforms, calibration.channel_of_pixel)
            events = _BlockEvents(run, block, waveforms, charges.photoelectrons_per_adc(block.drop.factor))
            for number in range(len(block.pedestal)):
                if not (skip_pedestals and block.pedestal[number]):
                    yield events.event(number, count)
                    count += 1


class _BlockEvents:
    """Fills ctapipe's containers from a calibrated block and its waveforms."""

    def __init__(
        self, run: RunEvents, block: CalibratedBlock, raw: RawBlock, per_adc: NDArray[np.float32]
    ) -> None:
        self._run, self._block, self._raw, self._per_adc = run, block, raw, per_adc
        self._bad = np.broadcast_to(block.images.bad, block.images.image.shape)
        self._saturated = np.zeros(self._bad.shape, dtype=bool)
        self._saturated[block.images.saturated] = True

    def event(self, number: int, count: int) -> ArrayEventContainer:
        """Return one event of the block; `count` is its place among all that were returned."""
        run, tel_id, row = self._run, self._run.tel_id, self._block.rows.start + number
        kind = EventType.SKY_PEDESTAL if self._block.pedestal[number] else EventType.SUBARRAY
        event = ArrayEventContainer(count=count)
        event.index.obs_id, event.index.event_id = np.int64(run.obs_id), np.int64(run.event_id[row])
        event.trigger.tels_with_trigger = [tel_id]
        event.trigger.time, event.trigger.event_type = run.time[row], kind
        event.trigger.tel[tel_id] = TelescopeTriggerContainer(time=run.time[row], event_type=kind)
        event.r1.tel[tel_id] = self._waveforms(number, row, kind)
        self._point(event, row)
        self._describe_camera(event, number, row)
        return event

    def _waveforms(self, number: int, row: int, kind: EventType) -> R1CameraContainer:
        usable = self._raw.present[number] & np.isfinite(self._raw.baseline[number])
        baseline = np.where(usable, self._raw.baseline[number], np.float32(0))
        waveform = self._raw.samples[number].astype(np.float32) - baseline[:, np.newaxis]
        waveform *= self._per_adc[self._block.row[number]][:, np.newaxis]
        waveform[~usable] = 0
        status = np.zeros(len(usable), dtype=np.uint8)
        status[usable] |= np.uint8(PixelStatus.HIGH_GAIN_STORED)
        status[self._saturated[number]] |= np.uint8(PixelStatus.SATURATED)
        return R1CameraContainer(
            event_type=kind,
            event_time=self._run.time[row],
            waveform=waveform[np.newaxis],
            pixel_status=status,
            selected_gain_channel=np.zeros(len(usable), dtype=np.int8),
        )

    def _point(self, event: ArrayEventContainer, row: int) -> None:
        run = self._run
        azimuth, altitude = run.azimuth[row] * u.rad, run.altitude[row] * u.rad
        event.monitoring.tel[run.tel_id].pointing = TelescopePointingContainer(
            azimuth=azimuth, altitude=altitude
        )
        event.monitoring.pointing = ArrayPointingContainer(
            array_azimuth=azimuth,
            array_altitude=altitude,
            array_ra=np.deg2rad(run.pointing.ra_deg) * u.rad,
            array_dec=np.deg2rad(run.pointing.dec_deg) * u.rad,
        )

    def _describe_camera(self, event: ArrayEventContainer, number: int, row: int) -> None:
        camera = event.monitoring.tel[self._run.tel_id].camera
        bad = self._bad[number].copy()
        camera.coefficients = CameraCalibrationContainer(
            time=self._run.time[row], outlier_mask=bad[np.newaxis], is_valid=True
        )
        if self._block.charges is not None:
            state = self._block.row[number]
            # one number per pixel, without the axis of channels: ctapipe's NSBImageCleaner takes nothing else
            camera.pixel_statistics.pedestal_image = StatisticsContainer(
                mean=self._block.charges.mean[state].copy(),
                std=self._block.charges.std[state].copy(),
                outlier_mask=bad,
                is_valid=True,
            )
