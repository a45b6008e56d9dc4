"""``python -m submit.worker ARRAY_DIR INDEX``: does the tasks of one shard, on a node."""

import contextlib
import gc
import logging
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import luigi
from luigi.event import Event
from luigi.task_register import load_task

from submit.campaign import Campaign
from submit.completeness import Patience, is_complete, output_directories
from submit.errors import StateError, SubmitError
from submit.exit_codes import ExitCode
from submit.failure import DETERMINISTIC, PERMANENT, TIMEOUT
from submit.lease import Holder, Lease
from submit.manifest import ManifestItem, WorkerSettings, read_manifest, read_worker_settings
from submit.results import ResultFile
from submit.run_task import TaskEnd, run_task
from submit.state_files import make_directory
from submit.task_paths import file_name, lease_path, log_path

__all__ = ["Worker", "main"]

log = logging.getLogger("submit.worker")

#: A task is begun only if its expected duration fits this often into the time that is left.
_RESERVE = 1.2


class Worker:
    """
    Does the tasks of a shard one after another.

    Parameters
    ----------
    array_dir : Path
        Directory of the array.
    index : int
        Number of the shard.
    items : tuple of ManifestItem
        Its tasks.
    settings : WorkerSettings
        How they are treated.
    """

    def __init__(
        self, array_dir: Path, index: int, items: tuple[ManifestItem, ...], settings: WorkerSettings
    ) -> None:
        self.items, self.settings = items, settings
        self.native = os.environ.get("SST1M_NATIVE", f"pid{os.getpid()}")
        self.node = os.environ.get("SST1M_NODE", socket.gethostname())
        run = file_name(os.environ.get("SST1M_RUN", f"{socket.gethostname()}-{os.getpid()}"))
        self.results = ResultFile(array_dir, index, run, group_writable=settings.group_writable)
        self.campaign = Campaign(settings.campaign_dir)
        self.patience = Patience(settings.latency_s, lambda: bool(self.interrupted()))
        self._signal = ""
        self._warm: set[type] = set()
        self._outcomes: list[tuple[str, str | None]] = []

    def interrupted(self) -> str:
        """Say why the work is to end now; empty if it may go on."""
        return self._signal

    def listen(self) -> None:
        """Take the batch system's warning and its order to end, or a person's."""

        def handler(reason: str, _number: int, _frame: object) -> None:
            self._signal = self._signal or reason

        signal.signal(signal.SIGUSR1, partial(handler, TIMEOUT))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, partial(handler, "terminated"))

    def run(self) -> ExitCode:
        """Do all tasks for which there is time, and write what became of each."""
        for number, item in enumerate(self.items, 1):
            reason = self._why_stop(item)
            if reason:
                self._leave(self.items[number - 1 :], reason)
                break
            end, attempt_log = self._one(item)
            self._write(item, end, attempt_log)
            said = f" ({end.failure})" if end.failure else ""
            text = f"{end.outcome}{said} in {end.seconds:.1f} s {end.error}".rstrip()
            log.info("%s/%s %s: %s", number, len(self.items), item.id, text)
        code = self._exit_code()
        self.results.add(end=int(code), time=time.time(), started=time.time())
        return code

    def _why_stop(self, item: ManifestItem) -> str:
        if self._signal:
            return f"signal: {self._signal}"
        if self.campaign.stop.exists():
            return "the campaign was cancelled"
        if self._left_s() < item.seconds * _RESERVE + self.settings.walltime_margin_s and self._outcomes:
            return "not enough time is left"
        return ""

    def _left_s(self) -> float:
        """Return the time until the limit [s]; without a limit, infinity."""
        walltime, began = os.environ.get("SST1M_WALLTIME_S", ""), os.environ.get("SST1M_STARTED", "")
        if not (walltime.isdigit() and began.isdigit()):
            return float("inf")
        return int(began) + int(walltime) - time.time()

    def _leave(self, items: Iterable[ManifestItem], reason: str) -> None:
        log.info("%s", reason)
        for item in items:
            self._write(item, TaskEnd("not-started", error=reason), None)

    def _one(self, item: ManifestItem) -> tuple[TaskEnd, Path | None]:
        task = load_task(item.module, item.family, dict(item.params))
        if task.task_id != item.id:
            return TaskEnd("failed", DETERMINISTIC, f"is {task.task_id} on this node: other code?"), None
        if is_complete(task):
            return TaskEnd("skipped"), None
        lease = Lease.take(
            lease_path(self.settings.state_dir, item.id), item.id, native=self.native, node=self.node,
            stale_after_s=self.settings.stale_lease_s, group_writable=self.settings.group_writable,
        )  # fmt: skip
        if isinstance(lease, Holder):
            return TaskEnd("leased", error=f"is being done by {lease}"), None
        try:
            # Whoever had the lease before may have finished in the meantime.
            if is_complete(task):
                return TaskEnd("skipped"), None
            return self._run(item, task, lease)
        finally:
            lease.release()

    def _run(self, item: ManifestItem, task: luigi.Task, lease: Lease) -> tuple[TaskEnd, Path | None]:
        needed = task.deps()
        missing = self._missing(needed)
        if missing:
            shown = ", ".join(one.task_id for one in missing[:3])
            return TaskEnd("blocked", error=f"needs {shown}" + (", ..." if len(missing) > 3 else "")), None
        self._warm_up(task, needed)
        place = log_path(self.settings.campaign_dir, item.family, item.id, item.attempt)
        make_directory(place.parent, group_writable=self.settings.group_writable)
        _note(place, f"attempt {item.attempt} at {item.id} on {self.node}, job {self.native}")
        self._write(item, TaskEnd("started"), place)
        end = run_task(
            task, place, mem_mb=item.mem_mb, timeout_s=item.timeout_s, table=self.settings.failure_classes,
            beat=lease.beat, beat_s=self.settings.heartbeat_s, interrupted=self.interrupted,
        )  # fmt: skip
        if end.outcome == "done" and not self._appeared(task):
            error = "ran without an error but is not complete"
            end = TaskEnd(
                "failed", DETERMINISTIC, error, "incomplete", end.seconds, end.cpu_seconds, end.maxrss_mb
            )
        used = f"{end.seconds:.1f} s, {end.cpu_seconds:.1f} s of CPU, {end.maxrss_mb:.0f} MB"
        _note(place, f"{end.outcome} after {used} {end.failure or ''} {end.error}".rstrip())
        return end, place

    def _missing(self, needed: list[luigi.Task]) -> list[luigi.Task]:
        missing = [one for one in needed if not is_complete(one)]
        if missing:
            self.patience.until(lambda: all(map(is_complete, missing)), lambda: output_directories(missing))
            missing = [one for one in missing if not is_complete(one)]
        return missing

    def _appeared(self, task: luigi.Task) -> bool:
        return self.patience.until(lambda: is_complete(task), lambda: output_directories([task]))

    def _warm_up(self, task: luigi.Task, needed: list[luigi.Task]) -> None:
        """Let tasks load heavy modules here, once, by the event that luigi fires for its own workers."""
        if type(task) not in self._warm:
            self._warm.add(type(task))
            task.trigger_event(Event.DEPENDENCY_DISCOVERED, task, needed[0] if needed else task)
            gc.collect()
            gc.freeze()

    def _write(self, item: ManifestItem, end: TaskEnd, place: Path | None) -> None:
        now = time.time()
        self.results.add(
            id=item.id, outcome=end.outcome, **{"class": end.failure}, error=end.error,
            fingerprint=end.fingerprint, seconds=end.seconds, cpu_seconds=end.cpu_seconds,
            maxrss_mb=end.maxrss_mb, node=self.node, native=self.native, attempt=item.attempt,
            log=str(place) if place else None, started=now - end.seconds, ended=now, stage=item.stage,
            work=item.work,
        )  # fmt: skip
        if end.outcome != "started":
            self._outcomes.append((end.outcome, end.failure))

    def _exit_code(self) -> ExitCode:
        outcomes = {outcome for outcome, _ in self._outcomes}
        if any(outcome == "failed" and kind in PERMANENT for outcome, kind in self._outcomes):
            return ExitCode.FAILED
        if outcomes & {"failed", "not-started", "leased"}:
            return ExitCode.TRY_AGAIN
        return ExitCode.BLOCKED if "blocked" in outcomes else ExitCode.DONE


