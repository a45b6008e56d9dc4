"""
A product exists under its name only if it is complete and valid.

The protocol: write to a temporary name in the target's own directory that keeps the full suffix, close,
fsync, validate, write the side files, rename the product last. A lock that the kernel releases with the
death of its holder guards each product, so what lies about under a temporary name while the lock is held
can only be the remains of a killed process.
"""

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from sst1m.checksum import forget_checksum, with_checksum
from sst1m.errors import InputError, OutputError
from sst1m.json_object import sealed

__all__ = [
    "SideFiles",
    "committed",
    "disk_problem",
    "explained_write_errors",
    "held_lock",
    "remove_product",
    "sweep_parts",
    "system_error_text",
    "write_atomically",
    "write_json",
]

_WAY_OUT = {
    errno.ENOSPC: "the disk is full: free space there and run the same command again",
    errno.EDQUOT: "the disk quota is used up: free space there and run the same command again",
    errno.EFBIG: "the file may not grow further: raise the limit on file sizes (ulimit -f)",
    errno.EROFS: "the file system is read-only: mount it writable, or choose another ana_dir",
    errno.EACCES: "no right to write there: correct the rights of the directory, or choose another ana_dir",
    errno.EPERM: "no right to write there: correct the rights of the directory, or choose another ana_dir",
    errno.EIO: "the disk reports an input/output error: check the disk",
    errno.ESTALE: "the network file system lost the file: check the mount and run the same command again",
    errno.ENOENT: "its directory was removed meanwhile: run the same command again",
    errno.ENOTDIR: "something on the way there is a file and not a directory: remove it",
    errno.EISDIR: "a directory has the name of the file: remove it",
}
_PROBE = 1 << 20
_DIRECTORY_MODE = 0o777  # the umask of the site decides


SideFiles = Callable[[Mapping[str, object]], Mapping[Path, Callable[[], bytes]]]
"""Takes the counts of a product and returns the files beside it, provenance and log, for `committed`."""


def _part_path(path: Path) -> Path:
    """Return a temporary name beside the product that no other process uses and that keeps the suffix."""
    return path.with_name(f".{path.stem}.{os.getpid()}-{uuid.uuid4().hex[:8]}.part{path.suffix}")


def sweep_parts(*paths: Path) -> list[Path]:
    """Remove what killed attempts left of some files; call it only under the lock that guards them."""
    removed = []
    for path in paths:
        for part in path.parent.iterdir() if path.parent.is_dir() else ():
            if part.name.startswith(f".{path.stem}.") and part.name.endswith(f".part{path.suffix}"):
                part.unlink(missing_ok=True)
                removed.append(part)
    return removed


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_problem(error: BaseException, path: Path) -> str | None:
    """Say why a file could not be written; None where the error is not about writing it."""
    if isinstance(error, OSError) and _concerns(error, path):
        if isinstance(error, PermissionError) and _is_read_only(path):
            return _WAY_OUT[errno.EROFS]
        # PyTables raises errors of its own, without a number.
        number = errno.EACCES if isinstance(error, PermissionError) else error.errno
        if isinstance(error, FileNotFoundError) and number is None:
            return disk_problem(path) or _WAY_OUT[errno.ENOENT]
        if number in _WAY_OUT:
            return _WAY_OUT[number]
    if isinstance(error, RuntimeError | OSError) and "HDF5" in f"{type(error).__name__} {error}":
        return _hdf5_problem(str(error), path) or disk_problem(path)
    return None


def _hdf5_problem(text: str, path: Path) -> str | None:
    """Return what the system has said to HDF5 about this file, where PyTables passes it on at all."""
    if path.name not in text and f".{path.stem}." not in text:
        return None
    found = re.search(r"errno = (\d+), error message = '([^']*)'", text)
    return found and _WAY_OUT.get(int(found[1]), f"{found[2]}: check the disk and run the same command again")


def disk_problem(path: Path) -> str | None:
    """Ask the disk whether it takes data where a file was being written; say why not, None if it does."""
    with contextlib.suppress(OSError):
        if shutil.disk_usage(path.parent).free < _PROBE:
            return _WAY_OUT[errno.ENOSPC]
    return _probe(path.parent)


def _concerns(error: OSError, path: Path) -> bool:
    """Whether an error is about the file, its neighbours or its directories, and not about some input."""
    if error.filename is None:
        return True
    named = Path(os.fsdecode(error.filename))
    return named.parent == path.parent or path.is_relative_to(named)


def _is_read_only(path: Path) -> bool:
    # os.path: a directory that may not even be looked at is no reason to end with another error.
    existing = next((parent for parent in path.parents if os.path.exists(parent)), None)
    with contextlib.suppress(OSError):
        return existing is not None and bool(os.statvfs(existing).f_flag & os.ST_RDONLY)
    return False


