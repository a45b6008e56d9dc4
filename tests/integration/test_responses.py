"""Responses from simulated and reconstructed showers: our command, and ctapipe's tool on the same files."""

import json
import shutil
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from click import Command
from click.testing import CliRunner, Result
from ctapipe.core import run_tool
from ctapipe.irf.optimize import OptimizationResult
from ctapipe.tools.compute_irf import IrfTool
from gammapy.irf import load_irf_dict_from_file

from sst1m.cli.event_classes import event_classes
from sst1m.cli.make_irfs import make_irfs
from sst1m.cli.train_rfs_misdirection import train_rfs_misdirection
from sst1m.config import McConfig, load_config
from sst1m.errors import InputError, Sst1mError
from sst1m.io.dl2 import read_dl2
from sst1m.irf.catalogue import IrfCatalogue
from sst1m.irf.cuts import GammanessCuts
from sst1m.irf.gadf import read_irfs
from sst1m.irf.weights import true_distance
from sst1m.nodes import Node
from sst1m.reco.model_store import ModelStore
from sst1m.reco.reconstruct import reconstruct_file
from sst1m.reco.selection import select_events
from sst1m.reco.training import train_forests
from sst1m.simulation.events import ShowerSpec
from sst1m.simulation.mc import simulate_mc_dl1

pytestmark = pytest.mark.slow

NODE = Node(20, 180, 100)
ENERGIES_TEV = (4.0, 40.0)
CONE_DEG = 2.0
ANALYSIS = {
    "fov_offset_max_deg": CONE_DEG,
    "nbins_fov_offset": 3,
    "fov_offset_bg_max_deg": CONE_DEG,
    "nbins_fov_offset_bg": 2,
    "nbins_source_offset": 21,
    "n_energy_bins": 5,
    "n_bins_migration": 11,
    "log_energy_min_tev": 0,
    "log_energy_max_tev": 2,
    "global_gammaness_cut": 0.4,
    "n_training_events": 1000,
}


