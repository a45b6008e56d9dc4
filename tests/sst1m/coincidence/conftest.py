"""A simulated night of two runs per telescope, and DL1 files of times that a test chooses."""

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table, vstack

from sst1m.config import DataConfig
from sst1m.instrument import sst1m_subarray
from sst1m.io.dl1 import Dl1Block, Dl1Writer
from sst1m.layout import raw_path
from sst1m.monitoring import LiveTime, measure_live_time
from sst1m.names import parse_target
from sst1m.pointing import Pointing
from sst1m.reduction import reduce_raw_run
from sst1m.reduction.columns import EXTRA_COLUMNS
from sst1m.reduction.monitoring import write_pedestal_monitoring
from sst1m.simulation.night import simulate_night
from sst1m.simulation.night_spec import NightSpec, simulation_directory
from sst1m.simulation.schedule import plan_night
from sst1m.sources import read_sources

SPEC = NightSpec(
    date=datetime.date(2024, 3, 4),
    source=read_sources().named("Crab"),
    flux=1200.0,
    wobbles=("W1",),
    n_runs=2,
    seed=3,
    run_seconds=0.8,
    interval_minutes=1.0,
    pedestal_hz=100.0,
    background=0.2,
    calibration_runs=False,
    missing_runs=False,
)
START_NS = 1_709_576_137_000_000_000


@dataclass(frozen=True)
class SimulatedNight:
    """DL1 files by telescope and the truth about all events."""

    files: dict[int, list[Path]]
    raw: dict[str, Path]
    truth: Table

    @property
    def coincident(self) -> set[int]:
        """Array event numbers of the showers that both telescopes recorded."""
        both = (self.truth["event_21"] > 0) & (self.truth["event_22"] > 0)
        return set(self.truth["array_event_number"][both].tolist())


@pytest.fixture(scope="session")
def night(tmp_path_factory, make_config) -> SimulatedNight:
    """Return the night, from simulated waveforms to DL1."""
    root = tmp_path_factory.mktemp("coincident-night")
    simulate_night(SPEC, root / "raw", calibration_dir=root / "calibration")
    config = make_config({"DataWriter.write_images": "none"})
    files: dict[int, list[Path]] = {21: [], 22: []}
    raws, truths = {}, []
    for group in plan_night(SPEC):
        truth = simulation_directory(root / "raw", SPEC) / f"truth_{group.number:04d}.ecsv"
        truths.append(Table.read(truth, format="ascii.ecsv"))
        for run in group.runs:
            name, target = run.name, parse_target(group.target)
            output = root / f"cs{name.tel}" / f"{name.stem}_{target.wobble}_dl1.h5"
            output.parent.mkdir(exist_ok=True)
            raws[output.name] = raw_path(root / "raw", name)
            reduce_raw_run(
                raws[output.name],
                output,
                config=config,
                calibration_dir=root / "calibration",
                tel_id=run.tel_id,
                date=20240304,
                run=name.run,
                pointing=Pointing(group.ra_deg, group.dec_deg, "header"),
            )
            files[run.tel_id].append(output)
    return SimulatedNight(files, raws, vstack(truths, metadata_conflicts="silent"))


@pytest.fixture(scope="session")
def method_config(make_config) -> Callable[..., DataConfig]:
    """Return a function: the data configuration with another method of matching, and other keys of stereo."""

    def make(method: str, **keys: object) -> DataConfig:
        changes = {"event_matching_method": method} | keys
        return make_config({f"stereo.{name}": value for name, value in changes.items()})

    return make


def _parameters(image: np.ndarray, event_id: np.ndarray) -> dict[str, np.ndarray]:
    """Return parameters of images of which those without light are undefined."""
    intensity = np.where(image, 100.0 + event_id % 1000, np.nan)
    return {
        "camera_frame_hillas_intensity": intensity,
        "camera_frame_hillas_width": np.where(image, 0.02, np.nan),
        "camera_frame_hillas_length": np.where(image, 0.05, np.nan),
        "morphology_n_pixels": np.where(image, 9, -1),
    }


