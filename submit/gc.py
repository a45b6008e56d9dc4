"""Removes what killed processes and old submissions have left."""

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from submit.campaign import campaigns
from submit.rounds import Round, rounds_of
from submit.site import Site

__all__ = ["leftovers", "remove"]

#: Temporary names: hidden, and with this before the suffix.
_PART = ".part"


def leftovers(site: Site, *, keep_days: float) -> Iterator[Path]:
    """
    Yield files and directories that nobody needs any more.

    These are temporary files in the state directory and beside products that are older than any job may be,
    dead leases, and the scripts and logs of closed rounds that are older than some days.

    Parameters
    ----------
    site : Site
        Settings of the site.
    keep_days : float
        Age of a closed round from which its files go [d]; its results stay.
    """
    oldest_job_s = 2 * 60 * site.queue.max_walltime_minutes
    yield from _old_parts(sorted(site.state_dir.rglob(f".*{_PART}*")), oldest_job_s)
    for directory in sorted(set(_product_directories(site))):
        yield from _old_parts(sorted(directory.glob(f".*{_PART}*")), oldest_job_s)
    for lease in (site.state_dir / "leases").glob("*/*"):
        if _age(lease) > max(site.plan.stale_lease_s, oldest_job_s):
            yield lease
    for campaign in campaigns(site.state_dir):
        for known in rounds_of(campaign):
            if known.is_closed and _age(known.closing) > 86400 * keep_days:
                yield from _bulk(known)


def _product_directories(site: Site) -> Iterator[Path]:
    """Yield the directories of the products of all campaigns."""
    for campaign in campaigns(site.state_dir):
        for known in rounds_of(campaign):
            for record in known.arrays():
                outputs = (path for _, item in record.items() for path in item["outputs"])
                yield from {Path(place) for path in outputs if (place := os.path.dirname(path))}


def _old_parts(paths: Iterable[Path], age_s: float) -> Iterator[Path]:
    return (path for path in paths if path.is_file() and _age(path) > age_s)


def _bulk(known: Round) -> Iterator[Path]:
    for record in known.arrays():
        yield from (
            place for place in (record.directory / "logs", record.directory / "results") if place.exists()
        )


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def remove(path: Path) -> None:
    """Remove a file or a directory; one that is gone already is no error."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
