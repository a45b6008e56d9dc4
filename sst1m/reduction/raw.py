"""Reduction of one raw run to DL1: read once, in blocks, with constant memory."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..calib.pedestals import MonitoringRow, is_pedestal
from ..calib.telescope import TelescopeCalibration, load_telescope_calibration
from ..calib.vdrop import DropFlag
from ..config import DataConfig
from ..errors import RawFileError
from ..image import CameraTables, parametrize_block
from ..instrument import camera_geometry, sst1m_subarray
from ..io.dl1 import Dl1Block, Dl1Writer
from ..io.dl1_tables import observation_blocks, write_observation_blocks
from ..io.rawfile import RawFile
from ..monitoring import NightSkyMonitor, observing_conditions
from ..pointing import Pointing, horizontal_pointing
from ..times import ns_to_time
from .charges import ChargeCalibrator
from .cleaning import CleanedBlock, ImageCleaner, PedestalImages
from .columns import EXTRA_COLUMNS, PRECISE_TIME_COLUMNS, derived_features, time_columns
from .identity import EventIdentity, check_night, identify_events, repeated_events
from .monitoring import write_pedestal_monitoring
from .options import ReductionOptions, ReductionSummary
from .pedestals import CalibratedBlock, calibrated_blocks, note_missing_pedestals
from .pixel_charges import PixelCharges, read_pedestal_images
from .waveforms import charge_blocks

__all__ = ["reduce_raw_run"]

log = logging.getLogger(__name__)

#: Of the timing fit, together with the identity of each event.
SEED = 20180822


@dataclass(frozen=True)
class _Run:
    """What is known of a run before its waveforms are read."""

    config: DataConfig
    options: ReductionOptions
    tel_id: int
    identity: EventIdentity
    columns: dict[str, NDArray[Any]]
    n_events: int
    pedestal: NDArray[np.bool_]
    written: NDArray[np.bool_]
    reclean: tuple[PedestalImages, NDArray[np.int64]] | None


class _Counts:
    """What happened to the events, summed over the blocks."""

    def __init__(self) -> None:
        self.n_written = 0
        self.n_parametrized = 0
        self.n_saturated_events = 0
        self.n_survived_pedestals = 0
        self.n_drop_clamped = 0
        self.raised_fraction_sum = 0.0
        self.drop_sum = 0.0

    def add_pedestals(self, survived: NDArray[np.bool_]) -> None:
        self.n_survived_pedestals += int(np.count_nonzero(survived))

    def add_events(self, block: Dl1Block) -> None:
        extras = block.extras
        self.n_written += len(block)
        self.n_parametrized += int(np.isfinite(block.parameters["camera_frame_hillas_intensity"]).sum())
        self.n_saturated_events += int((extras["n_saturated_pixels"] > 0).sum())
        clamped = extras["vdrop_flag"] & (DropFlag.BELOW_RANGE | DropFlag.ABOVE_RANGE)
        self.n_drop_clamped += int((clamped > 0).sum())
        self.raised_fraction_sum += float(extras["raised_threshold_fraction"].sum(dtype=np.float64))
        self.drop_sum += float(np.nansum(extras["intensity_drop"], dtype=np.float64))

    def summary(self) -> dict[str, Any]:
        number = max(self.n_written, 1)
        return {
            "n_events_written": self.n_written,
            "n_parametrized": self.n_parametrized,
            "n_saturated_events": self.n_saturated_events,
            "n_survived_pedestals": self.n_survived_pedestals,
            "n_voltage_drop_clamped": self.n_drop_clamped,
            "mean_raised_threshold_fraction": self.raised_fraction_sum / number,
            "mean_intensity_drop": self.drop_sum / number,
        }


def reduce_raw_run(
    raw_path: Path,
    output_path: Path,
    *,
    config: DataConfig,
    calibration_dir: Path | None,
    tel_id: int,
    date: int,
    run: int,
    pointing: Pointing,
    options: ReductionOptions | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> ReductionSummary:
    """
    Reduce one raw run of one telescope to a DL1 file.

    Parameters
    ----------
    raw_path : Path
        Raw file; verify it first (`sst1m.io.rawfile.verify_raw_file`).
    output_path : Path
        DL1 file, made anew; give a temporary name and rename it when all is well.
    config : DataConfig
        Configuration of observed data.
    calibration_dir : Path or None
        Where the calibration files lie that the configuration leaves ``null``.
    tel_id : int
        21 or 22, as the name of the file says.
    date : int
        Night, YYYYMMDD.
    run : int
        Number of the run in the night.
    pointing : Pointing
        Direction of the optical axis.
    options : ReductionOptions, optional
        Choices of the command.
    progress : callable, optional
        Called with (events done, all events) after each block.

    Raises
    ------
    RawFileError
        The file is damaged or belongs to another telescope.
    DataQualityError
        The events cannot be calibrated.
    ConfigError, InputError
        Configuration or calibration files are missing or wrong.
    """
    options = options or ReductionOptions()
    with RawFile(raw_path) as raw:
        if raw.tel_id is not None and raw.tel_id != tel_id:
            raise RawFileError(
                f"{raw_path}: the events are of telescope {raw.tel_id}, the name says {tel_id}; "
                "correct the name or the copy"
            )
        first_ns = int(raw.index.time_ns[0]) if raw.n_events else 0
        calibration = load_telescope_calibration(
            config, tel_id, calibration_dir=calibration_dir, time_ns=first_ns
        )
        prepared = _prepare(raw, config, options, tel_id, date, pointing)
        return _reduce(raw, output_path, prepared, calibration, date * 10_000 + run, pointing, progress)


def _prepare(
    raw: RawFile, config: DataConfig, options: ReductionOptions, tel_id: int, date: int, pointing: Pointing
) -> _Run:
    """Find out everything that the small columns of a raw file tell, for all events at once."""
    index = raw.index
    check_night(raw.path, index.time_ns, date)
    note_missing_pedestals(raw, config)
    pedestal, repeated = is_pedestal(index.event_type), repeated_events(index.time_ns, index.event_number)
    if n_repeated := int(np.count_nonzero(repeated)):
        log.warning("%s: %d events stand in it twice; the copies are left out", raw.path.name, n_repeated)
    azimuth, altitude = horizontal_pointing(pointing, tel_id, index.time_ns)
    columns = time_columns(index.time_ns, date, precise=options.precise_timestamps)
    columns |= {
        "swat_event_id": index.array_event_number,
        "camera_event_id": index.event_number,
        "true_az_tel": np.rad2deg(azimuth),
        "true_alt_tel": np.rad2deg(altitude),
    }
    return _Run(
        config=config,
        options=options,
        tel_id=tel_id,
        identity=identify_events(index.array_event_number, index.event_number, repeated),
        columns=columns,
        n_events=raw.n_events,
        pedestal=pedestal,
        written=~pedestal & ~repeated,
        reclean=_reclean_states(config, options, index.time_ns),
    )


def _reclean_states(
    config: DataConfig, options: ReductionOptions, time_ns: NDArray[np.int64]
) -> tuple[PedestalImages, NDArray[np.int64]] | None:
    if options.reclean_with is None:
        return None
    least = config.ImageProcessor.ImageCleanerSST.min_number_pedestals
    return read_pedestal_images(options.reclean_with, least, time_ns)


def _reduce(
    raw: RawFile,
    output_path: Path,
    run: _Run,
    calibration: TelescopeCalibration,
    obs_id: int,
    pointing: Pointing,
    progress: Callable[[int, int], object] | None,
) -> ReductionSummary:
    """Stream the blocks of a run through calibration, cleaning and parametrisation into the file."""
    tables = CameraTables.from_geometry(camera_geometry())
    charges = ChargeCalibrator(run.config, calibration, tables)
    monitoring: list[MonitoringRow] = []
    sky = NightSkyMonitor(run.tel_id, calibration.bad)
    blocks = sky.watched(charge_blocks(raw, run.config, calibration.channel_of_pixel))
    counts = _Counts()
    pixel_charges = PixelCharges(run.config.analysis.ped_time_window) if run.options.pixel_charges else None
    extra = EXTRA_COLUMNS | (PRECISE_TIME_COLUMNS if run.options.precise_timestamps else {})
    with Dl1Writer(
        output_path,
        subarray=sst1m_subarray(),
        tel_ids=(run.tel_id,),
        obs_id=obs_id,
        images=run.config.DataWriter.write_images,
        extra_columns=extra,
        simulated=_is_simulated(raw),
    ) as writer:
        finish = _BlockFinisher(run, tables, writer, counts, pixel_charges)
        for block in calibrated_blocks(blocks, run.pedestal, run.config, calibration, charges, monitoring):
            finish(block)
            if progress:
                progress(block.rows.stop, run.n_events)
        _write_run_tables(writer, raw, run, obs_id, pointing, monitoring)
        info = _info(raw, run, calibration, charges, pointing, obs_id) | counts.summary()
        axis = (run.columns[name] for name in ("true_az_tel", "true_alt_tel"))
        info |= observing_conditions(run.columns["time_ns"], run.pedestal, *axis, sky.result())
        info["n_telescope_events"] = {str(run.tel_id): counts.n_written}
        info["n_monitoring_rows"] = len(monitoring)
        writer.write_info(info)
    if pixel_charges is not None:
        pixel_charges.write(run.options.pixel_charges)
    return ReductionSummary(n_events=run.n_events, n_events_written=counts.n_written, info=info)


class _BlockFinisher:
    """Cleans, parametrises and writes the calibrated blocks of a run."""

    def __init__(
        self,
        run: _Run,
        tables: CameraTables,
        writer: Dl1Writer,
        counts: _Counts,
        pixel_charges: PixelCharges | None,
    ) -> None:
        self._run = run
        self._tables = tables
        self._writer = writer
        self._counts = counts
        self._pixel_charges = pixel_charges
        self._cleaner = ImageCleaner(run.config, run.tel_id, tables)
        self._intensity_factor = run.config.NsbCalibrator.intensity_correction.of(run.tel_id)
        indices = sst1m_subarray().tel_ids_to_indices(run.tel_id)
        self._triggered = np.zeros(len(sst1m_subarray().tel), dtype=bool)
        self._triggered[indices] = True

    def __call__(self, block: CalibratedBlock) -> None:
        cleaned = self._clean(block)
        pedestal, time_ns = block.pedestal, self._run.columns["time_ns"][block.rows]
        self._counts.add_pedestals(cleaned.mask[pedestal].any(axis=1))
        if self._pixel_charges is not None:
            self._pixel_charges.add(block.images.image[pedestal], time_ns[pedestal])
        events = np.flatnonzero(self._run.written[block.rows])
        finished = self._parametrize(block, cleaned, events)
        triggered = np.broadcast_to(self._triggered, (len(events), len(self._triggered)))
        self._writer.write_triggers(finished.event_id, finished.time_ns, triggered)
        self._writer.write_block(self._run.tel_id, finished)
        self._counts.add_events(finished)

    def _clean(self, block: CalibratedBlock) -> CleanedBlock:
        images = block.images
        if self._run.reclean is not None:
            states, row = self._run.reclean
            return self._cleaner(images.image, images.peak_time, states, row[block.rows])
        if block.charges is None:
            return self._cleaner(images.image, images.peak_time)
        states = PedestalImages(block.charges.mean, block.charges.std, block.charges.level)
        return self._cleaner(images.image, images.peak_time, states, block.row)

    def _parametrize(
        self, block: CalibratedBlock, cleaned: CleanedBlock, events: NDArray[np.int64]
    ) -> Dl1Block:
        image, peak_time = block.images.image[events], block.images.peak_time[events]
        mask = cleaned.mask[events]
        event_id = self._run.identity.event_id[block.rows][events]
        parameters = parametrize_block(image, peak_time, mask, self._tables, seed=SEED, event_ids=event_id)
        if self._intensity_factor != 1:
            name = "camera_frame_hillas_intensity"
            parameters[name] = parameters[name] * self._intensity_factor
        columns = {name: values[block.rows][events] for name, values in self._run.columns.items()}
        extras = parameters | columns | derived_features(parameters)
        extras |= self._states_of(block, events)
        extras["raised_threshold_fraction"] = cleaned.raised_fraction[events]
        extras["n_saturated_pixels"] = block.images.n_saturated[events]
        return Dl1Block(event_id, columns["time_ns"], parameters, extras, image, peak_time, mask)

    def _states_of(self, block: CalibratedBlock, events: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return level of the night sky and voltage drop of each event."""
        row = block.row[events]
        factor, flag = block.drop.factor, block.drop.flag
        if self._run.reclean is not None:
            states, recleaned = self._run.reclean
            level = states.level[recleaned[block.rows][events]]
        elif block.charges is not None:
            level = block.charges.level[row]
        else:
            level = np.full(len(events), np.nan)
        return {
            "meanQ": level,
            "intensity_drop": np.median(factor, axis=1)[row],
            "vdrop_flag": np.bitwise_or.reduce(flag, axis=1)[row],
        }


