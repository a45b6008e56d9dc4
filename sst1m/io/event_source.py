"""
Raw SST-1M files for every tool of ctapipe: calibrated waveforms (R1), event by event.

ctapipe imports this module whenever one of its tools looks for a reader, so everything heavy is imported only
when a raw file is really opened.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
from ctapipe.containers import (
    ArrayEventContainer,
    ArrayPointingContainer,
    CameraCalibrationContainer,
    EventType,
    ObservationBlockContainer,
    PixelStatus,
    R1CameraContainer,
    SchedulingBlockContainer,
    StatisticsContainer,
    TelescopePointingContainer,
    TelescopeTriggerContainer,
)
from ctapipe.core.traits import Bool, Float, Int
from ctapipe.core.traits import Path as PathTrait
from ctapipe.instrument import SubarrayDescription
from ctapipe.io import DataLevel, EventSource

from ..errors import ConfigError, RawFileError, Sst1mError
from ..names import RawName, parse_target
from .raw_header import RawHeader, read_raw_header, verify_raw_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..calib.telescope import TelescopeCalibration
    from ..config import DataConfig
    from ..pointing import Pointing
    from ..reduction.pedestals import CalibratedBlock
    from .rawfile import RawBlock

__all__ = ["SST1MEventSource"]

_MESSAGE = "DataModel.CameraEvent"
_SAMPLES = "hiGain_waveforms_samples"
#: 1296 pixels of 50 samples; other cameras of the time wrote tables of the same name.
_SAMPLES_FORM = "64800I"
_NAME = re.compile(r"SST1M[12]_")
_TRAIT = "SST1MEventSource"


def _is_sst1m(header: RawHeader) -> bool:
    """Return whether the events are those of DigiCam."""
    cards = header.cards
    if cards.get("PBFHEAD") != _MESSAGE:
        return False
    numbers = range(1, int(cards.get("TFIELDS") or 0) + 1)
    forms = [cards.get(f"ZFORM{number}") for number in numbers if cards.get(f"TTYPE{number}") == _SAMPLES]
    # without events there may be no columns, then only the name is left to tell
    return forms == [_SAMPLES_FORM] or (header.n_events == 0 and bool(_NAME.match(header.path.name)))


class _Event:
    """What all events of a run have in common with the columns that tell them apart."""

    def __init__(self, source: SST1MEventSource) -> None:
        from ..pointing import horizontal_pointing
        from ..reduction.identity import choose_event_ids
        from ..times import ns_to_time
        from .rawfile import RawFile

        with RawFile(source.input_url) as raw:
            self.tel_id, index = _checked_telescope(raw.tel_id, source.input_url), raw.index
        self.time_ns = index.time_ns
        self.time = ns_to_time(index.time_ns)
        self.event_id = choose_event_ids(index.array_event_number, index.event_number).event_id
        self.azimuth, self.altitude = horizontal_pointing(source.pointing, self.tel_id, index.time_ns)


def _checked_telescope(tel_id: int | None, path: Path) -> int:
    """Return the telescope of the events, which the name must confirm where it is a raw name."""
    from ..instrument import TEL_IDS

    if tel_id not in TEL_IDS:
        raise RawFileError(f"{path}: telescope {tel_id} is none of {TEL_IDS}; check what was copied here")
    named = _raw_name(path)
    if named is not None and named.tel_id != tel_id:
        raise RawFileError(
            f"{path}: the events are of telescope {tel_id}, the name says {named.tel_id}; "
            "correct the name or the copy"
        )
    return tel_id


def _raw_name(path: Path) -> RawName | None:
    try:
        return RawName.parse(path.name)
    except RawFileError:
        return None


class SST1MEventSource(EventSource):
    """
    Calibrated waveforms of a raw SST-1M file.

    Waveforms are divided by gain, voltage drop and window transmission, so that ctapipe's `CameraCalibrator`
    with `LocalPeakWindowSum` arrives at the images of ``sst1m r0-dl1``; only saturated pulses, which that
    integrates in its own way, differ. Pixels to be interpolated are in ``coefficients.outlier_mask``, the
    charges of the pedestal events in ``pixel_statistics.pedestal_image``.

    Parameters
    ----------
    input_url : str or Path
        A ``.fits.fz`` file of one run of one telescope.

    Raises
    ------
    ConfigError
        A trait is missing or wrong.
    RawFileError
        The file is damaged.
    InputError, DataQualityError
        The run cannot be calibrated.
    """

    config_file = PathTrait(
        default_value=None,
        exists=True,
        directory_ok=False,
        help="Configuration of observed data of sst1m (JSON). Required.",
    ).tag(config=True)
    calibration_dir = PathTrait(
        default_value=None,
        exists=True,
        file_ok=False,
        help="Directory of the calibration files that the configuration leaves null.",
    ).tag(config=True)
    pointing_ra = Float(
        default_value=None,
        allow_none=True,
        help="Right ascension of the optical axis, ICRS [deg]. Default: the TARGET header.",
    ).tag(config=True)
    pointing_dec = Float(
        default_value=None,
        allow_none=True,
        help="Declination of the optical axis, ICRS [deg]. Default: the TARGET header.",
    ).tag(config=True)
    obs_id = Int(
        default_value=None,
        allow_none=True,
        help="Identity of the run, YYYYMMDDNNNN. Default: from the name SST1M{1,2}_YYYYMMDD_NNNN.fits.fz.",
    ).tag(config=True)
    skip_pedestals = Bool(
        default_value=False, help="Whether to leave out the pedestal events (camera event type 8)."
    ).tag(config=True)

    def __init__(
        self,
        input_url: str | Path | None = None,
        config: Any = None,  # noqa: ANN401 - as in ctapipe
        parent: Any = None,  # noqa: ANN401 - as in ctapipe
        **kwargs: Any,  # noqa: ANN401 - as in ctapipe
    ) -> None:
        super().__init__(input_url=input_url, config=config, parent=parent, **kwargs)
        self._config = self._read_config()
        header = verify_raw_file(self.input_url)
        self.pointing = self._find_pointing(header)
        self._obs_id = self._find_obs_id()
        self._run = _Event(self)
        self._calibration = self._load_calibration()
        self._subarray = self._select_subarray()
        self._open_generators: list[Iterator[ArrayEventContainer]] = []

    @staticmethod
    def is_compatible(file_path: str | Path) -> bool:
        """
        Return whether a file is a raw file of SST-1M, from its header alone.

        Parameters
        ----------
        file_path : str or Path
            Any file.
        """
        path = Path(file_path)
        if not path.is_file():
            return False
        try:
            with path.open("rb") as file:
                if file.read(6) != b"SIMPLE":
                    return False
            return _is_sst1m(read_raw_header(path))
        except (Sst1mError, OSError, ValueError):
            return False

    @property
    def subarray(self) -> SubarrayDescription:
        """The two telescopes, or those of `allowed_tels`."""
        return self._subarray

    @property
    def is_simulation(self) -> bool:
        """False."""
        return False

    @property
    def datalevels(self) -> tuple[DataLevel, ...]:
        """Calibrated waveforms."""
        return (DataLevel.R1,)

    @property
    def scheduling_blocks(self) -> dict[int, SchedulingBlockContainer]:
        """The run as a scheduling block of its own."""
        block = self._blocks()[0]
        return {int(block.sb_id): block}

    @property
    def observation_blocks(self) -> dict[int, ObservationBlockContainer]:
        """The run as one observation block."""
        return {self._obs_id: self._blocks()[1]}

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, also in loops that were left before their end."""
        while self._open_generators:
            self._open_generators.pop().close()

    def _blocks(self) -> tuple[SchedulingBlockContainer, ObservationBlockContainer]:
        from ..times import ns_to_time
        from .dl1_tables import observation_blocks

        time_ns = self._run.time_ns
        start, stop = (int(time_ns.min()), int(time_ns.max())) if len(time_ns) else (0, 0)
        return observation_blocks(
            obs_id=self._obs_id,
            ra_deg=self.pointing.ra_deg,
            dec_deg=self.pointing.dec_deg,
            start=ns_to_time(start),
            duration_s=(stop - start) / 1e9,
        )

    def _read_config(self) -> DataConfig:
        from ..config import DataConfig, load_config

        if self.config_file is None:
            raise ConfigError(
                f"{self.input_url}: raw files need the configuration of their calibration; "
                f"name it by {_TRAIT}.config_file"
            )
        config = load_config(self.config_file)
        if not isinstance(config, DataConfig):
            raise ConfigError(
                f"{self.config_file}: is one of simulations; {_TRAIT}.config_file needs one of data"
            )
        return config

    def _find_pointing(self, header: RawHeader) -> Pointing:
        from ..pointing import Pointing

        if (self.pointing_ra is None) != (self.pointing_dec is None):
            raise ConfigError(
                f"{self.input_url}: give both {_TRAIT}.pointing_ra and {_TRAIT}.pointing_dec, or none"
            )
        if self.pointing_ra is not None:
            return Pointing(self.pointing_ra, self.pointing_dec, "command")
        target = parse_target(header.target)
        if target.ra_deg is None or target.dec_deg is None:
            raise ConfigError(
                f"{self.input_url}: its header has no pointing ({target.reason}); "
                f"give {_TRAIT}.pointing_ra and {_TRAIT}.pointing_dec"
            )
        return Pointing(target.ra_deg, target.dec_deg, "header")

    def _find_obs_id(self) -> int:
        if self.obs_id is not None:
            return self.obs_id
        name = _raw_name(self.input_url)
        if name is None:
            raise ConfigError(
                f"{self.input_url}: the name tells no date and run (SST1M1_YYYYMMDD_NNNN.fits.fz); "
                f"give {_TRAIT}.obs_id"
            )
        return name.obs_id

    def _load_calibration(self) -> TelescopeCalibration:
        from ..calib.telescope import load_telescope_calibration

        time_ns = self._run.time_ns
        return load_telescope_calibration(
            self._config,
            self._run.tel_id,
            calibration_dir=self.calibration_dir,
            time_ns=int(time_ns[0]) if len(time_ns) else 0,
        )

    def _select_subarray(self) -> SubarrayDescription:
        from ..instrument import sst1m_subarray

        if self.allowed_tels is None:
            return sst1m_subarray()
        if self._run.tel_id not in self.allowed_tels:
            raise ConfigError(
                f"{self.input_url}: its events are of telescope {self._run.tel_id}, which is not in "
                f"EventSource.allowed_tels {sorted(self.allowed_tels)}"
            )
        return sst1m_subarray().select_subarray(self.allowed_tels)

    def _generator(self) -> Iterator[ArrayEventContainer]:
        generator = self._read()
        self._open_generators.append(generator)
        return generator

    def _read(self) -> Iterator[ArrayEventContainer]:
        """Read the file twice in step: once as the reduction does, once for the waveforms."""
        from ..calib.pedestals import is_pedestal
        from ..image import CameraTables
        from ..instrument import camera_geometry
        from ..reduction.charges import ChargeCalibrator
        from ..reduction.pedestals import calibrated_blocks, note_missing_pedestals
        from ..reduction.waveforms import charge_blocks, in_camera_order
        from .rawfile import RawFile

        calibration, tables = self._calibration, CameraTables.from_geometry(camera_geometry())
        charges = ChargeCalibrator(self._config, calibration, tables)
        count = 0
        with RawFile(self.input_url) as ahead, RawFile(self.input_url) as raw:
            note_missing_pedestals(raw, self._config)
            pedestal = is_pedestal(raw.index.event_type)
            blocks = charge_blocks(ahead, self._config, calibration.channel_of_pixel)
            for block in calibrated_blocks(blocks, pedestal, self._config, calibration, charges, []):
                waveforms = raw.read(block.rows.start, len(block.pedestal))
                waveforms = in_camera_order(waveforms, calibration.channel_of_pixel)
                events = _BlockOfEvents(
                    self, block, waveforms, charges.photoelectrons_per_adc(block.drop.factor)
                )
                for number in range(len(block.pedestal)):
                    if self.skip_pedestals and block.pedestal[number]:
                        continue
                    yield events.event(number, count)
                    count += 1


