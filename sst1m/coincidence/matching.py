"""
Matching of events of two telescopes, by time or by the number that the array trigger gave.

All functions take events in one fixed order (time, then run and number), so that results do not depend on
the files in which the events came, nor on the order of files and of events in them.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from .candidates import assign_one_to_one, close_pairs, partner_ranges
from .clock import ClockOffset, ClockSearch, find_offsets, find_peak

__all__ = [
    "BACKGROUND_NS",
    "Matches",
    "TimeWindow",
    "Triggers",
    "match_by_number",
    "match_by_time",
]

#: Pairs that are further apart than the window, up to this, tell how many pairs chance makes.
BACKGROUND_NS = 1_000_000
#: Equal numbers of the array trigger mean one shower only within this time: counters start anew.
SAME_NUMBER_NS = 1_000_000_000
#: Light arrives within this of a plane front, over the camera's field of view and the shower's curvature.
_NARROWEST_NS = 300
_CORE_FRACTION, _CORE_FACTOR, _CLEAR_FACTOR = 0.9, 3.0, 1.25
#: Sizes of clusters of pairs that show that the clocks are right; chance makes one with this probability.
_CLUSTERS = (5, 20, 80)
_CLUSTER_CHANCE = 1e-4
#: A pair belongs to a cluster if it is no further away than this many mean distances within it.
_CLUSTER_REACH = 12.0


@dataclass(frozen=True)
class Triggers:
    """
    Events of one telescope, sorted by time.

    Parameters
    ----------
    time_ns : ndarray of int64, shape=(n_events,)
        [ns TAI since 1970], sorted.
    number : ndarray of int64, shape=(n_events,)
        Given by the array trigger; 0: none.
    run : ndarray of int64, shape=(n_events,)
        Row or column of the table of runs that may be paired.
    """

    time_ns: NDArray[np.int64]
    number: NDArray[np.int64]
    run: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.time_ns)


@dataclass(frozen=True)
class TimeWindow:
    """
    How far apart the times of a pair may be.

    Parameters
    ----------
    half_width_ns : int
        At most; a peak that is narrower narrows it.
    search : ClockSearch
        Offsets of the clocks that are tried.
    drifting : bool
        Whether the clocks run by themselves: the offset is then searched in every ten seconds and
        without one there is no pair. Otherwise one offset holds for all, and is zero where none stands out.
    """

    half_width_ns: int
    search: ClockSearch
    drifting: bool


@dataclass(frozen=True)
class Matches:
    """
    Pairs of events, and what chance has to do with them.

    Parameters
    ----------
    first, second : ndarray of int64, shape=(n_pairs,)
        Rows of the events.
    residual_ns : ndarray of int64, shape=(n_pairs,)
        Time difference beyond what light travel and clocks explain [ns].
    clock_ns : ndarray of int64, shape=(n_pairs,)
        Offset of the clocks that was taken off [ns].
    half_width_ns : int
        Window that was used.
    n_accidental : float
        Expected number of pairs by chance.
    n_isolated : int
        Pairs that were dropped since none of their surroundings is paired: chance where a clock is wrong.
    offsets : list of ClockOffset
        Of the clocks.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    residual_ns: NDArray[np.int64]
    clock_ns: NDArray[np.int64]
    half_width_ns: int = 0
    n_accidental: float = 0.0
    n_isolated: int = 0
    offsets: list[ClockOffset] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.first)


def _no_matches(offsets: list[ClockOffset]) -> Matches:
    none = np.zeros(0, dtype=np.int64)
    return Matches(none, none, none, none, offsets=offsets)


def match_by_number(
    first: Triggers, second: Triggers, delay_ns: NDArray[np.int64], allowed: NDArray[np.bool_]
) -> Matches:
    """
    Pair events that carry the same number of the array trigger.

    Parameters
    ----------
    first, second : Triggers
        Of the telescopes; without a number (0) an event has no pair.
    delay_ns : ndarray of int64, shape=(n_first,)
        Light travel from the first to the second telescope.
    allowed : ndarray of bool, shape=(n_runs_first, n_runs_second)
        Which runs point to the same place.

    Notes
    -----
    The counter starts anew with the array trigger: of equal numbers within one second the closest in time are
    paired, others are different showers.
    """
    order = np.lexsort((second.time_ns, second.number))
    numbers = second.number[order]
    low = np.searchsorted(numbers, first.number, side="left")
    high = np.where(first.number > 0, np.searchsorted(numbers, first.number, side="right"), low)
    i, place = close_pairs(low, high)
    j = order[place]
    residual = second.time_ns[j] - (first.time_ns + delay_ns)[i]
    good = (np.abs(residual) <= SAME_NUMBER_NS) & allowed[first.run[i], second.run[j]]
    i, j = assign_one_to_one(i[good], j[good], residual[good])
    residual = second.time_ns[j] - (first.time_ns + delay_ns)[i]
    return Matches(i, j, residual, np.zeros_like(residual))


