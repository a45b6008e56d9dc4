"""The project's own graphs as campaigns: a small production, and a night that is analysed with it."""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import threadpoolctl
from astropy.io import fits

from sst1m.sources import DEFAULT_SOURCES
from submit.backends import make_backend
from submit.campaign import campaigns
from submit.site import load_site
from submit.status import read_status

ROOT = Path(__file__).parents[2]
#: What differs from the production of the integration tests: forests of a telescope, near to the night's sky.
CHANGES = (
    ('setups = ["stereo"]', 'setups = ["mono"]'),
    ('cuts = ["global", "efficiency"]', 'cuts = ["global"]'),
    ("zenith = [20]", "zenith = [45]"),
    ("azimuth = [180]", "azimuth = [250]"),
    ("nsb = [100]", "nsb = [200]"),
)

SITE = """
backend = "slurm"
state_dir = "state"
[queue]
max_running = 3
[node]
latency_s = 2.0
min_free_mb = 1
[plan]
shard_minutes = 10.0
"""


def _load(name: str):
    """Import what the integration tests make nights and productions with; the tests are no package."""
    path = ROOT / "tests" / "integration" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"integration_{name}", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


nights, productions = _load("conftest"), _load("test_production")


@dataclass
class ScienceFarm:
    """A site with ``luigi.cfg`` and ``submit.toml`` beside each other, and the command."""

    base: Path
    env: dict[str, str] = field(default_factory=dict)
    settings: str = SITE

    def __post_init__(self) -> None:
        (self.base / "submit.toml").write_text(self.settings)
        self.site = load_site(self.base / "submit.toml")

    def start(self, *words: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-c", "from submit.cli import main; main()", *words], cwd=self.base,
            env=os.environ | self.env | {"LUIGI_CONFIG_PATH": str(self.base / "luigi.cfg")},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def call(self, *words: str) -> tuple[int, str]:
        process = self.start(*words)
        text, _ = process.communicate(timeout=120)
        return process.returncode, text

    @property
    def campaign(self):
        return campaigns(self.site.state_dir)[-1]

    def status(self):
        return read_status(self.campaign, self.site, make_backend(self.site))

    def said(self) -> str:
        logs = sorted(self.site.state_dir.rglob("*.log"), key=lambda path: path.stat().st_mtime)
        return "\n".join(f"{path}:\n{path.read_text()[-800:]}" for path in logs[-4:])


def one_thread():
    """Sums depend on the number of threads in their last bits; an element of one core has one."""
    threadpoolctl.threadpool_limits(1)


@pytest.fixture(scope="module")
def alone(make_production):
    """Return a production that one process made."""
    production = small_production(make_production)
    status, output = production.run(before=one_thread)
    assert status == 0, output
    return production


def configure_production(production) -> tuple[str, ...]:
    """Write the ``luigi.cfg`` of a production, and return the words that name it."""
    (production.base / "luigi.cfg").write_text(
        f"[site]\nmc_dir = {production.layout.mc_dir}\nirf_dir = {production.irf_dir}\n"
        f"mc_config_file = {production.config}\n"
    )
    return "MakeProduction", "--production", str(production.file)


def differing_products(ours, theirs) -> list[str]:
    """Return the names of the products in which two productions differ."""
    mine, others = ours.products(), theirs.products()
    content = productions.content
    common = [name for name in mine.keys() & others.keys() if content(mine[name]) != content(others[name])]
    return sorted([*(mine.keys() ^ others.keys()), *common])


def small_production(make):
    """Make the files of a production that is not made yet."""
    made = make()
    text = made.file.read_text()
    for old, new in CHANGES:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    made.file.write_text(text)
    return made


def small_night(make, alone):
    """Return a night with one run of each telescope, to be analysed by what a production has made."""
    night = make()
    paths = {
        "irf_dir": alone.irf_dir,
        "mono_model_dir": alone.layout.root / "models_mono",
        "sources_file": DEFAULT_SOURCES,
    }
    night.more_site, night.until = paths, ()
    lines = "\n".join(f"{key} = {path}" for key, path in paths.items())
    night.configure(site=lines, night="stereo = false\nirf_method = nearest")
    values = json.loads(night.config.read_text())
    values["analysis"]["global_gammaness_cut"] = productions.ANALYSIS["global_gammaness_cut"]
    night.config.write_text(json.dumps(values))
    night.add(21, 1)
    night.add(22, 1)
    return night


def photons(path: Path) -> bytes:
    """Return the events of a photon list."""
    return fits.getdata(path, "EVENTS").tobytes()


def is_complete(night) -> bool:
    """Whether a night is closed with nothing missing."""
    return night.layout.record.exists() and json.loads(night.layout.record.read_text())["complete"]
