"""The project's own graphs on a real Slurm: a production and a night end as in a single process."""

import datetime
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
raw_templates, make_night, warm = nights.raw_templates, nights.make_night, nights.warm
differing_tables, make_production = nights.differing_tables, productions.make_production


@dataclass
class Farm:
    """A site with ``luigi.cfg`` and ``submit.toml`` beside each other, and the command."""

    base: Path
    env: dict[str, str] = field(default_factory=dict)
    settings: str = SITE

    def __post_init__(self) -> None:
        (self.base / "submit.toml").write_text(self.settings)
        self.site = load_site(self.base / "submit.toml")

    def call(self, *words: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-c", "from submit.cli import main; main()", *words], cwd=self.base,
            env=os.environ | self.env | {"LUIGI_CONFIG_PATH": str(self.base / "luigi.cfg")},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
        )  # fmt: skip
        return done.returncode, done.stdout

    def status(self):
        campaign = campaigns(self.site.state_dir)[-1]
        return read_status(campaign, self.site, make_backend(self.site))

    def said(self) -> str:
        logs = sorted(self.site.state_dir.rglob("*.log"), key=lambda path: path.stat().st_mtime)
        return "\n".join(f"{path}:\n{path.read_text()[-800:]}" for path in logs[-4:])


@pytest.fixture
def make_farm(slurm):
    """Return a maker of farms on the shared Slurm."""
    yield lambda base: Farm(base, slurm.env)
    slurm.cancel_all()


def _one_thread():
    """Sums depend on the number of threads in their last bits; an element of one core has one."""
    threadpoolctl.threadpool_limits(1)


@pytest.fixture(scope="module")
def alone(make_production):
    """Return a production that one process made."""
    production = _production(make_production)
    status, output = production.run(before=_one_thread)
    assert status == 0, output
    return production


def _production(make):
    made = make()
    text = made.file.read_text()
    for old, new in CHANGES:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    made.file.write_text(text)
    return made


@pytest.mark.slow
def test_a_production_on_slurm_equals_that_of_one_process(alone, make_production, make_farm, wait_for):
    production = _production(make_production)
    (production.base / "luigi.cfg").write_text(
        f"[site]\nmc_dir = {production.layout.mc_dir}\nirf_dir = {production.irf_dir}\n"
        f"mc_config_file = {production.config}\n"
    )
    farm = make_farm(production.base)
    words = ("MakeProduction", "--production", str(production.file))
    status, output = farm.call("submit", *words)
    assert status == 0 and "submitted" in output, output
    wait_for(production.layout.record.exists, farm.said, 180)
    ours, theirs = production.products(), alone.products()
    assert ours.keys() == theirs.keys() and any(name.endswith("_dl2.h5") for name in ours)
    content = productions.content
    assert [name for name in ours if content(ours[name]) != content(theirs[name])] == []
    assert json.loads(production.layout.record.read_text())["complete"]
    # the last job of the round may still be looking, which the command says with another status
    wait_for(lambda: farm.call("submit", *words) == (0, "complete: nothing is missing\n"), farm.said, 60)
    wait_for(lambda: farm.status().total.keys() == {"done"}, farm.said, 30)
    assert farm.status().total["done"] > 20


def _night(make, alone):
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


@pytest.mark.slow
def test_a_night_on_slurm_equals_that_of_one_process(
    alone, make_night, warm, make_farm, wait_for, differing_tables
):
    local, night = _night(make_night, alone), _night(make_night, alone)
    options = ("--night-stereo", "false", "--night-irf-method", "nearest")
    command = warm(local, *options, before=_one_thread)
    assert command.wait() == 0, command.text()
    farm = make_farm(night.base)
    words = ("RunNight", "--date", f"{nights.NIGHT:%Y-%m-%d}")
    status, output = farm.call("submit", *words)
    assert status == 0 and "submitted" in output, output
    again, _ = farm.call("submit", *words)
    assert again == 0, "safe to be called at any time"
    wait_for(lambda: _is_complete(night), farm.said, 180)
    names = [str(path.relative_to(night.ana)) for path in sorted(night.ana.rglob("*/cs?/*/*.h5"))]
    assert names == [str(path.relative_to(local.ana)) for path in sorted(local.ana.rglob("*/cs?/*/*.h5"))]
    assert len(names) == 4 and sum("_dl2" in name for name in names) == 2
    assert [name for name in names if differing_tables(night.ana / name, local.ana / name)] == []
    lists = sorted(night.ana.rglob("dl3/*_dl3.fits"))
    assert len(lists) == 2
    n_photons = 0
    for path in lists:
        ours, theirs = (
            fits.getdata(one, "EVENTS") for one in (path, local.ana / path.relative_to(night.ana))
        )
        assert ours.tobytes() == theirs.tobytes()
        n_photons += len(ours)
    assert n_photons > 0
    assert {row["state"] for row in night.manifest().values()} == {"done"}
    wait_for(lambda: farm.status().total.keys() == {"done"}, farm.said, 30)
    stages = {(row.stage, row.by): row.counts["done"] for row in farm.status().rows}
    assert stages["manifest", ""] == stages["close", ""] == 1
    assert stages["dl1", "21"] == stages["dl1", "22"] == 1 and stages["dl3", "cs1"] == 1
    # the last job of the round may still be looking, which the command says with another status
    wait_for(lambda: farm.call("submit", *words) == (0, "complete: nothing is missing\n"), farm.said, 60)


