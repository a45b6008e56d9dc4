"""What the notebooks are executed on: the made-up files of other tests, of which everything is known."""

import importlib.util
from pathlib import Path
from types import ModuleType


def _fixtures_of(directory: str) -> ModuleType:
    """Load the fixtures of other tests, which pytest gives to their own directories only."""
    name = f"fixtures_{directory.replace('/', '_')}"
    path = Path(__file__).parents[1] / directory / "conftest.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_runs, _stores, _lists = (_fixtures_of(f"sst1m{name}") for name in ("", "/quicklook", "/dl3"))
# a reduced run
config_document, make_config = _runs.config_document, _runs.make_config
calibration_dir, make_run, reduce_run = _runs.calibration_dir, _runs.make_run, _runs.reduce_run
# three hours of a Crab nebula
crab_store = _stores.crab_store
# responses at three zenith angles
write_irf_tree, irf_dir, cuts, config = _lists.write_irf_tree, _lists.irf_dir, _lists.cuts, _lists.config
