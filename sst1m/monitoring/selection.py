"""Which runs are good enough for photon lists."""

from collections.abc import Iterable
from pathlib import Path

from ..layout import side_paths
from ..provenance import read_provenance
from ..sources import Source
from .live_time import LiveTime
from .quality import RunLimits, Strictness, check_run, is_accepted, read_limits, target_offset_deg, worst

__all__ = ["RunSelection"]


class RunSelection:
    """
    Judges runs by the records beside their DL1 files.

    Parameters
    ----------
    strictness : {"all", "usable", "good"}
        Which runs are taken: all, those that are not bad, those that are good in every respect.
    limits_file : Path or None
        Limits of quality; None for those of the checkout.
    target : Source or None
        Where the target is; without it the angle to it is not judged.

    Raises
    ------
    ConfigError
        If the limits cannot be read.
    """

    def __init__(self, strictness: Strictness, limits_file: Path | None, target: Source | None) -> None:
        self._strictness: Strictness = strictness
        self._target = target
        self._limits = RunLimits() if strictness == "all" else read_limits(limits_file).run

    def accepts(self, dl1: Path) -> bool:
        """Whether the run of a DL1 file is good enough."""
        if self._strictness == "all":
            return True
        record = read_provenance(side_paths(dl1)["json"]) or {}
        offset = target_offset_deg(record, self._target)
        return is_accepted(worst(check_run(record, self._limits, offset)), self._strictness)

    def accepts_both(self, dl1: Path, others: Iterable[Path]) -> bool:
        """
        Whether a run of telescope 1 is good enough, and all runs of telescope 2 at the same time.

        Parameters
        ----------
        dl1 : Path
            DL1 file of telescope 1.
        others : iterable of Path
            DL1 files of telescope 2.
        """
        if self._strictness == "all":
            return True
        mine = _live_time(dl1)
        return self.accepts(dl1) and all(
            self.accepts(other) for other in others if mine.overlap(_live_time(other)).intervals_ns
        )


def _live_time(dl1: Path) -> LiveTime:
    record = read_provenance(side_paths(dl1)["json"]) or {}
    info = record.get("calibration")
    live = info.get("live_time") if isinstance(info, dict) else None
    return LiveTime.from_dict(live) if live else LiveTime((), 1.0, 0.0, "not recorded")
