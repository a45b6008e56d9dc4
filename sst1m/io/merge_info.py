"""What is known of joined files: sums of their counts, what they have in common, and their list."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError

__all__ = ["MergedInfo"]

#: Numbers that are added.
_SUMS = ("n_events", "n_events_written")
#: Numbers by telescope that are added.
_SUMS_BY_TELESCOPE = ("n_telescope_events", "n_images")
#: What must be the same in all files, and what it says about them.
_COMMON = {
    "simulated": "simulation or data",
    "tel_ids": "telescopes",
    "config_fingerprint": "configuration of the analysis",
    "nsb_mhz": "night sky",
    "focal_length_choice": "focal length",
    "pde_factors": "photon detection efficiency",
}
#: Of the showers of one file only.
_OF_ONE_FILE = ("seed", "n_showers")


class MergedInfo:
    """Collects ``/sst1m/info`` of the files of a sample."""

    def __init__(self) -> None:
        self._first: dict[str, Any] = {}
        self._common: dict[str, Any] = {}
        self._sums: dict[str, int] = dict.fromkeys(_SUMS, 0)
        self._by_telescope: dict[str, dict[str, int]] = {name: {} for name in _SUMS_BY_TELESCOPE}
        self._files: list[Path] = []
        self._skipped: list[dict[str, str]] = []

    @property
    def n_skipped(self) -> int:
        """How many files were left out because they are broken."""
        return len(self._skipped)

    def add(self, path: Path, info: Mapping[str, Any]) -> None:
        """
        Take note of a file.

        Raises
        ------
        InputError
            It is no simulation, or does not belong to the files before it.
        """
        if not info.get("simulated"):
            raise InputError(
                f"{path} is a file of data: only simulations are merged, since live time belongs to single "
                "runs; DL3 joins the runs of a night"
            )
        if not self._files:
            self._first = {name: info.get(name) for name in _COMMON}
            self._common = _comparable(info)
        for name, meaning in _COMMON.items():
            if info.get(name) != self._first[name]:
                raise InputError(
                    f"{path} does not belong to {self._files[0]}: the {meaning} differs "
                    f"({_short(info.get(name))} and {_short(self._first[name])}); merge only files made alike"
                )
        here = _comparable(info)
        self._common = {key: value for key, value in self._common.items() if here.get(key) == value}
        for name in _SUMS:
            self._sums[name] += int(info[name])
        for name, sums in self._by_telescope.items():
            for tel_id, number in info[name].items():
                sums[tel_id] = sums.get(tel_id, 0) + int(number)
        self._files.append(path)

    def skip(self, path: Path, reason: str) -> None:
        """Take note of a file that is left out."""
        self._skipped.append({"file": path.name, "reason": reason})

    def joined(
        self, about: Mapping[str, Any], failed: list[Mapping[str, Any]], n_thrown: int
    ) -> dict[str, Any]:
        """
        Return ``/sst1m/info`` of the whole.

        Parameters
        ----------
        about : mapping
            What else is known of the sample.
        failed : list of mapping
            Files that were never made.
        n_thrown : int
            Showers thrown for all files together.
        """
        merged = {
            "files": [path.name for path in self._files],
            "failed": [dict(record) for record in failed],
            "skipped": self._skipped,
        }
        return {
            **self._common,
            **self._sums,
            **self._by_telescope,
            "n_thrown": n_thrown,
            **about,
            "merged": merged,
        }


def _comparable(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may be the same in all files; the showers without what each file has of its own."""
    kept = {key: value for key, value in info.items() if key not in (*_SUMS, *_SUMS_BY_TELESCOPE, "n_thrown")}
    showers = kept.get("showers")
    if isinstance(showers, Mapping):
        kept["showers"] = {key: value for key, value in showers.items() if key not in _OF_ONE_FILE}
    return kept


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:12]}..."
