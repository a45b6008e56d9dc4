"""What is observed in a simulated night: which run begins and ends when, and where it points."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..instrument import TEL_IDS
from ..names import RawName
from .night_spec import NightSpec
from .visibility import best_start, wobble_position

__all__ = ["Group", "PlannedRun", "plan_night"]

_SECOND = 1_000_000_000
_MINUTE = 60 * _SECOND
#: The cameras' counters of runs did not start together.
_FIRST_RUN = {21: 1, 22: 3}

GroupKind = Literal["dark", "transition", "science"]


@dataclass(frozen=True)
class PlannedRun:
    """One run of one telescope, with begin and end [ns TAI since 1970]."""

    tel_id: int
    name: RawName
    start_ns: int
    stop_ns: int


@dataclass(frozen=True)
class Group:
    """
    Runs of the telescopes that belong together.

    Attributes
    ----------
    number : int
        Place in the night.
    kind : str
        ``dark``, ``transition`` or ``science``.
    target : str
        Content of TARGET.
    ra_deg, dec_deg : float
        ICRS direction of the optical axes [deg].
    runs : tuple of PlannedRun
        At most one of each telescope.
    """

    number: int
    kind: GroupKind
    target: str
    ra_deg: float
    dec_deg: float
    runs: tuple[PlannedRun, ...]

    @property
    def start_ns(self) -> int:
        """When the first telescope begins."""
        return min(run.start_ns for run in self.runs)

    @property
    def stop_ns(self) -> int:
        """When the last telescope ends."""
        return max(run.stop_ns for run in self.runs)


def plan_night(spec: NightSpec) -> list[Group]:
    """
    Return what the telescopes do in a night: a dark run, runs in wobble mode, a transition between them.

    Raises
    ------
    InputError
        The source cannot be seen in this night, or a wobble is not known.
    """
    start = best_start(spec.source, spec.date, spec.interval_minutes * spec.n_runs)
    interval = round(spec.interval_minutes * _MINUTE)
    slots: list[tuple[GroupKind, str, float, float, int]] = []
    for index in range(spec.n_runs):
        wobble = spec.wobbles[index % len(spec.wobbles)]
        ra, dec = wobble_position(spec.source, wobble, spec.wobble_deg)
        target = f"{spec.source.name}_{wobble}_{ra:.8f}_{dec:.8f}"
        slots.append(("science", target, ra, dec, start + index * interval))
    if spec.calibration_runs:
        _, _, ra, dec, _ = slots[0]
        slots.insert(0, ("dark", "Dark", ra, dec, start - interval))
        slots.insert(2, ("transition", "Transition", ra, dec, start + interval // 2))
    return [_group(spec, number, len(slots) - 1, slot) for number, slot in enumerate(slots)]


def _group(spec: NightSpec, number: int, last: int, slot: tuple[GroupKind, str, float, float, int]) -> Group:
    kind, target, ra, dec, begin = slot
    rng = np.random.default_rng([spec.seed, number, 11])
    length = spec.run_seconds if kind == "science" else max(spec.run_seconds / 4, 1.0)
    # the cameras are started and stopped one after the other
    late, early = rng.uniform(0.01, 0.1, (2, len(TEL_IDS))) * length
    runs = tuple(
        PlannedRun(
            tel_id=tel_id,
            name=RawName(tel_id - 20, spec.date, _FIRST_RUN[tel_id] + number),
            start_ns=begin + round(late[place] * _SECOND),
            stop_ns=begin + round((length - early[place]) * _SECOND),
        )
        for place, tel_id in enumerate(TEL_IDS)
        if not (spec.missing_runs and spec.n_runs >= 3 and tel_id == 22 and number == last)
    )
    return Group(number, kind, target, ra, dec, runs)
