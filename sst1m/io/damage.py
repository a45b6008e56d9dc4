"""What reading a damaged HDF5 or FITS file can raise, told in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tables

from ..checksum import check_unchanged
from ..errors import InputError

__all__ = ["explained_damage"]

#: From the library, from PyTables, or where names, units and numbers are not as they were written; warnings
#: only where the reader has made them errors.
_DAMAGE = (
    *(OSError, tables.HDF5ExtError, tables.NodeError, ValueError, KeyError),
    *(TypeError, AttributeError, IndexError, ArithmeticError, MemoryError, SystemError, Warning),
)


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
    """
    check_unchanged(path)
    try:
        yield
    except _DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} is not a complete {what} ({reason}); delete it and run again") from error
