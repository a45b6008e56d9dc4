"""Whether the page of a night is that of its closing; imports nothing heavy, as every call asks for it."""

import hashlib
import json
from collections.abc import Mapping

from ..layout import NightLayout
from ..provenance import read_provenance

__all__ = ["has_page", "record_digest"]

#: The digest stands in one of so many first lines of ``night.json``.
_FIRST_LINES = 10


def record_digest(record: Mapping[str, object]) -> str:
    """Return what identifies the content of a closing record, whenever it was written."""
    content = {key: value for key, value in record.items() if key != "closed"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def has_page(night: NightLayout) -> bool:
    """Whether a night has a page, and the page is about its closing record as it is."""
    record = read_provenance(night.record)
    if record is None or not (night.report / "index.html").is_file():
        return False
    wanted = f'"record": "{record_digest(record)}",'
    try:
        with (night.report / "night.json").open(encoding="utf-8") as file:
            return any(line.strip() == wanted for line, _ in zip(file, range(_FIRST_LINES), strict=False))
    except (OSError, ValueError):
        return False
