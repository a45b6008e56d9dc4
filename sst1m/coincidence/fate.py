"""Why an event has no partner, for each event of each telescope."""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ..monitoring import LiveTime

__all__ = ["Fate", "fates", "unmatched_by_run", "while_other_is_off"]

#: Up to this long before its first and after its last trigger the other telescope counts as observing [ns].
_MARGIN_NS = 20_000_000


class Fate(IntEnum):
    """What the search for coincidences made of an event."""

    PAIRED = 0
    ALONE = 1
    PARTNER_TAKEN = 2
    ISOLATED = 3
    NO_CLOCK = 4
    OTHER_OFF = 5
    NUMBERS_DIFFER = 6

    @property
    def key(self) -> str:
        """Name in the counts of a file."""
        return _KEYS[self]


_KEYS = {
    Fate.PAIRED: "paired",
    Fate.ALONE: "no_partner",
    Fate.PARTNER_TAKEN: "partner_closer_to_another",
    Fate.ISOLATED: "pair_isolated",
    Fate.NO_CLOCK: "clock_unknown",
    Fate.OTHER_OFF: "other_telescope_off",
    Fate.NUMBERS_DIFFER: "array_numbers_differ",
}


def fates(
    n_events: int,
    *,
    near: NDArray[np.int64],
    isolated: NDArray[np.int64],
    paired: NDArray[np.int64],
    clock_known: NDArray[np.bool_] | None = None,
) -> NDArray[np.int8]:
    """
    Return the fate of each event of a telescope.

    Parameters
    ----------
    n_events : int
        Events of the telescope.
    near : ndarray of int64
        Rows with an event of the other telescope in the window, or with the same number.
    isolated, paired : ndarray of int64
        Rows whose pair was dropped for want of company, and those in a pair.
    clock_known : ndarray of bool, shape=(n_events,), optional
        Whether the event has a time that can be compared.
    """
    fate = np.full(n_events, Fate.ALONE, dtype=np.int8)
    if clock_known is not None:
        fate[~clock_known] = Fate.NO_CLOCK
    fate[near] = Fate.PARTNER_TAKEN
    fate[isolated] = Fate.ISOLATED
    fate[paired] = Fate.PAIRED
    return fate


def while_other_is_off(
    fate: NDArray[np.int8],
    time_ns: NDArray[np.int64],
    run: NDArray[np.int64],
    others: Sequence[LiveTime],
    allowed: NDArray[np.bool_],
) -> NDArray[np.int8]:
    """
    Return fates in which events without a partner are told apart by whether the other telescope observed.

    Parameters
    ----------
    fate : ndarray of int8, shape=(n_events,)
        From `fates`.
    time_ns, run : ndarray of int64, shape=(n_events,)
        Time [ns TAI] and run of each event.
    others : sequence of LiveTime
        Of the runs of the other telescope.
    allowed : ndarray of bool, shape=(n_runs, n_other_runs)
        Which runs point to the same place.
    """
    lone = np.flatnonzero(np.isin(fate, (Fate.ALONE, Fate.NO_CLOCK)) & (time_ns > 0))
    lone = lone[np.argsort(run[lone], kind="stable")]
    edges = np.searchsorted(run[lone], np.arange(len(allowed) + 1))
    changed = fate.copy()
    for number, same_sky in enumerate(allowed):
        rows = lone[edges[number] : edges[number + 1]]
        spans = [span for other in np.flatnonzero(same_sky) for span in others[other].intervals_ns]
        changed[rows[~_within(time_ns[rows], spans)]] = Fate.OTHER_OFF
    return changed


def _within(time_ns: NDArray[np.int64], spans: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Return which times lie in any of some spans, or close by."""
    starts, stops = np.array(spans, dtype=np.int64).reshape(-1, 2).T
    n_begun = np.searchsorted(np.sort(starts) - _MARGIN_NS, time_ns, side="right")
    n_ended = np.searchsorted(np.sort(stops) + _MARGIN_NS, time_ns, side="left")
    return n_begun > n_ended


def unmatched_by_run(fate: NDArray[np.int8], run: NDArray[np.int64], n_runs: int) -> list[dict[str, int]]:
    """Return, for each run, how many events have no partner for which reason; only reasons that occur."""
    counts = np.bincount(run * len(Fate) + fate, minlength=n_runs * len(Fate)).reshape(n_runs, len(Fate))
    reasons = [kind for kind in Fate if kind is not Fate.PAIRED]
    return [{kind.key: int(own[kind]) for kind in reasons if own[kind]} for own in counts]
