"""
By how much the clock of the second telescope differs from that of the first.

Showers that both telescopes record pile up at one time difference, events that are close by chance do not.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import poisson

from .candidates import close_pairs, partner_ranges

__all__ = ["SLICE_NS", "ClockOffset", "ClockSearch", "find_offsets", "find_peak", "follow_offsets"]

#: Offsets are searched anew in each slice of the time, so that clocks may drift and be set anew.
SLICE_NS = 10_000_000_000
_CHANCE = 1e-6
_FEWEST_PAIRS = 5
_CHANCE_NEARBY = 1e-3
_ROUNDS = 8
#: With fewer pairs than this in a slice no drift is measured.
_ENOUGH_FOR_DRIFT = 30


@dataclass(frozen=True)
class ClockSearch:
    """
    Which offsets are tried.

    Parameters
    ----------
    start_ns, stop_ns : int
        First and last [ns].
    step_ns : int
        Width of a bin [ns]; the result is finer.
    """

    start_ns: int
    stop_ns: int
    step_ns: int


@dataclass(frozen=True)
class ClockOffset:
    """
    Offset of the second clock against the first during some time.

    Parameters
    ----------
    start_ns, stop_ns : int
        When it holds [ns TAI since 1970].
    offset_ns : int or None
        Second minus first [ns]; None where no offset stands out.
    n_pairs : int
        Pairs in the peak.
    n_expected : float
        Pairs there by chance.
    source : str
        ``searched``, ``neighbour`` (that of the time before or after fits) or ``none``.
    drift : float
        How fast the offset grows [ns/s]; ``offset_ns`` is that of the middle.
    """

    start_ns: int
    stop_ns: int
    offset_ns: int | None
    n_pairs: int
    n_expected: float
    source: str
    drift: float = 0.0

    def at(self, time_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the offset at some times [ns]; zero where none is known."""
        seconds = (time_ns - (self.start_ns + self.stop_ns) // 2) / 1e9
        return np.rint((self.offset_ns or 0) + self.drift * seconds).astype(np.int64)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)


