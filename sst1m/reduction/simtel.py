"""Reduction of sim_telarray files: ctapipe reads and calibrates, our kernels clean and parametrise."""

import contextlib
import itertools
import json
import logging
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path

import numpy as np
from ctapipe.calib import CameraCalibrator
from ctapipe.containers import (
    ArrayEventContainer,
    Container,
    Field,
    TelescopeConfigurationIndexContainer,
    TelEventIndexContainer,
)
from ctapipe.instrument import FocalLengthKind
from ctapipe.io import SimTelEventSource
from numpy.typing import NDArray
from tables import Table
from traitlets.config import Config

from ..checkpoint import system_error_text
from ..config import McConfig
from ..errors import ConfigError, InputError, UnreadableError
from ..image import CameraTables
from ..instrument import N_PIXELS
from ..io.dl1 import Dl1Block, Dl1Writer
from ..io.dl1_truth import create_true_parameters, interleave_triggers, true_parameters
from ..times import time_to_ns
from .cleaning import ImageCleaner
from .mc_block import SIMULATION_COLUMNS, simulated_block
from .options import ReductionSummary

__all__ = ["SIMULATION_COLUMNS", "reduce_simtel"]

log = logging.getLogger(__name__)

_BATCH = 256


class _RunKey(Container):
    """Key of the table of simulated runs."""

    default_prefix = ""
    obs_id = Field(0, "Simulation Run Identifier")


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn all that the reader of sim_telarray files says about damaged ones into one error."""
    try:
        with warnings.catch_warnings():
            # the reader only warns, and drops the rest of the file
            warnings.filterwarnings(
                "error", message="File seems to be truncated|Compressed file ended|.*[Ii]ncomplete"
            )
            yield
    except (OSError, EOFError, ValueError, LookupError, AttributeError, UserWarning) as error:
        if isinstance(error, OSError) and error.errno:
            raise UnreadableError(system_error_text(error)) from error
        raise InputError(f"{path} cannot be read as a sim_telarray file ({error}); replace it") from error
    except (StopIteration, struct.error, zlib.error) as error:
        raise InputError(
            f"{path} is no whole sim_telarray file ({error or 'it ends early'}); replace it"
        ) from error


def _open(path: Path, config: McConfig) -> SimTelEventSource:
    """Open the SST-1M telescopes of a file, with the effective focal length where the file knows it."""
    with (
        _reading(path),
        SimTelEventSource(str(path), focal_length_choice=FocalLengthKind.EQUIVALENT) as probe,
    ):
        telescopes = probe.subarray.tel
    tel_ids = {
        tel_id
        for tel_id, telescope in telescopes.items()
        if telescope.camera.geometry.n_pixels == N_PIXELS
        and (not config.allowed_tels or tel_id in config.allowed_tels)
    }
    if not tel_ids <= set(config.tel_ids) or not tel_ids:
        raise InputError(
            f"{path}: its SST-1M telescopes are {sorted(tel_ids) or 'none'}, the configuration knows "
            f"{list(config.tel_ids)}; set allowed_tels, or use a file with these telescopes"
        )
    effective = all(np.isfinite(telescopes[t].optics.effective_focal_length.value) for t in tel_ids)
    choice = FocalLengthKind.EFFECTIVE if effective else FocalLengthKind.EQUIVALENT
    with _reading(path):
        return SimTelEventSource(str(path), focal_length_choice=choice, allowed_tels=tel_ids)


def _efficiency_names(source: SimTelEventSource) -> set[str]:
    """Return the stems of the quantum-efficiency files that the history of a simulation names."""
    names = set()
    for _, line in source.file_.history:
        words = line.decode("ascii", "replace").split("%")[0].split()
        if len(words) >= 2 and words[0].upper() == "QUANTUM_EFFICIENCY":
            names.add(words[1].removesuffix(".dat"))
    return names


def _pde_factors(source: SimTelEventSource, config: McConfig) -> dict[int, float]:
    """Return by telescope the factor by which the simulated waveforms are too large."""
    if not config.NsbCalibrator.mc_correction_for_PDE:
        return dict.fromkeys(source.subarray.tel, 1.0)
    table = json.loads((files("sst1m") / "resources" / "pde_factors.json").read_text())["factors"]
    names = _efficiency_names(source)
    found = {row["tel_id"]: row["factor"] for row in table if row["efficiency"] in names}
    if missing := set(source.subarray.tel) - set(found):
        raise ConfigError(
            f"{source.input_url}: no PDE factor is known for telescope {sorted(missing)} with the quantum "
            f"efficiency {sorted(names) or 'of no name'}; known are {[row['efficiency'] for row in table]}. "
            "Set NsbCalibrator.mc_correction_for_PDE to false to use the file as it is"
        )
    return found


def _calibrator(source: SimTelEventSource, config: McConfig) -> CameraCalibrator:
    """Return ctapipe's calibrator with the extraction that the configuration asks for."""
    section = config.CameraCalibrator
    settings = {
        "image_extractor_type": section.image_extractor_type,
        "invalid_pixel_handler_type": section.invalid_pixel_handler_type,
        "LocalPeakWindowSum": section.LocalPeakWindowSum.model_dump(),
    }
    return CameraCalibrator(subarray=source.subarray, config=Config({"CameraCalibrator": settings}))


