"""Small productions, and the configuration of their analysis."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sst1m.config import McConfig, config_from_dict
from sst1m.layout_mc import ProductionLayout
from sst1m.production.load import production_from_dict
from sst1m.production.plan import PlannedProduction

BEAM = {"energy_min": 2, "energy_max": 5, "index": -2.0, "scatter_radius": 150}


@pytest.fixture(scope="session")
def mc_document(project_root: Path) -> dict:
    return json.loads((project_root / "config" / "sst1m_mc_demo_config.json").read_text())


@pytest.fixture(scope="session")
def mc_config(mc_document: dict) -> McConfig:
    return config_from_dict(mc_document)


def one_node() -> dict:
    return {
        "seed": 3,
        "irf_version": "0_1",
        "axes": {"zenith": [20], "azimuth": [180], "nsb": [100]},
        "source": {"kind": "simulator"},
        "particles": {
            "gamma_diffuse": BEAM
            | {
                "view_cone": 2.0,
                "train": {"shards": 2, "showers": 30},
                "test": {"shards": 1, "showers": 20},
            }
        },
    }


@pytest.fixture
def document() -> dict:
    """A production of one node: two shards of gammas for training, one for tests."""
    return one_node()


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory, mc_config: McConfig) -> PlannedProduction:
    """That production with all of its shards, made once; not to be changed."""
    from sst1m.production.make_shard import make_shard

    root = tmp_path_factory.mktemp("simulated")
    production = production_from_dict(one_node())
    planned = PlannedProduction(production, ProductionLayout(root, "test"), root / "test.toml")
    for shard in planned.shards():
        assert make_shard(planned, shard, mc_config).state == "done"
    return planned


@pytest.fixture
def plan(tmp_path: Path) -> Callable[[dict], PlannedProduction]:
    """Return a function: the planned production of a document, below a directory of the test."""

    def planned(document: dict, name: str = "test") -> PlannedProduction:
        layout = ProductionLayout(tmp_path / "mc", name)
        return PlannedProduction(production_from_dict(document), layout, tmp_path / f"{name}.toml")

    return planned
