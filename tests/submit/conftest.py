"""Fixtures of the submitter's tests: a private Slurm, settings of a site, and jobs with real programs."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from submit.jobs import Backend, Job
from submit.site import Site

HERE = Path(__file__).parent


def _load(name: str):
    """Import a neighbour of this file; the tests are no package."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


_cluster, _farm, _killing = _load("slurm_cluster"), _load("farm"), _load("killing")
_load("science")


@pytest.fixture(scope="session")
def start_slurm() -> Iterator[Callable[..., "_cluster.SlurmCluster"]]:
    """Return a function that starts a Slurm of its own, with other settings or more nodes."""
    if missing := _cluster.missing_programs():
        pytest.skip(f"no Slurm here ({', '.join(missing)}): {_cluster.INSTALL}")
    clusters = []

    def start(n_nodes: int = 3, **settings: str):
        clusters.append(_cluster.SlurmCluster(n_nodes, **settings))
        clusters[-1].start()
        return clusters[-1]

    try:
        yield start
    finally:
        for cluster in clusters:
            cluster.stop()


@pytest.fixture(scope="session")
def slurm_cluster(start_slurm):
    """Return the Slurm that the tests of this process share: three nodes of 16 processors."""
    return start_slurm()


@pytest.fixture
def slurm(slurm_cluster, monkeypatch):
    """Return the shared Slurm, with SLURM_CONF set for the test."""
    monkeypatch.setenv("SLURM_CONF", slurm_cluster.env["SLURM_CONF"])
    return slurm_cluster


@pytest.fixture(scope="session")
def wait_for():
    """Return the function that waits for a condition."""
    return _cluster.wait_for


@pytest.fixture
def make_site(tmp_path) -> Callable[..., Site]:
    """Return a function that makes settings of a site."""

    def make(backend: str, **tables) -> Site:
        return Site(backend=backend, state_dir=tmp_path / "state", **tables)

    return make


@pytest.fixture
def make_job(tmp_path) -> Callable[..., Job]:
    """Return a function that makes a job with its script; its program is Python and gets the index last."""
    numbers = iter(range(1000))

    def make(backend: Backend, program: str = "pass", n_elements: int = 1, **fields) -> Job:
        number = next(numbers)
        directory = fields.pop("directory", tmp_path / f"array{number}")
        directory.mkdir()
        file = directory / "program.py"
        file.write_text(f"import os, pathlib, signal, sys, time\nindex = int(sys.argv[-1])\n{program}\n")
        fields = {"cpus": 1, "mem_mb": 100, "walltime_s": 600, **fields}
        name = fields.pop("name", f"test.{tmp_path.name}.{number}")
        command = (sys.executable, str(file), *fields.pop("words", ()))
        job = Job(name, directory, n_elements, command=command, **fields)
        (directory / "array.sh").write_text(backend.script(job))
        return job

    return make


@pytest.fixture
def wait_ended(wait_for):
    """Return a function that waits until every listed element of jobs has ended, and returns their states."""

    def wait(backend: Backend, *ids: str, timeout_s: float = 60.0):
        def ended():
            states = backend.query(ids)
            phases = {one.phase for state in states.values() for one in state.elements.values()}
            return states if phases <= {"ended"} else None

        return wait_for(ended, f"end of {ids}", timeout_s)

    return wait


@pytest.fixture
def make_farm(tmp_path, wait_for, monkeypatch):
    """Return a maker of farms: backend, number of leaves, and lines of the site's settings by table."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.syspath_prepend(str(HERE))

    def make(backend: str, count: int, base: Path = tmp_path, **settings) -> "_farm.Farm":
        return _farm.Farm(base, wait_for, backend, count, **settings)

    return make


@pytest.fixture(scope="session")
def make_killer() -> type["_killing.Killer"]:
    """Return what makes something that ends jobs, daemons, nodes, and who submits, at random."""

    return _killing.Killer


@pytest.fixture
def farm(slurm, make_farm):
    """Return a maker of farms on the shared Slurm."""

    def make(count: int, **settings) -> "_farm.Farm":
        return make_farm("slurm", count, **settings)

    yield make
    slurm.cancel_all()
