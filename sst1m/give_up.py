"""Records that work is not tried again, for failures that its own process did not survive."""

import os
from time import time_ns

from sst1m.production.failures import ShardFailure
from sst1m.production.failures import record_failure as record_shard_failure
from sst1m.production.plan import PlannedProduction, Shard
from sst1m.provenance import utc_now
from sst1m.run_reduction import RunJob
from sst1m.runstate import FailureRecord, record_failure

__all__ = ["give_up_run", "give_up_shard"]

_ERROR = "GivenUp"


def give_up_run(job: RunJob, reason: str, log: str = "") -> None:
    """
    Put a run into quarantine, so that the rest of the night goes on without it.

    Parameters
    ----------
    job : RunJob
        The run.
    reason : str
        Why it is given up.
    log : str
        Where the last attempt is described.
    """
    try:
        status = os.stat(job.raw_file)
        size, mtime_ns = status.st_size, status.st_mtime_ns
    except OSError:
        # The file that is gone will be another one when it comes back.
        size, mtime_ns = 0, 0
    record = FailureRecord(
        kind="quarantine",
        file=job.raw_file.name,
        size=size,
        mtime_ns=mtime_ns,
        error=_ERROR,
        message=" ".join(reason.split()),
        log=log,
        time=utc_now(),
        time_ns=time_ns(),
    )
    record_failure(job.night, job.name, record)


def give_up_shard(planned: PlannedProduction, shard: Shard, reason: str) -> None:
    """Count a shard as failed, so that its sample can be merged without it, as far as that is accepted."""
    file = planned.input_file(shard)
    status = os.stat(file) if file and file.exists() else None
    failure = ShardFailure(
        shard=str(shard.name),
        error=_ERROR,
        message=" ".join(reason.split()),
        input=str(file or ""),
        size=status.st_size if status else 0,
        mtime_ns=status.st_mtime_ns if status else 0,
        time=utc_now(),
        time_ns=time_ns(),
    )
    record_shard_failure(planned.layout, shard, failure)