def _note(place: Path, text: str) -> None:
    """Write into the log of a task who began it, and how it ended."""
    with contextlib.suppress(OSError), place.open("a", encoding="utf-8") as file:
        file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n")


def _check_environment(items: tuple[ManifestItem, ...], settings: WorkerSettings) -> None:
    """
    Refuse a machine that cannot work, before any task is burnt there.

    Raises
    ------
    StateError
        Saying what is wrong with it.
    """
    probe = settings.state_dir / f".probe-{socket.gethostname()}-{os.getpid()}.part"
    try:
        probe.touch()
        probe.unlink()
        os.chdir(settings.cwd)
    except OSError as error:
        raise StateError(f"{error.filename}: {error.strerror}; this node cannot work") from None
    for directory in {settings.cwd, *(place for item in items[:20] for place in _existing(item.outputs))}:
        free_mb = shutil.disk_usage(directory).free // 2**20
        if free_mb < settings.min_free_mb:
            raise StateError(
                f"{directory}: only {free_mb} MB free, node.min_free_mb is {settings.min_free_mb:.0f}"
            )


def _existing(outputs: Iterable[str]) -> set[Path]:
    """Return for each path the nearest directory above it that exists."""
    return {next(place for place in Path(path).absolute().parents if place.exists()) for path in outputs}


def _guarded(step: Callable[[], ExitCode], array_dir: Path, index: int) -> ExitCode:
    try:
        return step()
    except SubmitError as error:
        log.error("%s shard %s: %s", array_dir.name, index, error)
        return ExitCode.ENVIRONMENT
    except ImportError as error:
        log.error("%s shard %s: cannot be imported on this node: %s", array_dir.name, index, error)
        return ExitCode.ENVIRONMENT


def main() -> int:
    """Do a shard; return the exit status."""
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    log.setLevel(logging.INFO)
    array_dir, index = Path(sys.argv[1]), int(sys.argv[2])
    try:
        settings, items = read_worker_settings(array_dir), read_manifest(array_dir, index)
    except SubmitError as error:
        log.error("%s", error)
        return ExitCode.BAD_MANIFEST

    def step() -> ExitCode:
        _check_environment(items, settings)
        worker = Worker(array_dir.absolute(), index, items, settings)
        worker.listen()
        return worker.run()

    code = _guarded(step, array_dir, index)
    log.info("ends with %s (%s)", int(code), ExitCode(code).name.lower().replace("_", " "))
    return int(code)


if __name__ == "__main__":
    raise SystemExit(main())
