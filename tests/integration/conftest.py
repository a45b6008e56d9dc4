"""Nights of small made-up raw files, in real formats, and the command that processes them."""

import csv
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tables

from sst1m.instrument import N_PIXELS, N_SAMPLES, TEL_IDS
from sst1m.instrument.camera import camera_geometry
from sst1m.io.rawfile import EventIndex
from sst1m.layout import NightLayout, raw_path
from sst1m.names import RawName
from sst1m.simulation.raw_writer import RawWriter

ROOT = Path(__file__).parents[2]
NIGHT = date(2024, 3, 4)
LONG_AGO = 1_709_700_000
FIRST_EVENT_NS = 1_709_586_037_000_000_000
CRAB = "Crab_W1_84.386_21.956"


def write_raw_file(path: Path, tel_id: int, *, target: str | None, n_events: int, seed: int) -> None:
    """Write noise, every third event a pedestal, the others with a bright ellipse on it."""
    rng = np.random.default_rng(seed)
    numbers = np.arange(1, n_events + 1)
    shower = numbers % 3 != 0
    geometry = camera_geometry()
    x, y = geometry.pix_x.to_value("m"), geometry.pix_y.to_value("m")
    samples = rng.normal(300.0, 6.0, (n_events, N_PIXELS, N_SAMPLES))
    for event in np.flatnonzero(shower):
        cx, cy = rng.uniform(-0.2, 0.2, 2)
        ellipse = ((x - cx) / 0.09) ** 2 + ((y - cy) / 0.04) ** 2 < 1
        samples[event, ellipse, 20:26] += rng.uniform(60, 300)
    index = EventIndex(
        event_number=numbers,
        array_event_number=numbers + 1000,
        event_type=np.where(shower, 1, 8),
        time_ns=FIRST_EVENT_NS + numbers * 10_000_000,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with RawWriter(path, tel_id=tel_id, target=target, rows_per_tile=20) as writer:
        writer.append(np.rint(samples).astype(np.int16), index, baseline=np.full((n_events, N_PIXELS), 300.0))


def write_calibration(directory: Path) -> None:
    """Write a flat calibration of both cameras under the names in use today."""
    directory.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame({"dc_to_pe": np.full(N_PIXELS, 22.0), "calib_flag": np.ones(N_PIXELS)})
    for number, window in ((1, "1st"), (2, "2nd")):
        name = f"averaged_calib_param_v2_2023_2024_tel{number}.h5"
        frame.to_hdf(directory / name, key="calibration_parameters", format="fixed")
        lines = ["pixel_id  correction_factor", *(f"{pixel} 1.0" for pixel in range(N_PIXELS))]
        (directory / f"corr_factor_{window}_wdw.txt").write_text("\n".join(lines) + "\n")


@dataclass
class MadeNight:
    """A raw tree, a calibration and an analysis root below one directory."""

    base: Path
    templates: dict[int, Path]
    environment: dict[str, str] = field(default_factory=dict)
    until: tuple[str, ...] = ("--until", "dl1")
    more_site: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.raw, self.ana = self.base / "raw", self.base / "ana"
        self.calibration = self.templates[21].parent / "calibration"
        self.layout = NightLayout(self.ana, NIGHT)
        if not self.calibration.exists():
            write_calibration(self.calibration)
        self.base.mkdir(parents=True, exist_ok=True)
        self.config = self.base / "config.json"
        self.config.write_text((ROOT / "config" / "sst1m_data_config.json").read_text())
        self.luigi_cfg = self.base / "luigi.cfg"
        self.configure()

    def configure(self, site: str = "", night: str = "") -> None:
        self.luigi_cfg.write_text(
            f"[site]\nroot_dir = {self.raw}\nana_dir = {self.ana}\nconfig_file = {self.config}\n"
            f"calibration_dir = {self.calibration}\n{site}\n[night]\n{night}\n"
        )

    def path(self, tel_id: int, run: int) -> Path:
        return raw_path(self.raw, RawName(tel_id - 20, NIGHT, run))

    def add(self, tel_id: int, run: int, target: str = CRAB, content: bytes | None = None) -> Path:
        """Put a raw file into the tree: a prepared one with another TARGET, or given bytes."""
        path = self.path(tel_id, run)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.content(tel_id, target) if content is None else content)
        os.utime(path, (LONG_AGO + run, LONG_AGO + run))
        return path

    def content(self, tel_id: int, target: str) -> bytes:
        content = self.templates[tel_id].read_bytes()
        card = f"TARGET  = '{'template':<8}'".ljust(80).encode()
        assert content.count(card) == 1
        value = target.replace("'", "''")
        return content.replace(card, f"TARGET  = '{value:<8}'".ljust(80)[:80].encode("latin-1"))

    def command(self, *options: str) -> list[str]:
        return [
            sys.executable,
            "-m",
            "tasks",
            "RunNight",
            "--date",
            f"{NIGHT:%Y-%m-%d}",
            *self.until,
            *options,
        ]

    def env(self, **more: str) -> dict[str, str]:
        return os.environ | {
            "PYTHONPATH": str(ROOT),
            "LUIGI_CONFIG_PATH": str(self.luigi_cfg),
            **self.environment,
            **more,
        }

    def run(self, *options: str, prefix: tuple[str, ...] = (), **env: str) -> subprocess.CompletedProcess:
        """Process the night as the operator does, and return what the command printed and its status."""
        return subprocess.run(
            [*prefix, *self.command(*options)],
            cwd=self.base,
            env=self.env(**env),
            capture_output=True,
            text=True,
            timeout=300,
        )

    def manifest(self) -> dict[str, dict[str, str]]:
        lines = [line for line in self.layout.manifest.read_text().splitlines() if not line.startswith("#")]
        return {f"{row['tel']}:{row['file']}": row for row in csv.DictReader(lines)}

    def row(self, tel_id: int, run: int) -> dict[str, str]:
        return self.manifest()[f"{tel_id}:{self.path(tel_id, run).name}"]

    def products(self) -> list[Path]:
        return sorted(self.ana.glob("*/*/cs*/dl1/*_dl1.h5"))


