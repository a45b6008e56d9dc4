"""What reading a damaged HDF5 or FITS file can raise, told in one sentence."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tables
from astropy.io.fits import VerifyError

from ..checksum import check_unchanged, is_unchanged
from ..errors import InputError, UnreadableError

__all__ = ["explained_damage"]

#: From the library, from PyTables, or where names, units and numbers are not as they were written; warnings
#: only where the reader has made them errors.
_DAMAGE = (
    *(OSError, tables.HDF5ExtError, tables.NodeError, VerifyError, ValueError, KeyError),
    *(TypeError, AttributeError, IndexError, ArithmeticError, MemoryError, SystemError, Warning),
)
#: How HDF5 tells what the operating system has said.
_SYSTEM_ERROR = re.compile(r"errno = \d+, error message = '([^']*)'")


@contextmanager
def explained_damage(path: Path, what: str) -> Iterator[None]:
    """
    Name the file in whatever goes wrong while it is read.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        What it should be, such as ``DL1 file``.

    Raises
    ------
    InputError
        The file is not complete, or not as it was written; our own errors pass unchanged.
    UnreadableError
        The disk does not give it at present, or gives something else than the bytes that it holds: HDF5 does
        not pass on all that the operating system says.
    """
    check_unchanged(path)
    try:
        yield
    except _DAMAGE as error:
        if refusal := _refusal(error):
            raise UnreadableError(
                f"{path}: this {what} cannot be read ({refusal}); check the path and the disk, and run the "
                "same command again"
            ) from error
        reason = " ".join(str(error).split()) or type(error).__name__
        if is_unchanged(path):
            raise UnreadableError(
                f"{path}: this {what} cannot be read, although it has the bytes that were written "
                f"({reason}); check the disk and run the same command again"
            ) from error
        raise InputError(f"{path} is not a complete {what} ({reason}); delete it and run again") from error


def _refusal(error: BaseException) -> str:
    """Return what the operating system has said about a file; empty where the library has found damage."""
    # PyTables looks first whether it may open a file, and raises errors of its own, without a number.
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, PermissionError) or (isinstance(error, OSError) and error.errno):
        return error.strerror or str(error)
    found = _SYSTEM_ERROR.search(str(error))
    return found[1] if found else ""
