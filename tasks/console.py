"""What the observer sees: one line per event, no tracebacks for what can be explained, a table at the end."""

import atexit
import logging
import multiprocessing
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from luigi.cmdline_parser import CmdlineParser
from luigi.parameter import ParameterException
from luigi.task_register import TaskClassException
from luigi.worker import TaskException

from sst1m.checkpoint import system_error_text
from sst1m.errors import Sst1mError
from sst1m.isolation import in_isolated_process
from sst1m.logs import is_collecting
from sst1m.provenance import utc_now

__all__ = ["explain_errors", "report_at_exit", "set_traceback_file", "start_console"]

_OURS = "sst1m.errors."
_TRACEBACK = "Traceback (most recent call last)"
#: The last line of a traceback about something that the operating system has refused.
_REFUSED = re.compile(r"\w*Error: \[Errno (\d+)\] ([^:]*)(?:: '(.*)')?")

log = logging.getLogger(__name__)

_traceback_files: list[Path] = []
_reports: dict[str, Callable[[], str]] = {}


class _OneLine(logging.Filter):
    """Replaces the traceback of an error that explains itself by its message, in records of luigi."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if error is not None and (words := _own_words(error)):
            record.msg, record.args = "%s", (f"{_subject(record)}{words}",)
            record.exc_info = record.exc_text = None
        elif error is not None:
            self._put_away(record, error)
        elif isinstance(record.msg, str) and (words := _words_of_text(record.msg)):
            record.msg, record.args = "%s", (words,)
            record.levelno, record.levelname = logging.ERROR, "ERROR"
        # The table at the end says it better.
        return "is an external data dependency" not in str(record.msg)

    def _put_away(self, record: logging.LogRecord, error: BaseException) -> None:
        """Write an unexpected traceback to the log of the night, if there is one, and say where it is."""
        text = "".join(traceback.format_exception(error))
        for path in _traceback_files:
            try:
                with path.open("a", encoding="utf-8") as file:
                    file.write(f"{utc_now()} unexpected error\n{text}")
            except OSError:
                continue
            name = type(error).__name__
            record.msg = "%s"
            record.args = (
                f"{_subject(record)}unexpected {name}: {error}; the traceback is in {path}, please report it",
            )
            record.exc_info = record.exc_text = None
            return


def _own_words(error: BaseException) -> str:
    """Return what an error says that needs no traceback; empty for an error of the program."""
    if isinstance(error, OSError) and error.errno:
        return system_error_text(error)
    if isinstance(error, TaskException):
        # luigi found that the product is not there after all.
        return (
            "it ended, and what it made is not to be found or something has changed: check the disk and run "
            "the same command again"
        )
    explained = isinstance(error, Sst1mError | ParameterException | TaskClassException)
    return str(error) if explained else ""


def _words_of_text(text: str) -> str:
    """Return the same for an error of complete() or requires(), which luigi formats into its message."""
    if _TRACEBACK not in text:
        return ""
    if _OURS in text:
        return text.rsplit(_OURS, 1)[1].split(": ", 1)[-1].strip()
    refused = _REFUSED.fullmatch(text.strip().splitlines()[-1])
    return system_error_text(OSError(int(refused[1]), refused[2], refused[3])) if refused else ""


def _subject(record: logging.LogRecord) -> str:
    """Name the task that luigi speaks of, with the parameters that a person would use."""
    task = record.args[-1] if isinstance(record.args, tuple) and record.args else None
    label = getattr(task, "label", None)
    return f"{label}: " if isinstance(label, str) else ""


def set_traceback_file(path: Path) -> None:
    """Name the file that takes the tracebacks of unexpected errors of the tasks that follow."""
    _traceback_files[:] = [path]


def explain_errors() -> None:
    """Let luigi's messages and the interpreter's last words be one line where the error explains itself."""
    logger = logging.getLogger("luigi-interface")
    if not any(isinstance(known, _OneLine) for known in logger.filters):
        logger.addFilter(_OneLine())
        sys.excepthook = _last_words


def _last_words(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        sys.stderr.write("interrupted; the same command goes on from here\n")
    elif words := _own_words(error):
        sys.stderr.write(f"ERROR: {words}\n")
    else:
        sys.__excepthook__(kind, error, where)


class _NotInChild(logging.Filter):
    """Keeps from the console what the log of a run has: isolated processes, and what is no warning."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not in_isolated_process() and (record.levelno > logging.INFO or not is_collecting())


def start_console() -> None:
    """Show our own lines on the console, unless the site has configured logging itself."""
    if logging.getLogger().handlers:
        return
    for name in ("sst1m", "tasks"):
        logger = logging.getLogger(name)
        if not logger.handlers:
            handler = logging.StreamHandler()
            handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
            handler.addFilter(_NotInChild())
            logger.addHandler(handler)
            logger.setLevel(logging.INFO)
            logger.propagate = False


def report_at_exit(key: str, report: Callable[[], str]) -> None:
    """
    Show a report when the command ends, however far it came; only where a person has started the command.

    Parameters
    ----------
    key : str
        Reports of the same key are shown once.
    report : callable
        Returns the text; an empty one is not shown.
    """
    if CmdlineParser.get_instance() is None or multiprocessing.parent_process() is not None:
        return
    start_console()
    if not _reports:
        atexit.register(_show_reports)
    _reports.setdefault(key, report)


def _show_reports() -> None:
    for report in _reports.values():
        try:
            text = report()
        except (Sst1mError, OSError) as error:
            text = f"no summary: {_own_words(error) or error}"
        for line in text.splitlines():
            log.info("%s", line)
