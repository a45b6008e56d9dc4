"""Records of shards that cannot be made: why, from which file, and until when that counts."""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from ..checkpoint import write_json
from ..json_object import json_object
from ..layout_mc import ProductionLayout, Role, ShardName
from .plan import Sample, Shard

__all__ = ["ShardFailure", "clear_failure", "failure_of", "failures_in", "record_failure", "retry_failed"]


@dataclass(frozen=True)
class ShardFailure:
    """
    Why a shard has no file.

    Parameters
    ----------
    shard : str
        Name of the file that is missing.
    error : str
        Class of the error.
    message : str
        What happened and the way out, on one line.
    input : str
        The file on disk that it was to be made from; empty where it was simulated.
    size, mtime_ns : int
        Of that file; the record says nothing about another.
    time : str
        When, UTC.
    time_ns : int
        When, unix time [ns].
    """

    shard: str
    error: str
    message: str
    input: str
    size: int
    mtime_ns: int
    time: str
    time_ns: int


def record_failure(layout: ProductionLayout, shard: Shard, failure: ShardFailure) -> None:
    """Write the record of a failed shard."""
    write_json(layout.failure_record(shard.name), asdict(failure))


def clear_failure(layout: ProductionLayout, name: ShardName) -> None:
    """Remove the record of a failure and its log."""
    path = layout.failure_record(name)
    path.unlink(missing_ok=True)
    path.with_suffix(".log").unlink(missing_ok=True)


def failure_of(layout: ProductionLayout, shard: Shard) -> ShardFailure | None:
    """Return the record of a failed shard; None if there is none, or its file on disk has changed since."""
    failure = _read(layout.failure_record(shard.name))
    if failure is None or not failure.input:
        return failure
    try:
        status = os.stat(failure.input)
    except OSError:
        return failure
    return failure if (failure.size, failure.mtime_ns) == (status.st_size, status.st_mtime_ns) else None


def _read(path: Path) -> ShardFailure | None:
    try:
        return ShardFailure(**json_object(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def failures_in(layout: ProductionLayout, sample: Sample) -> dict[int, ShardFailure]:
    """Return the failures of a sample by the number of the shard."""
    directory = layout.failure_record(sample.shard(0).name).parent
    if not directory.is_dir():
        return {}
    failures = {shard.index: failure_of(layout, shard) for shard in _recorded(directory, sample)}
    return {index: failure for index, failure in sorted(failures.items()) if failure is not None}


def _recorded(directory: Path, sample: Sample) -> Iterator[Shard]:
    names = {path.stem for path in directory.glob("*.json") if not path.name.startswith(".")}
    for name in names:
        shard = ShardName.parse(f"{name}.h5")
        if shard.index < sample.n_shards:
            yield sample.shard(shard.index)


def retry_failed(layout: ProductionLayout, samples: tuple[Sample, ...], before_ns: int) -> int:
    """
    Forget failures, so that the shards are tried again; of samples that are not merged yet.

    Parameters
    ----------
    layout : ProductionLayout
        Paths.
    samples : tuple of Sample
        Whose failures.
    before_ns : int
        Only records older than this [ns, unix]: what the present call has put there stays.

    Returns
    -------
    int
        Number of shards.
    """
    cleared = 0
    for sample in samples:
        role: Role = sample.role
        if layout.merged(sample.particle, sample.node, role).exists() or not sample.n_shards:
            continue
        for index, failure in failures_in(layout, sample).items():
            if failure.time_ns < before_ns:
                clear_failure(layout, sample.shard(index).name)
                cleared += 1
    return cleared
