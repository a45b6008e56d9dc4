"""Loads once, before processes are forked, what every reduction would otherwise load again."""

import datetime
import importlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sst1m.names import RawName

if TYPE_CHECKING:
    from sst1m.config import DataConfig

__all__ = ["preload", "warm_up"]

_N_EVENTS = 8


def preload() -> None:
    """Import everything that a reduction needs: seconds once, instead of seconds per run."""
    for module in ("sst1m.reduction", "sst1m.io.dl1", "sst1m.simulation.raw_writer"):
        importlib.import_module(module)


def warm_up(config: "DataConfig", calibration_dir: Path | None, tel_id: int = 21) -> None:
    """
    Reduce a few made-up events, so that kernels, coordinates and tables of the Earth's orientation are in
    memory.

    Parameters
    ----------
    config : DataConfig
        Configuration of the runs to come.
    calibration_dir : Path or None
        Where calibration files lie that the configuration does not name.
    tel_id : int
        Telescope whose calibration is used, 21 or 22.

    Raises
    ------
    Sst1mError
        As the reduction of a real run would; the caller may well ignore it here, the run itself says it
        better.
    """
    preload()
    from sst1m.pointing import Pointing
    from sst1m.reduction import reduce_raw_run

    name = RawName(tel_id - 20, datetime.date(2024, 3, 4), 0)
    with tempfile.TemporaryDirectory(prefix="sst1m-") as directory:
        raw = Path(directory, str(name))
        _write_events(raw, name.tel_id)
        reduce_raw_run(
            raw,
            Path(directory, "warmup_dl1.h5"),
            config=config,
            calibration_dir=calibration_dir,
            tel_id=name.tel_id,
            date=int(f"{name.date:%Y%m%d}"),
            run=name.run,
            pointing=Pointing(83.63, 22.01, "command"),
        )


def _write_events(path: Path, tel_id: int) -> None:
    """Write pedestals and a bright disc on them: enough for every step to have something to do."""
    import numpy as np

    from sst1m.instrument import N_PIXELS, N_SAMPLES
    from sst1m.instrument.camera import camera_geometry
    from sst1m.io.rawfile import EventIndex
    from sst1m.simulation.raw_writer import RawWriter

    numbers = np.arange(1, _N_EVENTS + 1)
    samples = np.random.default_rng(1).normal(300.0, 8.0, (_N_EVENTS, N_PIXELS, N_SAMPLES))
    geometry = camera_geometry()
    disc = np.hypot(geometry.pix_x.to_value("m"), geometry.pix_y.to_value("m")) < 0.08
    shower = numbers % 2 == 0
    samples[np.ix_(shower, disc, np.arange(20, 26))] += 300.0
    index = EventIndex(
        event_number=numbers,
        array_event_number=numbers,
        event_type=np.where(shower, 1, 8),
        time_ns=1_709_596_800_000_000_000 + numbers * 10_000_000,
    )
    with RawWriter(path, tel_id=tel_id) as writer:
        writer.append(
            np.rint(samples).astype(np.int16), index, baseline=np.full((_N_EVENTS, N_PIXELS), 300.0)
        )