class _BlockOfEvents:
    """Fills ctapipe's containers from a calibrated block and its waveforms."""

    def __init__(
        self, source: SST1MEventSource, block: CalibratedBlock, raw: RawBlock, per_adc: NDArray[np.float32]
    ) -> None:
        self._block = block
        self._raw = raw
        self._per_adc = per_adc
        self._run = source._run
        self._obs_id = source._obs_id
        self._pointing = source.pointing
        self._bad = np.broadcast_to(block.images.bad, block.images.image.shape)
        saturated = np.zeros(self._bad.shape, dtype=bool)
        saturated[block.images.saturated] = True
        self._saturated = saturated

    def event(self, number: int, count: int) -> ArrayEventContainer:
        """Return one event of the block; `count` is its place among all that were returned."""
        tel_id, row = self._run.tel_id, self._block.rows.start + number
        kind = EventType.SKY_PEDESTAL if self._block.pedestal[number] else EventType.SUBARRAY
        event = ArrayEventContainer(count=count)
        event.index.obs_id = np.int64(self._obs_id)
        event.index.event_id = np.int64(self._run.event_id[row])
        event.trigger.tels_with_trigger = [tel_id]
        event.trigger.time = self._run.time[row]
        event.trigger.event_type = kind
        event.trigger.tel[tel_id] = TelescopeTriggerContainer(time=self._run.time[row], event_type=kind)
        event.r1.tel[tel_id] = self._waveforms(number, row, kind)
        self._fill_monitoring(event, number, row)
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

    def _fill_monitoring(self, event: ArrayEventContainer, number: int, row: int) -> None:
        monitoring = event.monitoring.tel[self._run.tel_id]
        azimuth, altitude = self._run.azimuth[row] * u.rad, self._run.altitude[row] * u.rad
        monitoring.pointing = TelescopePointingContainer(azimuth=azimuth, altitude=altitude)
        event.monitoring.pointing = ArrayPointingContainer(
            array_azimuth=azimuth,
            array_altitude=altitude,
            array_ra=np.deg2rad(self._pointing.ra_deg) * u.rad,
            array_dec=np.deg2rad(self._pointing.dec_deg) * u.rad,
        )
        monitoring.camera.coefficients = CameraCalibrationContainer(
            time=self._run.time[row], outlier_mask=self._bad[number][np.newaxis].copy(), is_valid=True
        )
        if self._block.charges is not None:
            state = self._block.row[number]
            # one row per pixel, without the axis of channels: ctapipe's NSBImageCleaner takes nothing else
            monitoring.camera.pixel_statistics.pedestal_image = StatisticsContainer(
                mean=self._block.charges.mean[state].copy(),
                std=self._block.charges.std[state].copy(),
                outlier_mask=self._bad[number].copy(),
                is_valid=True,
            )
