"""Compiled kernels never outlive the code that they were made from."""

import ast
import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["discard_stale_kernels"]

_STAMP = Path("__pycache__", "kernels.stamp")


def _listing(package: Path) -> str:
    """Return a digest of the names, sizes and times of all sources of a package."""
    digest = hashlib.sha256()
    for source in sorted(package.rglob("*.py")):
        status = source.stat()
        digest.update(f"{source.relative_to(package)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _kernel_code(package: Path) -> str:
    """Return a digest of the sources that hold kernels, and of all that those import from the package."""
    todo = [path for path in package.rglob("*.py") if b"numba" in path.read_bytes()]
    seen: set[Path] = set()
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            todo += _imported(path, package)
    digest = hashlib.sha256()
    for path in sorted(seen):
        digest.update(f"{path.relative_to(package)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _imported(path: Path, package: Path) -> Iterator[Path]:
    """Yield the sources of a package from which one of them imports."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if not isinstance(node, ast.ImportFrom):
            continue
        words = (node.module or "").split(".") if node.module else []
        if node.level:
            base = path.parents[node.level - 1]
        elif words and words[0] == package.name:
            base, words = package, words[1:]
        else:
            continue
        module = base.joinpath(*words)
        candidates = [module, *(module / alias.name for alias in node.names)]
        for candidate in candidates:
            for source in (candidate.with_name(f"{candidate.name}.py"), candidate / "__init__.py"):
                if source.is_file() and source.is_relative_to(package):
                    yield source


def discard_stale_kernels(package: Path) -> bool:
    """
    Remove the cached kernels of a package if code that they may come from has changed since.

    numba compares a cached kernel only with the file in which the kernel stands, not with those of the
    functions that it calls: after an update it would go on computing with the old ones. Names, sizes and
    times of the sources are looked at each time; their text only when those have changed.

    Parameters
    ----------
    package : Path
        Directory of the package.

    Returns
    -------
    bool
        Whether the cache was out of date. A package in a read-only directory has no cache in it.
    """
    stamp, listing = package / _STAMP, _listing(package)
    known = ["", ""]
    with contextlib.suppress(OSError):
        known = [*stamp.read_text().split(), "", ""][:2]
    if known[0] == listing:
        return False
    code = _kernel_code(package)
    stale = known[1] != code
    with contextlib.suppress(OSError):
        for kernel in package.rglob("__pycache__/*.nb[ic]") if stale else ():
            kernel.unlink(missing_ok=True)
        stamp.parent.mkdir(exist_ok=True)
        part = stamp.with_name(f"{stamp.name}.{os.getpid()}")
        part.write_text(f"{listing}\n{code}\n")
        part.replace(stamp)
    return stale
