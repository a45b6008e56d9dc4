"""Products of a night after DL1: made from their inputs, and again when an input or a setting changes."""

import hashlib
import json
import logging
import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time_ns
from typing import Literal

from sst1m.checkpoint import SideFiles, held_lock, remove_product, sweep_parts, write_atomically, write_json
from sst1m.errors import ConfigError, OutputError, Sst1mError, UnreadableError
from sst1m.layout import NightLayout, side_paths
from sst1m.logs import RunLog, run_log
from sst1m.provenance import cpu_seconds, read_provenance, software_versions, source_revision, utc_now

__all__ = [
    "ProductJob",
    "ProductOutcome",
    "ProductState",
    "directory_digest",
    "make_product",
    "product_state",
    "remove_orphans",
    "remove_photon_lists",
]

log = logging.getLogger(__name__)

ProductState = Literal["done", "quarantined", "waiting"]


@dataclass(frozen=True)
class ProductJob:
    """
    A product that is to be made from files of the night.

    Parameters
    ----------
    night : NightLayout
        Paths of the night.
    product : Path
        The file whose presence says that the work is done; its side files lie beside it.
    inputs : tuple of Path
        Files of the night that it is made from.
    settings : mapping
        What else it depends on, as JSON values: fingerprints, digests, options.
    label : str
        How messages call it.
    """

    night: NightLayout
    product: Path
    inputs: tuple[Path, ...]
    settings: Mapping[str, object]
    label: str

    @property
    def stem(self) -> str:
        """Name of locks and records about this product, without separators."""
        relative = self.product.relative_to(self.night.root)
        return "--".join(relative.with_name(relative.name.removesuffix(relative.suffix)).parts)

    @property
    def failure(self) -> Path:
        """Record of a failure that would come back."""
        return self.night.root / "quarantine" / f"{self.stem}.json"

    @property
    def lock(self) -> Path:
        """Lock file that guards the product."""
        return self.night.locks / f"{self.stem}.lock"

    @property
    def work_log(self) -> Path:
        """Log while the product is being made."""
        return self.night.root / ".work" / f"{self.stem}.log"

    def basis(self) -> dict[str, object]:
        """
        Return what the product depends on as it is now: inputs by size and time, and settings.

        Raises
        ------
        OSError
            If an input is not there.
        """
        inputs = [_present(path, self.night.root) for path in self.inputs]
        return {"inputs": inputs, "settings": json.loads(json.dumps(dict(self.settings), default=str))}


@dataclass(frozen=True)
class ProductOutcome:
    """How the making of a product ended: its state, why it is not done, and how long it took [s]."""

    state: ProductState
    reason: str = ""
    counts: Mapping[str, object] | None = None
    seconds: float = 0.0


def _present(path: Path, root: Path) -> list[object]:
    status = path.stat()
    return [os.path.relpath(path, root), status.st_size, status.st_mtime_ns]


def directory_digest(directory: Path, pattern: str = "**/*") -> str:
    """
    Return a digest of the names, sizes and times of the files below a directory.

    Raises
    ------
    ConfigError
        If it is no directory.
    """
    if not directory.is_dir():
        raise ConfigError(f"{directory}: is no directory; correct [site] in luigi.cfg, or make it there")
    seen = [_present(path, directory) for path in sorted(directory.glob(pattern)) if path.is_file()]
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()


def product_state(job: ProductJob) -> tuple[ProductState, str]:
    """Return the state of a product, derived from the disk alone, and why it is not done."""
    try:
        basis = job.basis()
    except OSError as error:
        return "waiting", f"input {error.filename} is not there"
    if job.product.exists():
        made = read_provenance(side_paths(job.product)["json"]) or {}
        if made.get("basis") == basis:
            return "done", ""
        return "waiting", "an input or a setting has changed"
    failed = read_provenance(job.failure) or {}
    if failed.get("basis") == basis:
        return "quarantined", str(failed.get("message", ""))
    return "waiting", "not made yet"


def make_product(job: ProductJob, write: Callable[[SideFiles], None]) -> ProductOutcome:
    """
    Make a product unless it is there already, or is known to fail with the same inputs and settings.

    Parameters
    ----------
    job : ProductJob
        What to make.
    write : callable
        Makes and commits the product. It gets a function that takes the counts and returns the side files
        (provenance and log) for `sst1m.checkpoint.committed`.

    Returns
    -------
    ProductOutcome
        ``quarantined`` where the inputs do not allow the product; the record then says why.

    Raises
    ------
    Sst1mError, OSError, MemoryError
        If something around the inputs failed (disk, memory, configuration); the next call tries again.
    """
    with held_lock(job.lock, on_wait=lambda: log.info("%s: another process is at it; waiting", job.label)):
        state, reason = product_state(job)
        if state != "waiting" or not all(path.exists() for path in job.inputs):
            return ProductOutcome(state, reason)
        job.night.checked_inside(job.product)
        side = side_paths(job.product).values()
        sweep_parts(job.product, job.product.with_suffix(".png"), *side, job.failure)
        if job.product.exists():
            remove_product(job.product, side_paths(job.product))
        with run_log(job.work_log, {"product": job.product, "inputs": len(job.inputs)}) as run:
            outcome = _attempt(job, run, write)
        job.work_log.unlink(missing_ok=True)
        return outcome


