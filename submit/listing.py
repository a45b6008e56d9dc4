"""What lies in directories: each is read once, however many files are asked for."""

import os

import luigi
from luigi.task import flatten

__all__ = ["Listing"]


class Listing:
    """
    Answers whether files exist from one listing per directory.

    A stat per file costs a round trip on a network file system; a listing brings all names at once. Only
    files whose name is there are asked for their size: an empty file is not a product.
    """

    def __init__(self) -> None:
        self._directories: dict[str, dict[str, os.DirEntry[str]]] = {}
        self.n_listed = 0

    def _entries(self, directory: str) -> dict[str, os.DirEntry[str]]:
        entries = self._directories.get(directory)
        if entries is None:
            self.n_listed += 1
            try:
                with os.scandir(directory or ".") as found:
                    entries = {entry.name: entry for entry in found}
            except OSError:
                entries = {}
            self._directories[directory] = entries
        return entries

    def has(self, path: str) -> bool:
        """Whether a file that is not empty, or a directory, has this path."""
        directory, _, name = path.rstrip("/").rpartition("/")
        entry = self._entries(directory or ("/" if path.startswith("/") else "")).get(name)
        if entry is None:
            return False
        try:
            return entry.is_dir() or entry.stat().st_size > 0
        except OSError:
            return False

    def complete(self, task: luigi.Task) -> bool:
        """Whether a task is complete; its own answer where it has one, else that of its files."""
        if type(task).complete is not luigi.Task.complete:
            return bool(task.complete())
        output = task.output()
        if isinstance(output, luigi.Target):
            return self._exists(output)
        outputs = flatten(output)
        if not outputs:
            return bool(task.complete())
        return all(self._exists(target) for target in outputs)

    def _exists(self, target: luigi.Target) -> bool:
        if type(target).exists is luigi.LocalTarget.exists:
            return self.has(os.fspath(target.path))
        return bool(target.exists())
