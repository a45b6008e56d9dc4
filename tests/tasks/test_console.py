"""What luigi tells of errors reaches the observer in one line."""

import errno
import logging
import os
import traceback

import pytest
from luigi.worker import TaskException

from sst1m.errors import UnreadableError
from tasks.console import _OneLine


def shown(message: str, error: BaseException | None = None) -> str:
    """Return a message of luigi as the observer sees it."""
    record = logging.LogRecord("luigi-interface", logging.ERROR, "", 0, message, (), None)
    record.exc_info = (type(error), error, None) if error else None
    _OneLine().filter(record)
    return record.getMessage() + (record.exc_text or "") + ("Traceback" if record.exc_info else "")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            OSError(errno.ESTALE, os.strerror(errno.ESTALE), "/data/a.h5"),
            "/data/a.h5: the disk refuses it (Stale",
        ),
        (TaskException("Task finished running, but complete() is still returning false."), "check the disk"),
        (UnreadableError("a.h5: cannot be read"), "a.h5: cannot be read"),
    ],
)
def test_what_the_disk_refuses_is_one_line(error, words):
    text = shown("[pid 1] Worker failed", error)
    assert words in text and "Traceback" not in text and len(text.splitlines()) == 1


def test_errors_that_luigi_has_made_text_of_are_one_line():
    try:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/data/b.h5")
    except PermissionError:
        text = shown(f"Will not run RunNight due to error in complete() method:\n{traceback.format_exc()}")
    assert (
        text.startswith("/data/b.h5: the disk refuses it (Permission denied)") and len(text.splitlines()) == 1
    )


def test_an_error_of_the_program_keeps_its_traceback():
    assert "Traceback" in shown("[pid 1] Worker failed", KeyError("a"))
