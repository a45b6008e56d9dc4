"""
Matching of events of two telescopes, by time or by the number that the array trigger gave.

All functions take events in one fixed order (time, then run and number), so that results do not depend on
the files in which the events came, nor on the order of files and of events in them.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from .candidates import assign_one_to_one, close_pairs, partner_ranges
from .clock import ClockOffset, ClockSearch, find_offsets, find_peak, follow_offsets
from .fate import Fate, fates
from .window import clear_half_width, in_company, measured_half_width

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
_LIGHT_NS = 200


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
    fate_first, fate_second : ndarray of int8, shape=(n_events,)
        Of every event of each telescope, values of `Fate`.
    half_width_ns : int
        Window that was used.
    n_accidental : float
        Expected number of pairs by chance.
    offsets : list of ClockOffset
        Of the clocks.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    residual_ns: NDArray[np.int64]
    clock_ns: NDArray[np.int64]
    fate_first: NDArray[np.int8]
    fate_second: NDArray[np.int8]
    half_width_ns: int = 0
    n_accidental: float = 0.0
    offsets: list[ClockOffset] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.first)

    @property
    def n_isolated(self) -> int:
        """Pairs that were dropped since nothing around them is paired: chance where a clock is wrong."""
        return int(np.count_nonzero(self.fate_first == Fate.ISOLATED))


def _no_matches(known: NDArray[np.bool_], second: Triggers, offsets: list[ClockOffset]) -> Matches:
    none = np.zeros(0, dtype=np.int64)
    nothing = {"near": none, "isolated": none, "paired": none}
    fate = fates(len(known), clock_known=known, **nothing), _fate_of_second(second, offsets, **nothing)
    return Matches(none, none, none, none, *fate, offsets=offsets)


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
    near = i[good], j[good]
    chosen = assign_one_to_one(*near, residual[good])
    i, j = near[0][chosen], near[1][chosen]
    residual = second.time_ns[j] - (first.time_ns + delay_ns)[i]
    fate = [
        fates(len(events), near=rows, isolated=rows[:0], paired=paired)
        for events, rows, paired in zip((first, second), near, (i, j), strict=True)
    ]
    return Matches(i, j, residual, np.zeros_like(residual), *fate)


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
    three times what holds nine tenths of that pile, but not wider than asked for. Clocks that run by
    themselves are less exact, and it ends where one pair in five is by chance. Within it the closest events
    are paired first. A pair in the middle of unpaired events is dropped: it is as likely by chance.
    """
    predicted = first.time_ns + delay_ns
    offsets = _clock_offsets(predicted, second.time_ns, window)
    known = _clock_known(first.time_ns, predicted, offsets)
    rows = np.flatnonzero(known)
    if not len(rows) or not len(second):
        return _no_matches(known, second, offsets)
    timed = Triggers(predicted[rows], first.number[rows], first.run[rows])
    close = _close_pairs(timed, second, allowed, offsets, window)
    if window.drifting:
        offsets = follow_offsets(offsets, timed.time_ns[close.i], close.residual, close.half_width)
        close = _close_pairs(timed, second, allowed, offsets, window).clear()
    chosen = assign_one_to_one(close.i, close.j, close.residual)
    by_chance = 2.0 * close.half_width * close.density / len(rows)
    kept = in_company(close.i[chosen], by_chance, len(rows))
    pairs, dropped = chosen[kept], chosen[~kept]
    i, j = rows[close.i], close.j
    mine = {"near": i, "isolated": i[dropped], "paired": i[pairs]}
    theirs = {"near": j, "isolated": j[dropped], "paired": j[pairs]}
    return Matches(
        i[pairs],
        j[pairs],
        residual_ns=close.residual[pairs],
        clock_ns=_clock_of(predicted[i[pairs]], offsets),
        fate_first=fates(len(first), clock_known=known, **mine),
        fate_second=_fate_of_second(second, offsets, **theirs),
        half_width_ns=close.half_width,
        n_accidental=close.n_accidental(pairs),
        offsets=offsets,
    )