class _SimulationTables:
    """Writes what only simulations have, event by event, as ctapipe's own writer does."""

    def __init__(self, writer: Dl1Writer, source: SimTelEventSource) -> None:
        self._writer = writer.table_writer
        self._h5file = writer.h5file
        self._pointed: set[int] = set()
        self._parameters: dict[int, Table] = {}
        self._writer.exclude("/simulation/event/telescope/images/.*", "true_parameters")
        for block in source.scheduling_blocks.values():
            self._writer.write("configuration/observation/scheduling_block", block, time_format="mjd")
        for block in source.observation_blocks.values():
            self._writer.write("configuration/observation/observation_block", block, time_format="mjd")
        for obs_id, simulation in source.simulation_config.items():
            simulation.prefix = ""
            self._writer.write("configuration/simulation/run", [_RunKey(obs_id=obs_id), simulation])

    def write_event(self, event: ArrayEventContainer) -> None:
        """Write truth and pointing of one array event."""
        self._writer.write("simulation/event/subarray/shower", [event.index, event.simulation.shower])
        for tel_id, simulated in event.simulation.tel.items():
            index = TelEventIndexContainer(
                obs_id=event.index.obs_id, event_id=event.index.event_id, tel_id=np.int16(tel_id)
            )
            name = f"tel_{tel_id:03d}"
            self._writer.write(f"simulation/event/telescope/impact/{name}", [index, simulated.impact])
            self._writer.write(f"simulation/event/telescope/images/{name}", [index, simulated])
            self._write_pointing(event, tel_id)

    def write_parameters(
        self, events: list[ArrayEventContainer], cameras: Mapping[int, CameraTables]
    ) -> None:
        """Write the parameters of the images without noise, where the file has such images."""
        for tel_id, camera in cameras.items():
            seen = [event for event in events if tel_id in event.simulation.tel]
            images = [event.simulation.tel[tel_id].true_image for event in seen]
            if not seen or any(image is None for image in images):
                continue
            if tel_id not in self._parameters:
                self._parameters[tel_id] = create_true_parameters(self._writer, tel_id)
            table = self._parameters[tel_id]
            rows = np.zeros(len(seen), dtype=table.dtype)
            for name, values in true_parameters(np.array(images), camera).items():
                rows[name] = values
            rows["obs_id"] = [event.index.obs_id for event in seen]
            rows["event_id"] = [event.index.event_id for event in seen]
            rows["tel_id"] = tel_id
            table.append(rows)

    def _write_pointing(self, event: ArrayEventContainer, tel_id: int) -> None:
        if tel_id not in self._pointed and tel_id in event.monitoring.tel:
            self._pointed.add(tel_id)
            key = TelescopeConfigurationIndexContainer(obs_id=event.index.obs_id, tel_id=tel_id)
            pointing = event.monitoring.tel[tel_id].pointing
            self._writer.write(f"configuration/telescope/pointing/tel_{tel_id:03d}", [key, pointing])

    def finish(self, source: SimTelEventSource) -> None:
        """Write the thrown showers, known once the whole file was read, and bring the triggers in order."""
        interleave_triggers(self._h5file)
        for distribution in source.simulated_shower_distributions.values():
            self._writer.write("simulation/service/shower_distribution", distribution)


