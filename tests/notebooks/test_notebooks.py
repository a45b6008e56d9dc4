"""The notebooks are executed by a real kernel, and what they found is compared with the truth."""

import ast
import os
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from traitlets.config import Config

NAMES = ("01_dl1_quicklook", "02_dl3_spectrum_theta2", "03_irf_browser")
LARGEST = 20_000


@pytest.fixture(scope="module")
def directory(project_root: Path) -> Path:
    return project_root / "notebooks"


@pytest.fixture
def execute(directory, tmp_path, tmp_path_factory, monkeypatch) -> Callable[..., tuple[dict, int]]:
    """Return a function that executes a notebook and returns its summary and the number of its pictures."""
    # nothing is read from or written to the home of whoever runs the tests
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    # in the file system, not on ports of the machine; such paths must be short
    socket = tmp_path_factory.mktemp("nb") / "kernel"

    def run(name: str, **environment: object) -> tuple[dict, int]:
        notebook = nbformat.read(directory / f"{name}.ipynb", as_version=4)
        options = {"resources": {"metadata": {"path": str(tmp_path)}}, "timeout": 240}
        sockets = Config(KernelManager={"transport": "ipc", "ip": str(socket)})
        client = NotebookClient(notebook, kernel_name="python3", config=sockets, **options)
        client.execute(env=os.environ | {key: str(value) for key, value in environment.items()})
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        shown = [output["data"] for output in outputs if "data" in output]
        return ast.literal_eval(shown[-1]["text/plain"]), sum("image/png" in data for data in shown)

    return run


@pytest.mark.parametrize("name", NAMES)
def test_committed_without_outputs_and_small(directory, name):
    path = directory / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert path.stat().st_size < LARGEST


def test_all_notebooks_are_known(directory):
    assert sorted(path.stem for path in directory.glob("*.ipynb")) == sorted(NAMES)


def test_dl1(execute, make_run, reduce_run, tmp_path):
    # enough pedestals for a row of their monitoring
    run = make_run(tmp_path / "SST1M1_20250115_0012.fits.fz", 110)
    product = reduce_run(run.path, tmp_path / "SST1M1_20250115_0012_W1_dl1.h5")
    found, n_pictures = execute("01_dl1_quicklook", SST1M_DL1_FILE=product.path)
    n_showers = int((~run.pedestal).sum())
    assert found["tel_id"] == 21
    assert found["n_events"] == n_showers
    assert 0.8 * n_showers < found["n_imaged"] <= n_showers
    assert found["n_pedestal_rows"] == 1
    assert found["n_images_shown"] == 4
    assert n_pictures == 5


def test_spectrum_of_a_known_source(execute, crab_store):
    found, n_pictures = execute("02_dl3_spectrum_theta2", SST1M_DL3_DIR=crab_store)
    assert found["n_observations"] == 3
    assert found["livetime_h"] == pytest.approx(2.7)
    assert found["fit_success"]
    # the truth in the store: a Crab nebula of HEGRA
    for name, truth in (("index", 2.62), ("amplitude", 2.83e-11)):
        value, error = found[name]
        assert abs(value - truth) < 3 * error
        assert error < 0.15 * truth
    assert found["significance"] > 10
    assert n_pictures == 2


def test_responses(execute, irf_dir, cuts):
    found, n_pictures = execute("03_irf_browser", SST1M_IRF_DIR=irf_dir, SST1M_IRF_TAG=cuts.tag)
    assert found["nodes"] == [f"ze{zenith}_az220_nsb100" for zenith in (20, 30, 40)]
    assert found["components"] == ["aeff", "bkg", "edisp", "psf"]
    # 1e5 m2 at high energies, less with rising zenith angle
    assert 8e4 < found["largest_area_m2"] < 1e5
    assert sum(found["weights"]) == pytest.approx(1)
    *nodes, between = found["between"]
    assert min(nodes) <= between <= max(nodes)
    assert n_pictures == 3
