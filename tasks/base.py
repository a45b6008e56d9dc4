"""What all tasks of a night share: the paths of the site, the configuration, and an orderly start."""

import functools
import hashlib
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import luigi

from sst1m.analysis_root import claim_analysis_root
from sst1m.errors import ConfigError, Sst1mError
from sst1m.isolation import die_with_parent
from sst1m.layout import NightLayout
from sst1m.night_scan import NightRequest
from tasks.console import set_traceback_file, start_console
from tasks.parameters import NightParameter, analysis_dir, last_night, night_options, site_path, telescope_ids

if TYPE_CHECKING:
    from sst1m.config import AnalysisConfig

__all__ = [
    "CALL_STARTED_NS",
    "NightTask",
    "PlannedTask",
    "load_data_config",
    "load_site_config",
    "unless_refused",
]

T = TypeVar("T", bound=luigi.Task)

CALL_STARTED_NS = time.time_ns()
"""When the present command began; forked workers inherit it."""

_MAIN_PID = os.getpid()


def unless_refused(complete: Callable[[T], bool]) -> Callable[[T], bool]:
    """
    Let a task whose products the disk does not show at present count as one that is not complete.

    Its `run` meets the same error, and there it is recorded and reaches the observer in one line.
    """

    @functools.wraps(complete)
    def answer(task: T) -> bool:
        try:
            return complete(task)
        except OSError:
            return False

    return answer


class PlannedTask(luigi.Task):
    """A task that remembers what it needs: luigi asks for it after the work, too, to write its summary."""

    def _requires(self) -> list[luigi.Task]:
        try:
            self._known_requires: list[luigi.Task] = super()._requires()
        except (Sst1mError, OSError):
            # A disk that has failed meanwhile is no error of the summary.
            if "_known_requires" not in self.__dict__:
                raise
        return self._known_requires


class NightTask(PlannedTask):
    """A task that belongs to a night."""

    date = NightParameter(default=last_night(), description="evening of the night; default: last night")

    @property
    def label(self) -> str:
        """How messages call this task."""
        return f"{self.task_family} {self.date:%Y-%m-%d}"

    @property
    def night(self) -> NightLayout:
        """Paths of the night."""
        return NightLayout(analysis_dir(), self.date)

    @property
    def request(self) -> NightRequest:
        """Which raw files make the night."""
        return NightRequest(
            root_dir=site_path("root_dir"),
            night=self.night,
            tel_ids=telescope_ids(),
            settle_minutes=night_options().settle_minutes,
            asked_ns=CALL_STARTED_NS,
        )

    def claim_root(self) -> "AnalysisConfig":
        """
        Bind the analysis root to the site's configuration, and return that.

        Raises
        ------
        ConfigError
            If the root holds products of another one.
        """
        config = load_site_config()
        claim_analysis_root(self.night.ana_dir, config.fingerprint(), config.canonical(), product_options())
        return config

    def start(self) -> None:
        """Begin the work: console, file for tracebacks, and an end together with luigi's."""
        start_console()
        set_traceback_file(self.night.log)
        if multiprocessing.parent_process() is not None and os.getppid() == _MAIN_PID:
            # A worker process of luigi: a luigi that was killed must not leave it at work.
            die_with_parent(_MAIN_PID)


def config_digest(path: Path | None = None) -> str:
    """
    Return the sha256 of the configuration file's bytes: equal bytes need not be read again.

    Raises
    ------
    ConfigError
        If the file cannot be read.
    """
    path = path or site_path("config_file")
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(f"[site] config_file = {path}: cannot be read ({error.strerror})") from None


_configs: dict[tuple[Path, str], "AnalysisConfig"] = {}


def load_site_config() -> "AnalysisConfig":
    """Read the configuration that ``[site] config_file`` names; see `load_data_config`."""
    return load_data_config(site_path("config_file"))


def load_data_config(path: Path) -> "AnalysisConfig":
    """
    Read a configuration of data, once per process.

    Raises
    ------
    ConfigError
        If it is not valid, or is one of simulations.
    """
    from sst1m.config import load_config

    key = (path, config_digest(path))
    if key not in _configs:
        config = load_config(path)
        if config.kind != "data":
            raise ConfigError(f"{path}: is a configuration of simulations; a night needs one of data")
        _configs[key] = config
    return _configs[key]


def product_options() -> dict[str, object]:
    """Return the options of ``[night]`` that change what products contain."""
    options = night_options()
    return {"precise_timestamps": options.precise_timestamps, "px_charges": options.px_charges}
