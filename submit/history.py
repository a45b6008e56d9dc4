"""How long tasks took in earlier submissions, as a guide to how long they will take."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeGuard

from submit.state_files import append_line, read_lines

__all__ = ["History", "NAME"]

NAME = "history.jsonl"

#: Enough for a good estimate of every stage, and read in a moment.
_TAIL_BYTES = 2_000_000
_QUANTILE = 0.9
_LARGEST = 1e12
_FEWEST = 3


class History:
    """
    Durations of the tasks that were done, by stage.

    Parameters
    ----------
    rates : mapping of str to float
        90 % quantile of the duration [s] per unit of work by stage.
    """

    def __init__(self, rates: Mapping[str, float]) -> None:
        self.rates = dict(rates)

    @classmethod
    def read(cls, state_dir: Path) -> "History":
        """Read the newest part of a history; an empty one where there is none."""
        path = state_dir / NAME
        if not path.exists():
            return cls({})
        seen: dict[str, list[float]] = defaultdict(list)
        for record in _tail(path):
            stage, seconds, work = (record.get(name) for name in ("stage", "seconds", "work"))
            if _is_amount(seconds) and _is_amount(work) and work > 0:
                seen[str(stage)].append(seconds / work)
        return cls({stage: _quantile(rates) for stage, rates in seen.items() if len(rates) >= _FEWEST})

    def seconds(self, stage: str, work: float, seed: float) -> float:
        """
        Return the expected duration [s] of a task.

        Parameters
        ----------
        stage : str
            Its stage.
        work : float
            Its work, in the unit of the stage.
        seed : float
            Duration [s] per unit of work where there is no history.
        """
        return self.rates.get(stage, seed) * work


def _tail(path: Path) -> Iterable[dict[str, object]]:
    if os.path.getsize(path) <= _TAIL_BYTES:
        return read_lines(path)
    return list(read_lines(path))[-20_000:]


def _is_amount(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LARGEST


def _quantile(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[min(int(_QUANTILE * len(ordered)), len(ordered) - 1)]


def remember(state_dir: Path, results: Iterable[Mapping[str, object]]) -> None:
    """Add tasks that were done to the history."""
    keys = ("stage", "work", "seconds", "cpu_seconds", "maxrss_mb", "node")
    for result in results:
        append_line(state_dir / NAME, {key: result.get(key) for key in keys})
