"""A production from nothing to responses: killed again and again it ends as if nothing had happened."""

import contextlib
import fcntl
import json
import logging
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tables
from astropy.io import fits

from sst1m.errors import InputError
from sst1m.io.dl1 import check_dl1
from sst1m.io.dl2 import check_dl2
from sst1m.layout_mc import ProductionLayout, irf_path
from sst1m.nodes import Node
from sst1m.production.interpolation import read_interpolation_check

ROOT = Path(__file__).parents[2]
NODE = Node(20, 180, 100)
#: Commits of a product and what goes with it.
OPERATIONS = ("replace", "fsync", "unlink", "flock")
#: So many of them lie between two kills.
STRIDE = 60

PRODUCTION = """\
seed = 5
irf_version = "0_1"
setups = ["stereo"]
cuts = ["global", "efficiency"]
[axes]
zenith = [20]
azimuth = [180]
nsb = [100]
[source]
kind = "simulator"
[particles.gamma_diffuse]
energy_min = 1.5
energy_max = 8
index = -2.0
scatter_radius = 140
view_cone = 1.0
train = { shards = 2, showers = 150 }
test = { shards = 1, showers = 250 }
[particles.proton_diffuse]
energy_min = 4
energy_max = 20
index = -2.0
scatter_radius = 140
view_cone = 2.0
train = { shards = 1, showers = 250 }
test = { shards = 1, showers = 250 }
"""

#: Bins and forests for a few hundred showers.
ANALYSIS = {
    "global_gammaness_cut": 0.05,
    "gamma_efficiency": 0.99,
    "log_energy_min_tev": 0,
    "log_energy_max_tev": 1.5,
    "n_energy_bins": 2,
    "n_bins_migration": 11,
    "fov_offset_max_deg": 1,
    "nbins_fov_offset": 2,
    "fov_offset_bg_max_deg": 2,
    "nbins_fov_offset_bg": 2,
    "nbins_source_offset": 11,
}


@dataclass
class MadeProduction:
    """A site with one production."""

    base: Path

    def __post_init__(self) -> None:
        self.base.mkdir(parents=True, exist_ok=True)
        self.file, self.config = self.base / "tiny.toml", self.base / "mc.json"
        self.file.write_text(PRODUCTION)
        values = json.loads((ROOT / "config" / "sst1m_mc_demo_config.json").read_text())
        values["analysis"] |= ANALYSIS
        for forest in ("random_forest_regressor_args", "random_forest_classifier_args"):
            values[forest] |= {"n_estimators": 4, "max_depth": 1 if "classifier" in forest else 8}
        self.config.write_text(json.dumps(values))
        self.irf_dir = self.base / "irf"
        self.layout = ProductionLayout(self.base / "mc", "tiny")

    def start(self, *options: str, before: Callable[[], object] | None = None) -> tuple[int, Path]:
        """Run the command in a fork of the test process, which has everything heavy in memory already."""
        output = self.base / f"output{len(list(self.base.glob('output*')))}"
        output.touch()
        pid = os.fork()
        if pid:
            return pid, output
        status = 99
        try:
            descriptor = os.open(output, os.O_WRONLY)
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            status = self._luigi(options, before)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _luigi(self, options: tuple[str, ...], before: Callable[[], object] | None) -> int:
        from luigi.retcodes import run_with_retcodes

        import tasks.console
        import tasks.production
        import tasks.production_base

        for handler in list(logging.getLogger().handlers):
            logging.getLogger().removeHandler(handler)
        os.chdir(self.base)
        tasks.production_base._MAIN_PID = os.getpid()
        tasks.production.CALL_STARTED_NS = time.time_ns()
        site = {"mc-dir": self.layout.mc_dir, "irf-dir": self.irf_dir, "mc-config-file": self.config}
        arguments = [f"--site-{name}={value}" for name, value in site.items()]
        sys.argv = ["luigi", "MakeProduction", "--production", str(self.file), *options, *arguments]
        if before is not None:
            before()
        try:
            run_with_retcodes(["--module", "tasks", *sys.argv[1:]])
        except SystemExit as end:
            return int(end.code or 0)
        finally:
            tasks.console._show_reports()
        return 97

    def run(self, *options: str, before: Callable[[], object] | None = None) -> tuple[int, str]:
        """Return status (negative for a signal) and output of the command."""
        pid, output = self.start(*options, before=before)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), output.read_text()

    def products(self) -> dict[str, Path]:
        """Return all products by their path below the site."""
        files = [*self.layout.root.rglob("*"), *self.irf_dir.rglob("*")]
        suffixes = {".h5", ".fits", ".sav"}
        visible = (p for p in files if p.suffix in suffixes and not p.name.startswith("."))
        return {str(path.relative_to(self.base)): path for path in sorted(visible)}


