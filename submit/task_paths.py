"""Where the files of a single task lie in the state directory, whatever its id contains."""

import hashlib
import re
from pathlib import Path

__all__ = ["file_name", "lease_path", "log_path"]

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=+-]*", re.ASCII)
#: File systems take 255 bytes; the rest is left for endings and temporary names.
_LONGEST = 180


def file_name(text: str) -> str:
    """
    Return a file name for a text: the text itself if it is plain and short, else a part of it and a digest.

    Parameters
    ----------
    text : str
        Any text, e.g. a task id or the name of a job.
    """
    if _PLAIN.fullmatch(text) and len(text) <= _LONGEST:
        return text
    digest = hashlib.sha1(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9_]+', '_', text)[:100]}-{digest[:16]}"


def lease_path(state_dir: Path, task_id: str) -> Path:
    """Return the file that says who works on a task; 256 directories keep each of them short."""
    digest = hashlib.sha1(task_id.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
    return state_dir / "leases" / digest[:2] / file_name(task_id)


def log_path(campaign_dir: Path, family: str, task_id: str, attempt: int) -> Path:
    """Return the log of an attempt at a task."""
    return campaign_dir / "logs" / file_name(family) / f"{file_name(task_id)}.a{attempt}.log"