def _attempt(job: ProductJob, run: RunLog, write: Callable[[SideFiles], None]) -> ProductOutcome:
    basis, started, start, cpu = job.basis(), utc_now(), monotonic(), cpu_seconds()
    counts: dict[str, object] = {}

    def side_files(found: Mapping[str, object]) -> dict[Path, Callable[[], bytes]]:
        counts.update(found)
        paths = side_paths(job.product)

        def finished() -> bytes:
            run.result(f"done, {monotonic() - start:.1f} s")
            return run.content()

        return {
            paths["json"]: lambda: _provenance(job, basis, started, counts, cpu_seconds() - cpu),
            paths["log"]: finished,
        }

    try:
        write(side_files)
    except Exception as error:  # noqa: BLE001 - the failure policy: everything gets a record
        return _failed(job, run, basis, error)
    job.failure.unlink(missing_ok=True)
    job.failure.with_suffix(".log").unlink(missing_ok=True)
    return ProductOutcome("done", "", counts, monotonic() - start)


def _provenance(
    job: ProductJob,
    basis: Mapping[str, object],
    started: str,
    counts: Mapping[str, object],
    cpu_s: float,
) -> bytes:
    record = {
        "product": job.product.name,
        "basis": basis,
        "counts": dict(counts),
        "software": software_versions() | {"revision": source_revision()},
        "started": started,
        "stopped": utc_now(),
        "cpu_s": round(cpu_s, 3),
    }
    return (json.dumps(record, indent=1, default=str) + "\n").encode()


def _failed(job: ProductJob, run: RunLog, basis: Mapping[str, object], error: Exception) -> ProductOutcome:
    """Record a failure that would come back, and let the others of the night go on; raise any other."""
    if isinstance(error, OSError | MemoryError | ImportError | ConfigError | OutputError | UnreadableError):
        run.result(f"failed: {error}")
        raise error
    message = " ".join(str(error).split())
    if not isinstance(error, Sst1mError):
        message = (
            f"unexpected {type(error).__name__}: {message}; the traceback is in the log, please report it"
        )
        run.traceback("".join(traceback.format_exception(error)))
    run.result(f"quarantined: {message}")
    text = job.failure.with_suffix(".log")
    write_atomically(text, run.content())
    record = {
        "product": os.path.relpath(job.product, job.night.root),
        "label": job.label,
        "basis": basis,
        "error": type(error).__name__,
        "message": message,
        "log": os.path.relpath(text, job.night.root),
        "time": utc_now(),
        "time_ns": time_ns(),
    }
    write_json(job.failure, record)
    return ProductOutcome("quarantined", message)


def remove_orphans(night: NightLayout) -> Iterator[str]:
    """
    Remove products whose DL1 file is no longer there, because its raw file or its correction has changed.

    Photon lists go when nothing is left in their set-up; otherwise they are made anew from what is left.

    Yields
    ------
    str
        One line for each product: which, and why.
    """
    for dl1 in sorted(night.root.glob("*/stereo/dl1/*_dl1_stereo.h5")):
        source = dl1.parents[2] / "cs1" / "dl1" / f"{dl1.name.removesuffix('_stereo.h5')}.h5"
        yield from _removed(night, [dl1], source)
    for dl2 in sorted(night.root.glob("*/*/dl2/*_dl2.h5")):
        source = dl2.parent.with_name("dl1") / f"{dl2.name.removesuffix('_dl2.h5')}.h5"
        yield from _removed(night, [dl2], source)
    for index in sorted(night.root.glob("*/*/dl3*/obs-index.fits.gz")):
        if not any(index.parent.with_name("dl2").glob("*_dl2.h5")):
            yield from _removed(night, _photon_lists(index), index.parent.with_name("dl2"))


def _photon_lists(index: Path) -> list[Path]:
    """Return the index of photon lists and what it is an index of."""
    return [index, index.with_name("hdu-index.fits.gz"), *sorted(index.parent.glob("SST1M_*_dl3.fits"))]


def remove_photon_lists(night: NightLayout, index: Path) -> None:
    """Remove photon lists of which no run is left that may be in them."""
    for product in _photon_lists(index) if index.exists() else ():
        night.checked_inside(product)
        remove_product(product, side_paths(product))


def _removed(night: NightLayout, products: Sequence[Path], source: Path) -> Iterator[str]:
    if source.is_file():
        return
    for product in products:
        remove_product(product, side_paths(product))
        gone = source.relative_to(night.root)
        yield f"removed {product.relative_to(night.root)}: {gone} is no longer there"