@pytest.fixture(scope="session")
def raw_templates(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """One small raw file of each telescope, to be copied under many names."""
    directory = tmp_path_factory.mktemp("templates")
    templates = {}
    for tel_id in TEL_IDS:
        templates[tel_id] = directory / f"tel{tel_id}.fits.fz"
        write_raw_file(templates[tel_id], tel_id, target="template", n_events=60, seed=tel_id)
    return templates


@pytest.fixture
def made_night(tmp_path: Path, raw_templates: dict[int, Path]) -> MadeNight:
    """An empty night that tests fill with raw files."""
    return MadeNight(tmp_path / "site", raw_templates)


@pytest.fixture(scope="session")
def make_night(tmp_path_factory: pytest.TempPathFactory, raw_templates: dict[int, Path]):
    """Make nights that live as long as the session."""
    return lambda: MadeNight(tmp_path_factory.mktemp("night") / "site", raw_templates)


@pytest.fixture(scope="session")
def now() -> float:
    return time.time()


@dataclass
class ForkedCommand:
    """A command that runs in a fork of the test process, which has everything heavy in memory already."""

    pid: int
    output: Path

    def wait(self) -> int:
        """Return the exit status; negative for a signal."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def text(self) -> str:
        return self.output.read_text()


def fork_command(night: MadeNight, *options: str, before=None) -> ForkedCommand:
    """Start the command of the night; `before` is called in the fork, e.g. to make it end somewhere."""
    number = len(list(night.base.glob("output*")))
    output = night.base / f"output{number}"
    pid = os.fork()
    if pid:
        return ForkedCommand(pid, output)
    status = 99
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        status = _run_luigi(night, options, before)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run_luigi(night: MadeNight, options: tuple[str, ...], before) -> int:
    from luigi.retcodes import run_with_retcodes

    import tasks.base
    from tasks import console

    for handler in list(logging.getLogger().handlers):
        logging.getLogger().removeHandler(handler)
    os.chdir(night.base)
    tasks.base._MAIN_PID = os.getpid()
    tasks.base.CALL_STARTED_NS = tasks.night.CALL_STARTED_NS = time.time_ns()
    site = {
        "root-dir": night.raw,
        "ana-dir": night.ana,
        "config-file": night.config,
        "calibration-dir": night.calibration,
        **{name.replace("_", "-"): path for name, path in night.more_site.items()},
    }
    arguments = [f"--site-{name}={value}" for name, value in site.items()]
    sys.argv = ["luigi", "RunNight", "--date", f"{NIGHT:%Y-%m-%d}", *night.until, *options, *arguments]
    if before is not None:
        before()
    try:
        run_with_retcodes(["--module", "tasks", *sys.argv[1:]])
    except SystemExit as end:
        return int(end.code or 0)
    except (Exception, KeyboardInterrupt):  # noqa: BLE001 - the last words of the fork, as of a real process
        sys.excepthook(*sys.exc_info())
        return 98
    finally:
        console._show_reports()
    return 97


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory, raw_templates: dict[int, Path]):
    """Load everything heavy into the test process, and return what starts the command in a fork of it."""
    import tasks.reduction
    from sst1m.config import load_config
    from sst1m.warmup import warm_up

    night = MadeNight(tmp_path_factory.mktemp("warm") / "site", raw_templates)
    warm_up(load_config(night.config), night.calibration)
    tasks.reduction._warm.append(0)
    return fork_command


def tables_of(product: Path) -> dict[str, object]:
    """Return the content of all tables and arrays of a product by their path."""
    with tables.open_file(str(product)) as file:
        return {node._v_pathname: node.read() for node in file.walk_nodes("/", "Leaf")}


@pytest.fixture(scope="session")
def differing_tables():
    """Return the names of the tables in which two products differ."""

    def compare(left: Path, right: Path) -> list[str]:
        ours, theirs = tables_of(left), tables_of(right)
        different = sorted(ours.keys() ^ theirs.keys())
        for name in ours.keys() & theirs.keys():
            a, b = np.asarray(ours[name]), np.asarray(theirs[name])
            # Bytes, so that NaN equals NaN.
            if a.dtype != b.dtype or a.shape != b.shape or a.tobytes() != b.tobytes():
                different.append(name)
        return different

    return compare
