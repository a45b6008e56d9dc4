"""
Live time of a run, measured from the times of its triggers.

A camera that is blind for a time tau after each recorded event records gaps that are tau longer than those of
a process without memory: the shortest gap tells tau, and the fraction of time in which the camera could
trigger is 1 - n_gaps tau / (sum of the gaps) (W. R. Leo, Techniques for Nuclear and Particle Physics
Experiments, section 5.7, non-extendable dead time).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["LiveTime", "common_live_time", "measure_live_time"]

Interval = tuple[int, int]

#: A gap is a pause where the chance to see one as long anywhere in the run is below exp(-12).
_PAUSE_LOG_ODDS = 12.0
#: With fewer random triggers than this the rate is that of all triggers.
_ENOUGH_TRIGGERS = 10


@dataclass(frozen=True)
class LiveTime:
    """
    When a telescope, or an array, was ready to see showers.

    Parameters
    ----------
    intervals_ns : tuple of (int, int)
        First and last trigger of each span without a pause [ns TAI since 1970], in order.
    deadc : float
        Fraction of that time in which an event could be recorded (GADF keyword ``DEADC``).
    deadc_error : float
        Its standard error.
    method : str
        How it was measured, or why it could not be.
    dead_time_ns : float or None
        Dead time after each event [ns]; None where it does not apply.
    """

    intervals_ns: tuple[Interval, ...]
    deadc: float
    deadc_error: float
    method: str
    dead_time_ns: float | None = None

    @property
    def ontime_s(self) -> float:
        """Sum of the intervals [s]."""
        return sum(stop - start for start, stop in self.intervals_ns) / 1e9

    @property
    def livetime_s(self) -> float:
        """On-time without dead time [s]."""
        return self.ontime_s * self.deadc

    def contains(self, time_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which times lie in an interval, its ends included."""
        time_ns = np.asarray(time_ns, dtype=np.int64)
        inside = np.zeros(time_ns.shape, dtype=bool)
        for start, stop in self.intervals_ns:
            inside |= (time_ns >= start) & (time_ns <= stop)
        return inside

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; on-time and live time are added for readers."""
        return {
            "intervals_ns": [list(interval) for interval in self.intervals_ns],
            "deadc": self.deadc,
            "deadc_error": self.deadc_error,
            "method": self.method,
            "dead_time_ns": self.dead_time_ns,
            "ontime_s": self.ontime_s,
            "livetime_s": self.livetime_s,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        dead_time = values.get("dead_time_ns")
        return cls(
            intervals_ns=tuple((int(start), int(stop)) for start, stop in values["intervals_ns"]),
            deadc=float(values["deadc"]),
            deadc_error=float(values["deadc_error"]),
            method=str(values["method"]),
            dead_time_ns=None if dead_time is None else float(dead_time),
        )

    def overlap(self, other: Self) -> Self:
        """Return when both were ready; their dead times are taken as independent."""
        return type(self)(
            intervals_ns=_common_intervals(self.intervals_ns, other.intervals_ns),
            deadc=self.deadc * other.deadc,
            deadc_error=math.hypot(self.deadc_error * other.deadc, other.deadc_error * self.deadc),
            method="overlap",
        )


def _common_intervals(first: Sequence[Interval], second: Sequence[Interval]) -> tuple[Interval, ...]:
    found = [
        (max(a, c), min(b, d)) for a, b in first for c, d in second if max(a, c) < min(b, d)
    ]  # a run has few intervals
    return tuple(sorted(found))


def _without(intervals: Sequence[Interval], taken: Sequence[Interval]) -> list[Interval]:
    """Return what remains of some intervals when others are cut out."""
    left = list(intervals)
    for start, stop in taken:
        pieces = [piece for a, b in left for piece in ((a, min(b, start)), (max(a, stop), b))]
        left = [(a, b) for a, b in pieces if a < b]
    return left


def common_live_time(run: LiveTime, others: Iterable[LiveTime]) -> LiveTime:
    """
    Return when a run of one telescope and any of the runs of another were ready together.

    Parameters
    ----------
    run : LiveTime
        Of the one telescope.
    others : iterable of LiveTime
        Of the runs of the other; time that two of them claim counts once.

    Returns
    -------
    LiveTime
        ``deadc`` is the product of the telescopes', that of the other weighted by the time in common.
    """
    intervals: list[Interval] = []
    live = squares = total = 0.0
    for other in others:
        shared = run.overlap(other)
        new = _without(shared.intervals_ns, intervals)
        seconds = sum(stop - start for start, stop in new) / 1e9
        intervals += new
        total += seconds
        live += seconds * shared.deadc
        squares += (seconds * shared.deadc_error) ** 2
    if not total:
        return LiveTime((), 1.0, 0.0, "no time in common")
    return LiveTime(
        intervals_ns=tuple(sorted(intervals)),
        deadc=live / total,
        deadc_error=math.sqrt(squares) / total,
        method="overlap of both telescopes, product of their measured DEADC",
    )


def measure_live_time(time_ns: NDArray[np.int64], periodic: NDArray[np.bool_] | None = None) -> LiveTime:
    """
    Return intervals and dead time of a run.

    Parameters
    ----------
    time_ns : ndarray of int64, shape=(n_triggers,)
        Times of all recorded triggers, whatever their type and order [ns TAI since 1970].
    periodic : ndarray of bool, shape=(n_triggers,), optional
        Triggers that a clock gave (pedestals). A gap between two of them says nothing about dead time.

    Notes
    -----
    With n gaps that end or begin at random, of which the shortest is g, tau = g - 1 / (sum of the rates at
    which the gaps could have ended): the shortest of n exponential excesses is that long in the mean. The
    rate of the random triggers is their number over the time that was live.
    """
    if periodic is None:
        periodic = np.zeros(len(time_ns), dtype=bool)
    order = np.argsort(time_ns, kind="stable")
    times, clocked = np.asarray(time_ns, dtype=np.int64)[order], np.asarray(periodic, dtype=bool)[order]
    # a copy of an event is no second trigger
    first = np.diff(times, prepend=times[:1] - 1) > 0
    times, clocked = times[first], clocked[first]
    if len(times) < 2:
        single = ((int(times[0]), int(times[0])),) if len(times) else ()
        return LiveTime(single, 1.0, 0.0, f"no time was measured: {len(times)} triggers")
    gaps = np.diff(times)
    pause = gaps > _longest_gap_ns(times, clocked)
    return _measured(gaps[~pause], clocked[:-1][~pause], clocked[1:][~pause], _spans(times, pause))


def _longest_gap_ns(times: NDArray[np.int64], clocked: NDArray[np.bool_]) -> float:
    """Return how long a gap between triggers can be by chance [ns]."""
    random = times[~clocked]
    gaps = np.diff(random if len(random) > _ENOUGH_TRIGGERS else times)
    # the median of exponential gaps does not notice pauses
    return float((np.log(len(gaps)) + _PAUSE_LOG_ODDS) * np.median(gaps) / np.log(2))


def _spans(times: NDArray[np.int64], pause: NDArray[np.bool_]) -> tuple[Interval, ...]:
    starts = times[np.concatenate([[True], pause])].tolist()
    stops = times[np.concatenate([pause, [True]])].tolist()
    spans = tuple(zip(starts, stops, strict=True))
    # an event all by itself, such as one of a wrong clock, spans no time
    return tuple(span for span in spans if span[0] < span[1]) or spans[:1]


def _measured(
    gaps: NDArray[np.int64],
    starts_clocked: NDArray[np.bool_],
    ends_clocked: NDArray[np.bool_],
    spans: tuple[Interval, ...],
) -> LiveTime:
    """Measure the dead time from gaps that are no pauses."""
    telling = ~(starts_clocked & ends_clocked)
    n_random = int(np.count_nonzero(~ends_clocked))
    total = float(gaps.sum())
    if not n_random or not total:
        # the dead time lies somewhere between nothing and the shortest gap
        loss = len(gaps) * float(gaps.min()) / total if total else 0.0
        return LiveTime(spans, 1.0 - loss / 2, loss / math.sqrt(12), "unknown: no random triggers")
    shortest = float(gaps[telling].min())
    n_telling = int(np.count_nonzero(telling))
    live = total - len(gaps) * shortest
    # rates per ns at which a gap could have ended: by showers always, by the clock after a shower
    showers = n_random / max(live, 1.0)
    clock = np.count_nonzero(ends_clocked) / total
    excess = 1.0 / (n_telling * showers + np.count_nonzero(telling & ~starts_clocked) * clock)
    dead_time = min(max(shortest - excess, 0.0), float(gaps.min()))
    return LiveTime(
        spans,
        deadc=float(1.0 - len(gaps) * dead_time / total),
        deadc_error=float(min(len(gaps) * min(excess, shortest) / total, 1.0)),
        method=f"shortest of {n_telling} gaps between triggers",
        dead_time_ns=float(dead_time),
    )
