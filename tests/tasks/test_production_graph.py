"""The graph of a production: what needs what, how large it gets, and mistakes that end in one line."""

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import luigi
import luigi.retcodes  # the command imports it; it owns a section of luigi.cfg
import pytest

import tasks
from sst1m.errors import ConfigError
from tasks import production_base
from tasks.production_samples import SimulateBatch, SimulateShard

LUIGI = str(Path(sys.executable).with_name("luigi"))
STANDARD = "standard"

SMALL = """\
seed = 1
irf_version = "0_1"
cuts = ["global", "efficiency", "significance"]
[axes]
zenith = [20]
azimuth = [180]
nsb = [100, 200]
[source]
kind = "simulator"
[particles.gamma_diffuse]
energy_min = 1.0
energy_max = 10
index = -2.0
scatter_radius = 150
view_cone = 2.0
train = { shards = 2, showers = 10 }
test = { shards = 1, showers = 10 }
[particles.proton_diffuse]
energy_min = 1.0
energy_max = 10
index = -2.0
scatter_radius = 150
view_cone = 2.0
train = { shards = 1, showers = 10 }
test = { shards = 1, showers = 10 }
"""


@pytest.fixture
def site(tmp_path, project_root, monkeypatch):
    """Set the paths of the site, and return the directory of the test."""
    values = {
        "mc_dir": tmp_path / "mc",
        "irf_dir": tmp_path / "irf",
        "mc_config_file": project_root / "config" / "sst1m_mc_demo_config.json",
    }
    config = luigi.configuration.get_config()
    before = {key: config.get("site", key, None) for key in values}
    for key, value in values.items():
        config.set("site", key, str(value))
    (tmp_path / "small.toml").write_text(SMALL)
    yield tmp_path
    for key, value in before.items():
        config.set("site", key, value or "")


def walk(root: luigi.Task) -> dict[str, luigi.Task]:
    """Return everything that a task needs, by id, as a planner would find it."""
    seen, pending = {root.task_id: root}, [root]
    while pending:
        for task in pending.pop().deps():
            if task.task_id not in seen:
                seen[task.task_id] = task
                pending.append(task)
    return seen


def families(found: dict[str, luigi.Task]) -> Counter:
    return Counter(task.task_family for task in found.values())


def test_a_small_production_is_all_there(site):
    root = tasks.MakeProduction(production=str(site / "small.toml"))
    counts = families(walk(root))
    nodes = 2
    assert counts == {
        "MakeProduction": 1,
        "ProductionReport": 1,
        "CheckInterpolation": 1,
        "MeasurePerformance": 3 * nodes,
        "MakeIrfs": 3 * 2 * nodes,
        "MakeCuts": 3 * 2 * nodes,
        "ReconstructSample": 3 * 2 * nodes,
        "TrainForests": 2 * 2 * nodes,
        "MergeSample": 4 * nodes,
        "SimulateShard": 5 * nodes,
    }


@pytest.mark.parametrize(
    ("until", "last"), [("dl1", "MergeSample"), ("models", "TrainForests"), ("dl2", "ReconstructSample")]
)
def test_a_production_stops_at_the_stage_that_is_asked_for(site, until, last):
    found = families(walk(tasks.MakeProduction(production=str(site / "small.toml"), until=until)))
    assert last in found and "MakeIrfs" not in found and "ProductionReport" not in found


def test_outputs_are_all_different(site):
    found = walk(tasks.MakeProduction(production=str(site / "small.toml")))
    outputs = [target.path for task in found.values() for target in luigi.task.flatten(task.output())]
    assert len(outputs) == len(set(outputs)) == len(found)


def test_a_hundred_thousand_shards_make_a_graph_that_luigi_can_schedule(site):
    start = time.perf_counter()
    found = walk(tasks.MakeProduction(production=STANDARD, until="dl1"))
    seconds = time.perf_counter() - start
    counts = families(found)
    assert counts["SimulateBatch"] < 1000 and "SimulateShard" not in counts
    batches = [task for task in found.values() if isinstance(task, SimulateBatch)]
    assert sum(task.count for task in batches) > 100_000
    assert seconds < 20


def test_a_batch_stands_for_its_shards(site):
    batch = SimulateBatch(
        production=STANDARD, particle="gamma_point", node="ze20_az0_nsb100", role="test", first=10, count=5
    )
    parts = batch.parts()
    assert [part.index for part in parts] == [10, 11, 12, 13, 14]
    assert all(isinstance(part, SimulateShard) and not part.complete() for part in parts)
    assert not batch.complete()
    for part in parts:
        path = Path(part.output().path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert batch.complete() and all(part.complete() for part in parts)


def test_the_size_of_batches_can_be_set(site, monkeypatch):
    monkeypatch.setattr(
        "tasks.production_samples.production_options", lambda: production_base.mc(n_jobs=1, shards_per_task=2)
    )
    found = families(walk(tasks.MakeProduction(production=str(site / "small.toml"), until="dl1")))
    assert found["SimulateBatch"] == 8 and "SimulateShard" not in found


def test_what_a_stage_needs_is_said_before_anything_is_made(site):
    text = SMALL[: SMALL.index("[particles.proton_diffuse]")]
    (site / "gammas.toml").write_text(text)
    assert tasks.MakeProduction(production=str(site / "gammas.toml"), until="dl2").requires()
    with pytest.raises(ConfigError, match="needs particles.proton_diffuse.train"):
        tasks.MakeProduction(production=str(site / "gammas.toml")).requires()
    assert not (site / "mc").exists()


@pytest.fixture
def command(tmp_path, project_root):
    """Run the real command with a given luigi.cfg."""

    def run(site: str, *arguments: str):
        (tmp_path / "luigi.cfg").write_text(site)
        environment = {key: value for key, value in os.environ.items() if key != "LUIGI_CONFIG_PATH"}
        return subprocess.run(
            [LUIGI, "--module", "tasks", "MakeProduction", *arguments],
            cwd=tmp_path,
            env=environment | {"PYTHONPATH": str(project_root)},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def test_mistakes_end_in_one_line_and_no_success(command, tmp_path, project_root):
    paths = f"mc_dir = {tmp_path}/mc\nirf_dir = {tmp_path}/irf\n"
    config = f"mc_config_file = {project_root}/config/sst1m_mc_demo_config.json\n"
    data = f"mc_config_file = {project_root}/config/sst1m_data_config.json\n"
    cases = [
        ("[site]\n", ["--production", "demo"], "mc_dir"),
        (f"[site]\n{paths}{config}", ["--production", "deno"], "did you mean demo?"),
        (f"[site]\n{paths}{config}", ["--production", "demo", "--until", "dl3"], "--until dl3"),
        (f"[site]\n{paths}{data}", ["--production", "demo"], "is a configuration of data"),
        (f"[site]\n{paths}{config}[mc]\njobs = 3\n", ["--production", "demo"], "[mc] jobs is unknown"),
    ]
    for site, arguments, words in cases:
        result = command(site, *arguments)
        assert result.returncode == 35, result.stderr
        assert words in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "mc").exists()
