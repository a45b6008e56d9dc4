"""A night: its manifest, its runs, and its closing."""

import functools
import logging
from collections.abc import Iterator
from pathlib import Path

import luigi

from sst1m.analysis_root import check_analysis_root
from sst1m.errors import ConfigError, InputError, Sst1mError
from sst1m.manifest import Manifest, ManifestRow, read_manifest
from sst1m.night_record import (
    LEVELS,
    NightPlan,
    close_night,
    is_closed,
    make_manifest,
    refresh_manifest,
    retry_quarantined,
)
from sst1m.night_scan import is_current
from tasks.base import CALL_STARTED_NS, NightTask, config_digest, load_site_config, product_options
from tasks.console import night_table, report_at_exit
from tasks.luigi_cfg import check_luigi_cfg
from tasks.parameters import site_paths, telescope_ids
from tasks.reduction import CalibrateRun

__all__ = ["AwaitedRun", "NightManifest", "RunNight"]

log = logging.getLogger(__name__)


class NightManifest(NightTask):
    """
    Makes ``manifest.ecsv``: every raw file of both telescopes, what it holds and what is to be done with it.

    May be run again at any time. It is due when a raw file has arrived or changed, or the operator has
    changed ``corrections.ecsv``; products that no longer belong to their raw file or their correction are
    removed then.
    """

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
        except Sst1mError:
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
    Processes all raw files of a night, and closes it with ``night.json``.

    May be run again at any time: only what is missing is done. The night is complete when every raw file is
    done or rightly skipped; luigi then ends with status 0. Status 20 means that a run waits for a file or
    for the operator, 30 that a run is in quarantine or could not be reduced, 35 that the configuration is
    wrong.
    """

    until = luigi.Parameter(default="dl1", description=f"data level to be reached: {', '.join(LEVELS)}")
    retry_quarantined = luigi.BoolParameter(
        default=False, significant=False, description="take all runs out of quarantine and try them again"
    )

    @property
    def plan(self) -> NightPlan:
        """What is asked of the night."""
        return NightPlan(self.request, self.until, config_digest(), product_options())

    def output(self) -> luigi.LocalTarget:
        """Return the closing record."""
        return luigi.LocalTarget(str(self.night.record))

    def complete(self) -> bool:
        """Whether the night was closed as complete and nothing has changed since; imports nothing heavy."""
        try:
            closed = is_closed(self.plan)
        except Sst1mError:
            # requires() meets the same error, and there it reaches the observer in one line.
            return False
        # The paths are taken now: at the exit, luigi has forgotten what the command line said.
        report_at_exit(self.task_id, functools.partial(_table, self.night.manifest))
        return closed

    def requires(self) -> list[luigi.Task]:
        """
        Need the manifest, and once it is there, every run in it: so a night can be planned before it is run.

        What arrives between the planning and the run is not forgotten: `run` looks at the manifest once more.
        """
        check_luigi_cfg()
        if self.until not in LEVELS:
            raise ConfigError(f"--until {self.until}: this version can reach {', '.join(LEVELS)}")
        site_paths("root_dir", "ana_dir", "config_file")
        telescope_ids()
        config = load_site_config()
        check_analysis_root(self.night.ana_dir, config.fingerprint(), config.canonical(), product_options())
        self._take_out_of_quarantine()
        manifest = self._scan()
        if not manifest.complete():
            return [manifest]
        return list(self._runs(read_manifest(self.night.manifest)))

    def _take_out_of_quarantine(self) -> None:
        """Clear the records that are older than this command; a run that fails again stays in quarantine."""
        if self.retry_quarantined:
            for file in retry_quarantined(self.night, CALL_STARTED_NS):
                log.info("%s: out of quarantine, to be reduced again", file)

    def _scan(self) -> NightManifest:
        return NightManifest(date=self.date)

    def _runs(self, manifest: Manifest | None) -> Iterator[CalibrateRun]:
        """Return a task for every run that is to be reduced."""
        rows: tuple[ManifestRow, ...] = manifest.rows if manifest else ()
        for row in rows:
            if row.product:
                yield CalibrateRun(
                    date=self.date,
                    tel=row.tel,
                    run_number=row.run,
                    target=row.target,
                    wobble=row.wobble,
                    ra=row.ra,
                    dec=row.dec,
                    pointing_source=row.pointing_source,
                )

    def run(self) -> Iterator[list[luigi.Task]]:
        """Reduce what the manifest lists, look for what has arrived meanwhile, and close the night."""
        self.start()
        config = self.claim_root()
        self._take_out_of_quarantine()
        yield [self._scan()]
        yield list(self._runs(read_manifest(self.night.manifest)))
        manifest = refresh_manifest(self.request)
        if close_night(self.plan, manifest, config.fingerprint()):
            return
        if quarantined := manifest.in_state("quarantined"):
            names = ", ".join(f"tel {row.tel} {row.file}" for row in quarantined[:3])
            more = ", ..." if len(quarantined) > 3 else ""
            raise InputError(
                f"{len(quarantined)} of {len(manifest.rows)} raw files in quarantine ({names}{more}): "
                "replace them, exclude them in corrections.ecsv, or try again with --retry-quarantined"
            )
        waiting = manifest.in_state("waiting")
        yield [AwaitedRun(date=self.date, tel=row.tel, file=row.file, reason=row.reason) for row in waiting]


def _table(path: Path) -> str:
    manifest = read_manifest(path)
    return night_table(manifest, path) if manifest else ""
