"""Pairs of times that lie close together, and the choice of one partner for each."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["CROWD", "assign_one_to_one", "close_pairs", "partner_ranges"]

#: An event with more possible partners than this has a clock that stands still, and gets none.
CROWD = 1000


def partner_ranges(
    predicted_ns: NDArray[np.int64], times_ns: NDArray[np.int64], low_ns: int, high_ns: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """
    Return which sorted times lie at most ``high_ns`` after and ``-low_ns`` before each prediction.

    Parameters
    ----------
    predicted_ns : ndarray of int64, shape=(n_first,)
        In any order.
    times_ns : ndarray of int64, shape=(n_second,)
        Sorted.
    low_ns, high_ns : int
        Limits of the difference, both included [ns].

    Returns
    -------
    first, last : ndarray of int64, shape=(n_first,)
        Rows of ``times_ns`` from ``first`` up to, but without, ``last``.
    """
    first = np.searchsorted(times_ns, predicted_ns + low_ns, side="left")
    last = np.searchsorted(times_ns, predicted_ns + high_ns, side="right")
    return first, np.where(last - first > CROWD, first, last)


def close_pairs(first: NDArray[np.int64], last: NDArray[np.int64]) -> tuple[NDArray, NDArray]:
    """
    Return all pairs of some ranges: the number of the range, and each row in it.

    Parameters
    ----------
    first, last : ndarray of int64, shape=(n_ranges,)
        From `partner_ranges`.
    """
    counts = last - first
    i = np.repeat(np.arange(len(counts)), counts)
    start = np.repeat(first - (np.cumsum(counts) - counts), counts)
    return i, start + np.arange(len(i))


@njit(cache=True)
def _take_in_turn(i: np.ndarray, j: np.ndarray, n_first: int, n_second: int) -> np.ndarray:
    free_first, free_second = np.ones(n_first, dtype=np.bool_), np.ones(n_second, dtype=np.bool_)
    taken = np.zeros(len(i), dtype=np.bool_)
    for k in range(len(i)):
        if free_first[i[k]] and free_second[j[k]]:
            taken[k] = True
            free_first[i[k]] = free_second[j[k]] = False
    return taken


def assign_one_to_one(
    i: NDArray[np.int64], j: NDArray[np.int64], distance: NDArray[np.number]
) -> NDArray[np.int64]:
    """
    Choose pairs so that each event has one partner at most: the closest pair first.

    Parameters
    ----------
    i, j : ndarray of int64, shape=(n_candidates,)
        Rows of the two events of each candidate.
    distance : ndarray, shape=(n_candidates,)
        How far they are apart; of equally distant pairs the one with smaller rows comes first.

    Returns
    -------
    ndarray of int64, shape=(n_pairs,)
        Which candidates are chosen, in the order of ``i``.
    """
    order = np.lexsort((j, i, np.abs(distance)))
    taken = _take_in_turn(i[order], j[order], int(i.max(initial=-1)) + 1, int(j.max(initial=-1)) + 1)
    chosen = order[taken]
    return chosen[np.argsort(i[chosen])]
