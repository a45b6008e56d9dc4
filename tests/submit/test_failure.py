"""To which class a failure belongs, and when two failures are the same."""

import errno

import pytest

from submit.errors import SiteError
from submit.failure import classify_error, compile_table, fingerprint, one_line


def _raised(make):
    try:
        make()
    except Exception as error:  # noqa: BLE001
        return error


def _caused(error, by):
    error.__cause__ = by
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), "oom"),
        (KeyboardInterrupt(), "node"),
        (RuntimeError("Unable to allocate: std::bad_alloc"), "oom"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "oom"),
        (OSError(errno.ESTALE, "Stale file handle"), "transient-io"),
        (OSError(errno.ENOSPC, "No space left on device"), "transient-io"),
        (RuntimeError("HDF5: unable to lock file, errno = 11"), "transient-io"),
        (RuntimeError("command was killed by signal 9"), "node"),
        (EOFError("nothing more"), "corrupt-input"),
        (ValueError("file is truncated"), "corrupt-input"),
        (OSError("CRC mismatch in tile 3"), "corrupt-input"),
        (FileNotFoundError(errno.ENOENT, "No such file"), "deterministic"),
        (ZeroDivisionError("division by zero"), "deterministic"),
        (_caused(RuntimeError("reading failed"), OSError(errno.EIO, "x")), "transient-io"),
    ],
    ids=lambda value: value if isinstance(value, str) else one_line(value)[:40],
)
def test_class_of_an_error(error, kind):
    assert classify_error(error) == kind


def test_the_knowledge_of_the_site_goes_first():
    table = compile_table([["No route to (host|node)", "transient-io"], ["truncated", "deterministic"]])
    assert classify_error(RuntimeError("No route to node"), table) == "transient-io"
    assert classify_error(ValueError("file is truncated"), table) == "deterministic"
    with pytest.raises(SiteError, match="'oops' is no failure class; there are oom"):
        compile_table([["x", "oops"]])
    with pytest.raises(SiteError, match="no regular expression"):
        compile_table([["(", "oom"]])


def test_the_same_failure_has_the_same_mark_and_another_place_another_one():
    def one(text):
        raise ValueError(text)

    def other(text):
        raise ValueError(text)

    first, second = _raised(lambda: one("at 12:00")), _raised(lambda: one("at 12:01"))
    assert fingerprint(first) == fingerprint(second)
    assert fingerprint(first) != fingerprint(_raised(lambda: other("at 12:00")))
    assert fingerprint(first) != fingerprint(_raised(lambda: one(None).x if False else int("x")))
