"""Compiled kernels never outlive the code that they were made from."""

import contextlib
import hashlib
import os
from pathlib import Path

__all__ = ["discard_stale_kernels"]

_STAMP = Path("__pycache__", "kernels.stamp")


def _fingerprint(package: Path) -> str:
    """Return a digest of the names, sizes and times of all sources of a package."""
    digest = hashlib.sha256()
    for source in sorted(package.rglob("*.py")):
        status = source.stat()
        digest.update(f"{source.relative_to(package)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def discard_stale_kernels(package: Path) -> bool:
    """
    Remove the cached kernels of a package if any of its sources has changed since they were compiled.

    numba compares a cached kernel only with the file in which the kernel stands, not with those of the
    functions that it calls: after an update it would go on computing with the old ones.

    Parameters
    ----------
    package : Path
        Directory of the package.

    Returns
    -------
    bool
        Whether the cache was out of date. A package in a read-only directory has no cache in it.
    """
    stamp, fingerprint = package / _STAMP, _fingerprint(package)
    with contextlib.suppress(OSError):
        if stamp.read_text() == fingerprint:
            return False
    with contextlib.suppress(OSError):
        for kernel in package.rglob("__pycache__/*.nb[ic]"):
            kernel.unlink(missing_ok=True)
        stamp.parent.mkdir(exist_ok=True)
        part = stamp.with_name(f"{stamp.name}.{os.getpid()}")
        part.write_text(fingerprint)
        part.replace(stamp)
    return True
