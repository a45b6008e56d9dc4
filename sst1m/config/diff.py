"""Where two configurations differ, key by key."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .models import AnalysisConfig

__all__ = ["ABSENT", "ConfigDifference", "diff_configs"]


class _Absent:
    """Stands for the value of a key that a configuration does not have."""

    def __repr__(self) -> str:
        return "(absent)"


ABSENT = _Absent()
_DATA_NAMES = {"tel_001": "tel_021", "tel_002": "tel_022"}


@dataclass(frozen=True)
class ConfigDifference:
    """A key and its values in the two configurations; `ABSENT` where one has no such key."""

    key: str
    left: Any
    right: Any


def _leaves(value: object, key: str, of_mc: bool) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {key: value}
    leaves: dict[str, Any] = {}
    for name, item in value.items():
        shown = _DATA_NAMES.get(name, name) if of_mc else name
        leaves |= _leaves(item, f"{key}.{shown}" if key else shown, of_mc)
    return leaves


def _comparable(config: AnalysisConfig, both_kinds: bool) -> dict[str, Any]:
    """Return the effective values by key; an MC beside data is put in terms of the data's telescopes."""
    of_mc = both_kinds and config.kind == "mc"
    leaves = _leaves(config.canonical(), "", of_mc)
    if of_mc:
        for key in (key for key in leaves if key.startswith("ImageProcessor.TailcutsImageCleaner.")):
            leaves[key] = [[word, tel_id + 20, value] for word, tel_id, value in leaves[key]]
    return leaves


def diff_configs(
    left: AnalysisConfig, right: AnalysisConfig, *, shared_only: bool = False
) -> list[ConfigDifference]:
    """
    Return the keys in which two configurations differ, in alphabetical order.

    Parameters
    ----------
    left, right : AnalysisConfig
        Of the same kind, or one of data and one of MC; then telescope 1 is compared with 21, and 2 with 22.
    shared_only : bool
        Leave out keys that only one of them has.
    """
    both_kinds = left.kind != right.kind
    ours, theirs = _comparable(left, both_kinds), _comparable(right, both_kinds)
    keys = ours.keys() & theirs.keys() if shared_only else ours.keys() | theirs.keys()
    pairs = ((key, ours.get(key, ABSENT), theirs.get(key, ABSENT)) for key in sorted(keys))
    return [ConfigDifference(key, a, b) for key, a, b in pairs if a is ABSENT or b is ABSENT or a != b]
