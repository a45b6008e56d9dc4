"""What all calibration files have in common: they exist, and are remembered by their sha256."""

import hashlib
from pathlib import Path

from ..errors import InputError

__all__ = ["existing_file", "sha256_of"]


def existing_file(path: str | Path, what: str) -> Path:
    """
    Return the path of a calibration file that is there.

    Parameters
    ----------
    path : str or Path
        The file.
    what : str
        Its role, for the message.

    Raises
    ------
    InputError
        If it is missing or a directory.
    """
    path = Path(path)
    if not path.is_file():
        reason = "is a directory" if path.is_dir() else "does not exist"
        raise InputError(
            f"{path}: {what} {reason}; correct the path in the configuration or bring the file there"
        )
    return path


def sha256_of(path: Path) -> str:
    """Return the sha256 (hex) of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
