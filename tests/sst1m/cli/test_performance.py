"""The command that measures performance, on showers that went all the way through forests."""

import json

import pytest

from sst1m.cli import main
from sst1m.config import config_from_dict
from sst1m.errors import ConfigError, InputError
from sst1m.io.astropy_tables import read_table
from sst1m.irf.cuts import GammanessCuts
from sst1m.nodes import Node
from sst1m.reco.model_store import ModelStore
from sst1m.reco.reconstruct import reconstruct_file
from sst1m.reco.training import train_forests
from sst1m.simulation.events import ShowerSpec
from sst1m.simulation.mc import simulate_mc_dl1

NODE = Node(20, 180, 100)
SHOWERS = {
    "gamma_train": ShowerSpec("gamma", 700, 1, 40, scatter_radius_m=200, view_cone_deg=(0, 2), seed=1),
    "proton_train": ShowerSpec("proton", 1000, 2, 80, scatter_radius_m=250, view_cone_deg=(0, 3), seed=2),
    "gamma": ShowerSpec("gamma", 500, 1, 40, scatter_radius_m=200, offset_deg=0.5, seed=3),
    "proton": ShowerSpec("proton", 500, 2, 80, scatter_radius_m=250, view_cone_deg=(0, 3), seed=4),
}


@pytest.fixture(scope="module")
def dl2(tmp_path_factory, project_root):
    """Return the DL2 files of telescope 1 by particle, and the configuration."""
    document = json.loads((project_root / "config" / "sst1m_mc_demo_config.json").read_text())
    for name in ("random_forest_regressor_args", "random_forest_classifier_args"):
        document[name] |= {"n_estimators": 5}
    root = tmp_path_factory.mktemp("dl2")
    (root / "config.json").write_text(json.dumps(document))
    config = config_from_dict(document)
    for name, spec in SHOWERS.items():
        simulate_mc_dl1(spec, root / f"{name}.h5", config=config, nsb_mhz=100, obs_id=spec.seed)
    models = root / "models" / str(NODE)
    kwargs = {"config": config, "telescope": 1, "stereo": False, "node": NODE}
    train_forests(root / "gamma_train.h5", root / "proton_train.h5", models, **kwargs)
    store = ModelStore(models.parent, False)
    for name in ("gamma", "proton"):
        reconstruct_file(
            root / f"{name}.h5",
            root / f"{name}_dl2.h5",
            config=config,
            store=store,
            tel_setup="tel_001",
            node=NODE,
        )
    return root


@pytest.fixture
def run(dl2, capsys):
    """Return a function that runs the command: status, output, errors."""

    def run(*arguments, config=dl2 / "config.json"):
        with pytest.raises(SystemExit) as end:
            main(["performance", "-c", str(config), *map(str, arguments)])
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    return run


def test_everything_at_once(run, dl2, tmp_path):
    pair = ("-fg", dl2 / "gamma_dl2.h5", "-fp", dl2 / "proton_dl2.h5")
    code, out, _ = run(*pair, "-o", tmp_path, "--save-hdf", "--s", "MRK501_VERITAS_HIGH")
    assert code == 0
    assert "gammas of a point source 0.5 deg off the axis" in out and "MRK501_VERITAS_HIGH: " in out
    summary = json.loads((tmp_path / "summary.json").read_text())
    counts = summary["counts"]["gamma"]
    assert counts["thrown"] == 500 and 100 < counts["selected"] <= counts["reconstructed"]
    assert summary["node"] == str(NODE) and summary["setup"] == "tel_001"
    resolution = read_table(tmp_path / "energy_resolution_tel_001.h5", "res")
    assert resolution["n_events"].sum() == counts["gammaness"]
    # Which of the two sides an image was turned to is known of the simulation.
    angular = read_table(tmp_path / "angular_resolution_tel_001.h5", "res")
    assert 0 < angular["n_events"].sum() < angular["n_events_both_signs"].sum()
    assert not list(tmp_path.glob("*.png"))


def test_resolutions_alone(run, dl2, tmp_path):
    code, _, _ = run("-fg", dl2 / "gamma_dl2.h5", "-o", tmp_path, "--rf-performance")
    assert code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]
    tables = json.loads((tmp_path / "summary.json").read_text())["tables"]
    assert "energy_resolution" in tables and "flux_sensitivity" not in tables


def test_sensitivity_alone_in_regions_by_energy(run, dl2, tmp_path):
    pair = ("-fg", dl2 / "gamma_dl2.h5", "-fp", dl2 / "proton_dl2.h5", "-o", tmp_path)
    options = ("--sensitivity", "--theta2-cuts", "efficiency", "--energy-min", "1.5", "--max-offset", "2")
    code, _, _ = run(*pair, *options, "--source-detection", "CRAB_MAGIC_2020", "--save-hdf", "--save-fig")
    assert code == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert "energy_resolution" not in summary["tables"] and "flux_sensitivity" in summary["tables"]
    assert summary["cuts"]["theta2"] == "efficiency"
    assert (tmp_path / "theta_edep_cuts_tel_001.h5").exists()
    assert [(found["source"], found["energy_min_tev"]) for found in summary["detection"]] == [
        ("CRAB_MAGIC_2020", 1.5)
    ]
    rates = summary["tables"]["rates"]["columns"]
    assert all(n == 0 for n, high in zip(rates["n_signal"], rates["high"], strict=True) if high < 1.5)
    assert summary["figures"] and all((tmp_path / name).exists() for name in summary["figures"])


def test_energy_dependent_gammaness_cuts_are_kept(run, dl2, tmp_path):
    pair = ("-fg", dl2 / "gamma_dl2.h5", "-fp", dl2 / "proton_dl2.h5")
    code, _, _ = run(*pair, "-o", tmp_path, "--gammaness-cuts", "significance", "--gamma-off-correction")
    assert code == 0
    assert GammanessCuts.read(tmp_path / "gammaness_cuts_significance_tel_001.h5").method == "significance"
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["cuts"]["gammaness"] == "energydep"
    code, _, _ = run("-fg", dl2 / "gamma_dl2.h5", "-o", tmp_path / "only", "--edep-gammaness-only")
    assert code == 0
    assert [path.name for path in (tmp_path / "only").iterdir()] == ["gammaness_cuts_efficiency_tel_001.h5"]


def test_wrong_requests_end_in_one_line(run, dl2, tmp_path, project_root):
    gamma = ("-fg", dl2 / "gamma_dl2.h5", "-o", tmp_path)
    code, _, err = run("-fg", dl2 / "nothing_dl2.h5")
    assert code == InputError.exit_code and "no such file" in err
    code, _, err = run(*gamma, "--source-detection", "CRAB_HEGRO")
    assert code == ConfigError.exit_code and "did you mean CRAB_HEGRA" in err
    code, _, err = run(*gamma, config=project_root / "config" / "sst1m_data_config.json")
    assert code == ConfigError.exit_code and "configuration of data" in err
    assert err.count("\n") == 1 and not list(tmp_path.iterdir())
