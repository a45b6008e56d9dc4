"""Reduces one run of a night: it ends with a complete product, or with a record of why there is none."""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM, signal
from time import monotonic, time_ns
from types import FrameType
from typing import TYPE_CHECKING, Literal

from sst1m.checkpoint import (
    committed,
    disk_problem,
    explained_write_errors,
    held_lock,
    sweep_parts,
    write_atomically,
)
from sst1m.errors import DataQualityError, InputError, OutputError, RawFileError, SkippedRun, Sst1mError
from sst1m.isolation import run_isolated
from sst1m.layout import NightLayout, side_paths
from sst1m.logs import RunLog, run_log
from sst1m.names import RawName
from sst1m.provenance import cpu_seconds, input_record, provenance_json, utc_now
from sst1m.runstate import FailureKind, FailureRecord, clear_failures, failure_of, record_failure

if TYPE_CHECKING:
    from sst1m.config import AnalysisConfig
    from sst1m.reduction import ReductionSummary

__all__ = ["RunJob", "RunOutcome", "reduce_night_run", "run_is_settled"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunJob:
    """
    A run of the night that is to be reduced.

    Parameters
    ----------
    night : NightLayout
        Paths of the night.
    raw_file : Path
        The raw file, under its raw name.
    target, wobble : str
        Target and wobble tag of the product's path; the tag is empty where there is none.
    ra_deg, dec_deg : float
        Pointing of the telescope, ICRS [deg].
    pointing_source : str
        ``header`` or ``corrections``.
    calibration_dir : Path or None
        Where calibration files lie that the configuration does not name.
    precise_timestamps, px_charges : bool
        Options of the reduction: White-Rabbit columns; a file of pedestal charges beside the product.
    """

    night: NightLayout
    raw_file: Path
    target: str
    wobble: str
    ra_deg: float
    dec_deg: float
    pointing_source: str
    calibration_dir: Path | None = None
    precise_timestamps: bool = False
    px_charges: bool = False

    @property
    def name(self) -> RawName:
        """Telescope, night and run."""
        return RawName.parse(self.raw_file.name)

    @property
    def product(self) -> Path:
        """Path of the DL1 product."""
        return self.night.dl1_path(self.name, self.target, self.wobble)

    @property
    def pixel_charges(self) -> Path | None:
        """Path of the pedestal charges beside the product; None where they are not asked for."""
        return (
            self.product.with_name(self.product.name.replace("_dl1.h5", "_pedestal_hist.h5"))
            if self.px_charges
            else None
        )

    @property
    def label(self) -> str:
        """How the run is called in messages."""
        return f"tel {self.name.tel_id} run {self.name.run:04d}"


@dataclass(frozen=True)
class RunOutcome:
    """
    How a reduction ended.

    Parameters
    ----------
    state : str
        ``done``, ``quarantined`` or ``skipped``.
    reason : str
        Why it is not done.
    n_events : int
        Events read.
    seconds : float
        Duration [s].
    """

    state: Literal["done", "quarantined", "skipped"]
    reason: str = ""
    n_events: int = 0
    seconds: float = 0.0


def run_is_settled(job: RunJob) -> bool:
    """Whether a run has its product, or is known to fail as long as its raw file is the same."""
    if job.product.exists():
        return True
    return failure_of(job.night, job.name, "quarantine", job.raw_file) is not None


def reduce_night_run(
    job: RunJob, config: "AnalysisConfig", *, on_progress: Callable[[int, int], object] | None = None
) -> RunOutcome | None:
    """
    Reduce a run, unless another process has done so in the meantime.

    Parameters
    ----------
    job : RunJob
        The run.
    config : AnalysisConfig
        Configuration of the analysis.
    on_progress : callable, optional
        Called with the events done and the events in all.

    Returns
    -------
    RunOutcome or None
        None if another process has settled the run. A file that is to blame itself is put into quarantine.

    Raises
    ------
    Sst1mError, OSError, MemoryError
        If something around the file failed; the next call tries again.
    """
    night, name = job.night, job.name

    def tell() -> None:
        log.info("%s: another process is reducing it; waiting for that", job.label)

    with _interrupted_by_sigterm(), held_lock(night.lock(name), on_wait=tell):
        if run_is_settled(job):
            return None
        job.night.checked_inside(job.product)
        before = _present(job.raw_file)
        for part in sweep_parts(*_files(job)):
            log.info("%s: removed %s, left by a killed attempt", job.label, part.name)
        with run_log(night.work_log(name), _heading(job, config)) as run:
            try:
                outcome = _reduce(job, config, run, before, on_progress)
            except Exception as error:  # noqa: BLE001 - the failure policy: everything gets a record
                outcome = _failed(job, run, before, error)
        night.work_log(name).unlink(missing_ok=True)
        return outcome


def _present(raw_file: Path) -> os.stat_result:
    try:
        return raw_file.stat()
    except OSError as error:
        raise InputError(
            f"{raw_file}: is no longer there ({error.strerror}); put it back and run the same command again"
        ) from None


def _files(job: RunJob) -> list[Path]:
    """Return everything that is written about a run under a temporary name first."""
    records = [job.night.failure_record(kind, job.name) for kind in ("quarantine", "attempts")]
    files = [job.product, *side_paths(job.product).values(), *records]
    files += [record.with_suffix(".log") for record in records]
    return files + ([job.pixel_charges] if job.pixel_charges else [])


def _heading(job: RunJob, config: "AnalysisConfig") -> dict[str, object]:
    return {
        "run": f"{job.label} of the night {job.night.date:%Y-%m-%d}",
        "target": f"{job.target} {job.wobble}".rstrip(),
        "input": job.raw_file,
        "pointing": f"ra {job.ra_deg} deg, dec {job.dec_deg} deg (from {job.pointing_source})",
        "configuration": f"{config.path} {config.fingerprint()}",
        "product": job.product,
    }


def _reduce(
    job: RunJob,
    config: "AnalysisConfig",
    run: RunLog,
    before: os.stat_result,
    on_progress: Callable[[int, int], object] | None,
) -> RunOutcome:
    """Verify the raw file, reduce it in a process of its own, and commit the product with its side files."""
    from sst1m.io.raw_header import verify_raw_file

    started, start, cpu = utc_now(), monotonic(), cpu_seconds()
    # Before the product's directory is made: a damaged file shall not leave an empty target behind.
    header = run_isolated(verify_raw_file, job.raw_file, output=run.path, subject=str(job.raw_file))
    summaries: list[ReductionSummary] = []

    def provenance() -> bytes:
        raw = input_record(job.raw_file, datasum=header.datasum)
        return _provenance(job, config, summaries[0], raw, before, started, cpu_seconds() - cpu)

    def finished_log() -> bytes:
        run.result(f"done, {summaries[0].n_events} events, {monotonic() - start:.1f} s")
        return run.content()

    paths = side_paths(job.product)
    with ExitStack() as stack:
        # Left in the opposite order: the pedestal charges appear before the product.
        part = stack.enter_context(
            committed(job.product, side_files={paths["json"]: provenance, paths["log"]: finished_log})
        )
        charges = job.pixel_charges and stack.enter_context(committed(job.pixel_charges))
        summaries.append(
            run_isolated(
                _reduce_and_check,
                job,
                config,
                part,
                charges,
                on_progress=on_progress or (lambda _done, _total: None),
                output=run.path,
                subject=str(job.raw_file),
            )
        )
        now = job.raw_file.stat()
        if (before.st_size, before.st_mtime_ns) != (now.st_size, now.st_mtime_ns):
            raise InputError(f"{job.raw_file}: it was changed while it was read; run the same command again")
    clear_failures(job.night, job.name)
    return RunOutcome("done", n_events=summaries[0].n_events, seconds=monotonic() - start)


def _reduce_and_check(
    job: RunJob,
    config: "AnalysisConfig",
    part: Path,
    charges: Path | None,
    progress: Callable[[int, int], object],
) -> "ReductionSummary":
    """Reduce a raw file and check what was written; this runs in a process of its own."""
    from sst1m.io.dl1 import check_dl1
    from sst1m.pointing import Pointing
    from sst1m.reduction import ReductionOptions, reduce_raw_run

    name = job.name
    with explained_write_errors(part):
        summary = reduce_raw_run(
            job.raw_file,
            part,
            config=config,
            calibration_dir=job.calibration_dir,
            tel_id=name.tel_id,
            date=int(f"{name.date:%Y%m%d}"),
            run=name.run,
            pointing=Pointing(job.ra_deg, job.dec_deg, job.pointing_source),
            options=ReductionOptions(precise_timestamps=job.precise_timestamps, pixel_charges=charges),
            progress=progress,
        )
        try:
            check_dl1(part)
        except InputError as error:
            # HDF5 can lose data on a full disk and say nothing.
            reason = disk_problem(part) or f"what was written is not complete ({error})"
            raise OutputError(f"{job.product}: cannot be written: {reason}") from error
    return summary


def _provenance(
    job: RunJob,
    config: "AnalysisConfig",
    summary: "ReductionSummary",
    raw: dict[str, object],
    before: os.stat_result,
    started: str,
    cpu_s: float,
) -> bytes:
    name = job.name
    run = {
        "tel_id": name.tel_id, "run": name.run, "obs_id": name.obs_id, "night": f"{name.date:%Y-%m-%d}",
        "file": str(name), "size": before.st_size, "mtime_ns": before.st_mtime_ns,
        "target": job.target, "wobble": job.wobble,
        "ra_deg": job.ra_deg, "dec_deg": job.dec_deg, "pointing_source": job.pointing_source,
    }  # fmt: skip
    counts = {"n_events": summary.n_events, "n_events_written": summary.n_events_written}
    return provenance_json(
        product=job.product,
        run=run,
        inputs=[raw],
        config={"file": str(config.path), "fingerprint": config.fingerprint(), "values": config.canonical()},
        started=started,
        counts=counts,
        options={"precise_timestamps": job.precise_timestamps, "px_charges": job.px_charges},
        calibration=summary.info,
        cpu_s=cpu_s,
    )


def _failed(job: RunJob, run: RunLog, before: os.stat_result, error: Exception) -> RunOutcome:
    """Record a failure; raise it again unless the raw file is to blame."""
    blamed = _file_is_to_blame(error)
    message = str(error)
    if not isinstance(error, Sst1mError | OSError | MemoryError):
        message = f"unexpected {type(error).__name__}: {error}; the traceback is in the log, please report it"
        run.traceback(getattr(error, "child_traceback", "") or repr(error))
    state: Literal["quarantined", "skipped"] = "skipped" if isinstance(error, SkippedRun) else "quarantined"
    run.result(f"{state if blamed else 'failed'}: {message}")
    kind: FailureKind = "quarantine" if blamed else "attempts"
    try:
        _write_failure(job, run, before, kind, type(error).__name__, message or type(error).__name__)
    except Sst1mError as unrecorded:
        log.error("%s: the failure could not be recorded: %s", job.label, unrecorded)
        blamed = False
    if not blamed:
        raise error
    return RunOutcome(state, message)


def _file_is_to_blame(error: Exception) -> bool:
    """
    Whether the same file would fail again in the same way.

    An error of the program counts as such: one run that it cannot digest shall not hold up the night. What
    the operating system refuses (disk, memory, rights) says nothing about the file.
    """
    if isinstance(error, Sst1mError):
        return isinstance(error, RawFileError | DataQualityError | SkippedRun)
    return not isinstance(error, OSError | MemoryError | ImportError)


def _write_failure(
    job: RunJob, run: RunLog, before: os.stat_result, kind: FailureKind, error: str, message: str
) -> None:
    # The record speaks of the file as it was when the work began: one that arrived meanwhile is tried anew.
    path = job.night.failure_record(kind, job.name).with_suffix(".log")
    write_atomically(path, run.content())
    record = FailureRecord(
        kind=kind,
        file=job.raw_file.name,
        size=before.st_size,
        mtime_ns=before.st_mtime_ns,
        error=error,
        message=" ".join(message.split()),
        log=str(path.relative_to(job.night.root)),
        time=utc_now(),
        time_ns=time_ns(),
    )
    record_failure(job.night, job.name, record)


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Let SIGTERM interrupt like Ctrl-C, so that partial files are removed; only in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt("terminated")

    previous = signal(SIGTERM, interrupt)
    try:
        yield
    finally:
        signal(SIGTERM, previous)
