"""The commands train-rfs and dl1-dl2, from simulated events to reconstructed ones."""

import json
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from sst1m.cli.dl1_dl2 import dl1_dl2
from sst1m.cli.train_rfs import train_rfs
from sst1m.config import load_config
from sst1m.errors import InputError, ModelMismatchError
from sst1m.io.dl2 import read_dl2
from sst1m.simulation.events import ShowerSpec
from sst1m.simulation.mc import simulate_mc_dl1

NODE = "ze20_az180_nsb100"


@pytest.fixture(scope="module")
def site(tmp_path_factory, project_root):
    """Return a directory with a configuration of tiny forests and with simulated DL1 files."""
    root = tmp_path_factory.mktemp("site")
    values = json.loads((project_root / "config" / "sst1m_mc_config.json").read_text())
    for name in ("regressor", "classifier"):
        values[f"random_forest_{name}_args"] |= {"n_estimators": 3, "n_jobs": 1}
    values["DataWriter"] = {"write_images": "none"}
    (root / "mc.json").write_text(json.dumps(values))
    for number, particle in enumerate(("gamma", "proton")):
        spec = ShowerSpec(particle, 300, 2, 10, -2.0, 120, view_cone_deg=(0, 2), seed=number)
        path = root / f"{particle}_dl1.h5"
        simulate_mc_dl1(spec, path, config=load_config(root / "mc.json"), nsb_mhz=100)
    return root


def _run(command: click.Command, *arguments: object) -> str:
    result = CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def trained(site) -> Path:
    for telescope in ("tel_001", "tel_002"):
        out = _run(
            *(train_rfs, "--fg", site / "gamma_dl1.h5", "--fp", site / "proton_dl1.h5"),
            *("-c", site / "mc.json", "-t", telescope, "-o", site / "models" / NODE, "--plot-features"),
        )
        assert "class_gh: 3 trees" in out
        assert f"card_{telescope}.json: {NODE}" in out
    return site / "models"


def test_forests_with_their_log(trained):
    log = (trained / NODE / "sst1m_rfs_training_tel_001.log").read_text()
    assert "gammas: " in log
    assert "reg_energy: 3 trees" in log
    stems = json.loads((trained / NODE / "card_tel_001.json").read_text())["forests"]
    plots = sorted(path.name for path in (trained / NODE).glob("*_tel_001.png"))
    assert plots == sorted(f"{stem}_features_tel_001.png" for stem in stems)


def test_each_telescope_gets_its_product(site, trained):
    out = _run(
        dl1_dl2, "-f", site / "gamma_dl1.h5", "-c", site / "mc.json", "-m", trained, "-o", site / "dl2"
    )
    for setup in ("tel_001", "tel_002"):
        path = site / "dl2" / f"gamma_{setup}_dl2.h5"
        assert f"{path}: " in out
        assert read_dl2(path).tel_setup == setup
        assert "result: done" in path.with_suffix(".log").read_text()
        assert json.loads(path.with_suffix(".json").read_text())["counts"]["n_written"] > 0
    assert not [p for p in (site / "dl2").iterdir() if p.name.startswith(".")]


def test_one_telescope_and_a_named_node(site, trained, tmp_path):
    arguments = ("-f", site / "gamma_dl1.h5", "-c", site / "mc.json", "-m", trained, "-o", tmp_path)
    _run(dl1_dl2, *arguments, "-t", "tel_002", "--node", NODE)
    assert sorted(p.name for p in tmp_path.glob("*.h5")) == ["gamma_tel_002_dl2.h5"]
    with pytest.raises(InputError, match="has no tel_021"):
        _run(dl1_dl2, *arguments, "-t", "tel_021")
    with pytest.raises(ModelMismatchError, match="mono models"):
        _run(dl1_dl2, *arguments, "--stereo", "--node", NODE)


def test_both_telescopes_together_with_scaled_intensities(site, tmp_path):
    values = json.loads((site / "mc.json").read_text())
    values["NsbCalibrator"]["intensity_correction"] = {"tel_001": 2.0, "tel_002": 1.0}
    (tmp_path / "scaled.json").write_text(json.dumps(values))
    for telescope in ("tel_001", "tel_002"):
        _run(
            *(train_rfs, "--fg", site / "gamma_dl1.h5", "--fp", site / "proton_dl1.h5", "--stereo"),
            *("-c", site / "mc.json", "-t", telescope, "-o", tmp_path / "models" / NODE),
        )
    request = ("-f", site / "gamma_dl1.h5", "-m", tmp_path / "models", "--stereo")
    intensity = {}
    for name, more in (("plain", ()), ("scaled", ("--scale-intensities",))):
        _run(dl1_dl2, *request, "-c", tmp_path / "scaled.json", "-o", tmp_path / name, *more)
        table = read_dl2(tmp_path / name / "gamma_stereo_dl2.h5").table
        intensity[name] = [table[f"camera_frame_hillas_intensity_tel{tel}"] for tel in (1, 2)]
    np.testing.assert_allclose(intensity["scaled"][0], 2 * intensity["plain"][0])
    np.testing.assert_allclose(intensity["scaled"][1], intensity["plain"][1])


def test_missing_inputs_are_named(site, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        _run(dl1_dl2, "-f", tmp_path / "x.h5", "-c", site / "mc.json", "-m", tmp_path)
    with pytest.raises(InputError, match="no such file"):
        _run(train_rfs, "--fg", tmp_path / "x.h5", "-c", site / "mc.json")
    with pytest.raises(InputError, match="no such directory of models"):
        _run(dl1_dl2, "-f", site / "gamma_dl1.h5", "-c", site / "mc.json", "-m", tmp_path / "m")


@pytest.mark.parametrize("command", [train_rfs, dl1_dl2])
def test_help_shows_examples(command):
    assert f"sst1m {command.name} " in _run(command, "--help")
