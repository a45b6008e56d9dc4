"""Looks whether this machine, the batch system and the shared file system are fit for a campaign."""

import os
import platform
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import luigi

from submit.errors import SubmitError
from submit.jobs import Backend
from submit.site import Site
from submit.state_files import make_directory

__all__ = ["Finding", "examine"]

_CLOCK_S = 2.0


@dataclass(frozen=True)
class Finding:
    """
    One thing that was looked at.

    Parameters
    ----------
    name : str
        What.
    text : str
        What was found.
    good : bool
        Whether it is as it should be.
    """

    name: str
    text: str
    good: bool = True


def examine(site: Site, backend: Backend) -> Iterator[Finding]:
    """Yield what is found, bit by bit."""
    yield Finding("settings", f"{site.file}, backend {site.backend}")
    yield Finding(
        "software", f"Python {platform.python_version()} ({sys.executable}), luigi {luigi.__version__}"
    )
    yield from _file_system(site)
    yield from _scheduler(site, backend)
    notify = site.notify
    # What follows the host in the address of a web hook is often a key.
    hook = [f"a web hook of {urlsplit(notify.webhook).hostname}"] if notify.webhook else []
    told = ", ".join([*notify.mail, *hook])
    yield Finding("notification", told or "nobody is told when a campaign is stuck ([notify] is empty)")


def _file_system(site: Site) -> Iterator[Finding]:
    probe = site.state_dir / f".probe-{uuid.uuid4().hex}.part"
    try:
        make_directory(site.state_dir, group_writable=site.plan.group_writable)
        began = time.time()
        probe.write_text("x")
        listed = probe.name in os.listdir(site.state_dir)
        clock = probe.stat().st_mtime - began
        took = time.time() - began
        probe.unlink()
    except (OSError, SubmitError) as error:
        yield Finding("state directory", f"{site.state_dir}: {error}", good=False)
        return
    space = os.statvfs(site.state_dir)
    free_mb = space.f_bavail * space.f_frsize // 2**20
    yield Finding("state directory", f"{site.state_dir}, {free_mb} MB free", free_mb > site.node.min_free_mb)
    yield Finding(
        "listing", f"a new file is {'seen' if listed else 'NOT seen'} after {1e3 * took:.1f} ms", listed
    )
    yield Finding("clock", f"file server ahead by {clock:+.2f} s", abs(clock) < _CLOCK_S)


def _scheduler(site: Site, backend: Backend) -> Iterator[Finding]:
    try:
        limits = backend.limits()
    except SubmitError as error:
        yield Finding("batch system", str(error), good=False)
        return
    known = (
        (limits.max_array_size, "arrays of up to {:.0f} elements"),
        (limits.max_jobs, "up to {:.0f} elements in the queue"),
        (limits.remembers_s, "ended jobs are known for {:.0f} s"),
        (limits.walltime_s, "time limits of up to {:.0f} s"),
        (limits.slots, "{:.0f} elements at a time"),
        (limits.n_nodes, "{:.0f} nodes"),
    )
    said = [text.format(value) for value, text in known if value is not None]
    yield Finding("batch system", "; ".join([f"{backend.name} answers", *said]))
    wanted = site.queue.max_queued
    if wanted and limits.max_jobs and wanted > limits.max_jobs:
        yield Finding("queue.max_queued", f"{wanted} is more than the {limits.max_jobs} allowed", good=False)
