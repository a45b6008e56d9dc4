"""Fixtures that all tests share."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from watchdog.events import FileClosedEvent, FileModifiedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

ROOT = Path(__file__).parents[1]
#: `make torture` sets it; without it campaigns are short, as part of the tests.
LONG = os.environ.get("SST1M_TORTURE") == "long"


@pytest.fixture(scope="session")
def dose():
    """Return what chooses the length of a campaign: the second number in the long form."""
    return lambda short, long: long if LONG else short


def pytest_terminal_summary(terminalreporter):
    """Print what campaigns have recorded of themselves."""
    rows = [
        (report.nodeid.split("::")[-1], key, value)
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for key, value in report.user_properties
    ]
    if rows and LONG:
        terminalreporter.section("what the campaigns did")
        for name, key, value in sorted(rows):
            terminalreporter.write_line(f"{name:<62} {key:<36} {value}")


class _Writes(FileSystemEventHandler):
    """Keeps the names under which files were written and that are no temporary ones."""

    def __init__(self, directory: Path, end: str) -> None:
        self.directory, self.end, self.ended, self.names = directory, end, threading.Event(), set()

    def on_any_event(self, event: FileSystemEvent) -> None:
        if not isinstance(event, FileModifiedEvent | FileClosedEvent):
            return
        path = Path(os.fsdecode(event.src_path)).relative_to(self.directory)
        if path.name == self.end:
            self.ended.set()
        elif not any(part.startswith(".") for part in path.parts):
            self.names.add(str(path))


@contextlib.contextmanager
def _watched(directory: Path, *appended: str) -> Iterator[None]:
    """Let the kernel tell of every write below a directory; none may be under a name that others read."""
    directory.mkdir(parents=True, exist_ok=True)
    writes, observer = _Writes(directory, "the_watch_ends"), Observer()
    observer.schedule(writes, str(directory), recursive=True)
    observer.start()
    try:
        yield
        # It tells in order: once this file was heard of, everything was.
        (directory / writes.end).write_text("now")
        assert writes.ended.wait(30), "the kernel tells nothing"
    finally:
        (directory / writes.end).unlink(missing_ok=True)
        observer.stop()
        observer.join()
    assert {name for name in writes.names if Path(name).name not in appended} == set()


@pytest.fixture(scope="session")
def watched():
    """
    Return a context in which the kernel watches a directory: products may appear by renaming only.

    It takes the directory, and names of files to which lines may be added.
    """
    return _watched


@pytest.fixture(scope="session")
def project_root() -> Path:
    """Return the directory of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the directory of real SST-1M data, or skip where there is none."""
    for candidate in (os.environ.get("SST1M_DATA"), ROOT.parent / "shared" / "data"):
        if candidate and Path(candidate, "raw", "example_SST1M_20180822.fits.fz").is_file():
            return Path(candidate).resolve()
    pytest.skip("no real SST-1M data at hand: name their directory in SST1M_DATA")


@pytest.fixture(scope="session")
def real_raw_file(shared_data: Path) -> Path:
    """Return the real raw file of 2018-08-22: 32 events of telescope 22."""
    return shared_data / "raw" / "example_SST1M_20180822.fits.fz"
