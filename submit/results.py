"""What became of the tasks of a shard: one line per event, written at once, read by anyone at any time."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from submit.state_files import append_line, make_directory, read_lines

__all__ = ["DONE_OUTCOMES", "ResultFile", "read_results", "result_lines"]

DONE_OUTCOMES = frozenset({"done", "skipped"})

_Number = Annotated[float, Field(ge=0)] | None


class _Line(BaseModel):
    """What must be of the right type in a line, where it is there; what else there is, is text for people."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)

    id: str = ""
    outcome: str = ""
    kind: str | None = Field(default=None, alias="class")
    node: str | None = None
    log: str | None = None
    attempt: Annotated[int, Field(ge=1)] | None = None
    started: _Number = None
    ended: _Number = None
    seconds: _Number = None
    work: _Number = None
    mem_mb: _Number = None
    end: _Number = None


_NAME = re.compile(r"(\d+)\.(.+)\.jsonl")


class ResultFile:
    """
    Results of one run of a shard.

    Parameters
    ----------
    array_dir : Path
        Directory of the array.
    index : int
        Number of the shard.
    run : str
        Word for this run of it: a shard that is requeued writes into another file.
    group_writable : bool
        Whether the group may write beside it.
    """

    def __init__(self, array_dir: Path, index: int, run: str, *, group_writable: bool = False) -> None:
        directory = array_dir / "results"
        make_directory(directory, group_writable=group_writable)
        self.path = directory / f"{index:05d}.{run}.jsonl"

    def add(self, **values: object) -> None:
        """Write a line."""
        append_line(self.path, values)


def result_lines(path: Path) -> Iterator[dict[str, Any]]:
    """
    Yield the lines of a file of results; a line that is torn or damaged is passed over, as nothing is known.

    Raises
    ------
    StateError
        If the file cannot be read.
    """
    for line in read_lines(path):
        if ("id" in line and "outcome" in line) or "end" in line:
            try:
                _Line.model_validate(line)
            except ValidationError:
                continue
            yield line


def read_results(array_dir: Path) -> dict[int, list[dict[str, Any]]]:
    """
    Read what all runs of the shards of an array have said, run by run in the order in which they began.

    A torn last line is left out. A task whose last line is ``started`` was being worked on when its worker
    died, or is so now.

    Parameters
    ----------
    array_dir : Path
        Directory of the array.

    Returns
    -------
    dict of int to list of dict
        Lines by number of the shard; the line of the end of a run has the key ``end``.
    """
    runs: dict[int, list[list[dict[str, Any]]]] = defaultdict(list)
    for path in sorted((array_dir / "results").glob("*.jsonl")):
        if match := _NAME.fullmatch(path.name):
            runs[int(match[1])].append(list(result_lines(path)))
    found = {}
    for index, known in runs.items():
        ordered = sorted(known, key=lambda lines: float(lines[0].get("started") or 0) if lines else 0.0)
        found[index] = [line for lines in ordered for line in lines]
    return found
