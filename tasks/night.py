"""A night: its manifest, its runs, and its closing."""

import functools
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import luigi

from sst1m.analysis_root import check_analysis_root
from sst1m.errors import ConfigError, InputError, Sst1mError
from sst1m.layout import NightLayout
from sst1m.manifest import Manifest, read_manifest
from sst1m.night_record import (
    LEVELS,
    NightPlan,
    ScienceState,
    close_night,
    closed_states,
    is_closed,
    make_manifest,
    refresh_manifest,
    retry_quarantined,
)
from sst1m.night_scan import NightRequest, is_current
from sst1m.night_science import SciencePaths, night_states, night_targets
from sst1m.report.closing import has_page
from tasks.base import (
    CALL_STARTED_NS,
    NightTask,
    config_digest,
    load_data_config,
    load_site_config,
    product_options,
)
from tasks.console import report_at_exit
from tasks.luigi_cfg import check_luigi_cfg
from tasks.night_table import night_table, science_table
from tasks.parameters import science_paths, site_path, site_paths, telescope_ids, wanted_setups
from tasks.reduction import CalibrateRun
from tasks.report import night_view, states_of, write_page
from tasks.science import science_tasks

if TYPE_CHECKING:
    from sst1m.report.night_view import NightView

__all__ = ["AwaitedRun", "NightManifest", "RunNight"]

log = logging.getLogger(__name__)


class NightManifest(NightTask):
    """
    Makes ``manifest.ecsv``: every raw file of both telescopes, what it holds and what is to be done with it.

    May be run again at any time. It is due when a raw file has arrived or changed, or the operator has
    changed ``corrections.ecsv``; products that no longer belong to their raw file or their correction are
    removed then.
    """

    #: All else depends on it, and it reads headers only.
    farm = {"stage": "manifest", "seconds": 5.0, "mem_mb": 500, "here": True}

    def output(self) -> luigi.LocalTarget:
        """Return the manifest."""
        return luigi.LocalTarget(str(self.night.manifest))

    def complete(self) -> bool:
        """
        Whether the manifest describes the raw files and corrections as they are now.

        luigi asks right after the run, too; a file that has arrived in between is no failure of the run, and
        the next question finds it.
        """
        if self.__dict__.pop("_just_made", False):
            return True
        try:
            return is_current(read_manifest(self.night.manifest), self.request)
        except (Sst1mError, OSError):
            # Its run() meets the same error, and there it reaches the observer in one line.
            return False

    def run(self) -> None:
        """Scan the raw files."""
        self.start()
        self.claim_root()
        manifest = make_manifest(self.request)
        for tel_id in self.request.tel_ids:
            files = sum(row.tel == tel_id for row in manifest.rows)
            directory = self.request.raw_directory(tel_id)
            log.info("tel %s: %s", tel_id, f"{files} raw files" if files else f"no raw files in {directory}")
        self._just_made = True


class AwaitedRun(luigi.ExternalTask):
    """A run that waits for the end of its copy, or for the operator's word on its pointing."""

    date = luigi.DateParameter(description="evening of the night")
    tel = luigi.IntParameter(description="telescope, 21 or 22")
    file = luigi.Parameter(description="name of the raw file")
    reason = luigi.Parameter(significant=False, description="what it waits for")

    def complete(self) -> bool:
        """Return False: what has arrived is seen by the next call, which scans the raw files anew."""
        return False


