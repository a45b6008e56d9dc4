"""The pages that people look at: of a night, and of all nights."""

import concurrent.futures.thread  # noqa: F401 - when the command ends it is too late, and a page may need it
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import luigi

from sst1m.errors import InputError
from sst1m.layout import NightLayout
from sst1m.manifest import read_manifest
from sst1m.night_record import LEVELS, ScienceState
from sst1m.night_science import SciencePaths, night_states, night_targets
from sst1m.provenance import read_provenance
from tasks.base import NightTask, load_data_config
from tasks.console import start_console
from tasks.luigi_cfg import check_luigi_cfg
from tasks.parameters import analysis_dir, science_paths, site_path, wanted_setups

if TYPE_CHECKING:
    from sst1m.report.night_view import NightView

__all__ = ["Calendar", "NightReport", "night_view", "states_of", "write_page"]

log = logging.getLogger(__name__)


def states_of(night: NightLayout) -> Callable[[], list[ScienceState]]:
    """
    Return what finds the states of the products after DL1 of a night, as far as it was asked for.

    luigi's settings are read now, not when it is called.
    """
    paths, setups, config_file = science_paths(), wanted_setups(), site_path("config_file")

    def states() -> list[ScienceState]:
        manifest, record = read_manifest(night.manifest), read_provenance(night.record) or {}
        until, asked = str(record.get("until") or LEVELS[-1]), record.get("targets") or []
        if manifest is None or until == LEVELS[0]:
            return []
        targets = [name for name in night_targets(manifest) if not asked or name in asked]
        return night_states(night, manifest, targets, setups, until, paths, load_data_config(config_file))

    return states


def night_view(
    night: NightLayout,
    states: Callable[[], list[ScienceState]] | None = None,
    paths: SciencePaths | None = None,
) -> "NightView":
    """
    Return a night as its page shows it.

    Parameters
    ----------
    night : NightLayout
        Paths of the night.
    states : callable, optional
        Returns the states of the products after DL1, where they are known already.
    paths : SciencePaths, optional
        Models, responses and so on; without them those of luigi's settings.
    """
    from sst1m.report.night_view import NightView

    return NightView(night, paths or science_paths(), states or states_of(night))


def write_page(view: "NightView") -> None:
    """Write the page of a night and the numbers beside it, unless they are there and nothing has changed."""
    from sst1m.report.night_page import night_page

    night_page(view)


class NightReport(NightTask):
    """
    Writes the page about a night, ``report/index.html``, in whatever state the night is.

    `RunNight` writes it at its end. Alone it may be run at any time, also while the night is being processed:
    it only reads, and is due when something has changed.
    """

    farm = {"stage": "report", "seconds": 60.0, "mem_mb": 2000, "fuse": False}

    def output(self) -> luigi.LocalTarget:
        """Return the page."""
        return luigi.LocalTarget(str(self.night.report / "index.html"))

    def requires(self) -> list[luigi.Task]:
        """Need nothing: what is missing is named on the page."""
        check_luigi_cfg()
        if not self.night.root.is_dir():
            raise InputError(
                f"{self.night.root}: there is no such night yet; check --date, or begin it with RunNight"
            )
        return []

    def complete(self) -> bool:
        """Whether the page shows the night as it is."""
        if not self.output().exists():
            return False
        from sst1m.report.night_page import page_is_current

        return page_is_current(night_view(self.night))

    def run(self) -> None:
        """Write."""
        self.start()
        write_page(night_view(self.night))
        log.info("%s: %s", self.label, self.output().path)


class Calendar(luigi.Task):
    """
    Writes the page about all nights, ``calendar/index.html`` in the analysis root.

    May be run at any time; it reads what the reports of the nights say, and is due when one has changed.
    """

    farm = {"stage": "calendar", "seconds": 30.0, "mem_mb": 2000, "fuse": False}

    @property
    def label(self) -> str:
        """How messages call this task."""
        return self.task_family

    def requires(self) -> list[luigi.Task]:
        """Need nothing: nights without a report are shown as such."""
        check_luigi_cfg()
        if not analysis_dir().is_dir():
            raise InputError(f"{analysis_dir()}: there is no night yet; begin one with RunNight")
        return []

    def output(self) -> luigi.LocalTarget:
        """Return the page."""
        return luigi.LocalTarget(str(analysis_dir() / "calendar" / "index.html"))

    def complete(self) -> bool:
        """Whether the page shows all nights as they are."""
        if not self.output().exists():
            return False
        from sst1m.report.calendar_page import calendar_is_current

        return calendar_is_current(analysis_dir())

    def run(self) -> None:
        """Write."""
        start_console()
        from sst1m.report.calendar_page import write_calendar

        write_calendar(analysis_dir())
        log.info("%s: %s", self.label, self.output().path)