@pytest.fixture(scope="session")
def make_dl1() -> Callable[..., Path]:
    """Return a function that writes a DL1 file of given events."""

    def make(
        directory: Path,
        tel_id: int,
        run: int,
        time_ns: np.ndarray,
        *,
        number: np.ndarray | None = None,
        event_id: np.ndarray | None = None,
        image: np.ndarray | None = None,
        ra_deg: float = 84.4,
        live: LiveTime | None = None,
    ) -> Path:
        n_events, obs_id = len(time_ns), 20240304 * 10_000 + run
        event_id = np.arange(1, n_events + 1) if event_id is None else event_id
        number = np.zeros(n_events, dtype=np.int64) if number is None else number
        image = np.ones(n_events, dtype=bool) if image is None else image
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"SST1M{tel_id - 20}_20240304_{run:04d}_W1_dl1.h5"
        extras = {
            "time_ns": time_ns,
            "swat_event_id": number,
            "camera_event_id": event_id,
            "true_az_tel": np.full(n_events, 180.0),
            "true_alt_tel": np.full(n_events, 62.0),
        }
        with Dl1Writer(
            path,
            subarray=sst1m_subarray(),
            tel_ids=(tel_id,),
            obs_id=obs_id,
            images="none",
            extra_columns=EXTRA_COLUMNS,
        ) as writer:
            light = np.where(image[:, None], np.ones(2, dtype=np.float32), 0)
            parameters = _parameters(image, event_id)
            block = Dl1Block(event_id, time_ns, parameters, extras, light, light, light > 0)
            writer.write_block(tel_id, block)
            writer.write_triggers(event_id, time_ns, np.tile([tel_id == 21, tel_id == 22], (n_events, 1)))
            grid = np.unique(np.concatenate([time_ns, time_ns - 10**9, time_ns + 10**9]) // 10**9) * 10**9
            axis = np.deg2rad(np.broadcast_to([[180.0], [62.0]], (2, len(grid))))
            writer.write_pointing(tel_id, grid, *axis)
            write_pedestal_monitoring(writer, tel_id, [])
            live = live or measure_live_time(time_ns)
            facts = {"tel_ids": [tel_id], "obs_id": obs_id, "ra_deg": ra_deg, "dec_deg": 22.0}
            facts |= {"n_events_written": n_events, "n_telescope_events": {str(tel_id): n_events}}
            facts |= {"live_time": live.to_dict(), "nsb_mhz": 100.0 + run}
            writer.write_info(facts | {"mean_pointing": {"alt_deg": 62.0, "az_deg": 180.0}})
        return path

    return make


@dataclass(frozen=True)
class ToyEvents:
    """Times of two telescopes and which shower each is: below 0 one that only this telescope saw."""

    time_ns: tuple[np.ndarray, np.ndarray]
    shower: tuple[np.ndarray, np.ndarray]

    @property
    def n_common(self) -> int:
        """Showers that both recorded."""
        return len(np.intersect1d(*(tags[tags >= 0] for tags in self.shower)))


@pytest.fixture(scope="session")
def toy_events() -> Callable[..., ToyEvents]:
    """Return a function that draws times of two telescopes that share a part of their showers."""

    def draw(
        rate_hz: float = 250.0,
        common: float = 0.4,
        seconds: float = 60.0,
        *,
        offset_ns: int = 0,
        drift_ns_per_s: float = 0.0,
        jitter_ns: float = 30.0,
        step_ns: int = 1,
        seed: int = 1,
    ) -> ToyEvents:
        rng = np.random.default_rng(seed)
        n_both = rng.poisson(rate_hz * common * seconds)
        span = round(seconds * 1e9)
        both = rng.integers(0, span, n_both)
        times, tags = [], []
        for telescope in range(2):
            n_own = rng.poisson(rate_hz * (1 - common) * seconds)
            seen = both + np.rint(rng.normal(0, jitter_ns, n_both)).astype(np.int64)
            time = np.concatenate([seen, rng.integers(0, span, n_own)])
            tag = np.concatenate([np.arange(n_both), -1 - np.arange(n_own)])
            order = np.argsort(time)
            time, tag = time[order], tag[order]
            alive = np.diff(time, prepend=-(10**9)) >= 5000
            time = time[alive]
            drift = np.rint(drift_ns_per_s * time / 1e9).astype(np.int64)
            time = time + START_NS + telescope * (offset_ns + drift)
            times.append(time // step_ns * step_ns)
            tags.append(tag[alive])
        return ToyEvents((times[0], times[1]), (tags[0], tags[1]))

    return draw
