"""Where a product comes from: software, configuration, inputs and counts, written beside it as JSON."""

import datetime
import functools
import getpass
import hashlib
import importlib.metadata
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from sst1m.json_object import json_object

__all__ = [
    "cpu_seconds",
    "input_record",
    "provenance_json",
    "read_provenance",
    "software_versions",
    "source_revision",
    "utc_now",
]

_DISTRIBUTIONS = (
    "sst1m",
    "numpy",
    "numba",
    "astropy",
    "ctapipe",
    "tables",
    "protozfits",
    "luigi",
    "scikit-learn",
    "pyirf",
    "gammapy",
)
_HASHED_SIZE = 10_000_000


def utc_now() -> str:
    """Return the present time as ISO 8601 text in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@functools.cache
def software_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on, without importing them."""
    versions = {"python": platform.python_version()}
    for name in _DISTRIBUTIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


@functools.cache
def source_revision() -> str | None:
    """Return the commit of the checkout that this package is imported from; None for an installed package."""
    git = Path(__file__).resolve().parent.parent / ".git"
    try:
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        reference = head.removeprefix("ref: ")
        if (git / reference).exists():
            return (git / reference).read_text().strip()
        packed = (git / "packed-refs").read_text().splitlines()
    except OSError:
        return None
    return next((line.split()[0] for line in packed if line.endswith(f" {reference}")), None)


def cpu_seconds() -> float:
    """Return the time that this process and its children that have ended spent on the processor [s]."""
    return sum(os.times()[:4])


def input_record(path: Path, **facts: object) -> dict[str, object]:
    """
    Describe an input file.

    Parameters
    ----------
    path : Path
        The file.
    **facts
        What else identifies it, such as the checksum in its header. Small files get their sha256.
    """
    status = path.stat()
    record: dict[str, object] = {"path": str(path), "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    if status.st_size <= _HASHED_SIZE and not facts:
        record["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return record | facts


def provenance_json(
    *,
    product: Path,
    run: Mapping[str, object],
    inputs: Iterable[Mapping[str, object]],
    config: Mapping[str, object],
    started: str,
    counts: Mapping[str, object],
    options: Mapping[str, object],
    calibration: Mapping[str, object],
    cpu_s: float | None = None,
) -> bytes:
    """
    Return the provenance of a product as JSON text.

    Parameters
    ----------
    product : Path
        The product.
    run : mapping
        What identifies the observation: telescope, run, target, pointing.
    inputs : iterable of mapping
        From `input_record`.
    config : mapping
        ``fingerprint`` and all ``values`` of the configuration.
    started : str
        Time at which the work began, from `utc_now`.
    counts : mapping
        Numbers of events read, written and so on.
    options : mapping
        Options of the reduction that are not part of the configuration.
    calibration : mapping
        Where the calibration came from.
    cpu_s : float, optional
        Time on the processor [s].
    """
    record = {
        "product": product.name,
        "run": dict(run),
        "inputs": list(inputs),
        "config": dict(config),
        "options": dict(options),
        "calibration": dict(calibration),
        "counts": dict(counts),
        "software": software_versions() | {"revision": source_revision()},
        "command": shlex.join(sys.argv),
        "host": platform.node(),
        "user": _user(),
        "started": started,
        "stopped": utc_now(),
        "cpu_s": None if cpu_s is None else round(cpu_s, 3),
    }
    return (json.dumps(record, indent=1, default=str) + "\n").encode()


def read_provenance(path: Path) -> dict[str, object] | None:
    """Return the provenance beside a product; None where there is none that can be read."""
    try:
        return json_object(path.read_text())
    except (OSError, ValueError):
        return None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that has no name.
        return str(os.getuid())
