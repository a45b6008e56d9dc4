"""The log file of a reduction: what ran, what it said, how it ended; times in UTC."""

import contextlib
import logging
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from sst1m.checkpoint import explained_write_errors
from sst1m.provenance import software_versions

__all__ = ["RUN_LOGGERS", "RunLog", "is_collecting", "run_log", "utc_formatter"]

RUN_LOGGERS = ("sst1m", "tasks", "ctapipe", "py.warnings")
"""Loggers whose lines belong into the log of a run; ``py.warnings`` carries Python's warnings."""


def utc_formatter() -> logging.Formatter:
    """Return the form of a line in a log file: time in UTC with milliseconds, level, logger, message."""
    formatter = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    return formatter


_open: list[Path] = []


def is_collecting() -> bool:
    """Whether lines go into the log of a run at present, so that the console need not show them."""
    return bool(_open)


class _LogFile(logging.FileHandler):
    """A log on a disk that may fail: the work goes on, and the first error is kept for `RunLog.content`."""

    failure: OSError | None = None

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Keep the error of the disk; any other one is one of the program, and logging reports it."""
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            self.failure = self.failure or error
        else:
            super().handleError(record)

    def close(self) -> None:
        """Close the file; what the disk refuses to take now is lost with the log."""
        with contextlib.suppress(OSError):
            super().close()


class RunLog:
    """An open log file; the next line that is logged goes into it."""

    def __init__(self, path: Path, handler: _LogFile) -> None:
        self.path, self._handler = path, handler

    def result(self, text: str) -> None:
        """Write the closing line."""
        self._write("INFO", f"result: {text}")

    def traceback(self, text: str) -> None:
        """Write the traceback of an error that nobody expected."""
        self._write("ERROR", f"unexpected error\n{text.rstrip()}")

    def _write(self, level: str, text: str) -> None:
        # Only into the file: the console has its own words for what happened.
        self._handler.emit(logging.makeLogRecord({"name": __name__, "levelname": level, "msg": text}))

    def content(self) -> bytes:
        """
        Return what has been logged so far.

        Raises
        ------
        OutputError
            If a line could not be written, or cannot be read again.
        """
        with explained_write_errors(self.path):
            if self._handler.failure is not None:
                raise self._handler.failure
            return self.path.read_bytes()


@contextlib.contextmanager
def run_log(path: Path, heading: Mapping[str, object]) -> Iterator[RunLog]:
    """
    Collect all lines of `RUN_LOGGERS` and Python's warnings in a file.

    Parameters
    ----------
    path : Path
        The log file; an old one is replaced.
    heading : mapping
        What runs: written first, one line each, after the versions of the software.

    Raises
    ------
    OutputError
        If the file cannot be made.
    """
    with explained_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        # Appending keeps the lines of this process and of its forked child apart.
        handler = _LogFile(path, mode="a", encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(utc_formatter())
    handler.setLevel(logging.INFO)
    with contextlib.closing(handler), _attached(handler), _noted(path):
        versions = ", ".join(f"{name} {version}" for name, version in software_versions().items())
        lines = RunLog(path, handler)
        for key, value in {"software": versions, "host": platform.node(), **heading}.items():
            lines._write("INFO", f"{key}: {value}")
        yield lines


@contextlib.contextmanager
def _noted(path: Path) -> Iterator[None]:
    _open.append(path)
    try:
        yield
    finally:
        _open.remove(path)


@contextlib.contextmanager
def _attached(handler: logging.Handler) -> Iterator[None]:
    """Attach the handler to the loggers of a run, with their levels low enough, and undo both at the end."""
    loggers = [logging.getLogger(name) for name in RUN_LOGGERS]
    levels = [logger.level for logger in loggers]
    logging.captureWarnings(True)
    for logger in loggers:
        logger.addHandler(handler)
        if logger.getEffectiveLevel() > logging.INFO:
            logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
        logging.captureWarnings(False)
