"""Files of a campaign's state: text that a person can read and edit, never half written."""

import contextlib
import json
import os
import stat
import uuid
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from submit.errors import StateError

__all__ = [
    "append_line",
    "checked",
    "make_directory",
    "read_json",
    "read_lines",
    "write_json",
    "write_lines",
    "write_text",
]


T = TypeVar("T")

_encode = json.JSONEncoder(ensure_ascii=False).encode


def _unwritable(path: Path, error: OSError) -> StateError:
    return StateError(f"{path}: cannot be written ({error.strerror}); check the rights and the disk")


def make_directory(path: Path, *, group_writable: bool = False, exist_ok: bool = True) -> None:
    """
    Make a directory and those above it.

    Parameters
    ----------
    path : Path
        Directory to be made.
    group_writable : bool
        Whether the group may write there, and what is made below belongs to the same group.
    exist_ok : bool
        Whether it may be there already.

    Raises
    ------
    StateError
        If it cannot be made.
    FileExistsError
        If it is there and may not be.
    """
    missing = [place for place in (path, *path.parents) if not place.exists()]
    try:
        path.mkdir(parents=True, exist_ok=exist_ok)
        for place in missing if group_writable else ():
            place.chmod(stat.S_IMODE(place.stat().st_mode) | stat.S_ISGID | stat.S_IRWXG)
    except FileExistsError:
        if exist_ok or not path.is_dir():
            raise StateError(f"{path}: a file has the name of the directory; remove it") from None
        raise
    except OSError as error:
        raise StateError(
            f"{path}: cannot be made ({error.strerror}); check the rights and the disk"
        ) from None


def write_text(path: Path, text: str) -> None:
    """
    Write a file under a temporary name and rename it, so that nobody ever reads half of it.

    Parameters
    ----------
    path : Path
        The file.
    text : str
        Its content.

    Raises
    ------
    StateError
        If it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # Rights of a state directory that a group shares: what its owner may do, the group may do.
        if path.parent.stat().st_mode & stat.S_IWGRP:
            part.chmod(0o664)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise StateError(
            f"{path}: cannot be written ({error.strerror}); check the rights and the disk"
        ) from None


def write_json(path: Path, content: object) -> None:
    """Write a value as indented JSON; see `write_text`."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n")


def write_lines(path: Path, records: Iterable[object]) -> None:
    """
    Write one value of JSON per line, of which nobody knows before another file is written.

    Raises
    ------
    StateError
        If it cannot be written.
    """
    try:
        path.write_text("".join(_encode(record) + "\n" for record in records), encoding="utf-8")
    except OSError as error:
        raise _unwritable(path, error) from None


def read_json(path: Path) -> dict[str, object]:
    """
    Read a file that `write_json` wrote, or a person edited.

    Raises
    ------
    StateError
        If it is missing, or not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StateError(f"{path}: cannot be read ({error.strerror}); restore it, or submit again") from None
    except (ValueError, RecursionError) as error:
        raise StateError(
            f"{path}: is not JSON ({error}); restore it, or remove it and submit again"
        ) from None
    if not isinstance(content, dict):
        raise StateError(f"{path}: is not a JSON object; restore it, or remove it and submit again")
    return content


def checked(kind: type[T], content: object, place: Path, way_out: str) -> T:
    """
    Return what a file says as a value of a type; what does not fit is an error and no surprise later.

    Parameters
    ----------
    kind : type
        A class whose fields have types.
    content : object
        Content of the file.
    place : Path
        Where it is, for messages.
    way_out : str
        What to do about it, for messages.

    Raises
    ------
    StateError
        Naming what does not fit.
    """
    try:
        # As JSON: strict classes then still take lists for tuples, and texts for paths.
        return _adapter(kind).validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, p['loc']))}: {p['msg'].lower()}" for p in error.errors()[:5]
        )
        raise StateError(f"{place}: {problems}; {way_out}") from None


@cache
def _adapter(kind: type[T]) -> TypeAdapter[T]:
    return TypeAdapter(kind)


def read_lines(path: Path) -> Iterator[dict[str, object]]:
    """
    Yield the values of a file with one JSON object per line; what is no such line is passed over.

    The last line of a killed writer may be torn.

    Raises
    ------
    StateError
        If the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise StateError(f"{path}: cannot be read ({error.strerror})") from None
    # Not splitlines(): a parameter may contain one of the rarer line separators of Unicode.
    for line in text.split("\n"):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            yield record


def append_line(path: Path, record: object) -> None:
    """
    Add one value as a line of JSON, in a single write.

    Raises
    ------
    StateError
        If it cannot be written.
    """
    line = json.dumps(record, ensure_ascii=False, default=str) + "\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o664)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StateError(
            f"{path}: cannot be written ({error.strerror}); check the rights and the disk"
        ) from None