@pytest.fixture(scope="module")
def make_production(tmp_path_factory):
    """Load everything heavy once, and return what makes a site."""
    import tasks.production
    import tasks.production_samples
    from sst1m.config import load_config
    from sst1m.production.load import load_production
    from sst1m.production.plan import PlannedProduction
    from sst1m.production.warm import warm_up

    made = MadeProduction(tmp_path_factory.mktemp("warm") / "site")
    planned = PlannedProduction(load_production(made.file), made.layout, made.file)
    warm_up(planned, load_config(made.config))
    for module in (tasks.production, tasks.production_samples):
        module._warm.append(0)
    return lambda: MadeProduction(tmp_path_factory.mktemp("production") / "site")


@pytest.fixture(scope="module")
def undisturbed(make_production) -> MadeProduction:
    """Return a production that was made in one go."""
    production = make_production()
    status, output = production.run()
    assert status == 0, output
    assert "production tiny: complete (report)" in output
    return production


def killed_after(number: int, by: signal.Signals = signal.SIGKILL) -> Callable[[], None]:
    """Return what ends the process at its operation of that number on the disk."""

    def hook() -> None:
        # a shell lets what it starts in the background ignore Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)
        counter = [0]

        def counted(original):
            def operation(*args, **kwargs):
                counter[0] += 1
                if counter[0] == number:
                    os.kill(os.getpid(), by)
                return original(*args, **kwargs)

            return operation

        for name in OPERATIONS:
            module = fcntl if name == "flock" else os
            setattr(module, name, counted(getattr(module, name)))

    return hook


def assert_valid(production: MadeProduction) -> None:
    """Check that what is visible is complete."""
    for name, path in production.products().items():
        if name.endswith("_dl1.h5"):
            check_dl1(path)
        elif name.endswith("_dl2.h5"):
            check_dl2(path)
        elif name.endswith(".fits"):
            with fits.open(path, checksum=True) as hdus:
                assert {hdu.name for hdu in hdus} >= {"EFFECTIVE AREA", "BACKGROUND"}


def content(path: Path) -> dict[str, bytes]:
    """Return the numbers of a product, without dates, identities and paths."""
    if path.suffix == ".fits":
        with fits.open(path) as hdus:
            return {hdu.name: np.asarray(hdu.data).tobytes() for hdu in hdus[1:]}
    if path.suffix == ".sav":
        return {"": path.read_bytes()}
    with tables.open_file(str(path)) as file:
        nodes = {node._v_pathname: node.read() for node in file.walk_nodes("/", "Leaf")}
    return {name: np.asarray(rows).tobytes() for name, rows in nodes.items() if name != "/sst1m/info"}


def test_from_nothing_to_responses(undisturbed):
    layout = undisturbed.layout
    assert_valid(undisturbed)
    assert layout.report.exists() and layout.performance(NODE, "stereo").joinpath("summary.json").exists()
    for tag in ("0.05", "energydep"):
        assert irf_path(undisturbed.irf_dir, "stereo", "0_1", NODE, tag).exists()
    # One node lies between no others: the check of the interpolation is there and says so.
    assert read_interpolation_check(layout.interpolation_check)["rows"] == []
    assert "none could be left out" in layout.report.read_text()
    record = json.loads(layout.record.read_text())
    assert record["complete"] and record["until"] == "report"
    assert str(layout.interpolation_check) in record["products"]
    assert record["samples"][f"gamma_diffuse {NODE} train"]["thrown"] == 300
    assert not [path for path in undisturbed.base.rglob("*") if ".part" in path.name]
    for name, product in undisturbed.products().items():
        if name.endswith(("_dl1.h5", "_dl2.h5", ".fits")):
            assert product.with_suffix(".json").exists(), name


def test_asked_again_it_does_nothing_and_quickly(undisturbed):
    before = {name: path.stat().st_mtime_ns for name, path in undisturbed.products().items()}
    start = time.monotonic()
    status, output = undisturbed.run()
    assert status == 0 and "complete (report)" in output
    assert time.monotonic() - start < 3
    assert {name: path.stat().st_mtime_ns for name, path in undisturbed.products().items()} == before


@pytest.mark.slow
@pytest.mark.torture
def test_killed_again_and_again_the_same_command_finishes_it(
    undisturbed, make_production, dose, watched, record_property
):
    rng, killed = np.random.default_rng(11), Counter()
    while killed.total() < dose(5, 60):
        production = make_production()
        with watched(production.layout.root), watched(production.irf_dir):
            _finish_under_kills(production, undisturbed, rng, killed)
    for number, count in sorted(killed.items()):
        record_property(f"ended by {number.name}", count)


