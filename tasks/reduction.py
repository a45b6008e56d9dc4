"""From one raw file to one product."""

import contextlib
import datetime
import logging
import os
import time
from typing import Self

import luigi

from sst1m.errors import Sst1mError
from sst1m.layout import raw_path
from sst1m.manifest import Manifest, ManifestRow
from sst1m.names import RawName
from sst1m.night_record import refresh_manifest, refresh_while_running
from sst1m.run_reduction import RunJob, RunOutcome, reduce_night_run, run_is_settled
from tasks.base import NightTask, load_site_config, product_options, unless_refused
from tasks.parameters import optional_site_path, site_path

__all__ = ["CalibrateRun", "RawRun"]

log = logging.getLogger(__name__)


class RawRun(luigi.ExternalTask):
    """A raw file; it comes from the telescope and is only read."""

    path = luigi.Parameter(description="the raw file")

    def output(self) -> luigi.LocalTarget:
        """Return the raw file itself."""
        return luigi.LocalTarget(self.path)

    def complete(self) -> bool:
        """Whether it is there; if not, why: the table of the night only knows that the run is not reduced."""
        try:
            os.stat(self.path)
        except OSError as error:
            log.warning(
                "%s: is not there (%s); put it back or check the disk, and run the same command again",
                self.path, error.strerror,
            )  # fmt: skip
            return False
        return True


class CalibrateRun(NightTask):
    """
    Makes the DL1 file of one run: calibrated, cleaned, parametrised.

    May be run again at any time: it does nothing if the product exists. A raw file that is itself to blame
    for a failure goes into quarantine and counts as settled until it is replaced; any other failure is
    tried again at the next call.
    """

    farm = {"stage": "dl1", "by": "tel", "seconds": 1.5e-7, "mem_mb": 1500, "shard_minutes": 15.0}
    """Seconds per byte of raw file; see `submit.spec`. A night is wanted soon: its shards are short."""

    tel = luigi.IntParameter(description="telescope, 21 or 22")
    run_number = luigi.IntParameter(description="number of the run")
    target = luigi.Parameter(description="name of the target")
    wobble = luigi.Parameter(description="wobble tag in the product's name; empty: none")
    ra = luigi.FloatParameter(description="pointing of the telescope, ICRS [deg]")
    dec = luigi.FloatParameter(description="pointing of the telescope, ICRS [deg]")
    pointing_source = luigi.Parameter(description="who says so: header or corrections")

    @classmethod
    def of(cls, date: datetime.date, row: ManifestRow) -> Self:
        """Return the reduction of a run of the manifest."""
        return cls(
            date=date,
            tel=row.tel,
            run_number=row.run,
            target=row.target,
            wobble=row.wobble,
            ra=row.ra,
            dec=row.dec,
            pointing_source=row.pointing_source,
        )

    @property
    def label(self) -> str:
        """How messages call this run."""
        return self.job.label

    @property
    def job(self) -> RunJob:
        """The run, with all paths."""
        options = product_options()
        return RunJob(
            night=self.night,
            raw_file=raw_path(site_path("root_dir"), RawName(self.tel - 20, self.date, self.run_number)),
            target=self.target,
            wobble=self.wobble,
            ra_deg=self.ra,
            dec_deg=self.dec,
            pointing_source=self.pointing_source,
            calibration_dir=optional_site_path("calibration_dir"),
            precise_timestamps=bool(options["precise_timestamps"]),
            px_charges=bool(options["px_charges"]),
        )

    def requires(self) -> RawRun:
        """Need the raw file."""
        return RawRun(path=str(self.job.raw_file))

    def output(self) -> luigi.LocalTarget:
        """Return the DL1 file."""
        return luigi.LocalTarget(str(self.job.product))

    def farm_work(self) -> float:
        """Return the size of the raw file [byte]."""
        try:
            return float(self.job.raw_file.stat().st_size)
        except OSError:
            return 1.0

    @unless_refused
    def complete(self) -> bool:
        """Whether the product exists, or the raw file as it is now is in quarantine."""
        return run_is_settled(self.job)

    def farm_give_up(self, reason: str) -> None:
        """Put the run into quarantine, where its process did not live to do so itself."""
        from sst1m.give_up import give_up_run

        give_up_run(self.job, reason)
        refresh_manifest(self.request)

    def run(self) -> None:
        """Reduce the run; then bring the manifest up to date, after a failure always."""
        self.start()
        try:
            outcome = reduce_night_run(self.job, self.claim_root(), on_progress=self._report)
        except (Exception, KeyboardInterrupt):
            # Whatever is wrong with the disk now, the first error is the one that counts.
            with contextlib.suppress(Sst1mError):
                refresh_manifest(self.request)
            raise
        manifest = refresh_while_running(self.request)
        if outcome is not None:
            self._tell(outcome, manifest)

    def _report(self, done: int, total: int) -> None:
        """Tell luigi how far the run is, at most once a second: each message is a call to the scheduler."""
        now = time.monotonic()
        if self.set_progress_percentage is not None and now - getattr(self, "_told", 0.0) > 1.0:
            self._told = now
            self.set_progress_percentage(round(100 * done / max(total, 1)))

    def _tell(self, outcome: RunOutcome, manifest: Manifest | None) -> None:
        if outcome.state == "done":
            rate = outcome.n_events / max(outcome.seconds, 1e-3)
            what = f"{outcome.n_events} events in {outcome.seconds:.1f} s ({rate:.0f} events/s)"
        else:
            what = f"{outcome.state}: {outcome.reason}"
        log.info("%s%s: %s", _counted(manifest) if manifest else "", self.label, what)


def _counted(manifest: Manifest) -> str:
    """Say how many of the runs are settled."""
    total = sum(bool(row.product) for row in manifest.rows)
    settled = sum(bool(row.product) for row in manifest.in_state("done", "quarantined", "skipped"))
    return f"{settled}/{total}  "


_warm: list[int] = []


@CalibrateRun.event_handler(luigi.Event.DEPENDENCY_DISCOVERED)
def _warm_up(task: luigi.Task, _dependency: luigi.Task) -> None:
    """
    Load the heavy modules and kernels when the first run is about to be reduced.

    luigi calls this in its main process while it schedules an incomplete run. Every process that is forked
    later, by luigi or by us, then has them from the start, so that a night pays for them once and not once
    per run.
    """
    if _warm:
        return
    _warm.append(os.getpid())
    from sst1m.warmup import warm_up

    try:
        warm_up(load_site_config(), optional_site_path("calibration_dir"), task.tel)
    except (Sst1mError, OSError) as error:
        # The runs meet the same, and there it is recorded.
        log.debug("not warmed up: %s", error)
