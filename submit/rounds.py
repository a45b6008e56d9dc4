"""A round: what was submitted at one time, array by array, as files that outlive every process."""

import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import luigi
from luigi.task import flatten
from pydantic import ConfigDict, Field

from submit.campaign import Campaign
from submit.errors import StateError
from submit.manifest import is_item
from submit.pack import Array, Item
from submit.site import Site
from submit.spec import label_of
from submit.state_files import checked, make_directory, read_json, read_lines, write_json, write_lines

__all__ = ["FINALIZER", "ArrayRecord", "Round", "open_rounds", "rounds_of", "write_round"]


#: Name of the job that goes on when all arrays of a round have ended.
FINALIZER = "finalizer"


@dataclass
class ArrayRecord:
    """
    What is known of one array, the content of its ``array.json``.

    Parameters
    ----------
    name, stage : str
        Name within the round, and stage.
    job_name : str
        Name under which the batch system knows it.
    n_elements, cpus, mem_mb, walltime_s : int
        Shards, and what each is given.
    needs : list of str
        Names of the arrays of the round that make what it reads.
    state : str
        ``planned``; ``submitting`` (asked for, no answer seen); ``submitted``; ``cancelled``.
    native_id : str
        Id in the batch system.
    asked_at : float
        When it was asked for [s, Unix].
    arguments : list of str
        Words of the submitting command.
    directory : Path
        Its directory.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(strict=True, allow_inf_nan=False)

    name: str
    stage: str
    job_name: str
    n_elements: Annotated[int, Field(ge=1)]
    cpus: int
    mem_mb: int
    walltime_s: int
    needs: list[str]
    state: Literal["planned", "submitting", "submitted", "cancelled"] = "planned"
    native_id: str = ""
    asked_at: float = 0.0
    arguments: list[str] = field(default_factory=list)
    directory: Path = Path()

    @classmethod
    def read(cls, directory: Path) -> "ArrayRecord":
        """Read the record of an array."""
        way_out = "restore array.json in it, or end its jobs and remove the directory"
        try:
            content = read_json(directory / "array.json")
        except StateError as error:
            raise StateError(f"{directory}: {error}; {way_out}") from None
        known = {field.name for field in fields(cls)} - {"directory"}
        given = {key: value for key, value in content.items() if key in known}
        return checked(cls, given | {"directory": directory}, directory, way_out)

    def write(self) -> None:
        """Write the record."""
        content = {key: value for key, value in asdict(self).items() if key != "directory"}
        write_json(self.directory / "array.json", content)

    def manifest(self, index: int) -> Path:
        """Return the file of the tasks of one shard."""
        return self.directory / "shards" / f"{index:05d}.jsonl"

    def items(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield shard and description of every task; of a line that is damaged, nothing is known."""
        if self.manifest(self.n_elements).exists() or not self.manifest(self.n_elements - 1).exists():
            raise StateError(
                f"{self.directory}: there are more or fewer shards than the {self.n_elements} of array.json; "
                "correct it, or end its jobs and remove the directory"
            )
        for index in range(self.n_elements):
            for line in read_lines(self.manifest(index)):
                if is_item(line):
                    yield index, line


