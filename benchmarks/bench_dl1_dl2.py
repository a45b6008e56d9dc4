"""
DL1 to DL2 of a shard of many short run files: forests loaded once, against loading them for each file.

Run with ``python benchmarks/bench_dl1_dl2.py [n_files] [n_training_showers]``; numbers are of this machine
and this moment. Forests have the configured number of trees; those of a real production have ten times as
many nodes and take ten times as long to load.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sst1m.config import McConfig, load_config
from sst1m.nodes import Node
from sst1m.reco import model_store
from sst1m.reco.model_store import ModelStore
from sst1m.reco.reconstruct import reconstruct_file
from sst1m.reco.training import train_forests
from sst1m.simulation.events import ShowerSpec
from sst1m.simulation.mc import simulate_mc_dl1

CONFIG = Path(__file__).parents[1] / "config" / "sst1m_mc_config.json"
NODE = Node(20, 180, 100)
_SHOWERS_PER_RUN = 400


def _config() -> McConfig:
    config = load_config(CONFIG)
    assert isinstance(config, McConfig)
    quiet = config.DataWriter.model_copy(update={"write_images": "none"})
    return config.model_copy(update={"DataWriter": quiet})


def _simulate(directory: Path, config: McConfig, n_files: int, n_training: int) -> list[Path]:
    """Write the training samples and the short files; return the latter."""
    for particle, radius in (("gamma", 250), ("proton", 300)):
        spec = ShowerSpec(particle, n_training, 1.0, 50.0, -2.0, radius, view_cone_deg=(0, 3), seed=1)
        simulate_mc_dl1(spec, directory / f"{particle}_train_dl1.h5", config=config, nsb_mhz=NODE.nsb_mhz)
    files = []
    for number in range(n_files):
        spec = ShowerSpec("gamma", _SHOWERS_PER_RUN, 1.0, 20.0, -2.0, 200, offset_deg=0.7, seed=100 + number)
        files.append(directory / f"run_{number:04d}_dl1.h5")
        simulate_mc_dl1(spec, files[-1], config=config, nsb_mhz=NODE.nsb_mhz)
    return files


def _rate(
    files: list[Path], config: McConfig, models: Path, setup: str, before_each: Callable[[], None]
) -> float:
    """Return events per second over all files."""
    store, n_events = ModelStore(models, setup == "stereo"), 0
    start = time.perf_counter()
    for path in files:
        before_each()
        output = path.with_name(f"{path.stem}_dl2.h5")
        summary = reconstruct_file(path, output, config=config, store=store, tel_setup=setup)
        n_events += summary.n_written
    return n_events / (time.perf_counter() - start)


def main(n_files: int, n_training: int) -> None:
    """Print size and speed of the forests, and the rates of both ways for one telescope and for both."""
    config = _config()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        files = _simulate(directory, config, n_files, n_training)
        for setup, telescopes in (("tel_001", (1,)), ("stereo", (1, 2))):
            models = directory / f"models_{setup}"
            for telescope in telescopes:
                summary = train_forests(
                    directory / "gamma_train_dl1.h5",
                    directory / "proton_train_dl1.h5",
                    models / str(NODE),
                    config=config,
                    telescope=telescope,
                    stereo=setup == "stereo",
                    node=NODE,
                )
                for stem, card in summary.forests.items():
                    print(
                        f"{setup} telescope {telescope} {stem}: {card.n_trees} trees, {card.n_nodes} nodes, "
                        f"{card.size / 1e6:.1f} MB, {card.events_per_second:.0f} events/s on one core"
                    )
            _rate(files[:1], config, models, setup, lambda: None)
            once = _rate(files, config, models, setup, lambda: None)
            each = _rate(files, config, models, setup, model_store.forget_models)
            print(
                f"{setup}: {once:.0f} events/s in {n_files} files with forests loaded once, "
                f"{each:.0f} events/s loading them for each file: ratio {once / each:.2f}"
            )


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    main(*(numbers + [20, 6000][len(numbers) :]))
