"""A production of which some parts are there, made without simulating it all."""

import importlib.util
import json
from pathlib import Path

import pytest

from sst1m.config import load_config
from sst1m.irf.cuts import GammanessCuts
from sst1m.layout_mc import ProductionLayout
from sst1m.performance import PerformanceOptions, measure_performance
from sst1m.production.load import load_production
from sst1m.simulation.events import ShowerSpec
from sst1m.simulation.mc import simulate_mc_dl1

_SPEC = importlib.util.spec_from_file_location(
    "performance_conftest", Path(__file__).parents[1] / "performance" / "conftest.py"
)
_events = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_events)
make_events, mc_config = _events.make_events, _events.mc_config

EVIL = "ended with <script>alert(1)</script>"
FEATURES = ["log_camera_frame_hillas_intensity", "camera_frame_hillas_width"]


@pytest.fixture(scope="session")
def production(project_root):
    return load_production(project_root / "config" / "productions" / "demo.toml")


def write_card(layout, node, stereo, telescope, **more):
    forest = {
        "size": 2_500_000,
        "n_trees": 50,
        "n_nodes": 43_210,
        "max_depth": 16,
        "n_events": {"gamma": 1234, "proton": 567},
        "events_per_second": 98765.4,
        "features": FEATURES,
        "importances": [0.75, 0.25],
    }
    path = layout.models(node, stereo) / f"card_tel_{telescope:03d}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"disp_method": "disp_vector", "forests": {"reg_energy": forest | more}}))


@pytest.fixture(scope="session")
def partial(tmp_path_factory, project_root, production, make_events, mc_config):
    """Return the layout of a production of which only the first node is there, and not all of that."""
    layout = ProductionLayout(tmp_path_factory.mktemp("mc"), "half")
    node, other = production.axes.nodes[:2]
    config = load_config(project_root / "config" / "sst1m_mc_demo_config.json")
    merged = layout.merged("gamma_diffuse", node, "test")
    merged.parent.mkdir(parents=True)
    simulate_mc_dl1(ShowerSpec("gamma", 50, view_cone_deg=(0, 3)), merged, config=config, nsb_mhz=100)
    failed = layout.shards("proton_diffuse", node, "train").parent / "failed"
    failed.mkdir(parents=True)
    (failed / "x.json").write_text(json.dumps({"shard": "proton_7_dl1.h5", "message": EVIL}))
    write_card(layout, node, False, 1)
    (layout.models(node, False) / "card_tel_002.json").write_text("{broken")
    gammas = make_events(20_000, cone=(0, 3), gammaness=(0.3, 1.0), seed=1)
    protons = make_events(60_000, primary=101, cone=(0, 5), gammaness=(0.0, 0.9), seed=2)
    for at, proton in ((node, protons), (other, None)):
        measure_performance(
            layout.performance(at, "stereo"),
            gamma=gammas,
            proton=proton,
            cuts=GammanessCuts.from_config(mc_config),
            config=mc_config,
            setup="stereo",
            figures=proton is not None,
            options=PerformanceOptions(max_offset_deg=3.0),
        )
    summary = layout.performance(other, "tel_001") / "summary.json"
    summary.parent.mkdir(parents=True)
    summary.write_text('{"schema": {"name": "other", "version": 7}}')
    return layout