def _is_complete(night) -> bool:
    return night.layout.record.exists() and json.loads(night.layout.record.read_text())["complete"]


@pytest.mark.slow
def test_a_run_that_its_process_does_not_survive_is_given_up_and_the_night_goes_on(make_night, wait_for):
    night = make_night()
    night.add(21, 1)
    night.add(21, 2)
    farm = Farm(night.base, settings=SITE.replace('"slurm"', '"local"') + 'finalizer = "none"\n')
    words = ("RunNight", "--date", f"{nights.NIGHT:%Y-%m-%d}", "--until", "dl1")
    status, output = farm.call("submit", *words)
    assert status == 0, output
    wait_for(lambda: farm.status().total.keys() == {"done"}, farm.said, 60)
    status, output = farm.call("logs", "tel", "21", "run", "0002")
    assert status == 0 and "tel 21 run 0002: 60 events in" in output
    status, output = farm.call("logs", "tel", "21")
    assert status == 4 and "2 tasks have 'tel 21' in their name:\n  tel 21 run 0001 (CalibrateRun_" in output
    lost = night.products()[1]
    lost.unlink()
    # The state is text: the second run has failed for good, as far as anybody knows.
    shards = farm.site.state_dir.glob("*/rounds/*/*-dl1/shards/*.jsonl")
    items = [json.loads(line) for path in shards for line in path.read_text().splitlines()]
    (second,) = (item["id"] for item in items if item["label"] == "tel 21 run 0002")
    for results in farm.site.state_dir.glob("*/rounds/*/*-dl1/results/*.jsonl"):
        lines = [json.loads(line) for line in results.read_text().splitlines()]
        for line in lines:
            if line.get("id") == second and line["outcome"] == "done":
                line |= {"outcome": "failed", "class": "corrupt-input", "error": "takes every process down"}
        results.write_text("".join(json.dumps(one) + "\n" for one in lines))
    status, output = farm.call("submit", *words)
    assert status == 0 and "-close" in output, output
    assert not list(farm.site.state_dir.glob("*/quarantine/*")), "the night keeps its own record"
    row = night.row(21, 2)
    assert row["state"] == "quarantined" and "takes every process down" in row["reason"]
    assert night.row(21, 1)["state"] == "done" and not lost.exists()
    wait_for(lambda: len(farm.status().failures) == 2, farm.said, 60)
    failed = {failure["family"]: failure["error"] for failure in farm.status().failures}
    assert failed["CalibrateRun"] == "takes every process down" and "in quarantine" in failed["RunNight"]


def _cron_lines():
    """Return the commands of the crontab that comes with the project."""
    text = (ROOT / "config" / "unattended" / "crontab").read_text()
    return [line.split(maxsplit=5)[5] for line in text.splitlines() if line[:1].isdigit() or line[:1] == "*"]


@pytest.mark.slow
def test_the_crontab_follows_last_night_as_it_stands(alone, make_night, tmp_path, wait_for):
    night = _night(make_night, alone)
    (night.base / "submit.toml").write_text(SITE.replace('"slurm"', '"local"'))
    last_night = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
    raw = nights.raw_path(night.raw, nights.RawName(1, last_night, 1))
    raw.parent.mkdir(parents=True)
    # A run that is rightly skipped: there is nothing to do but to close the night.
    raw.write_bytes(night.content(21, "Transition"))
    os.utime(raw, (nights.LONG_AGO, nights.LONG_AGO))
    (tmp_path / ".venv").symlink_to(sys.prefix)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "SITE": night.base, "SST1M": tmp_path}
    submit, page = _cron_lines()

    def call(line):
        return subprocess.run(["/bin/sh", "-c", line], cwd="/", env=environment, timeout=120).returncode

    assert call(submit) == 0
    log = night.base / "submit.log"
    assert "submitted; sst1m-submit status RunNight_" in log.read_text()
    wait_for(nights.NightLayout(night.ana, last_night).record.exists, log.read_text, 60)
    (state,) = (night.base / "state").glob("RunNight_*")
    # The last job of the round has a look, and then nobody else is at it.
    wait_for(lambda: _finalized(state), log.read_text, 60)
    said = log.read_text()
    assert call(submit) == 0 and log.read_text() == said, "a night that is complete is not spoken of"
    assert call(page) == 0 and "RunNight date=" in (night.base / "status.html").read_text()


def _finalized(state: Path) -> bool:
    logs = state.glob("rounds/*/finalizer/logs/*.log")
    return any(": complete" in path.read_text() for path in logs) and not (state / "lock").exists()
