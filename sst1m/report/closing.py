"""Whether the page of a night is that of its closing; imports nothing heavy, as every call asks for it."""

import hashlib
import json
from collections.abc import Mapping

from ..json_object import json_object
from ..layout import NightLayout
from ..provenance import read_provenance

__all__ = ["has_page", "record_digest"]


def record_digest(record: Mapping[str, object]) -> str:
    """Return what identifies the content of a closing record, whenever it was written."""
    content = {key: value for key, value in record.items() if key != "closed"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def has_page(night: NightLayout) -> bool:
    """Whether a night has a page that is about its closing record as it is, and whose numbers are whole."""
    record = read_provenance(night.record)
    if record is None or not (night.report / "index.html").is_file():
        return False
    try:
        facts = json_object((night.report / "night.json").read_bytes())
    except (OSError, ValueError):
        return False
    return facts.get("record") == record_digest(record)
