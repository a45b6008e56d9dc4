"""What all tasks of a production share: its plan, the configuration of simulations, and an orderly start."""

import hashlib
import multiprocessing
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import luigi

from sst1m.errors import ConfigError
from sst1m.isolation import die_with_parent
from sst1m.nodes import Node
from sst1m.production.find import find_production
from tasks.base import PlannedTask
from tasks.console import set_traceback_file, start_console
from tasks.parameters import site_path

if TYPE_CHECKING:
    from sst1m.config import McConfig
    from sst1m.production.plan import PlannedProduction, Sample
    from sst1m.production.steps import ProductionStep

__all__ = [
    "ProductionTask",
    "SampleTask",
    "file_digest",
    "mc_config",
    "mc",
    "production_file",
    "production_options",
]

_MAIN_PID = os.getpid()
_SHIPPED = Path(__file__).parents[1] / "config" / "productions"


class mc(luigi.Config):  # noqa: N801 - the class name is the section's name in luigi.cfg
    """Section ``[mc]`` of luigi.cfg: how a production is worked on; no result depends on it."""

    n_jobs = luigi.IntParameter(default=1, description="cores for the forests of one task; -1: all")
    shards_per_task = luigi.IntParameter(
        default=0, description="shards that one task makes in turn; 0: as many as keep the graph small"
    )


def production_options() -> mc:
    """
    Return the section ``[mc]``.

    Raises
    ------
    ConfigError
        If one of its values cannot be understood.
    """
    try:
        return mc()
    except ValueError as error:
        raise ConfigError(f"luigi.cfg, [mc]: {error}") from None


def production_file(name: str) -> Path:
    """
    Return the file of a production: a path, or a name in ``config/productions`` here or of the checkout.

    Raises
    ------
    ConfigError
        If there is none.
    """
    return find_production(name, (Path.cwd() / "config" / "productions", _SHIPPED))


@lru_cache(maxsize=4)
def _planned(file: Path, mc_dir: Path, _mtime_ns: int) -> "PlannedProduction":
    from sst1m.layout_mc import ProductionLayout
    from sst1m.production.load import load_production
    from sst1m.production.plan import PlannedProduction

    return PlannedProduction(load_production(file), ProductionLayout(mc_dir, file.stem), file)


@lru_cache(maxsize=4)
def _config(path: Path, _digest: str, n_jobs: int) -> "McConfig":
    from sst1m.config import McConfig, load_config

    config = load_config(path)
    if not isinstance(config, McConfig):
        raise ConfigError(f"{path}: is a configuration of data; a production needs one of simulations")
    names = ("random_forest_regressor_args", "random_forest_classifier_args")
    cores = {name: getattr(config, name).model_copy(update={"n_jobs": n_jobs}) for name in names}
    return config.model_copy(update=cores)


def mc_config() -> "McConfig":
    """
    Read the configuration that ``[site] mc_config_file`` names, once per process.

    Raises
    ------
    ConfigError
        If it is not valid, or is one of data.
    """
    path = site_path("mc_config_file")
    return _config(path, file_digest(path, "[site] mc_config_file"), production_options().n_jobs)


def file_digest(path: Path, what: str) -> str:
    """
    Return the sha256 of a file's bytes: equal bytes need not be read again.

    Raises
    ------
    ConfigError
        If the file cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(f"{what} {path}: cannot be read ({error.strerror})") from None


class ProductionTask(PlannedTask):
    """A task of a production."""

    production = luigi.Parameter(description="name of a file in config/productions, or path of a .toml file")

    @property
    def label(self) -> str:
        """How messages call this task: its family and all of its parameters but the production."""
        values = [str(getattr(self, name)) for name, _ in self.get_params() if name != "production"]
        return " ".join([self.task_family, *values])

    @property
    def planned(self) -> "PlannedProduction":
        """The plan; read once per process as long as its file stays the same."""
        file = production_file(self.production)
        return _planned(file, site_path("mc_dir"), file.stat().st_mtime_ns)

    @property
    def step(self) -> "ProductionStep":
        """The steps of the production with its configuration, whose claim on the directory is checked."""
        from sst1m.production.claim import claim_production_root
        from sst1m.production.steps import ProductionStep

        planned, config = self.planned, mc_config()
        claim_production_root(planned, config)
        return ProductionStep(planned, config)

    def start(self) -> "ProductionStep":
        """Begin the work: console, file for tracebacks, and an end together with luigi's."""
        start_console()
        step = self.step
        set_traceback_file(step.planned.layout.log)
        if multiprocessing.parent_process() is not None and os.getppid() == _MAIN_PID:
            # A worker process of luigi: a luigi that was killed must not leave it at work.
            die_with_parent(_MAIN_PID)
        return step


class SampleTask(ProductionTask):
    """A task on one particle at one node in one role."""

    particle = luigi.Parameter(description="gamma_diffuse, gamma_point, proton_diffuse or electron_diffuse")
    node = luigi.Parameter(description="name of the node, e.g. ze20_az180_nsb100")
    role = luigi.Parameter(description="train or test")

    @property
    def sample(self) -> "Sample":
        """The sample of the plan."""
        return self.planned.sample(self.particle, Node.parse(self.node), self.role)
