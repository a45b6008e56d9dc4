"""Makes one shard of a production: it ends as a complete DL1 file, or as a record of why there is none."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any, Literal

from ..checkpoint import (
    committed,
    disk_problem,
    explained_write_errors,
    held_lock,
    sweep_parts,
    write_atomically,
)
from ..errors import (
    DataQualityError,
    InputError,
    ModelMismatchError,
    OutputError,
    Sst1mError,
    UnreadableError,
)
from ..isolation import run_isolated
from ..layout import side_paths
from ..logs import RunLog, run_log
from ..provenance import input_record, provenance_json, utc_now
from .failures import ShardFailure, clear_failure, failure_of, record_failure
from .plan import PlannedProduction, Shard
from .source import Command, Simulator

if TYPE_CHECKING:
    from ..config import McConfig

__all__ = ["ShardOutcome", "make_shard", "shard_is_settled"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ShardOutcome:
    """
    How the work on a shard ended.

    Parameters
    ----------
    state : str
        ``done`` or ``failed``.
    reason : str
        Why it failed.
    n_events : int
        Events written.
    seconds : float
        Duration [s].
    """

    state: Literal["done", "failed"]
    reason: str = ""
    n_events: int = 0
    seconds: float = 0.0


def shard_is_settled(planned: PlannedProduction, shard: Shard) -> bool:
    """Whether a shard has its file, or is known to fail as long as what it is made from is the same."""
    return _product(planned, shard).exists() or failure_of(planned.layout, shard) is not None


def _product(planned: PlannedProduction, shard: Shard) -> Path:
    sample = shard.sample
    return planned.layout.shard(sample.particle, sample.node, sample.role, shard.index)


def make_shard(
    planned: PlannedProduction,
    shard: Shard,
    config: "McConfig",
    *,
    progress: Callable[[int], None] | None = None,
) -> ShardOutcome | None:
    """
    Simulate a shard, or reduce the file that it is made from, unless another process has done so meanwhile.

    Parameters
    ----------
    planned : PlannedProduction
        The production.
    shard : Shard
        Which.
    config : McConfig
        Analysis of the simulations.
    progress : callable, optional
        Called with the number of showers done since the last call, by our own simulator.

    Returns
    -------
    ShardOutcome or None
        None if another process has settled the shard. A shard that is itself to blame is recorded as failed.

    Raises
    ------
    Sst1mError, OSError, MemoryError
        If something around it failed (disk, configuration, memory); the next call tries again.
    """
    layout, product = planned.layout, _product(planned, shard)

    def tell() -> None:
        log.info("%s: another process is at it; waiting for that", shard)

    lock = layout.lock(product)
    with held_lock(lock, on_wait=tell):
        if shard_is_settled(planned, shard):
            _remove_lock(lock, product)
            return None
        failed = layout.failure_record(shard.name)
        sweep_parts(product, *side_paths(product).values(), failed, failed.with_suffix(".log"))
        work = layout.root / ".work" / f"{shard.name}".removesuffix(".h5")
        with run_log(work.with_suffix(".log"), _heading(planned, shard, config)) as run:
            try:
                outcome = _make(planned, shard, config, run, work, progress)
            except Exception as error:  # noqa: BLE001 - the failure policy: everything gets a record
                outcome = _failed(planned, shard, run, error)
        work.with_suffix(".log").unlink(missing_ok=True)
        _remove_lock(lock, product)
        return outcome


def _remove_lock(lock: Path, product: Path) -> None:
    """Remove the lock file of a shard that is done: who waits for it will find the product."""
    if product.exists():
        lock.unlink(missing_ok=True)


def _heading(planned: PlannedProduction, shard: Shard, config: "McConfig") -> dict[str, object]:
    return {
        "production": f"{planned.name} ({planned.file}) {planned.production.fingerprint()}",
        "shard": f"{shard}, run {shard.obs_id}, seed {planned.seed(shard)}",
        "configuration": f"{config.path} {config.fingerprint()}",
        "product": _product(planned, shard),
    }


def _make(
    planned: PlannedProduction,
    shard: Shard,
    config: "McConfig",
    run: RunLog,
    work: Path,
    progress: Callable[[int], None] | None,
) -> ShardOutcome:
    started, start = utc_now(), monotonic()
    product, made = _product(planned, shard), {}

    def provenance() -> bytes:
        return _provenance(planned, shard, config, made, started)

    def finished_log() -> bytes:
        run.result(f"done, {made['n_events']} events, {monotonic() - start:.1f} s")
        return run.content()

    paths = side_paths(product)
    with committed(product, side_files={paths["json"]: provenance, paths["log"]: finished_log}) as part:
        made |= _write(planned, shard, config, part, work, run.path, progress)
    clear_failure(planned.layout, shard.name)
    return ShardOutcome("done", n_events=made["n_events"], seconds=monotonic() - start)


def _write(
    planned: PlannedProduction,
    shard: Shard,
    config: "McConfig",
    part: Path,
    work: Path,
    log_file: Path,
    progress: Callable[[int], None] | None,
) -> dict[str, Any]:
    """Write the DL1 file under a temporary name, check it, and return its counts."""
    from .write_shard import check_shard, link_dl1, reduce_file, run_command, simulate

    source = planned.production.source
    with explained_write_errors(part):
        if isinstance(source, Simulator):
            simulate(planned, shard, config, part, progress)
        elif isinstance(source, Command):
            run_command(planned, shard, config, part, work, log_file)
        else:
            file = planned.input_file(shard)
            assert file is not None
            if file.suffix == ".h5":
                link_dl1(file, part)
            else:
                run_isolated(
                    reduce_file, file, part, config, planned.seed(shard), output=log_file, subject=str(file)
                )
        try:
            return check_shard(part, planned, shard)
        except InputError as error:
            # HDF5 can lose data on a full disk and say nothing.
            reason = disk_problem(part)
            if not reason and isinstance(source, Simulator):
                reason = f"what was written is not complete ({error})"
            if reason:
                raise OutputError(f"{_product(planned, shard)}: cannot be written: {reason}") from error
            raise


def _provenance(
    planned: PlannedProduction, shard: Shard, config: "McConfig", counts: dict[str, Any], started: str
) -> bytes:
    sample, source = shard.sample, planned.production.source
    file = planned.input_file(shard)
    return provenance_json(
        product=_product(planned, shard),
        run={
            "production": planned.name,
            "particle": sample.particle,
            "node": str(sample.node),
            "role": sample.role,
            "shard": shard.index,
            "obs_id": shard.obs_id,
            "seed": planned.seed(shard),
        },
        inputs=[input_record(file, kind="simulation")] if file else [],
        config={"file": str(config.path), "fingerprint": config.fingerprint()},
        started=started,
        counts=counts,
        options={"production": planned.production.fingerprint(), "source": source.model_dump(mode="json")},
        calibration={},
    )


def _failed(planned: PlannedProduction, shard: Shard, run: RunLog, error: Exception) -> ShardOutcome:
    """Record a failure; raise it again unless the shard is to blame."""
    blamed = _shard_is_to_blame(error)
    message = " ".join(str(error).split())
    if not isinstance(error, Sst1mError | OSError | MemoryError):
        message = (
            f"unexpected {type(error).__name__}: {message}; the traceback is in the log, please report it"
        )
        run.traceback(getattr(error, "child_traceback", "") or _traceback(error))
    run.result(f"failed: {message}")
    if not blamed:
        raise error
    file = planned.input_file(shard)
    status = os.stat(file) if file and file.exists() else None
    write_atomically(planned.layout.failure_record(shard.name).with_suffix(".log"), run.content())
    failure = ShardFailure(
        shard=str(shard.name),
        error=type(error).__name__,
        message=message or type(error).__name__,
        input=str(file or ""),
        size=status.st_size if status else 0,
        mtime_ns=status.st_mtime_ns if status else 0,
        time=utc_now(),
        time_ns=time_ns(),
    )
    record_failure(planned.layout, shard, failure)
    return ShardOutcome("failed", message)


def _traceback(error: Exception) -> str:
    import traceback

    return "".join(traceback.format_exception(error))


def _shard_is_to_blame(error: Exception) -> bool:
    """
    Whether the same shard would fail again in the same way.

    An error of the program counts as such: one shard in ten thousand that it cannot digest shall not hold
    up the production. What the operating system or the configuration refuses says nothing about a shard.
    """
    if isinstance(error, UnreadableError):
        return False
    if isinstance(error, Sst1mError):
        return isinstance(error, InputError | DataQualityError | ModelMismatchError)
    return not isinstance(error, OSError | MemoryError | ImportError)
