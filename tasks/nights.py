"""Many nights in one go, for reprocessing."""

import datetime
import logging
from collections.abc import Iterator

import luigi

from sst1m.errors import ConfigError
from sst1m.layout import raw_directory
from tasks.base import PlannedTask
from tasks.console import report_at_exit
from tasks.luigi_cfg import check_luigi_cfg
from tasks.night import RunNight
from tasks.parameters import NightParameter, site_path, telescope_ids

__all__ = ["RunNights"]

log = logging.getLogger(__name__)


class RunNights(PlannedTask, luigi.WrapperTask):
    """
    Processes all nights from one date to another that have raw files; says which have none, and in which the
    targets that are asked for were not observed.

    Each night ends as `RunNight` would end it alone; one that fails does not hold up the others.
    """

    start = NightParameter(description="first night")
    stop = NightParameter(description="last night, included")
    until = RunNight.until
    targets = RunNight.targets
    retry_quarantined = RunNight.retry_quarantined

    def nights(self) -> Iterator[datetime.date]:
        """
        Yield every date from the first to the last.

        Raises
        ------
        ConfigError
            If the last comes before the first.
        """
        if self.stop < self.start:
            raise ConfigError(
                f"--stop {self.stop:%Y-%m-%d} is before --start {self.start:%Y-%m-%d}; "
                "give them the other way round"
            )
        for day in range((self.stop - self.start).days + 1):
            yield self.start + datetime.timedelta(days=day)

    def _has_raw_files(self, date: datetime.date) -> bool:
        directories = [raw_directory(site_path("root_dir"), date, tel_id - 20) for tel_id in telescope_ids()]
        return any(directory.is_dir() and any(directory.iterdir()) for directory in directories)

    def requires(self) -> list[RunNight]:
        """Need every night that has raw files."""
        check_luigi_cfg()
        dates = list(self.nights())
        observed = [date for date in dates if self._has_raw_files(date)]
        skipped = [date for date in dates if date not in observed]
        nights = [
            RunNight(
                date=date,
                until=self.until,
                targets=self.targets,
                retry_quarantined=self.retry_quarantined,
                absent_targets_allowed=True,
            )
            for date in observed
        ]
        report_at_exit(self.task_id, lambda: _summary(nights, skipped))
        return nights


def _summary(nights: list[RunNight], skipped: list[datetime.date]) -> str:
    """Say which nights were asked for, which of them have no raw files, and which not all targets."""
    lines = [f"{len(nights)} nights with raw files, {len(skipped)} skipped because they have none"]
    if skipped:
        lines.append("  skipped: " + ", ".join(_spans(skipped)))
    for night in nights:
        if absent := night.absent_targets():
            lines.append(f"  {night.date:%Y-%m-%d}: {', '.join(absent)} not observed")
    return "\n".join(lines)


def _spans(dates: list[datetime.date]) -> Iterator[str]:
    """Yield dates as text, those without a gap as one span."""
    first = last = dates[0]
    for date in [*dates[1:], None]:
        if date is not None and date - last == datetime.timedelta(days=1):
            last = date
            continue
        yield f"{first:%Y-%m-%d}" if first == last else f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"
        if date is not None:
            first = last = date