class RunNight(NightTask):
    """
    Processes all raw files of a night up to photon lists, and closes it with its page.

    May be run again at any time: only what is missing is done. The night is complete when every raw file is
    done or rightly skipped, and so is every product that follows; luigi then ends with status 0. Status 20
    means that a run waits for a file or for the operator, 30 that a run or a product is in quarantine or
    could not be made, 35 that the configuration is wrong.
    """

    farm = {"stage": "close", "seconds": 60.0, "mem_mb": 2000, "fuse": False}

    until = luigi.Parameter(default=LEVELS[-1], description=f"data level to be reached: {', '.join(LEVELS)}")
    targets = luigi.Parameter(
        default="", description="targets for which to go beyond DL1, separated by commas; empty: all"
    )
    retry_quarantined = luigi.BoolParameter(
        default=False, significant=False, description="take everything out of quarantine and try it again"
    )

    absent_targets_allowed = luigi.BoolParameter(
        default=False,
        significant=False,
        visibility=luigi.parameter.ParameterVisibility.HIDDEN,
        description="a target that was not observed is no error, as in many nights",
    )

    @property
    def plan(self) -> NightPlan:
        """What is asked of the night."""
        return NightPlan(
            self.request,
            self.until,
            config_digest(),
            product_options(),
            science_paths().signature(self.until, wanted_setups()),
            self._asked(),
        )

    def _asked(self) -> tuple[str, ...]:
        return tuple(sorted({name.strip() for name in self.targets.split(",") if name.strip()}))

    def absent_targets(self) -> list[str]:
        """Return those of the targets asked for that were not observed, as far as the manifest is known."""
        manifest = read_manifest(self.night.manifest)
        known = night_targets(manifest) if manifest else self._asked()
        return [name for name in self._asked() if name not in known]

    def output(self) -> luigi.LocalTarget:
        """Return the closing record."""
        return luigi.LocalTarget(str(self.night.record))

    def complete(self) -> bool:
        """Whether the night was closed as complete and nothing has changed since; imports nothing heavy."""
        try:
            closed = is_closed(self.plan) and has_page(self.night)
        except (Sst1mError, ValueError, OSError):
            # requires() meets the same error, and there it reaches the observer in one line.
            return False
        report_at_exit(self.task_id, self._reporter(closed))
        return closed

    def requires(self) -> list[luigi.Task]:
        """
        Need the manifest, and once it is there, all that follows from it: so a night can be planned before
        it is run.

        What arrives between the planning and the run is not forgotten: `run` looks at the manifest once more.
        """
        check_luigi_cfg()
        if self.until not in LEVELS:
            raise ConfigError(f"--until {self.until}: there are only {', '.join(LEVELS)}")
        site_paths("root_dir", "ana_dir", "config_file")
        telescope_ids()
        config = load_site_config()
        check_analysis_root(self.night.ana_dir, config.fingerprint(), config.canonical(), product_options())
        # What the later levels need is missing now as it will be after hours of reduction.
        science_paths().signature(self.until, wanted_setups())
        self._take_out_of_quarantine()
        manifest = self._scan()
        if not manifest.complete():
            return [manifest]
        return self._work(read_manifest(self.night.manifest))

    def _take_out_of_quarantine(self) -> None:
        """Clear the records that are older than this command; a run that fails again stays in quarantine."""
        if self.retry_quarantined:
            for file in retry_quarantined(self.night, CALL_STARTED_NS):
                log.info("%s: out of quarantine, to be tried again", file)

    def _scan(self) -> NightManifest:
        return NightManifest(date=self.date)

    def _work(self, manifest: Manifest | None) -> list[luigi.Task]:
        """Return the reduction of every run, and what is to be made of each target."""
        if manifest is None:
            return []
        runs: list[luigi.Task] = [CalibrateRun.of(self.date, row) for row in manifest.rows if row.product]
        targets = self._chosen(manifest)
        if self.until == "dl1":
            return runs
        return runs + list(science_tasks(self.date, manifest, self.until, targets))

    def _chosen(self, manifest: Manifest) -> list[str]:
        """Return the targets to go on with; a name that is none of the night's is an error."""
        known = night_targets(manifest)
        unknown = [name for name in self._asked() if name not in known]
        if unknown and not self.absent_targets_allowed:
            raise ConfigError(
                f"--targets {', '.join(unknown)}: not observed in the night {self.date:%Y-%m-%d}; "
                f"there are {', '.join(known) or 'no targets at all'}"
            )
        return [name for name in known if not self._asked() or name in self._asked()]

    def run(self) -> Iterator[list[luigi.Task]]:
        """Do what the manifest lists, look for what has arrived meanwhile, and close the night."""
        self.start()
        config = self.claim_root()
        self._take_out_of_quarantine()
        yield [self._scan()]
        yield self._work(read_manifest(self.night.manifest))
        manifest = refresh_manifest(self.request)
        science = self._science_states(manifest)
        complete = close_night(self.plan, manifest, config.fingerprint(), science)
        write_page(night_view(self.night, lambda: science))
        if complete:
            return
        self._complain(manifest, science)
        waiting = manifest.in_state("waiting")
        yield [AwaitedRun(date=self.date, tel=row.tel, file=row.file, reason=row.reason) for row in waiting]

    def _science_states(self, manifest: Manifest) -> list[ScienceState]:
        if self.until == "dl1":
            return []
        targets = self._chosen(manifest)
        paths, config = science_paths(), load_site_config()
        return night_states(self.night, manifest, targets, wanted_setups(), self.until, paths, config)

    def _reporter(self, closed: bool) -> Callable[[], str]:
        """
        Return what makes the table for the observer; luigi's settings are read now, not at the exit.

        Parameters
        ----------
        closed : bool
            Whether the night is complete already, as its record describes it.
        """
        night, paths, config_path = self.night, science_paths(), site_path("config_file")
        until, setups, asked = self.until, wanted_setups(), self._asked()

        def states(manifest: Manifest) -> list[ScienceState]:
            if until == "dl1":
                return []
            if closed and (known := closed_states(night, manifest.signature)) is not None:
                return known
            targets = [name for name in night_targets(manifest) if not asked or name in asked]
            return night_states(night, manifest, targets, setups, until, paths, load_data_config(config_path))

        if closed:
            return functools.partial(_table, night, states)
        page = functools.partial(_view, night, states_of(night), paths)
        return functools.partial(_table, night, states, page, functools.partial(_of_now, self.request))

    def _complain(self, manifest: Manifest, science: list[ScienceState]) -> None:
        """Raise if something is in quarantine: luigi then ends with the status of a failure."""
        names = [f"tel {row.tel} {row.file}" for row in manifest.in_state("quarantined")]
        names += [state.product for state in science if state.state == "quarantined"]
        if names:
            more = ", ..." if len(names) > 3 else ""
            raise InputError(
                f"{len(names)} raw files or products in quarantine ({', '.join(names[:3])}{more}): "
                "replace the files, exclude them in corrections.ecsv, or try again with --retry-quarantined"
            )