def _write_run_tables(
    writer: Dl1Writer,
    raw: RawFile,
    run: _Run,
    obs_id: int,
    pointing: Pointing,
    monitoring: list[MonitoringRow],
) -> None:
    """Write what describes the run as a whole: observation, pointing, pedestals."""
    time_ns = raw.index.time_ns
    start, stop = (int(time_ns.min()), int(time_ns.max())) if run.n_events else (0, 0)
    blocks = observation_blocks(
        obs_id=obs_id,
        ra_deg=pointing.ra_deg,
        dec_deg=pointing.dec_deg,
        start=ns_to_time(start),
        duration_s=(stop - start) / 1e9,
    )
    write_observation_blocks(writer.table_writer, *blocks)
    grid = _pointing_times(time_ns)
    writer.write_pointing(run.tel_id, grid, *horizontal_pointing(pointing, run.tel_id, grid))
    write_pedestal_monitoring(writer, run.tel_id, monitoring)


def _pointing_times(time_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the full seconds around the events, so that every event lies between two of them."""
    seconds = np.unique(time_ns // 1_000_000_000)
    return np.unique((seconds[:, np.newaxis] + np.arange(-1, 3)).ravel()) * 1_000_000_000


def _is_simulated(raw: RawFile) -> bool:
    """Whether a raw file says that it comes from a simulation; every product of it repeats that."""
    return raw.header.cards.get("SIMULAT") is True


def _info(
    raw: RawFile,
    run: _Run,
    calibration: TelescopeCalibration,
    charges: ChargeCalibrator,
    pointing: Pointing,
    obs_id: int,
) -> dict[str, Any]:
    """Return the facts of a run that do not follow from its events."""
    n_pedestals = int(np.count_nonzero(run.pedestal))
    no_pedestals = run.n_events > 0 and n_pedestals == 0
    return {
        "input": raw.path.name,
        "obs_id": obs_id,
        "tel_ids": [run.tel_id],
        "n_events": run.n_events,
        "n_pedestal": n_pedestals,
        "n_repeated": run.n_events - n_pedestals - int(np.count_nonzero(run.written)),
        "event_id_source": run.identity.source,
        "event_id_reason": run.identity.reason,
        "pedestal_fallback": "constant_thresholds" if no_pedestals else None,
        "recleaned": run.reclean is not None,
        "ra_deg": pointing.ra_deg,
        "dec_deg": pointing.dec_deg,
        "pointing_source": pointing.source,
        "calibration_sources": calibration.sources,
        "calibration_fingerprint": calibration.fingerprint,
        "modules_swapped": bool((calibration.channel_of_pixel != np.arange(len(calibration.bad))).any()),
        "n_bad_pixels": int(calibration.bad.sum()),
        "bad_pixels": np.flatnonzero(calibration.bad).tolist(),
        "integration_correction": charges.integration_correction,
        "config_fingerprint": run.config.fingerprint(),
        "simulated": _is_simulated(raw),
    }