@pytest.fixture(scope="module")
def config_file(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a configuration for few events; it takes all images, as ctapipe's tool does."""
    document = json.loads((project_root / "config" / "sst1m_mc_config.json").read_text())
    document["analysis"] |= ANALYSIS
    document["DataWriter"] = {"write_images": "none"}
    document["event_selection"] = {
        name: [0, 1] if "leakage" in name else [0, 1e6] for name in document["event_selection"]
    }
    for name in ("random_forest_regressor_args", "random_forest_classifier_args"):
        document[name] |= {"n_estimators": 5, "max_depth": 6, "n_jobs": 1}
    path = tmp_path_factory.mktemp("config") / "mc.json"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture(scope="module")
def dl2(config_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the DL2 files of gammas and protons, stereo."""
    directory = tmp_path_factory.mktemp("chain")
    config = load_config(config_file)
    assert isinstance(config, McConfig)
    dl1 = {}
    for particle, n_showers in (("gamma", 500), ("proton", 500)):
        spec = ShowerSpec(
            particle, n_showers, *ENERGIES_TEV, -2.0, 200.0, view_cone_deg=(0, CONE_DEG), seed=n_showers
        )
        dl1[particle] = directory / f"{particle}_dl1.h5"
        simulate_mc_dl1(spec, dl1[particle], config=config, nsb_mhz=NODE.nsb_mhz)
    models = directory / "models_stereo"
    for telescope in (1, 2):
        request = {"config": config, "telescope": telescope, "stereo": True, "node": NODE}
        train_forests(dl1["gamma"], dl1["proton"], models / str(NODE), **request)
    store, products = ModelStore(models, stereo=True), {}
    for particle, path in dl1.items():
        products[particle] = directory / f"{particle}_dl2.h5"
        request = {"config": config, "store": store, "tel_setup": "stereo", "node": NODE}
        reconstruct_file(path, products[particle], **request)
    return products


def call(*arguments: object) -> Result:
    return CliRunner().invoke(make_irfs, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def tree(dl2: dict[str, Path], config_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("irfs")
    result = call(
        *("-fg", dl2["gamma"], "-fp", dl2["proton"], "-c", config_file, "-o", root),
        *("--irf-version", "0_1", "--plot"),
    )
    assert result.exit_code == 0, result.output
    return root


def test_the_command_fills_the_tree(tree: Path, dl2: dict[str, Path]):
    catalogue = IrfCatalogue(tree, "stereo", "0.4")
    assert (catalogue.nodes, catalogue.version) == ((NODE,), "0_1")
    irf = catalogue.for_observation(NODE).irf
    assert irf.making["SIMULATR"] == "sst1m.simulation"
    assert len(irf.making["MODELS"]) == 64
    assert irf.making["NTHRGAM"] == 500
    assert set(load_irf_dict_from_file(catalogue.path(NODE))) == {"aeff", "psf", "edisp", "bkg"}
    record = json.loads(catalogue.path(NODE).with_suffix(".json").read_text())
    assert [Path(entry["path"]) for entry in record["inputs"]] == list(dl2.values())
    assert [path.name for path in tree.glob("*.png")] == ["ze20_az180_nsb100_gc0.4_stereo.png"]


def test_ctapipe_finds_the_same_effective_area(tree: Path, dl2: dict[str, Path], tmp_path: Path):
    # ctapipe's cuts are tables with >=, ours is a global > here.
    cuts = QTable({"low": [1e-3] * u.TeV, "high": [1e6] * u.TeV, "center": [1.0] * u.TeV})
    cuts["cut"] = [np.nextafter(0.4, 1)]
    limits = (1e-3 * u.TeV, 1e6 * u.TeV, 0 * u.deg, 10 * u.deg)
    valid = [("reconstructed", "RandomForestRegressor_is_valid")]
    OptimizationResult(*limits, cuts, "RandomForestClassifier", None, valid).write(tmp_path / "cuts.fits")
    bins = {
        "true_energy_min": f"{ENERGIES_TEV[0]} TeV",
        "true_energy_max": f"{ENERGIES_TEV[1]} TeV",
        "true_energy_n_bins_per_decade": 4,
        "fov_offset_max": f"{CONE_DEG} deg",
        "fov_offset_n_bins": 2,
    }
    reader = {"DL2EventPreprocessor": {"geometry_reconstructor": "disp"}}
    (tmp_path / "config.json").write_text(
        json.dumps({"IrfTool": {"DL2EventLoader": reader, "EffectiveArea2dMaker": bins}})
    )
    files = {"config": tmp_path / "config.json", "cuts": tmp_path / "cuts.fits", "gamma-file": dl2["gamma"]}
    arguments = [text for name, path in files.items() for text in (f"--{name}", str(path))]
    output = tmp_path / "ctapipe.fits"
    run_tool(
        IrfTool(), [*arguments, "--no-do-background", "--output", str(output)], raises=True, cwd=tmp_path
    )

    theirs = fits.getdata(output, "EFFECTIVE AREA")["EFFAREA"][0].T
    ours = read_irfs(IrfCatalogue(tree, "stereo", "0.4").path(NODE)).effective_area
    assert theirs.shape == ours.shape == (4, 2)
    assert np.count_nonzero(ours) >= 6
    np.testing.assert_allclose(ours, theirs, rtol=0.01)


def test_the_command_takes_cuts_by_node_or_flat(dl2: dict[str, Path], config_file: Path, tmp_path: Path):
    rows = QTable({"low": [1.0, 10.0] * u.TeV, "high": [10.0, 100.0] * u.TeV})
    rows["center"], rows["cut"] = 0.5 * (rows["low"] + rows["high"]), [0.4, 0.3]
    cuts = GammanessCuts("efficiency", table=rows, efficiency=0.7)
    cuts.write(tmp_path / "by_node" / str(NODE) / "gammaness_cuts_efficiency_stereo.h5")
    cuts.write(tmp_path / "flat" / "gammaness_cuts_efficiency_stereo.h5")
    request = ("-fg", dl2["gamma"], "-fp", dl2["proton"], "-c", config_file, "--irf-version", "0_1")
    for name in ("by_node", "flat"):
        result = call(*request, "-o", tmp_path / f"irfs_{name}", "--gammaness-cut-dir", tmp_path / name)
        assert result.exit_code == 0, result.exception
        catalogue = IrfCatalogue(tmp_path / f"irfs_{name}", "stereo", "energydep")
        assert catalogue.read(NODE).cuts.table["cut"].tolist() == [0.4, 0.3]
    empty = call(*request, "-o", tmp_path / "no", "--gammaness-cut-dir", tmp_path)
    assert isinstance(empty.exception, InputError)
    assert "there is none" in str(empty.exception)


def test_a_point_like_response_lies_apart(dl2: dict[str, Path], config_file: Path, tmp_path: Path):
    result = call(
        *("-fg", dl2["gamma"], "-fp", dl2["proton"], "-c", config_file, "-o", tmp_path),
        *("--irf-version", "0_1", "--point-like", 1, "--node", str(NODE)),
    )
    assert result.exit_code == 0, result.exception
    (path,) = tmp_path.rglob("*.fits")
    assert path.parent.name == "ze20_az180_nsb100_gc0.4_pointlike_1deg"
    assert path.name == "SST1M_stereo_Zen20deg_gcut0.4_pointlike_1deg_irfs.fits"
    assert set(load_irf_dict_from_file(path)) == {"aeff", "edisp", "bkg", "rad_max"}
    with pytest.raises(InputError, match="no responses of stereo"):
        IrfCatalogue(tmp_path, "stereo", "0.4")


def test_true_energies_are_scaled_and_electrons_added(
    dl2: dict[str, Path], tree: Path, config_file: Path, tmp_path: Path
):
    config = load_config(config_file)
    spec = ShowerSpec("electron", 200, *ENERGIES_TEV, -2.0, 200.0, view_cone_deg=(0, CONE_DEG), seed=5)
    simulate_mc_dl1(spec, tmp_path / "electron_dl1.h5", config=config, nsb_mhz=NODE.nsb_mhz)
    electrons, store = tmp_path / "electron_dl2.h5", ModelStore(dl2["gamma"].parent / "models_stereo", True)
    request = {"config": config, "store": store, "tel_setup": "stereo", "node": NODE}
    reconstruct_file(tmp_path / "electron_dl1.h5", electrons, **request)
    document = json.loads(config_file.read_text())
    document["analysis"]["true_energy_scaling_factor"] = 1.25
    (tmp_path / "scaled.json").write_text(json.dumps(document))
    output = run(
        *(make_irfs, "-fg", dl2["gamma"], "-fp", dl2["proton"], "-fe", electrons, "-o", tmp_path),
        *("-c", tmp_path / "scaled.json", "--irf-version", "0_1", "--scale-true-energies"),
        *("--energy-range", 2, 100),
    )
    assert "electrons after all cuts" in output
    irf, plain = (IrfCatalogue(root, "stereo", "0.4").read(NODE) for root in (tmp_path, tree))
    assert irf.making["ESCALE"] == 1.25 and irf.making["EMAX"] == pytest.approx(1.25 * ENERGIES_TEV[1])
    assert irf.bins.energy_true[[0, -1]].to_value("TeV") == pytest.approx([2, 100])
    assert irf.making["NSELELE"] > 0 and irf.making["RATEELE"] > 0
    # All energies are moved up, along a spectrum that falls.
    assert 0.5 < irf.making["RATEPRO"] / plain.making["RATEPRO"] < 0.8


@pytest.fixture(scope="module")
def classified(dl2: dict[str, Path], config_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of gammas and protons with event classes, made by the commands."""
    root, config = tmp_path_factory.mktemp("classes"), load_config(config_file)
    spec = ShowerSpec("gamma", 700, *ENERGIES_TEV, -2.0, 200.0, view_cone_deg=(0, CONE_DEG), seed=3)
    simulate_mc_dl1(spec, root / "own_dl1.h5", config=config, nsb_mhz=NODE.nsb_mhz)
    store = ModelStore(dl2["gamma"].parent / "models_stereo", stereo=True)
    own = root / "own_dl2.h5"
    reconstruct_file(root / "own_dl1.h5", own, config=config, store=store, tel_setup="stereo", node=NODE)
    models, edges, output = root / "models" / str(NODE), root / "edges" / str(NODE), root / "dl2"
    common = ("--config", config_file, "--output-dir")
    run(train_rfs_misdirection, "--fg", own, *common, models, "--plot-features")
    assert (models / "reg_misdirection_features_stereo.png").exists()
    request = (*common, edges, "--mis-models-dir", models)
    run(event_classes, "-f", dl2["gamma"], *request)
    for path in dl2.values():
        before = path.read_bytes()
        run(
            *(event_classes, "-f", path, *common, output, "--mis-models-dir", models.parent),
            *("--mis-edges-dir", edges.parent),
        )
        assert path.read_bytes() == before
    return output


def run(command: Command, *arguments: object) -> str:
    """Run a command that must succeed; return what it says."""
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.exception or result.output
    return result.output


def test_classes_are_ordered_by_the_true_angular_resolution(classified: Path, dl2: dict[str, Path]):
    events, before = read_dl2(classified / "gamma_dl2.h5"), read_dl2(dl2["gamma"])
    table = events.table
    assert set(table.colnames) - set(before.table.colnames) == {"log_reco_misdirection", "event_type"}
    for name in before.table.colnames:
        assert np.array_equal(table[name], before.table[name], equal_nan=table[name].dtype.kind == "f")
    counts = events.info["event_classes"]["counts"]
    assert sum(counts.values()) == len(events)
    filled = [counts[str(n)] for n in (1, 2, 3, 4)]
    assert max(filled) - min(filled) <= 8 and min(filled) > 50, "quartiles of bins"
    theta = true_distance(events).value
    median = [np.median(theta[table["event_type"] == n]) for n in (1, 2, 3, 4)]
    assert median == sorted(median)
    assert median[3] > 1.5 * median[0]
    predicted = np.asarray(table["log_reco_misdirection"])
    known = table["event_type"] > 0
    assert np.all(np.isfinite(predicted[known]))


def test_responses_of_classes_add_up_and_stand_apart(
    classified: Path, tree: Path, config_file: Path, tmp_path: Path
):
    request = ("-fg", classified / "gamma_dl2.h5", "-fp", classified / "proton_dl2.h5", "-c", config_file)
    output = run(make_irfs, *request, "-o", tmp_path, "--irf-version", "0_1", "--event-classes")
    paths = sorted(tmp_path.rglob("*_irfs.fits"))
    assert [path.parent.name for path in paths] == [f"{NODE}_gc0.4_ec{n}" for n in (1, 2, 3, 4)]
    assert [path.name for path in paths] == [
        f"SST1M_stereo_Zen20deg_gcut0.4_ec{n}_irfs.fits" for n in (1, 2, 3, 4)
    ]
    assert all(str(path) in output for path in paths)
    with pytest.raises(InputError, match="no responses of stereo"):
        IrfCatalogue(tmp_path, "stereo", "0.4")
    parts = [IrfCatalogue(tmp_path, "stereo", f"0.4_ec{n}").read(NODE) for n in (1, 2, 3, 4)]
    whole = IrfCatalogue(tree, "stereo", "0.4").read(NODE)
    events = read_dl2(classified / "gamma_dl2.h5")
    kept = np.asarray(select_events(events, load_config(config_file)).mask)
    kept &= np.asarray(events.table["gammaness"]) > 0.4
    classes = np.asarray(events.table["event_type"])[kept]
    assert [part.making["NSELGAM"] for part in parts] == [np.sum(classes == n) for n in (1, 2, 3, 4)]
    assert sum(part.making["NSELGAM"] for part in parts) + np.sum(classes == 0) == whole.making["NSELGAM"]
    area = sum(part.effective_area for part in parts)
    assert np.all(area <= whole.effective_area * (1 + 1e-9))
    assert area.sum() == pytest.approx(whole.effective_area.sum(), rel=0.02)
    background = sum(part.background for part in parts)
    assert np.all(background <= whole.background * (1 + 1e-9)) and background.sum() > 0
    assert [part.cuts.event_class for part in parts] == [1, 2, 3, 4]
    assert len({part.making["CLASSES"] for part in parts}) == 1
    assert set(load_irf_dict_from_file(paths[0])) == {"aeff", "psf", "edisp", "bkg"}


def test_what_does_not_belong_to_the_classes_is_refused(
    classified: Path, dl2: dict[str, Path], config_file: Path, tmp_path: Path
):
    root, request = classified.parent, ("-c", config_file, "-o", tmp_path)
    models = ("--mis-models-dir", root / "models")

    def refused(command: Command, *arguments: object) -> str:
        result = CliRunner().invoke(command, [str(argument) for argument in arguments])
        assert isinstance(result.exception, Sst1mError), result.output
        return str(result.exception)

    irfs = ("-fg", dl2["gamma"], "-fp", dl2["proton"], *request, "--event-classes")
    assert "its events have no classes" in refused(make_irfs, *irfs)
    mixed = ("-fg", classified / "gamma_dl2.h5", "-fp", dl2["proton"], *request, "--event-classes")
    assert "the protons have no event classes" in refused(make_irfs, *mixed)
    into_itself = ("-f", dl2["gamma"], "-c", config_file, "-o", dl2["gamma"].parent, *models)
    edges = ("--mis-edges-dir", root / "edges")
    assert "is the input, which is never overwritten" in refused(event_classes, *into_itself, *edges)
    assert "other than simulated gamma rays" in refused(event_classes, "-f", dl2["proton"], *request, *models)
    assert "other than simulated gamma rays" in refused(
        train_rfs_misdirection, "--fg", dl2["proton"], *request
    )

    other = tmp_path / "models" / str(NODE)
    shutil.copytree(root / "models" / str(NODE), other)
    card = other / "card_misdirection_stereo.json"
    content = json.loads(card.read_text())
    del content["checksum"]
    card.write_text(json.dumps(content | {"node": "ze40_az180_nsb100"}))
    arguments = ("-f", dl2["gamma"], *request, "--mis-models-dir", other.parent)
    assert "reconstructed as stereo by the forests of ze20" in refused(event_classes, *arguments)
    card.write_text(json.dumps(content | {"models": {"1": "0" * 64, "2": "0" * 64}}))
    assert "other forests have reconstructed" in refused(event_classes, *arguments)
    card.write_text(json.dumps(content, indent=3))
    assert "derived with another misdirection forest" in refused(event_classes, *arguments, *edges)
    document = json.loads(config_file.read_text())
    document["misdirection_regression_features_stereo"].pop()
    (tmp_path / "fewer.json").write_text(json.dumps(document))
    fewer = ("-f", dl2["gamma"], "-c", tmp_path / "fewer.json", "-o", tmp_path, *models)
    assert "only the models have HillasReconstructor_h_max" in refused(event_classes, *fewer)
    (other / "reg_misdirection_stereo.sav").write_bytes(b"other code")
    assert "is not the file that training wrote" in refused(event_classes, *arguments)
