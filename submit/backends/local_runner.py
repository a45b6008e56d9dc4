"""The process behind the local backend: starts elements as cores become free, ends when nothing is left."""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from submit.backends.commands import plain_environment
from submit.backends.local_queue import Element, Queue, QueuedJob, is_process, native_name, process_start
from submit.backends.script import warning_s
from submit.errors import StateError
from submit.jobs import Reason

__all__ = ["Runner", "main"]

_LOG = logging.getLogger(__name__)

#: Between two looks at the processes and at the directory [s].
POLL_S = 0.1

#: Between TERM and KILL [s].
KILL_WAIT_S = 5.0


def _session(leader: int) -> Iterator[int]:
    """Yield the processes of a session; a task in a process group of its own belongs to it, too."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                text = Path(f"/proc/{entry}/stat").read_text(encoding="utf-8", errors="replace")
                if int(text.rpartition(")")[2].split()[3]) == leader:
                    yield int(entry)


def _belongs_to(pid: int, native: str) -> bool:
    with contextlib.suppress(OSError):
        return f"SST1M_NATIVE={native}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False


@dataclass
class _Running:
    """An element at work; `process` is None if a runner that is gone has started it."""

    index: int
    element: Element
    process: subprocess.Popen[bytes] | None = None
    warned: bool = False
    ordered: Reason | None = None
    killed_at: float | None = None

    def status(self) -> int | None:
        """Return the exit status, None while it runs; of somebody else's child it is not to be had: 256."""
        if self.process is not None:
            return self.process.poll()
        return None if is_process(self.element.pid, self.element.ticks) else 256


@dataclass
class _Work:
    """A job of which something is left to do."""

    job: QueuedJob
    waiting: deque[int]
    running: dict[int, _Running] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        return not self.waiting and not self.running

    @property
    def throttled(self) -> bool:
        return self.job.throttle is not None and len(self.running) >= self.job.throttle


