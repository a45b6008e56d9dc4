"""How wide the pile of true pairs is, and which pairs stand by themselves."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

__all__ = ["clear_half_width", "in_company", "measured_half_width"]

#: Of fewer pairs nothing is measured.
_FEWEST_PAIRS = 5
_CORE_FRACTION, _CORE_FACTOR, _CLEAR_FACTOR = 0.9, 3.0, 1.25
#: So many pairs of a difference are showers for each one by chance, or it is outside the clear window.
_CLEAR_ODDS = 4.0
_TWO_SIGMA = 0.9545
#: Sizes of clusters of pairs that show that the clocks are right; chance makes one with this probability.
_CLUSTERS = (5, 20, 80)
_CLUSTER_CHANCE = 1e-4
#: A pair belongs to a cluster if it is no further away than this many mean distances within it.
_CLUSTER_REACH = 12.0


def measured_half_width(residual: NDArray[np.int64], half_width: int, density: float, narrowest: int) -> int:
    """
    Return the half width that the pile of residuals asks for.

    Parameters
    ----------
    residual : ndarray of int64, shape=(n_candidates,)
        Time differences of all pairs, also of those further apart [ns].
    half_width, narrowest : int
        Greatest and least half width [ns].
    density : float
        Pairs by chance [1 / ns].
    """
    size = np.sort(np.abs(residual[np.abs(residual) <= half_width]))
    excess = np.arange(1, len(size) + 1) - 2.0 * size * density
    if not len(size) or excess.max() < _FEWEST_PAIRS:
        return half_width
    # where the pile stands out best is where its density falls to that of chance
    clearest = float(size[int((excess / np.sqrt(np.arange(1, len(size) + 1))).argmax())])
    width = min(half_width, max(narrowest, round(_CLEAR_FACTOR * clearest)))
    while True:
        n_inside = int(np.searchsorted(size, width, side="right"))
        enough = excess[:n_inside] >= _CORE_FRACTION * (n_inside - 2.0 * width * density)
        core = float(size[int(enough.argmax())]) if enough.any() else float(width)
        narrower = min(width, max(narrowest, round(_CORE_FACTOR * core)))
        if narrower >= width:
            return width
        width = narrower


def clear_half_width(
    residual: NDArray[np.int64],
    half_width: int,
    density: float,
    narrowest: int,
    n_events: tuple[int, int],
) -> int:
    """
    Return the half width within which a pair is rather a shower than chance, at four to one everywhere.

    Parameters
    ----------
    residual : ndarray of int64, shape=(n_candidates,)
        Time differences of all pairs within ``half_width`` [ns].
    half_width, narrowest : int
        Greatest and least half width [ns].
    density : float
        Pairs by chance among all events [1 / ns].
    n_events : (int, int)
        Events of the telescopes.

    Notes
    -----
    The pile is taken as normal, as wide as what holds 95 % of it. Chance counts as that among the events
    that are in no pair of the pile: others have better partners.
    """
    size = np.sort(np.abs(residual))
    excess = np.arange(1, len(size) + 1) - 2.0 * size * density
    n_pairs = len(size) - 2.0 * half_width * density
    if n_pairs < _FEWEST_PAIRS:
        return half_width
    sigma = max(float(size[int((excess >= _TWO_SIGMA * n_pairs).argmax())]) / 2, 1.0)
    chance = density * math.prod(1.0 - min(n_pairs / n, 1.0) for n in n_events)
    odds = n_pairs / (math.sqrt(2 * math.pi) * sigma) / max(chance, 1e-300)
    clear = sigma * math.sqrt(2 * math.log(odds / _CLEAR_ODDS)) if odds > _CLEAR_ODDS else 0.0
    return min(half_width, max(narrowest, round(clear)))


def in_company(i: NDArray[np.int64], by_chance: float, n_first: int) -> NDArray[np.bool_]:
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