def _of_now(request: NightRequest) -> Manifest:
    """Return the manifest with the states of now; raise where it is of an earlier time all the same."""
    manifest = refresh_manifest(request)
    if not is_current(manifest, request):
        raise InputError("raw files or corrections have changed since, run the same command again")
    return manifest


def _view(
    night: NightLayout, states: Callable[[], list[ScienceState]], paths: SciencePaths, problem: str
) -> "NightView":
    """Return what the page is about; of a night that cannot be looked at now, the products are not known."""

    def unknown() -> list[ScienceState]:
        raise InputError(problem)

    return night_view(night, unknown if problem else states, paths)


def _table(
    night: NightLayout,
    states: Callable[[Manifest], list[ScienceState]],
    page: "Callable[[str], NightView] | None" = None,
    refresh: Callable[[], Manifest] | None = None,
) -> str:
    """Return the table of a night; what the command did not come to write is written first: states, page."""
    manifest = read_manifest(night.manifest)
    if manifest is None:
        return ""
    problem = ""
    if refresh is not None:
        # A night that failed was not closed, and its last runs may not be in the manifest yet.
        try:
            manifest = refresh()
        except (Sst1mError, OSError) as error:
            problem = str(error)
            manifest = read_manifest(night.manifest) or manifest
    written = f"page: {night.report / 'index.html'}"
    try:
        if page is not None:
            write_page(page(problem))
    except (Sst1mError, OSError) as error:
        written = f"no page: {error}"
    products = states(manifest)
    science = science_table(products, night.root)
    table = night_table(manifest, night.manifest, products, problem) + (f"\n{science}" if science else "")
    return f"{table}\n  {written}"