class Runner:
    """
    Works off a queue; only the holder of its lock may do so.

    Parameters
    ----------
    queue : Queue
        The queue.
    cores : int
        Cores that the elements share; one that wants more than there are gets all.
    memory_mb : int
        Memory that they share [MB].
    """

    def __init__(self, queue: Queue, cores: int, memory_mb: int) -> None:
        self.queue = queue
        self.cores = cores
        self.memory_mb = memory_mb
        self._work: dict[str, _Work] = {}
        self._over: set[str] = set()

    def run(self) -> None:
        """Work until nothing is left."""
        while self.step():
            time.sleep(POLL_S)

    def step(self) -> bool:
        """Look once at everything; returns whether there is work left."""
        self._take_in()
        for work in self._work.values():
            self._reap(work)
            self._obey(work)
        self._start()
        for job_id in [job_id for job_id, work in self._work.items() if work.over]:
            del self._work[job_id]
            self._over.add(job_id)
        return bool(self._work)

    def _take_in(self) -> None:
        """Add the jobs that are new, with what an earlier runner has done of them."""
        for job_id in self.queue.ids():
            if job_id in self._work or job_id in self._over:
                continue
            try:
                job, known = self.queue.job(job_id), self.queue.elements(job_id)
            except StateError as error:
                _LOG.warning("%s", error)
                job = None
            if job is None:
                self._over.add(job_id)
                continue
            work = _Work(job, deque(index for index in range(job.n_elements) if index not in known))
            for index, element in known.items():
                if element.event == "started":
                    # Its process may live on; if not, `_reap` finds that out, like for any other.
                    work.running[index] = _Running(index, element)
            self._work[job_id] = work

    def _reap(self, work: _Work) -> None:
        for one in list(work.running.values()):
            status = one.status()
            if status is None:
                continue
            native = native_name(work.job.id, one.index)
            for pid in _session(one.element.pid):
                # The number of the leader may be somebody else's by now.
                if _belongs_to(pid, native):
                    _send(pid, signal.SIGKILL)
            reason: Reason = one.ordered or ("ok" if status == 0 else "node" if status == 256 else "failed")
            code = None if status == 256 else 128 - status if status < 0 else status
            ended = replace(one.element, event="ended", reason=reason, exit_code=code)
            self.queue.note(work.job.id, one.index, ended)
            del work.running[one.index]

    def _obey(self, work: _Work) -> None:
        """Warn and end what was cancelled, or is over its time limit."""
        cancelled = self.queue.is_cancelled(work.job.id)
        if cancelled:
            while work.waiting:
                self.queue.note(work.job.id, work.waiting.popleft(), Element("ended", reason="cancelled"))
        for one in work.running.values():
            left_s = one.element.started + work.job.walltime_s - time.time()
            if left_s <= warning_s(work.job.walltime_s) and not one.warned:
                one.warned = True
                _send(one.element.pid, signal.SIGUSR1)
            if cancelled or left_s <= 0:
                self._end(one, "cancelled" if cancelled else "timeout")

    def _end(self, one: _Running, reason: Reason) -> None:
        now = time.monotonic()
        if one.killed_at is None:
            one.ordered, one.killed_at = reason, now
            _send_all(one, signal.SIGTERM)
        elif now - one.killed_at > KILL_WAIT_S:
            _send_all(one, signal.SIGKILL)

    def _start(self) -> None:
        """Start what is due, in order; what does not fit yet holds up what comes after it, lest it starve."""
        for work in self._work.values():
            while work.waiting and not work.throttled and self._is_due(work.job):
                if not self._fits(work.job):
                    return
                self._launch(work, work.waiting.popleft())

    def _is_due(self, job: QueuedJob) -> bool:
        return not any(before in self._work and not self._work[before].over for before in job.depends_on)

    def _fits(self, job: QueuedJob) -> bool:
        jobs = [work.job for work in self._work.values() for _ in work.running]
        if not jobs:
            return True
        cores = sum(min(one.cpus, self.cores) for one in jobs) + min(job.cpus, self.cores)
        return cores <= self.cores and sum(one.mem_mb for one in jobs) + job.mem_mb <= self.memory_mb

    def _launch(self, work: _Work, index: int) -> None:
        job = work.job
        environment = {"SST1M_INDEX": str(index), "SST1M_NATIVE": native_name(job.id, index)}
        host = socket.gethostname()
        try:
            process = subprocess.Popen(
                ["/bin/bash", str(job.directory / "array.sh")],
                cwd=job.directory,
                env={**plain_environment(), **environment},
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            self.queue.note(job.id, index, Element("ended", host=host, started=time.time(), reason="node"))
            return
        ticks = process_start(process.pid)
        element = Element("started", process.pid, ticks, host, time.time())
        work.running[index] = _Running(index, element, process)
        self.queue.note(job.id, index, element)


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _send_all(one: _Running, number: signal.Signals) -> None:
    if one.status() is None:
        for pid in _session(one.element.pid):
            _send(pid, number)


def _memory_mb() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20


def main(words: list[str]) -> int:
    """
    Become the runner of a queue, in the background; at once done if there is one.

    Parameters
    ----------
    words : list of str
        Directory of the queue, and the number of cores.
    """
    queue, cores = Queue(Path(words[0])), int(words[1])
    # The lock may be taken for the moment in which somebody only looks at it.
    for _ in range(10):
        with queue.runner_lock() as mine:
            if mine:
                # It belongs to both processes until the second one lets it go.
                if os.fork() > 0:
                    return 0
                os.setsid()
                Runner(queue, cores, _memory_mb()).run()
                break
        time.sleep(POLL_S)
    while queue.has_work():
        # Somebody submitted after the last look, saw the lock taken and went away.
        with queue.runner_lock() as mine:
            if not mine:
                return 0
            Runner(queue, cores, _memory_mb()).run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