class Round:
    """
    A submission.

    Parameters
    ----------
    directory : Path
        Its directory in the campaign.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "plan.json"
        self.closing = directory / "closed.json"
        self.results = directory / "results.jsonl"

    @property
    def is_closed(self) -> bool:
        """Whether all of its jobs have ended and were accounted for."""
        return self.closing.exists()

    @property
    def is_here(self) -> bool:
        """Whether it was run by the planner itself; a failure there is told at once and counts no further."""
        return bool(read_json(self.file).get("here"))

    def arrays(self) -> list[ArrayRecord]:
        """Return its arrays in the order of their submission, without the finalizer."""
        names = sorted(entry.name for entry in os.scandir(self.directory) if entry.is_dir())
        return [ArrayRecord.read(self.directory / name) for name in names if name != FINALIZER]

    @property
    def finalizer(self) -> ArrayRecord | None:
        """The job that goes on when all arrays have ended, if there is one."""
        place = self.directory / FINALIZER
        return ArrayRecord.read(place) if (place / "array.json").exists() else None


def rounds_of(campaign: Campaign) -> list[Round]:
    """Return the rounds of a campaign, the oldest first; one whose writing was cut short is left out."""
    directories = sorted(path for path in campaign.rounds.glob("[0-9]*-*") if (path / "plan.json").exists())
    return [Round(path) for path in directories]


def open_rounds(campaign: Campaign) -> list[Round]:
    """Return the rounds that may still have jobs in the queue."""
    return [known for known in rounds_of(campaign) if not known.is_closed]


def write_round(
    campaign: Campaign, arrays: Sequence[Array], site: Site, facts: Mapping[str, object]
) -> Round:
    """
    Write the manifests of a round; its ``plan.json`` comes last and makes it one.

    Parameters
    ----------
    campaign : Campaign
        Where it belongs.
    arrays : sequence of Array
        What is to be submitted, in order.
    site : Site
        Settings of the site.
    facts : mapping
        What else ``plan.json`` is to hold.
    """
    number = 1 + len(list(campaign.rounds.glob("[0-9]*-*")))
    key = _key(f"{campaign.directory}/{number}", arrays)
    directory = campaign.rounds / f"{number:03d}-{key}"
    make_directory(directory, group_writable=site.plan.group_writable, exist_ok=False)
    module = campaign.root.module
    for array in arrays:
        _write_array(directory / array.name, array, f"s{key}-{array.name}", module, site)
    write_json(directory / "worker.json", _worker_settings(campaign, site))
    write_json(directory / "plan.json", {"made": time.time(), **facts})
    return Round(directory)


def _key(place: str, arrays: Sequence[Array]) -> str:
    """Return a word for some work: the same work in the same place is the same word."""
    digest = hashlib.sha1(place.encode(), usedforsecurity=False)
    for array in arrays:
        for shard in array.shards:
            for item in shard.items:
                digest.update(f"\n{item.task_id} {item.attempt}".encode())
    return digest.hexdigest()[:8]


def _worker_settings(campaign: Campaign, site: Site) -> dict[str, object]:
    return {
        "state_dir": str(site.state_dir),
        "campaign_dir": str(campaign.directory),
        "cwd": campaign.root.cwd,
        "latency_s": site.node.latency_s,
        "heartbeat_s": site.plan.heartbeat_s,
        "stale_lease_s": site.plan.stale_lease_s,
        "walltime_margin_s": 60.0,
        "failure_classes": [list(pair) for pair in site.plan.failure_classes],
        "group_writable": site.plan.group_writable,
        "min_free_mb": site.node.min_free_mb,
        "scratch": site.node.scratch or None,
    }


def _write_array(directory: Path, array: Array, job_name: str, module: str, site: Site) -> None:
    for name in ("shards", "results", "logs"):
        make_directory(directory / name, group_writable=site.plan.group_writable)
    record = ArrayRecord(
        array.name, array.stage, job_name, len(array.shards), array.cpus, array.mem_mb, array.walltime_s,
        array.needs, directory=directory,
    )  # fmt: skip
    for index, shard in enumerate(array.shards):
        write_lines(record.manifest(index), (_line(item, module) for item in shard.items))
    record.write()


def _line(item: Item, module: str) -> dict[str, object]:
    task = item.node.task
    output = task.output()
    targets = [output] if isinstance(output, luigi.Target) else flatten(output)
    return {
        "id": item.task_id,
        "label": label_of(task),
        "module": module,
        "family": task.task_family,
        "params": task.to_str_params(),
        "outputs": [os.fspath(target.path) for target in targets if hasattr(target, "path")],
        "by_files": type(task).complete is luigi.Task.complete,
        "seconds": round(item.seconds, 3),
        "mem_mb": item.mem_mb,
        "timeout_s": None,
        "attempt": item.attempt,
        "stage": item.spec.stage,
        "by": item.by,
        "work": item.work,
    }