class _Batch:
    """Images of one telescope from several events."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, NDArray[np.float32], NDArray[np.float32], float, float]] = []

    def add(self, event: ArrayEventContainer, tel_id: int, time_ns: int) -> None:
        dl1, pointing = event.dl1.tel[tel_id], event.monitoring.tel[tel_id].pointing
        az, alt = pointing.azimuth.to_value("deg"), pointing.altitude.to_value("deg")
        self.rows.append((int(event.index.event_id), time_ns, dl1.image, dl1.peak_time, az, alt))

    def to_block(self, cleaner: ImageCleaner, tables: CameraTables, factor: float, seed: int) -> Dl1Block:
        ids, times, images, peak_times, az, alt = (
            np.array(column) for column in zip(*self.rows, strict=True)
        )
        return simulated_block(
            ids,
            times,
            images.astype(np.float32),
            peak_times.astype(np.float32),
            az_deg=az,
            alt_deg=alt,
            cleaner=cleaner,
            tables=tables,
            factor=factor,
            seed=seed,
        )


def _events(
    source: SimTelEventSource, calibrate: CameraCalibrator, pde: dict[int, float]
) -> Iterator[ArrayEventContainer]:
    """Yield calibrated events, waveforms divided by the PDE factor."""
    events = iter(source)
    while True:
        with _reading(source.input_url):
            event = next(events, None)
        if event is None:
            return
        for tel_id, r1 in event.r1.tel.items():
            if pde[tel_id] != 1.0:
                r1.waveform = r1.waveform / np.float32(pde[tel_id])
        calibrate(event)
        yield event


def _batches(events: Iterator[ArrayEventContainer], size: int) -> Iterator[list[ArrayEventContainer]]:
    while batch := list(itertools.islice(events, size)):
        yield batch


def reduce_simtel(
    path: Path,
    output_path: Path,
    *,
    config: McConfig,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> ReductionSummary:
    """
    Reduce a sim_telarray file to DL1.

    Parameters
    ----------
    path : Path
        ``.simtel``, ``.simtel.gz`` or ``.simtel.zst``.
    output_path : Path
        DL1 file, made anew.
    config : McConfig
        Configuration of simulations.
    seed : int
        Of the timing fit.
    progress : callable, optional
        Called with the number of events done since the last call.

    Raises
    ------
    InputError
        The file cannot be read or holds no SST-1M telescope.
    ConfigError
        No PDE factor is known for the simulated quantum efficiency.
    """
    with _open(path, config) as source:
        pde = _pde_factors(source, config)
        tel_ids = tuple(sorted(source.subarray.tel))
        with Dl1Writer(
            output_path,
            subarray=source.subarray,
            tel_ids=tel_ids,
            obs_id=int(source.obs_ids[0]),
            images=config.DataWriter.write_images,
            extra_columns=SIMULATION_COLUMNS,
            simulated=True,
        ) as writer:
            counts = _write_events(source, writer, config, pde, seed, progress)
            info = {
                "input": path.name,
                "tel_ids": tel_ids,
                "n_events": counts[0],
                "n_events_written": counts[0],
                "n_telescope_events": {str(t): n for t, n in counts[1].items()},
                "pde_factors": pde,
                "focal_length_choice": source.focal_length_choice.name,
                "config_fingerprint": config.fingerprint(),
                "simulated": True,
            }
            writer.write_info(info)
    return ReductionSummary(n_events=counts[0], n_events_written=counts[0], info=info)


def _write_events(
    source: SimTelEventSource,
    writer: Dl1Writer,
    config: McConfig,
    pde: dict[int, float],
    seed: int,
    progress: Callable[[int], None] | None,
) -> tuple[int, dict[int, int]]:
    """Write all events of a source; return the number of array events and of events by telescope."""
    truth = _SimulationTables(writer, source)
    tel_ids = sorted(source.subarray.tel)
    tables = {t: CameraTables.from_geometry(source.subarray.tel[t].camera.geometry) for t in tel_ids}
    cleaners = {t: ImageCleaner(config, t, tables[t]) for t in tel_ids}
    factors = {t: config.NsbCalibrator.intensity_correction.of(t) for t in tel_ids}
    n_events, n_telescope = 0, dict.fromkeys(tel_ids, 0)
    for batch in _batches(_events(source, _calibrator(source, config), pde), _BATCH):
        images = {tel_id: _Batch() for tel_id in tel_ids}
        times = [time_to_ns(event.trigger.time) for event in batch]
        for event, time_ns in zip(batch, times, strict=True):
            truth.write_event(event)
            for tel_id in event.dl1.tel:
                images[tel_id].add(event, tel_id, time_ns)
        truth.write_parameters(batch, tables)
        ids = np.array([int(event.index.event_id) for event in batch])
        triggered = np.array(
            [[t in event.trigger.tels_with_trigger for t in source.subarray.tel] for event in batch]
        )
        writer.write_triggers(ids, np.array(times), triggered)
        for tel_id, pending in images.items():
            if pending.rows:
                block = pending.to_block(cleaners[tel_id], tables[tel_id], factors[tel_id], seed)
                writer.write_block(tel_id, block)
                n_telescope[tel_id] += len(block)
        n_events += len(batch)
        if progress:
            progress(len(batch))
    truth.finish(source)
    return n_events, n_telescope
