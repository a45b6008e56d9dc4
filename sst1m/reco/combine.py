"""From the results of two telescopes to one shower: weighted means and the four-position direction."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..io.dl2_columns import SIGN_COMBINATIONS
from .directions import mean_direction, separation

__all__ = ["MeanAndVariance", "StereoDirection", "combine_directions", "mean_and_variance"]

Values = NDArray[np.float64]


class MeanAndVariance(NamedTuple):
    """
    What two telescopes say together.

    Attributes
    ----------
    mean : ndarray, shape=(n_events,)
        Weighted mean.
    variance : ndarray, shape=(n_events,)
        Of the two values, without weights, divided by n - 1.
    weighted_variance : ndarray, shape=(n_events,)
        Weighted mean of the squared deviations from the weighted mean.
    """

    mean: Values
    variance: Values
    weighted_variance: Values


def mean_and_variance(values: Values, weights: Values) -> MeanAndVariance:
    """
    Combine one quantity of both telescopes.

    Parameters
    ----------
    values, weights : ndarray, shape=(n_events, 2)
        Of each telescope.
    """
    share = weights / weights.sum(axis=1, keepdims=True)
    mean = (share * values).sum(axis=1)
    spread = (share * (values - mean[:, np.newaxis]) ** 2).sum(axis=1)
    return MeanAndVariance(mean, np.var(values, axis=1, ddof=1), spread)


class StereoDirection(NamedTuple):
    """
    The direction that two telescopes agree on.

    Attributes
    ----------
    direction : ndarray, shape=(n_events, 3)
        Weighted mean of the two chosen positions, unit vectors.
    chosen : ndarray, shape=(n_events, 2, 3)
        The position that each telescope contributes.
    distance : ndarray, shape=(n_events,)
        Between the two [rad].
    combination : ndarray of int8, shape=(n_events,)
        Number of the pair of signs in `sst1m.io.dl2_columns.SIGN_COMBINATIONS`.
    """

    direction: Values
    chosen: Values
    distance: Values
    combination: NDArray[np.int8]


def combine_directions(candidates: Values, weights: Values) -> StereoDirection:
    """
    Choose for each telescope the side of the image on which the source lies.

    Of the four pairs of positions, one of each telescope, the nearest pair is taken; of equally near ones
    the first.

    Parameters
    ----------
    candidates : ndarray, shape=(n_events, 2, 2, 3)
        Unit vectors: of each telescope the position for the sign 1, then that for -1.
    weights : ndarray, shape=(n_events, 2)
        Of the telescopes.

    Notes
    -----
    Aleksic et al. 2016, Astropart. Phys. 72, 76, section 4.5 (MAGIC), for two telescopes.
    """
    side = {1: 0, -1: 1}
    pairs = [(candidates[:, 0, side[a]], candidates[:, 1, side[b]]) for a, b in SIGN_COMBINATIONS]
    distances = np.stack([separation(*pair) for pair in pairs], axis=1)
    best = distances.argmin(axis=1)
    rows = np.arange(len(best))
    chosen = np.stack([np.stack(pair, axis=1) for pair in pairs], axis=1)[rows, best]
    return StereoDirection(
        mean_direction(chosen, weights), chosen, distances[rows, best], best.astype(np.int8)
    )
