"""Whether a task is complete, on a file system that may show new files late."""

import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import luigi
from luigi.task import flatten

__all__ = ["Patience", "is_complete", "output_directories"]

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0
_MOST_DIRECTORIES = 100


def is_complete(task: luigi.Task) -> bool:
    """
    Return a task's own answer; where it has none, whether its files are there and not empty.

    A file without content is what a full disk or a node that went down leaves behind. The planner judges by
    the same rule.
    """
    outputs = [] if type(task).complete is not luigi.Task.complete else flatten(task.output())
    return all(_exists(target) for target in outputs) if outputs else bool(task.complete())


def _exists(target: luigi.Target) -> bool:
    if type(target).exists is not luigi.LocalTarget.exists:
        return bool(target.exists())
    try:
        found = os.stat(target.path)
    except OSError:
        return False
    return found.st_size > 0 or stat.S_ISDIR(found.st_mode)


def output_directories(tasks: Iterable[luigi.Task]) -> list[str]:
    """Return the directories of the products of tasks, of the first hundred."""
    found: dict[str, None] = {}
    for task in tasks:
        for target in flatten(task.output()):
            if isinstance(target, luigi.LocalTarget):
                found[os.path.dirname(target.path) or "."] = None
        if len(found) >= _MOST_DIRECTORIES:
            break
    return list(found)


class Patience:
    """
    Waits for files that another machine may have written a moment ago.

    Listing a directory makes a network file system ask its server anew. All waits in vain together last no
    longer than the latency: after that, whatever was written before has been seen.

    Parameters
    ----------
    latency_s : float
        Time to be spent on waiting in all [s].
    interrupted : callable, optional
        Says whether there is no time left for waiting.
    """

    def __init__(self, latency_s: float, interrupted: Callable[[], bool] = lambda: False) -> None:
        self._left_s = latency_s
        self._interrupted = interrupted

    def until(self, check: Callable[[], bool], directories: Callable[[], Iterable[str | Path]]) -> bool:
        """
        Return whether a check succeeds now or soon.

        Parameters
        ----------
        check : callable
            Returns whether everything is there.
        directories : callable
            Returns the directories to be listed anew before the next look.
        """
        if check():
            return True
        pause_s = _FIRST_PAUSE_S
        while True:
            for directory in directories():
                with contextlib.suppress(OSError), os.scandir(directory) as entries:
                    next(entries, None)
            if check():
                return True
            if self._left_s <= 0 or self._interrupted():
                return False
            pause_s = min(pause_s, self._left_s)
            time.sleep(pause_s)
            self._left_s -= pause_s
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