def _probe(directory: Path) -> str | None:
    """Write a megabyte beside the failed file and say why that fails; None if it does not."""
    probe = _part_path(directory / "probe.tmp")
    try:
        with probe.open("wb") as file:
            file.write(os.urandom(_PROBE))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return _WAY_OUT.get(error.errno or 0)
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
    return None


def system_error_text(error: OSError) -> str:
    """Say in one sentence which file the operating system refuses to look at, and the way out."""
    subject = f"{error.filename}: " if error.filename else ""
    return (
        f"{subject}the disk refuses it ({error.strerror}): check the disk, its mount and the rights there, "
        "and run the same command again"
    )


@contextlib.contextmanager
def explained_write_errors(path: Path) -> Iterator[None]:
    """
    Turn what the operating system or HDF5 says about a failed write into one sentence with the way out.

    Parameters
    ----------
    path : Path
        The file that is being written.

    Raises
    ------
    OutputError
        For a full or read-only disk, missing rights and the like; every other error passes unchanged.
    """
    try:
        yield
    except OutputError:
        raise
    except (OSError, RuntimeError) as error:
        problem = _write_problem(error, path)
        if problem is None:
            raise
        raise OutputError(f"{path}: cannot be written: {problem}") from error


def write_atomically(path: Path, content: bytes) -> None:
    """
    Write a small file so that its name never shows anything but its whole old or whole new content.

    Raises
    ------
    OutputError
        If it cannot be written; the old content then stays.
    """
    part = _part_path(path)
    with explained_write_errors(path):
        path.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        try:
            with part.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        _fsync(path.parent)


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write a JSON object atomically, for people to read as well, with a checksum in it."""
    write_atomically(path, (json.dumps(sealed(content), indent=1) + "\n").encode())


def _validate(part: Path, path: Path, validate: Callable[[Path], object]) -> None:
    """Raise if what was written is not valid: the disk is to blame, and not what it was made from."""
    try:
        validate(part)
    except (InputError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        reason = disk_problem(part) or f"what was written is not complete ({error}): check the disk"
        raise OutputError(f"{path}: cannot be written: {reason}") from error


@contextlib.contextmanager
def committed(
    path: Path,
    *,
    validate: Callable[[Path], object] | None = None,
    side_files: Mapping[Path, Callable[[], bytes]] | None = None,
) -> Iterator[Path]:
    """
    Give a temporary path to write to, and rename it to the product only when everything about it is right.

    Parameters
    ----------
    path : Path
        The product.
    validate : callable, optional
        Gets the temporary path after it has reached the disk; raises if the product is not valid.
    side_files : mapping of Path to callable, optional
        Content of the files beside the product; called after validation, written before the product appears.
        The JSON of the product's own name also gets its checksum.

    Yields
    ------
    Path
        Where to write.

    Raises
    ------
    OutputError
        If anything cannot be written. Nothing is left under a temporary name.
    """
    part = _part_path(path)
    with explained_write_errors(path):
        try:
            path.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
            yield part
            if not part.is_file():
                raise OutputError(
                    f"{path}: nothing was written; this is an error of the program, please report it"
                )
            _fsync(part)
            if validate is not None:
                _validate(part, path, validate)
            for side_path, content in (side_files or {}).items():
                beside = content()
                if side_path == path.with_suffix(".json"):
                    beside = with_checksum(beside, part)
                write_atomically(side_path, beside)
            if path.with_suffix(".json") not in (side_files or {}):
                forget_checksum(path)
            os.replace(part, path)
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        _fsync(path.parent)


def remove_product(path: Path, side_files: Mapping[str, Path]) -> None:
    """Remove a product, then what lies beside it: no moment shows a product without its provenance."""
    with explained_write_errors(path):
        path.unlink(missing_ok=True)
        for side_path in side_files.values():
            side_path.unlink(missing_ok=True)
        for directory in path.parents[:3]:
            # Target directories that a correction has emptied would look like targets of the night.
            with contextlib.suppress(OSError):
                directory.rmdir()


@contextlib.contextmanager
def held_lock(
    path: Path, *, on_wait: Callable[[], object] | None = None, wait: bool = True
) -> Iterator[bool]:
    """
    Hold a lock that the kernel releases when its holder ends, however it ends.

    A forked child holds it together with its parent, so it is free only when both are gone.

    Parameters
    ----------
    path : Path
        The lock file; made where it does not exist, never removed.
    on_wait : callable, optional
        Called once if another process holds the lock.
    wait : bool
        Wait for the lock. Otherwise yield False where it is taken.

    Yields
    ------
    bool
        Whether the lock is held.

    Raises
    ------
    OutputError
        If the lock file cannot be made.
    """
    with explained_write_errors(path):
        path.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        yield _locked(descriptor, on_wait, wait)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, on_wait: Callable[[], object] | None, wait: bool) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    if not wait:
        return False
    if on_wait is not None:
        on_wait()
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return True
