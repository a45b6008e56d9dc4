"""What a worker is given: the tasks of its shard, and how it is to treat them."""

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from submit.errors import StateError
from submit.failure import FailureTable, compile_table
from submit.state_files import read_json

__all__ = ["ManifestItem", "WorkerSettings", "is_item", "read_manifest", "read_worker_settings", "shard_path"]


class _Given(BaseModel):
    # A newer planner may say more than this worker knows.
    model_config = ConfigDict(extra="ignore", frozen=True, arbitrary_types_allowed=True)


class ManifestItem(_Given):
    """
    A task of a shard, by its name and the text of its parameters.

    Parameters
    ----------
    id : str
        Luigi's id of the task.
    module, family : str
        Module that defines it, and its name in luigi's register.
    params : mapping of str to str
        All parameters, as text.
    outputs : tuple of str
        Paths of its products.
    seconds : float
        Expected duration [s].
    mem_mb : float
        Memory that it is given [MB].
    timeout_s : float or None
        When it is ended [s]; None: never.
    attempt : int
        Number of the attempt, from 1.
    stage : str
        Stage of the task, for the history.
    work : float
        Its work in the unit of the stage.
    """

    id: str = Field(min_length=1)
    module: str = Field(min_length=1)
    family: str = Field(min_length=1)
    params: Mapping[str, str] = {}
    outputs: tuple[str, ...] = ()
    seconds: float = Field(default=0.0, ge=0)
    mem_mb: float = Field(default=0.0, ge=0)
    timeout_s: float | None = Field(default=None, gt=0)
    attempt: int = Field(default=1, ge=1)
    stage: str = ""
    work: float = 1.0


class _Line(BaseModel):
    """What the planner relies on in a line that it has written itself."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)

    id: str = Field(min_length=1)
    family: str
    stage: str
    outputs: list[str]
    seconds: float = Field(ge=0)
    work: float = Field(ge=0)
    mem_mb: float = Field(ge=0)
    attempt: int = Field(ge=1)
    by: str | None = None
    label: str | None = None


class WorkerSettings(_Given):
    """
    Settings of the workers of a submission, from its ``worker.json``.

    Parameters
    ----------
    state_dir, campaign_dir, cwd : Path
        State of the site, state of the campaign, and the directory in which tasks run.
    latency_s : float
        How long a new file may stay unseen on the shared file system [s].
    heartbeat_s, stale_lease_s : float
        How often a lease is touched, and after which silence it counts as abandoned [s].
    walltime_margin_s : float
        Time that is left unused before the time limit [s].
    failure_classes : FailureTable
        Regular expressions of the site on messages, with failure classes.
    group_writable : bool
        Whether the group may go on with the campaign.
    min_free_mb : float
        Free space without which nothing is begun [MB].
    scratch : str or None
        Directory for temporary files.
    """

    state_dir: Path
    campaign_dir: Path
    cwd: Path
    latency_s: float = Field(default=10.0, ge=0)
    heartbeat_s: float = Field(default=60.0, gt=0)
    stale_lease_s: float = Field(default=900.0, gt=0)
    walltime_margin_s: float = Field(default=0.0, ge=0)
    failure_classes: FailureTable = ()
    group_writable: bool = False
    min_free_mb: float = Field(default=0.0, ge=0)
    scratch: str | None = None

    @field_validator("failure_classes", mode="before")
    @classmethod
    def _compiled(cls, pairs: object) -> FailureTable:
        return compile_table(pairs if isinstance(pairs, list | tuple) else ())


def is_item(line: Mapping[str, object]) -> bool:
    """Whether a line of a manifest describes a task."""
    try:
        _Line.model_validate(line)
    except ValidationError:
        return False
    return True


def shard_path(array_dir: Path, index: int) -> Path:
    """Return the manifest of an element of an array."""
    return array_dir / "shards" / f"{index:05d}.jsonl"


def _problems(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg'].lower()}" for one in error.errors()[:5])


def read_worker_settings(array_dir: Path) -> WorkerSettings:
    """
    Read ``worker.json``, which lies beside the directories of arrays.

    Raises
    ------
    StateError
        If it is missing, or says something that cannot be understood.
    """
    path = array_dir.parent / "worker.json"
    try:
        return WorkerSettings(**read_json(path))
    except ValidationError as error:
        raise StateError(f"{path}: {_problems(error)}; correct it, or submit again") from None


def read_manifest(array_dir: Path, index: int) -> tuple[ManifestItem, ...]:
    """
    Read the tasks of a shard.

    Raises
    ------
    StateError
        If the manifest is missing, empty, or has a line that is no task: nothing of it is done then.
    """
    path = shard_path(array_dir, index)
    try:
        # Not splitlines(): a parameter may contain one of the rarer line separators of Unicode.
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise StateError(f"{path}: cannot be read ({error.strerror}); submit again") from None
    except UnicodeDecodeError as error:
        raise StateError(f"{path}: is not UTF-8 text ({error}); submit again") from None
    items = tuple(_item(path, number, line) for number, line in enumerate(lines, 1) if line.strip())
    if not items:
        raise StateError(f"{path}: lists no task; submit again")
    if len({item.id for item in items}) < len(items):
        raise StateError(f"{path}: lists a task twice; submit again")
    return items


def _item(path: Path, number: int, line: str) -> ManifestItem:
    try:
        return ManifestItem(**json.loads(line))
    except ValidationError as error:
        reason = _problems(error)
    except (TypeError, ValueError, RecursionError) as error:
        reason = str(error)
    raise StateError(f"{path}, line {number}: is no task ({reason}); correct it, or submit again")
