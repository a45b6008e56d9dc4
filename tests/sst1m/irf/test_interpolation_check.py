"""The check of a production: nodes between others are left out, and the page shows what came of it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sst1m.config import load_config
from sst1m.errors import InputError
from sst1m.irf.gadf import write_irfs
from sst1m.irf.responses import IrfSet
from sst1m.layout_mc import ProductionLayout, irf_path
from sst1m.nodes import Node
from sst1m.production.interpolation import read_interpolation_check
from sst1m.production.load import production_from_dict
from sst1m.production.plan import PlannedProduction
from sst1m.production.steps import ProductionStep
from sst1m.report.production_interpolation import interpolation_section
from sst1m.report.production_page import production_page

THROWN = {"energy_min": 1, "energy_max": 10, "index": -2.0, "scatter_radius": 150, "view_cone": 2.0}
DOCUMENT = {
    "seed": 1,
    "irf_version": "0_1",
    "setups": ["stereo"],
    "cuts": ["global"],
    "source": {"kind": "simulator"},
    "particles": {
        name: THROWN | {role: {"shards": 1, "showers": 10} for role in ("train", "test")}
        for name in ("gamma_diffuse", "proton_diffuse")
    },
}


@pytest.fixture
def make_step(project_root: Path, tmp_path: Path) -> Callable[..., ProductionStep]:
    """Return a function: the steps of a production of some zenith angles."""
    config = load_config(project_root / "config" / "sst1m_mc_config.json")

    def make(*zeniths: float) -> ProductionStep:
        axes = {"zenith": list(zeniths), "azimuth": [180], "nsb": [100]}
        production = production_from_dict(DOCUMENT | {"axes": axes})
        return ProductionStep(
            PlannedProduction(production, ProductionLayout(tmp_path, "grid"), tmp_path / "grid.toml"), config
        )

    return make


def test_inner_nodes_are_checked_and_shown(make_step, grid_irfs: dict[Node, IrfSet], tmp_path: Path):
    step, irf_dir = make_step(20, 30, 40, 50, 60), tmp_path / "irf"
    for node, irf in grid_irfs.items():
        write_irfs(irf, irf_path(irf_dir, "stereo", "0_1", node, irf.cuts.tag))
    assert step.check_interpolation(irf_dir)
    assert not step.check_interpolation(irf_dir), "it is there"
    layout = step.planned.layout
    check = read_interpolation_check(layout.interpolation_check)
    assert check["inner_nodes"] == [row["node"] for row in check["rows"]]
    assert check["inner_nodes"] == [f"ze{zenith}_az180_nsb100" for zenith in (30, 40, 50)]
    for row in check["rows"]:
        assert abs(row["error_nearest"]) > 3 * abs(row["error_interpolated"])
        assert row["bin_error_nearest"] > 3 * row["bin_error_interpolated"]
        assert 0 < row["chance"] < 0.05
        assert sum(row["bins"]["own"]) == pytest.approx(row["counts"])
        assert sum(row["weights"]) == pytest.approx(1)

    facts = production_page(layout, step.planned.production, layout.report, irf_dir=irf_dir)
    assert facts["interpolation"] == check
    text = layout.report.read_text()
    assert "Predicted / own counts, stereo, 0.75" in text
    for row in check["rows"]:
        assert f"{100 * row['error_nearest']:.3g}" in text and f"{row['node']}: interpolated" in text


def test_a_production_without_inner_nodes_says_so(make_step, tmp_path: Path):
    step = make_step(20, 40)
    step.check_interpolation(tmp_path / "no responses are needed")
    check = read_interpolation_check(step.planned.layout.interpolation_check)
    assert check["rows"] == [] == check["inner_nodes"]
    assert "none could be left out" in interpolation_section({"interpolation": check}).body


def test_a_check_of_another_schema_is_named_on_the_page(make_step, tmp_path: Path):
    layout = make_step(20, 40).planned.layout
    layout.root.mkdir(parents=True)
    layout.interpolation_check.write_text(json.dumps({"schema": {"name": "other", "version": 1}}))
    with pytest.raises(InputError, match="schema is"):
        read_interpolation_check(layout.interpolation_check)
    facts = production_page(layout, make_step(20, 40).planned.production, layout.report)
    assert "its schema is" in facts["interpolation"]["missing"]
