"""JSON objects that the pipeline remembers things by, with a checksum: damage is never taken for content."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["json_object", "sealed"]

_SEAL = "checksum"


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return an object as JSON knows it, with the checksum of its content under ``checksum``.

    Parameters
    ----------
    content : mapping
        What JSON does not know in it becomes text.
    """
    plain = json.loads(json.dumps(dict(content), default=str))
    plain.pop(_SEAL, None)
    return plain | {_SEAL: _digest(plain)}


def json_object(text: str | bytes) -> dict[str, Any]:
    """
    Return the object that a JSON text holds, without its checksum.

    Parameters
    ----------
    text : str or bytes
        The whole content of a file.

    Raises
    ------
    ValueError
        It is no JSON, something else than an object, nested too deeply for Python, or not what its checksum
        is of.
    """
    try:
        # An editor may have put a byte order mark before it.
        content = json.loads(text.removeprefix("\ufeff") if isinstance(text, str) else text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(content, dict):
        raise ValueError(f"it holds {'null' if content is None else type(content).__name__}, not an object")
    # What was written before there were checksums, or by hand, has none.
    known = content.pop(_SEAL, None)
    if known is not None and known != _digest(content):
        raise ValueError("its content was damaged or changed after it was written")
    return content


def _digest(content: Mapping[str, Any]) -> str:
    """Return the checksum of an object, however it is laid out in the file."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