@dataclass(frozen=True)
class _ClosePairs:
    """
    Pairs within the window: rows and difference beyond the clocks [ns].

    ``density`` are pairs by chance per ns, ``n_events`` the events of the telescopes.
    """

    i: NDArray[np.int64]
    j: NDArray[np.int64]
    residual: NDArray[np.int64]
    half_width: int
    density: float
    n_events: tuple[int, int]

    def clear(self) -> "_ClosePairs":
        """Return those of which few are by chance."""
        width = clear_half_width(self.residual, self.half_width, self.density, _LIGHT_NS, self.n_events)
        near = np.abs(self.residual) <= width
        rows = {"i": self.i[near], "j": self.j[near], "residual": self.residual[near]}
        return replace(self, half_width=width, **rows)

    def n_accidental(self, pairs: NDArray[np.int64]) -> float:
        """Return how many of the chosen pairs are expected to be wrong: of two lone events, or of one."""
        lone = [1.0 - len(pairs) / n for n in self.n_events]
        of_two = 2.0 * self.half_width * lone[0] * lone[1]
        # a lone event that is closer takes the place of the true partner
        of_one = (
            2.0
            * float(np.abs(self.residual[pairs]).sum())
            * sum(share / n for share, n in zip(lone, self.n_events, strict=True))
        )
        return self.density * (of_two + of_one)


def _close_pairs(
    first: Triggers,
    second: Triggers,
    allowed: NDArray[np.bool_],
    offsets: list[ClockOffset],
    window: TimeWindow,
) -> _ClosePairs:
    """Return all pairs in the window, which is as narrow as they allow; ``first`` has predicted times."""
    expected = first.time_ns + _clock_of(first.time_ns, offsets)
    reach = max(BACKGROUND_NS, 4 * window.half_width_ns)
    i, j = close_pairs(*partner_ranges(expected, second.time_ns, -reach, reach))
    same_sky = allowed[first.run[i], second.run[j]]
    i, j = i[same_sky], j[same_sky]
    residual = second.time_ns[j] - expected[i]
    outside = np.count_nonzero(np.abs(residual) > window.half_width_ns)
    density = outside / (2.0 * (reach - window.half_width_ns))
    half_width = measured_half_width(residual, window.half_width_ns, density, _LIGHT_NS)
    near = np.abs(residual) <= half_width
    return _ClosePairs(i[near], j[near], residual[near], half_width, density, (len(first), len(second)))


def _fate_of_second(
    second: Triggers, offsets: list[ClockOffset], **rows: NDArray[np.int64]
) -> NDArray[np.int8]:
    known = _clock_known(second.time_ns, second.time_ns, offsets)
    return fates(len(second), clock_known=known, **rows)


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


def _slice_of(time_ns: NDArray[np.int64], offsets: list[ClockOffset]) -> NDArray[np.int64]:
    place = np.searchsorted([offset.start_ns for offset in offsets], time_ns, side="right") - 1
    return np.maximum(place, 0)


def _clock_known(
    time_ns: NDArray[np.int64], predicted: NDArray[np.int64], offsets: list[ClockOffset]
) -> NDArray[np.bool_]:
    """Return which events have a time that can be compared with the other telescope's."""
    if not offsets:
        return np.zeros(len(time_ns), dtype=bool)
    known = np.array([offset.offset_ns is not None for offset in offsets])
    return known[_slice_of(predicted, offsets)] & (time_ns > 0)


def _clock_of(predicted: NDArray[np.int64], offsets: list[ClockOffset]) -> NDArray[np.int64]:
    """Return the offset of the clocks for each event [ns]; zero where it is not known."""
    clock = np.zeros(len(predicted), dtype=np.int64)
    place = _slice_of(predicted, offsets)
    order = np.argsort(place, kind="stable")
    edges = np.searchsorted(place[order], np.arange(len(offsets) + 1))
    for offset, start, stop in zip(offsets, edges[:-1], edges[1:], strict=True):
        clock[order[start:stop]] = offset.at(predicted[order[start:stop]])
    return clock
