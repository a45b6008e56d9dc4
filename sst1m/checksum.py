"""The checksum of a product in the JSON beside it: damage is seen before a library meets it."""

import json
import zlib
from functools import lru_cache
from pathlib import Path

from sst1m.errors import InputError, UnreadableError
from sst1m.json_object import json_object, sealed

__all__ = ["check_unchanged", "forget_checksum", "is_unchanged", "with_checksum"]

_KEY = "file"
_CHUNK = 1 << 22


def with_checksum(record: bytes, part: Path) -> bytes:
    """
    Add size and checksum of a product to the JSON object that is written beside it, and its own checksum.

    Parameters
    ----------
    record : bytes
        The JSON object as text.
    part : Path
        The complete product, under whatever name.
    """
    content = json.loads(record)
    content[_KEY] = {"size": part.stat().st_size, "crc32": _crc32(part)}
    return (json.dumps(sealed(content), indent=1) + "\n").encode()


def forget_checksum(path: Path) -> None:
    """Remove the JSON beside a product that is about to be replaced by one without: it speaks of the old."""
    record = path.with_suffix(".json")
    if _known(record) is not None:
        record.unlink(missing_ok=True)


def check_unchanged(path: Path) -> None:
    """
    Make sure that a product has the bytes that were written, where a checksum stands beside it.

    HDF5 may crash on damaged files, or read other numbers from those parts that it has no checksums for.

    Parameters
    ----------
    path : Path
        The product; one that is missing passes, as its reader says it better.

    Raises
    ------
    InputError
        If bytes were changed, lost or added since.
    UnreadableError
        If they cannot be read at present.
    """
    known = _known(path.with_suffix(".json"))
    try:
        if known is None or not path.is_file():
            return
        status = path.stat()
        same = status.st_size == known["size"] and known["crc32"] == _crc32_of(
            path, status.st_size, status.st_mtime_ns, status.st_ino
        )
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read ({error.strerror}); check the disk") from error
    if not same:
        raise InputError(
            f"{path}: its {status.st_size} bytes are not the {known['size']} that were written: it was "
            "damaged or changed later; delete it and run again"
        )


def is_unchanged(path: Path) -> bool:
    """Whether a checksum stands beside a product, and its bytes are those that were written."""
    if _known(path.with_suffix(".json")) is None:
        return False
    try:
        check_unchanged(path)
    except InputError:
        return False
    return path.is_file()


def _known(record: Path) -> dict[str, int] | None:
    try:
        known = json_object(record.read_text())[_KEY]
        return {name: int(known[name]) for name in ("size", "crc32")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


@lru_cache(maxsize=1024)
def _crc32_of(path: Path, _size: int, _mtime_ns: int, _inode: int) -> int:
    return _crc32(path)


def _crc32(path: Path) -> int:
    checksum, buffer = 0, bytearray(_CHUNK)
    with path.open("rb") as file:
        while n_bytes := file.readinto(buffer):
            checksum = zlib.crc32(memoryview(buffer)[:n_bytes], checksum)
    return checksum
