"""Hands the arrays of a round to the batch system, each once, however often it is tried."""

import logging
import os
import sys
import time
from collections.abc import Sequence

from submit.campaign import Campaign
from submit.errors import SchedulerError
from submit.jobs import Backend, Job, Limits
from submit.pack import Array
from submit.plan import longest_s
from submit.reconcile import Account, Jobs
from submit.root import Root
from submit.rounds import FINALIZER, ArrayRecord, Round
from submit.site import Site
from submit.state_files import make_directory, write_text

__all__ = ["render_first", "submit_finalizer", "submit_planned"]

log = logging.getLogger(__name__)

#: Memory of the worker itself, beside that of the task [MB].
WORKER_MB = 200
_FINALIZER_S = 3600
_FINALIZER_MB = 2000


def submit_planned(
    campaign: Campaign,
    known: Round,
    site: Site,
    backend: Backend,
    limits: Limits,
    jobs: Jobs,
    account: Account,
) -> int:
    """
    Submit what a round still has planned, as far as the queue may be filled.

    The intention is written before the batch system is asked, its answer afterwards. Whoever dies in between
    leaves a name, by which the next call finds the job.

    Returns
    -------
    int
        Number of arrays that were submitted.

    Raises
    ------
    SchedulerError
        If the batch system refuses an array; what was submitted before stays so.
    """
    room = _room(site, limits, account)
    records = {record.name: record for record in known.arrays()}
    number = 0
    for record in records.values():
        if record.state != "planned":
            continue
        if any(records[need].state in ("planned", "submitting") for need in record.needs if need in records):
            # A queue that is full has cut off what comes before; this one waits as well.
            continue
        if record.n_elements > room and (number or room < _most(site, limits)):
            log.info("%s: %s elements wait for room in the queue (%s)", record.name, record.n_elements, room)
            continue
        before = [records[need] for need in record.needs if need in records]
        job = _job(campaign.root, record, site, account, limits, _alive(before, jobs))
        _submit(record, job, backend)
        room -= record.n_elements
        number += 1
    return number


def _most(site: Site, limits: Limits) -> int:
    return min(site.queue.max_queued or sys.maxsize, limits.max_jobs or sys.maxsize)


def _room(site: Site, limits: Limits, account: Account) -> int:
    return _most(site, limits) - account.elements["queued"] - account.elements["running"]


def _alive(records: Sequence[ArrayRecord], jobs: Jobs) -> tuple[str, ...]:
    """Return the ids of those that have not ended: batch systems differ in what they make of the others."""
    return tuple(record.native_id for record in records if record.native_id and not _ended(record, jobs))


def _ended(record: ArrayRecord, jobs: Jobs) -> bool:
    state = jobs.state_of(record)
    if state is None:
        # Submitted since the batch system was asked.
        return False
    return not state.known or all(element.phase == "ended" for element in state.elements.values())


def _job(
    root: Root, record: ArrayRecord, site: Site, account: Account, limits: Limits, before: tuple[str, ...]
) -> Job:
    return Job(
        name=record.job_name,
        directory=record.directory,
        n_elements=record.n_elements,
        cpus=record.cpus,
        mem_mb=record.mem_mb + WORKER_MB,
        walltime_s=record.walltime_s,
        command=(sys.executable, "-m", "submit.worker", str(record.directory)),
        depends_on=before,
        throttle=site.queue.max_running,
        environment=_environment(root, site),
        exclude_nodes=account.bad_nodes(site.node.exclude_after_failures, limits.n_nodes),
    )


def _environment(root: Root, site: Site) -> dict[str, str]:
    """Return what the work needs of the environment in which it was submitted, and nothing else."""
    given = {
        "LUIGI_CONFIG_PATH": root.luigi_config,
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "SST1M_SUBMIT_SITE": str(site.file),
        "SST1M_CWD": root.cwd,
    }
    return {name: value for name, value in given.items() if value}


def _submit(record: ArrayRecord, job: Job, backend: Backend) -> None:
    write_text(job.directory / "array.sh", backend.script(job))
    record.state, record.asked_at = "submitting", time.time()
    record.arguments = list(backend.arguments(job))
    record.write()
    try:
        record.native_id = backend.submit(job)
    except SchedulerError as error:
        if not backend.find({job.name}):
            record.state = "planned"
            record.write()
        raise SchedulerError(f"{record.name} ({job.directory}): {error}") from None
    record.state = "submitted"
    record.write()
    log.info("%s: %s elements as job %s", record.name, record.n_elements, record.native_id)


def submit_finalizer(
    campaign: Campaign,
    known: Round,
    site: Site,
    backend: Backend,
    limits: Limits,
    jobs: Jobs,
    account: Account,
    follows: int,
) -> None:
    """
    Submit a last job that starts when all arrays have ended, and goes on with what is missing then.

    Parameters
    ----------
    campaign, known, site, backend, limits, jobs, account
        As for `submit_planned`.
    follows : int
        How many finalizers there were since somebody called by hand or by cron.
    """
    directory = known.directory / FINALIZER
    for name in ("results", "logs"):
        make_directory(directory / name, group_writable=site.plan.group_writable)
    name = f"s{known.directory.name.split('-')[-1]}-fin{follows}-{int(time.time()) % 65536:04x}"
    walltime_s = min(_FINALIZER_S, longest_s(site, limits))
    record = ArrayRecord(FINALIZER, FINALIZER, name, 1, 1, _FINALIZER_MB, walltime_s, [], directory=directory)
    before = _alive([array for array in known.arrays() if array.state == "submitted"], jobs)
    job = Job(
        name=name,
        directory=directory,
        n_elements=1,
        cpus=1,
        mem_mb=_FINALIZER_MB,
        walltime_s=walltime_s,
        command=(sys.executable, "-m", "submit.finalize", str(campaign.directory), str(follows + 1)),
        depends_on=before,
        environment=_environment(campaign.root, site),
        exclude_nodes=account.bad_nodes(site.node.exclude_after_failures, limits.n_nodes),
    )
    _submit(record, job, backend)


def render_first(root: Root, array: Array, site: Site, backend: Backend) -> tuple[str, tuple[str, ...]]:
    """Return the script of an array that is only planned, and the words that would submit it."""
    directory = site.state_dir / root.task_id / "rounds" / "NNN-key" / array.name
    record = ArrayRecord(
        array.name, array.stage, f"s-key-{array.name}", len(array.shards), array.cpus, array.mem_mb,
        array.walltime_s, array.needs, directory=directory,
    )  # fmt: skip
    job = _job(root, record, site, Account(), Limits(), ())
    return backend.script(job), backend.arguments(job)
