"""Counts on and off a source, and what they say about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gammapy.stats import WStatCountsStatistic
from scipy.special import betainc
from scipy.stats import norm

__all__ = ["FEW_COUNTS", "OnOffCounts", "combined"]

#: Li and Ma ask for about ten counts on and off; with less their formula is only a hint.
FEW_COUNTS = 10
#: Where nothing is counted, the expectation is below this at 95 % confidence.
_NO_COUNTS = 3.0


@dataclass(frozen=True)
class OnOffCounts:
    """
    Counts in the on-region and in the off-regions.

    Parameters
    ----------
    n_on, n_off : int
        Counts.
    alpha : float
        Exposure of the on-region relative to all off-regions.
    """

    n_on: int
    n_off: int
    alpha: float

    @property
    def background(self) -> float:
        """Counts in the on-region that are expected without a source."""
        return self.alpha * self.n_off

    @property
    def excess(self) -> float:
        """Counts of the source."""
        return self.n_on - self.background

    @property
    def excess_error(self) -> float:
        """Standard error of the excess (Li & Ma 1983, ApJ 272, 317, eq. 5)."""
        return float(np.sqrt(self.n_on + self.alpha**2 * self.n_off))

    @property
    def background_known(self) -> bool:
        """Whether there are off counts, or none but so few expected ones that this hardly matters."""
        return self.n_off > 0 or _NO_COUNTS * self.alpha < 0.5 * np.sqrt(max(self.n_on, 1))

    @property
    def significance(self) -> float | None:
        """Standard deviations (Li & Ma 1983, eq. 17), signed; None without off counts, where it has none."""
        return float(self.statistic.sqrt_ts) if self.n_off else None

    @property
    def binomial_significance(self) -> float | None:
        """
        Standard deviations from the exact chance of so many counts on among all; for few counts.

        Zhang & Ramsden 1990, Experimental Astronomy 1, 145; Cousins, Linnemann & Tucker 2008, NIM A 595, 480.
        None for no counts, and beyond what a number can hold.
        """
        if self.n_on == 0:
            return None
        chance = betainc(self.n_on, self.n_off + 1, self.alpha / (1 + self.alpha))
        sigma = float(norm.isf(chance))
        return sigma if np.isfinite(sigma) else None

    @property
    def statistic(self) -> WStatCountsStatistic:
        """Likelihood of the excess with the measured background."""
        return WStatCountsStatistic(self.n_on, self.n_off, self.alpha)

    @property
    def status(self) -> str:
        """Whether the significance can be trusted: ``ok``, ``few counts``, ``no off counts``."""
        if self.n_off == 0:
            return "no off counts"
        return "few counts" if min(self.n_on, self.n_off) < FEW_COUNTS else "ok"

    def to_dict(self) -> dict[str, Any]:
        """Return them as JSON values."""
        known = self.background_known
        return {
            "status": self.status,
            "n_on": self.n_on,
            "n_off": self.n_off,
            "alpha": self.alpha,
            "background": self.background if known else None,
            "excess": self.excess if known else None,
            "excess_error": self.excess_error if known else None,
            "significance": self.significance,
            "significance_binomial": self.binomial_significance,
        }


def combined(parts: Sequence[OnOffCounts], livetime_s: Sequence[float]) -> OnOffCounts:
    """
    Add the counts of observations that may have different numbers of off-regions.

    Alpha is such that the background is the sum of those of the parts; without off counts it is the mean
    over the live time.

    Parameters
    ----------
    parts : sequence of OnOffCounts, shape=(n_observations,)
        Of each observation.
    livetime_s : sequence of float, shape=(n_observations,)
        Their live times [s].
    """
    n_off = sum(part.n_off for part in parts)
    if n_off:
        alpha = sum(part.background for part in parts) / n_off
    else:
        alpha = float(np.average([part.alpha for part in parts], weights=livetime_s))
    return OnOffCounts(sum(part.n_on for part in parts), n_off, alpha)
