"""What an earlier report knows of files that have not changed: they need not be read again."""

from pathlib import Path
from typing import Any

from ..json_object import json_object

__all__ = ["Memory", "file_basis", "files_basis"]

Facts = dict[str, Any]


def file_basis(path: Path) -> list[int]:
    """Return size [byte] and last change [ns] of a file; `OSError` where it is not there."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def files_basis(paths: list[Path]) -> list[list[Any]]:
    """Return names, sizes and times of files; those that are not there count as empty."""
    return [[str(path), *(file_basis(path) if path.exists() else [])] for path in paths]


class Memory:
    """
    Facts of the last report by what they are about, and those of the one that is being made.

    Parameters
    ----------
    path : Path
        JSON file of the last report; one that is missing, broken or of another schema remembers nothing.
    schema : dict
        The schema that it must have.
    """

    def __init__(self, path: Path, schema: Facts) -> None:
        try:
            content = json_object(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            content = {}
        parts = content.get("parts") if content.get("schema") == schema else None
        self._known: Facts = parts if isinstance(parts, dict) else {}
        self.kept: Facts = {}

    def of(self, key: str) -> tuple[object, Facts]:
        """Return basis and facts of the last report; None and nothing where there are none."""
        entry = self._known.get(key)
        if not isinstance(entry, dict) or not isinstance(entry.get("facts"), dict):
            return None, {}
        return entry.get("basis"), entry["facts"]

    def recall(self, key: str, basis: object) -> Facts | None:
        """Return facts of the last report with the same basis and keep them; None where there are none."""
        before, facts = self.of(key)
        if before != basis or not facts or "missing" in facts:
            return None
        return self.keep(key, basis, facts)

    def keep(self, key: str, basis: object, facts: Facts) -> Facts:
        """
        Remember facts for the next report, and return them.

        Parameters
        ----------
        key : str
            What they are about.
        basis : object
            All that they depend on, as JSON values.
        facts : dict
            JSON values.
        """
        self.kept[key] = {"basis": basis, "facts": facts}
        return facts
