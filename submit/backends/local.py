"""All cores of one machine as a batch system: a queue of files, and a runner while there is work."""

import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from submit.backends.commands import plain_environment
from submit.backends.local_queue import Element, Queue, native_name
from submit.backends.script import log_directory, render_script
from submit.errors import SchedulerError
from submit.jobs import ElementState, Job, JobState, Limits
from submit.site import Site
from submit.state_files import make_directory

__all__ = ["Local"]


class Local:
    """
    Jobs of one machine; no process has to be started for it, and none stays when the work is done.

    Parameters
    ----------
    site : Site
        Settings of the site; ``node.cores`` is the number of elements of one core at a time.
    """

    name = "local"

    def __init__(self, site: Site) -> None:
        self.site = site
        self._cores = site.node.cores or len(os.sched_getaffinity(0))
        self._queue = Queue(site.state_dir / "local", group_writable=site.plan.group_writable)

    def limits(self) -> Limits:
        """Return the limits of the settings; there are no others."""
        return Limits(max_array_size=self.site.queue.max_array_size, slots=self._cores)

    def script(self, job: Job) -> str:
        """Return the text of ``array.sh``."""
        return render_script(job, self.site)

    def arguments(self, job: Job) -> tuple[str, ...]:
        """Return what the runner starts for every element, with the variable SST1M_INDEX."""
        return ("/bin/bash", str(job.directory.resolve() / "array.sh"))

    def submit(self, job: Job) -> str:
        """Add a job to the queue, wake the runner, and return the id of the job."""
        make_directory(log_directory(job), group_writable=self.site.plan.group_writable)
        job_id = self._queue.add(job)
        self._wake()
        return job_id

    def find(self, names: Collection[str]) -> dict[str, str]:
        """Return the ids of jobs with these names."""
        jobs = [self._queue.job(job_id) for job_id in reversed(self._queue.ids() if names else [])]
        return {job.name: job.id for job in jobs if job is not None and job.name in names}

    def query(self, ids: Collection[str]) -> dict[str, JobState]:
        """Return the states of jobs; a runner that was killed is followed by a new one if work is left."""
        states = {job_id: self._state(job_id) for job_id in ids}
        left = any(one.phase != "ended" for state in states.values() for one in state.elements.values())
        if left:
            self._wake()
        return states

    def _state(self, job_id: str) -> JobState:
        if (job := self._queue.job(job_id)) is None:
            return JobState(known=False)
        # In this order: what the last runner wrote before it left must not be missed.
        has_runner = self._queue.has_runner()
        elements = self._queue.elements(job_id)
        return JobState(
            {
                index: self._element(native_name(job_id, index), elements.get(index), has_runner)
                for index in range(job.n_elements)
            }
        )

    def _element(self, native: str, one: Element | None, has_runner: bool) -> ElementState:
        if one is None:
            return ElementState("queued", native=native)
        if one.event == "ended":
            return ElementState("ended", one.reason, one.exit_code, one.host, native)
        # A runner that lives will write the end itself; without one, the process is asked.
        if has_runner or self._queue.is_alive(one, has_runner=has_runner):
            return ElementState("running", node=one.host, native=native)
        return ElementState("ended", "node", node=one.host, native=native)

    def cancel(self, ids: Collection[str]) -> None:
        """Ask the runner to end jobs."""
        known = [job_id for job_id in ids if self._queue.job(job_id) is not None]
        for job_id in known:
            self._queue.cancel(job_id)
        if known:
            self._wake()

    def _wake(self) -> None:
        """Make sure that a runner is at work."""
        if self._queue.has_runner():
            return
        words = [
            sys.executable,
            "-m",
            "submit.backends.local_runner",
            str(self._queue.root),
            str(self._cores),
        ]
        home = str(Path(__file__).parents[2])
        with (self._queue.root / "runner.log").open("ab") as log:
            done = subprocess.run(
                words,
                cwd=self._queue.root,
                env={**plain_environment(), "PYTHONPATH": home},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
            )
        if done.returncode != 0:
            raise SchedulerError(f"{self._queue.root}/runner.log: the runner did not start; see there")