def match_by_time(
    first: Triggers,
    second: Triggers,
    delay_ns: NDArray[np.int64],
    allowed: NDArray[np.bool_],
    window: TimeWindow,
) -> Matches:
    """
    Pair events whose times agree.

    Parameters
    ----------
    first, second, delay_ns, allowed
        See `match_by_number`.
    window : TimeWindow
        How far apart they may be.

    Notes
    -----
    The offset of the clocks is where time differences pile up (`sst1m.coincidence.clock`), the window is
    three times what holds nine tenths of that pile, but not wider than asked for. Within it the closest
    events are paired first. A pair in the middle of unpaired events is dropped: it is as likely by chance.
    """
    predicted = first.time_ns + delay_ns
    offsets = _clock_offsets(predicted, second.time_ns, window)
    shift, known = _offset_of_events(predicted, offsets)
    # without a clock an event has no time, and nothing to be compared
    rows = np.flatnonzero(known & (first.time_ns > 0))
    if not len(rows) or not len(second):
        return _no_matches(offsets)
    predicted = (predicted + shift)[rows]
    reach = max(BACKGROUND_NS, 4 * window.half_width_ns)
    i, j = close_pairs(*partner_ranges(predicted, second.time_ns, -reach, reach))
    same_sky = allowed[first.run[rows[i]], second.run[j]]
    i, j = i[same_sky], j[same_sky]
    residual = second.time_ns[j] - predicted[i]
    outside = np.count_nonzero(np.abs(residual) > window.half_width_ns)
    density = outside / (2.0 * (reach - window.half_width_ns))
    half_width = _narrowed(residual, window.half_width_ns, density)
    near = np.abs(residual) <= half_width
    i, j = assign_one_to_one(i[near], j[near], residual[near])
    by_chance = 2.0 * half_width * density
    kept = _in_company(i, by_chance / len(rows), len(rows))
    paired = int(np.count_nonzero(kept))
    unpaired = (1 - paired / len(rows)) * (1 - paired / len(second))
    return Matches(
        first=rows[i[kept]],
        second=j[kept],
        residual_ns=(second.time_ns[j] - predicted[i])[kept],
        clock_ns=shift[rows[i]][kept],
        half_width_ns=half_width,
        n_accidental=by_chance * unpaired,
        n_isolated=len(i) - paired,
        offsets=offsets,
    )


def _clock_offsets(
    predicted: NDArray[np.int64], times: NDArray[np.int64], window: TimeWindow
) -> list[ClockOffset]:
    if not len(predicted):
        return []
    if window.drifting:
        return find_offsets(np.sort(predicted), times, window.search)
    i, j = close_pairs(*partner_ranges(predicted, times, window.search.start_ns, window.search.stop_ns))
    offset, n_pairs, expected = find_peak(times[j] - predicted[i], window.search)
    source = "searched" if offset is not None else "none"
    span = int(predicted.min()), int(predicted.max()) + 1
    return [ClockOffset(*span, offset or 0, n_pairs, expected, source)]


def _offset_of_events(
    predicted: NDArray[np.int64], offsets: list[ClockOffset]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the offset for each event, and whether there is one."""
    if not offsets:
        return np.zeros(len(predicted), dtype=np.int64), np.zeros(len(predicted), dtype=bool)
    place = np.searchsorted([offset.start_ns for offset in offsets], predicted, side="right") - 1
    values = np.array([offset.offset_ns or 0 for offset in offsets], dtype=np.int64)
    known = np.array([offset.offset_ns is not None for offset in offsets])
    return values[place], known[place]


def _narrowed(residual: NDArray[np.int64], half_width: int, density: float) -> int:
    """Return the half width [ns] that the pile of residuals asks for, given the pairs per ns by chance."""
    size = np.sort(np.abs(residual[np.abs(residual) <= half_width]))
    excess = np.arange(1, len(size) + 1) - 2.0 * size * density
    if not len(size) or excess.max() < _CLUSTERS[0]:
        return half_width
    # where the pile stands out best is where its density falls to that of chance
    clearest = float(size[int((excess / np.sqrt(np.arange(1, len(size) + 1))).argmax())])
    width = min(half_width, max(_NARROWEST_NS, round(_CLEAR_FACTOR * clearest)))
    while True:
        n_inside = int(np.searchsorted(size, width, side="right"))
        enough = excess[:n_inside] >= _CORE_FRACTION * (n_inside - 2.0 * width * density)
        core = float(size[int(enough.argmax())]) if enough.any() else float(width)
        narrower = min(width, max(_NARROWEST_NS, round(_CORE_FACTOR * core)))
        if narrower >= width:
            return width
        width = narrower


def _in_company(i: NDArray[np.int64], by_chance: float, n_first: int) -> NDArray[np.bool_]:
    """
    Return which pairs stand among pairs.

    Parameters
    ----------
    i : ndarray of int64, shape=(n_pairs,)
        Rows of the events of the first telescope, rising.
    by_chance : float
        Pairs by chance for each event of the first telescope.
    n_first : int
        Events of the first telescope.
    """
    # up to so many events of the first telescope, a cluster of each size is no chance
    longest = gammaincinv(_CLUSTERS, _CLUSTER_CHANCE) / max(by_chance, 1e-12)
    if n_first <= longest[0]:
        return np.ones(len(i), dtype=bool)
    return _follows_a_cluster(i, longest) | _follows_a_cluster(-i[::-1], longest)[::-1]


def _follows_a_cluster(i: NDArray[np.int64], longest: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which pairs follow on a cluster at a distance that is usual in it; the largest one counts."""
    follows = np.zeros(len(i), dtype=bool)
    for size, limit in zip(_CLUSTERS, longest, strict=True):
        if len(i) > size:
            older, newer = size - 1 - size // 2, size // 2
            # of its two halves the denser one: pairs by chance at its end do not make a cluster wider
            usual = np.minimum(
                (i[older : older - size] - i[:-size]) / older,
                (i[size - 1 : -1] - i[older : older - size]) / newer,
            )
            near = i[size:] - i[size - 1 : -1] <= _CLUSTER_REACH * usual
            follows[size:] = np.where(i[size:] - i[:-size] <= limit, near, follows[size:])
    return follows
