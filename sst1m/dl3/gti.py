"""Good time intervals on integer nanoseconds: union, intersection, and which times lie inside."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["EDGE_NS", "Intervals"]

#: Readers take an interval as half-open and its ends as float64: an interval that a trigger begins or ends
#: reaches this far beyond it [ns]. It also covers the way of the light between the telescopes (518 ns).
EDGE_NS = 1000


@dataclass(frozen=True, eq=False)
class Intervals:
    """
    Disjoint half-open intervals in the order of time.

    Parameters
    ----------
    edges : ndarray of int64, shape=(n_intervals, 2)
        Start (inside) and stop (outside) [ns TAI since 1970]; made by `of`.
    """

    edges: NDArray[np.int64]

    @classmethod
    def of(cls, pairs: Iterable[Sequence[int]]) -> Self:
        """Return the union of half-open intervals (start, stop) in any order; those without length vanish."""
        edges = np.array([tuple(pair) for pair in pairs], dtype=np.int64).reshape(-1, 2)
        edges = edges[edges[:, 0] < edges[:, 1]]
        edges = edges[np.argsort(edges[:, 0], kind="stable")]
        if not len(edges):
            return cls(edges)
        reached = np.maximum.accumulate(edges[:, 1])
        first = np.concatenate([[True], edges[1:, 0] > reached[:-1]])
        last = np.concatenate([first[1:], [True]])
        return cls(np.stack([edges[first, 0], reached[last]], axis=1))

    @classmethod
    def between_triggers(cls, pairs: Iterable[Sequence[int]]) -> Self:
        """Return intervals that hold their first and last trigger, from pairs of their times [ns TAI]."""
        spans = [(int(first), int(last)) for first, last in pairs if first < last]
        return cls.of((first - EDGE_NS, last + EDGE_NS) for first, last in spans)

    def __len__(self) -> int:
        return len(self.edges)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Intervals) and np.array_equal(self.edges, other.edges)

    __hash__ = None  # type: ignore[assignment]

    def __or__(self, other: "Intervals") -> "Intervals":
        return type(self).of(np.concatenate([self.edges, other.edges]))

    def __and__(self, other: "Intervals") -> "Intervals":
        cuts = np.unique(np.concatenate([self.edges.ravel(), other.edges.ravel()]))
        starts, stops = cuts[:-1], cuts[1:]
        inside = self.contains(starts) & other.contains(starts)
        return type(self).of(np.stack([starts[inside], stops[inside]], axis=1))

    def divided(self, max_gap_ns: int) -> list[Self]:
        """Return the intervals in groups that longer gaps lie between; at least one, maybe empty."""
        gaps = self.edges[1:, 0] - self.edges[:-1, 1]
        return [type(self)(part) for part in np.split(self.edges, np.flatnonzero(gaps > max_gap_ns) + 1)]

    @property
    def start_ns(self) -> int:
        """Start of the first interval."""
        return int(self.edges[0, 0])

    @property
    def stop_ns(self) -> int:
        """Stop of the last interval."""
        return int(self.edges[-1, 1])

    @property
    def total_ns(self) -> int:
        """Sum of the lengths [ns]."""
        return int((self.edges[:, 1] - self.edges[:, 0]).sum())

    def contains(self, time_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which times lie in an interval."""
        # starts and stops alternate, so a time lies inside where an odd number of them is not after it
        return np.searchsorted(self.edges.ravel(), np.asarray(time_ns), side="right") % 2 == 1

    def samples(self, step_ns: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """
        Return times that represent the intervals, and how much time each of them stands for.

        Parameters
        ----------
        step_ns : int
            Largest time that one sample stands for [ns].

        Returns
        -------
        time_ns : ndarray of int64, shape=(n_samples,)
            In the middle of equal pieces of each interval.
        weight_s : ndarray, shape=(n_samples,)
            Length of the pieces [s].
        """
        times, weights = [np.empty(0, dtype=np.int64)], [np.empty(0)]
        for start, stop in self.edges.tolist():
            n_pieces = -(-(stop - start) // step_ns)
            bounds = np.linspace(0, stop - start, n_pieces + 1)
            times.append(start + ((bounds[:-1] + bounds[1:]) // 2).astype(np.int64))
            weights.append(np.diff(bounds) / 1e9)
        return np.concatenate(times), np.concatenate(weights)