def _finish_under_kills(production, undisturbed, rng, killed) -> None:
    status, n_killed = None, 0
    while status != 0:
        # no two runs end at the same place, whatever was done before
        number = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[n_killed % 3]
        status, output = production.run(before=killed_after(STRIDE + int(rng.integers(20)), number))
        if status != 0:
            killed[number] += 1
            n_killed += 1
        assert_valid(production)
        assert n_killed < 40, output
    assert not [path for path in production.base.rglob("*") if ".part" in path.name]
    ours, theirs = production.products(), undisturbed.products()
    assert ours.keys() == theirs.keys()
    different = [name for name in ours if content(ours[name]) != content(theirs[name])]
    assert different == []


def test_what_a_kill_left_of_a_log_goes_with_the_closing(undisturbed):
    """The log is written after its product; a kill in between leaves a part that no step comes back to."""
    left = undisturbed.layout.root / ".interpolation_check.17-abcdef01.part.log"
    left.touch()
    undisturbed.layout.record.unlink()
    assert undisturbed.run()[0] == 0
    assert not left.exists()


def test_another_production_in_the_same_directory_is_refused(undisturbed):
    text = undisturbed.file.read_text()
    try:
        undisturbed.file.write_text(text.replace("seed = 5", "seed = 6"))
        status, output = undisturbed.run()
    finally:
        undisturbed.file.write_text(text)
    assert status == 35
    assert "production.seed was 5, is 6" in output and "give the production a new name" in output


def test_another_production_does_not_write_into_the_same_responses(undisturbed, make_production):
    other = make_production()
    other.irf_dir = undisturbed.irf_dir
    other.file.write_text(PRODUCTION.replace("seed = 5", "seed = 7"))
    status, output = other.run()
    assert status == 35
    assert "version 0_1 of the responses" in output and "give irf_version" in output
    assert not other.layout.root.exists()


def fail_on(*indices: int) -> Callable[[], None]:
    """Return what makes the simulation of some training shards fail."""

    def hook() -> None:
        from sst1m.production import write_shard

        simulate = write_shard.simulate

        def broken(planned, shard, *arguments):
            if shard.index in indices and shard.sample.role == "train":
                raise InputError("the generator of this shard is broken")
            return simulate(planned, shard, *arguments)

        write_shard.simulate = broken

    return hook


def test_a_failed_shard_stops_its_sample_until_it_is_accepted_or_healed(make_production):
    production = make_production()
    text = production.file.read_text()
    production.file.write_text(text[: text.index("[particles.proton_diffuse]")].replace("150 }", "20 }"))
    status, output = production.run("--until", "dl1", before=fail_on(1))
    assert status == 30
    assert "1 of 2 shards failed, accepted are 0.0%" in output and "--retry-failed" in output
    assert "Traceback" not in output
    assert len(list(production.layout.root.rglob("*_train_dl1.h5"))) == 0
    assert len(list(production.layout.root.rglob("*_test_dl1.h5"))) == 1
    status, output = production.run("--until", "dl1")
    assert status == 30, "a known failure is not tried again by itself"
    status, output = production.run("--until", "dl1", "--retry-failed")
    assert status == 0, output
    merged = production.layout.merged("gamma_diffuse", NODE, "train")
    assert check_dl1(merged)["merged"]["failed"] == []


def test_two_commands_at_once_make_each_product_once(make_production):
    production = make_production()
    text = production.file.read_text()
    production.file.write_text(text[: text.index("[particles.proton_diffuse]")].replace("150 }", "20 }"))
    made = production.base / "made"

    def note() -> None:
        replace = os.replace

        def noted(source, target):
            replace(source, target)
            if str(target).endswith(".h5"):
                with made.open("a") as file:
                    file.write(f"{Path(target).name}\n")

        os.replace = noted

    commands = [production.start("--until", "dl1", before=note) for _ in range(2)]
    for pid, output in commands:
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status == 0, output.read_text()
    names = made.read_text().split()
    assert len(names) == len(set(names)) == 5


def test_two_workers_and_a_kill_leave_nothing_at_work(make_production):
    production = make_production()
    pid, output = production.start("--workers", "2", "--until", "dl1")
    deadline = time.monotonic() + 60
    while not list(production.layout.root.rglob(".*.part.h5")) and time.monotonic() < deadline:
        time.sleep(0.01)
    children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    assert children, output.read_text()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    deadline = time.monotonic() + 10
    while any(alive(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(alive(child) for child in children)


def alive(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
