"""Simulated events of both telescopes, and forests trained with them; made once for all tests of reco."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sst1m.config import McConfig, load_config
from sst1m.nodes import Node
from sst1m.reco.model_store import ModelStore
from sst1m.reco.training import train_forests
from sst1m.simulation.events import ShowerSpec
from sst1m.simulation.mc import simulate_mc_dl1

NODE = Node(20, 180, 100)
SPECS = {
    "gamma_train": ShowerSpec("gamma", 1600, 1, 20, -2.0, 180, 70, 180, (0.0, 3.0), seed=1),
    "proton_train": ShowerSpec("proton", 2200, 2, 40, -2.0, 220, 70, 180, (0.0, 3.0), seed=2),
    "gamma_test": ShowerSpec("gamma", 700, 1, 20, -2.0, 180, 70, 180, offset_deg=0.7, seed=3),
    "proton_test": ShowerSpec("proton", 700, 2, 40, -2.0, 220, 70, 180, (0.0, 3.0), seed=4),
    "nothing": ShowerSpec("gamma", 20, 0.06, 0.07, scatter_radius_m=1000, offset_deg=0.7, seed=5),
}


@pytest.fixture(scope="session")
def mc_config(project_root: Path) -> McConfig:
    """Return the configuration of simulations with small forests on one core and without images."""
    loaded = load_config(project_root / "config" / "sst1m_mc_config.json")
    assert isinstance(loaded, McConfig)
    return changed(loaded, n_estimators=30, n_jobs=1)


def changed(
    config: McConfig, *, analysis: dict | None = None, top: dict | None = None, **forests
) -> McConfig:
    """Return a configuration with other arguments of the forests, other values of analysis or of its top."""
    update = dict(top or {})
    for name in ("random_forest_regressor_args", "random_forest_classifier_args"):
        update[name] = getattr(config, name).model_copy(update=forests)
    update["analysis"] = config.analysis.model_copy(update=analysis or {})
    update.setdefault("DataWriter", config.DataWriter.model_copy(update={"write_images": "none"}))
    return config.model_copy(update=update)


@pytest.fixture(scope="session")
def change() -> Callable[..., McConfig]:
    """Return the function `changed`."""
    return changed


@dataclass(frozen=True)
class McFiles:
    """DL1 files, each simulated when it is asked for."""

    directory: Path
    config: McConfig

    def __getitem__(self, name: str) -> Path:
        path = self.directory / f"{name}_dl1.h5"
        if not path.exists():
            simulate_mc_dl1(SPECS[name], path, config=self.config, nsb_mhz=100)
        return path


@pytest.fixture(scope="session")
def mc(tmp_path_factory: pytest.TempPathFactory, mc_config: McConfig) -> McFiles:
    """Return the simulated DL1 files by name."""
    return McFiles(tmp_path_factory.mktemp("mc"), mc_config)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, mc: McFiles, mc_config: McConfig) -> Path:
    """Return a directory with models_mono and models_stereo of both telescopes."""
    root = tmp_path_factory.mktemp("models")
    for kind in ("mono", "stereo"):
        for telescope in (1, 2):
            train_forests(
                mc["gamma_train"],
                mc["proton_train"],
                root / f"models_{kind}" / str(NODE),
                config=mc_config,
                telescope=telescope,
                stereo=kind == "stereo",
                node=NODE,
            )
    return root


@pytest.fixture(scope="session")
def stores(models: Path) -> dict[bool, ModelStore]:
    """Return the forests, by whether they are for stereo."""
    return {s: ModelStore(models / f"models_{'stereo' if s else 'mono'}", s) for s in (False, True)}