def find_peak(differences: NDArray[np.int64], search: ClockSearch) -> tuple[int | None, int, float]:
    """
    Return the difference at which pairs pile up.

    Parameters
    ----------
    differences : ndarray of int64, shape=(n_pairs,)
        Time differences of all pairs in the range of the search [ns].
    search : ClockSearch
        The range.

    Returns
    -------
    offset_ns : int or None
        None if there are fewer than 5 pairs, or if chance gives such a peak anywhere in the range more often
        than once in a million.
    n_pairs, n_expected : int, float
        Pairs in the highest two bins, and those expected there by chance.

    Notes
    -----
    The peak is the middle of the shortest span that holds half of the excess.
    """
    n_bins = max(-(-(search.stop_ns - search.start_ns) // search.step_ns), 2)
    bins = np.clip((differences - search.start_ns) // search.step_ns, 0, n_bins - 1)
    counts = np.bincount(bins, minlength=n_bins)
    # two bins, since a peak may stand astride
    double = counts[:-1] + counts[1:]
    best = int(double.argmax())
    n_pairs = int(double[best])
    expected = 2.0 * (len(differences) - n_pairs) / max(n_bins - 2, 1)
    if n_pairs < _FEWEST_PAIRS or poisson.sf(n_pairs - 1, max(expected, 1e-9)) * n_bins > _CHANCE:
        return None, n_pairs, expected
    inside = np.sort(differences[(bins == best) | (bins == best + 1)])
    half = max(round((n_pairs - expected) / 2), 1)
    spans = inside[half - 1 :] - inside[: n_pairs - half + 1]
    place = int(spans.argmin())
    return int(inside[place : place + half][half // 2]), n_pairs, expected


def find_offsets(
    predicted_ns: NDArray[np.int64], times_ns: NDArray[np.int64], search: ClockSearch
) -> list[ClockOffset]:
    """
    Return the offset of the clocks for each ten seconds in which the first telescope has events.

    Parameters
    ----------
    predicted_ns, times_ns : ndarray of int64
        Times of the first telescope, moved to when the second should have seen the same, and of the second
        [ns]; both sorted.
    search : ClockSearch
        Offsets that are tried.

    Notes
    -----
    The slices are those of the clock, so that nothing depends on how events are spread over files. Where
    no offset stands out, those of the nearest slices with one are tried: they need less evidence.
    """
    first, last = partner_ranges(predicted_ns, times_ns, search.start_ns, search.stop_ns)
    slices, starts = np.unique(predicted_ns // SLICE_NS, return_index=True)
    edges = [*starts.tolist(), len(predicted_ns)]
    found: list[ClockOffset] = []
    weak: dict[int, NDArray[np.int64]] = {}
    for number, place in enumerate(slices.tolist()):
        rows = slice(edges[number], edges[number + 1])
        i, j = close_pairs(first[rows], last[rows])
        differences = times_ns[j] - predicted_ns[rows][i]
        offset, n_pairs, expected = find_peak(differences, search)
        if offset is None:
            weak[number] = differences
        span = (place * SLICE_NS, (place + 1) * SLICE_NS)
        found.append(ClockOffset(*span, offset, n_pairs, expected, "none" if offset is None else "searched"))
    return [
        _from_neighbours(found, number, weak[number], search) if number in weak else offset
        for number, offset in enumerate(found)
    ]


def _from_neighbours(
    found: list[ClockOffset], number: int, differences: NDArray[np.int64], search: ClockSearch
) -> ClockOffset:
    own = found[number]
    best = own
    n_bins = max((search.stop_ns - search.start_ns) / (2 * search.step_ns), 1)
    for side in (found[:number][::-1], found[number + 1 :]):
        offset = next((other.offset_ns for other in side if other.offset_ns is not None), None)
        if offset is None:
            continue
        n_pairs = int(np.count_nonzero(np.abs(differences - offset) <= search.step_ns))
        expected = (len(differences) - n_pairs) / n_bins
        likely = poisson.sf(n_pairs - 1, max(expected, 1e-9)) < _CHANCE_NEARBY
        if n_pairs and likely and (best is own or n_pairs > best.n_pairs):
            best = ClockOffset(own.start_ns, own.stop_ns, offset, n_pairs, expected, "neighbour")
    return best


def follow_offsets(
    offsets: Sequence[ClockOffset],
    time_ns: NDArray[np.int64],
    residual_ns: NDArray[np.int64],
    half_width_ns: int,
) -> list[ClockOffset]:
    """
    Return offsets, and how they drift, as the pairs around them tell.

    Parameters
    ----------
    offsets : sequence of ClockOffset
        As they were found.
    time_ns : ndarray of int64, shape=(n_candidates,)
        When, for each pair of events [ns].
    residual_ns : ndarray of int64, shape=(n_candidates,)
        Time differences beyond the offsets [ns].
    half_width_ns : int
        Width of their pile [ns].

    Notes
    -----
    A straight line through the pairs within half that width of the line before; the pairs by chance among
    them pull it towards the line before, less and less.
    """
    place = np.searchsorted([offset.start_ns for offset in offsets], time_ns, side="right") - 1
    order = np.argsort(place, kind="stable")
    edges = np.searchsorted(place[order], np.arange(len(offsets) + 1)).tolist()
    rows = [order[start:stop] for start, stop in zip(edges[:-1], edges[1:], strict=True)]
    return [
        _followed(offset, time_ns[own], residual_ns[own], half_width_ns / 2)
        if offset.offset_ns is not None
        else offset
        for offset, own in zip(offsets, rows, strict=True)
    ]


def _followed(
    offset: ClockOffset, time_ns: NDArray[np.int64], residual_ns: NDArray[np.int64], reach: float
) -> ClockOffset:
    seconds = (time_ns - (offset.start_ns + offset.stop_ns) // 2) / 1e9
    middle = drift = 0.0
    for _ in range(_ROUNDS):
        inside = np.abs(residual_ns - middle - drift * seconds) <= reach
        if np.count_nonzero(inside) < _FEWEST_PAIRS:
            return offset
        if np.count_nonzero(inside) < _ENOUGH_FOR_DRIFT:
            middle = float(residual_ns[inside].mean())
        else:
            drift, middle = np.polyfit(seconds[inside], residual_ns[inside], 1)
    return replace(offset, offset_ns=round((offset.offset_ns or 0) + middle), drift=float(drift))
