"""
Raw SST-1M files for every tool of ctapipe: calibrated waveforms (R1), event by event.

ctapipe imports this module whenever one of its tools looks for a reader, so everything heavy is imported only
when a raw file is really opened.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from ctapipe.containers import ArrayEventContainer, ObservationBlockContainer, SchedulingBlockContainer
from ctapipe.core.traits import Bool, Float, Int
from ctapipe.core.traits import Path as PathTrait
from ctapipe.instrument import SubarrayDescription
from ctapipe.io import DataLevel, EventSource

from ..errors import ConfigError, RawFileError, Sst1mError
from ..names import RawName, parse_target
from .raw_header import RawHeader, read_raw_header, verify_raw_file

if TYPE_CHECKING:
    from ..calib.telescope import TelescopeCalibration
    from ..config import DataConfig
    from ..pointing import Pointing
    from .r1_events import RunEvents

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
        self._run = self._read_run()
        self._calibration = self._load_calibration()
        self._subarray = self._select_subarray()
        self._open_generators: WeakSet[Generator[ArrayEventContainer, None, None]] = WeakSet()

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
        return {self._run.obs_id: self._blocks()[1]}

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, also in loops that were left before their end."""
        for generator in list(self._open_generators):
            generator.close()

    def _blocks(self) -> tuple[SchedulingBlockContainer, ObservationBlockContainer]:
        from ..times import ns_to_time
        from .dl1_tables import observation_blocks

        time_ns = self._run.time_ns
        start, stop = (int(time_ns.min()), int(time_ns.max())) if len(time_ns) else (0, 0)
        return observation_blocks(
            obs_id=self._run.obs_id,
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

    def _read_run(self) -> RunEvents:
        from .r1_events import read_run_events

        name = _raw_name(self.input_url)
        if name is None and self.obs_id is None:
            raise ConfigError(
                f"{self.input_url}: the name tells no date and run (SST1M1_YYYYMMDD_NNNN.fits.fz); "
                f"give {_TRAIT}.obs_id"
            )
        obs_id = name.obs_id if self.obs_id is None else self.obs_id
        return read_run_events(self.input_url, obs_id, name and name.tel_id, self.pointing)

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

    def _generator(self) -> Generator[ArrayEventContainer, None, None]:
        from .r1_events import r1_events

        generator = r1_events(self._run, self._config, self._calibration, skip_pedestals=self.skip_pedestals)
        self._open_generators.add(generator)
        return generator
