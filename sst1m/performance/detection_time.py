"""How long a source must be observed until it is detected."""

import math
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.table import QTable
from pyirf.statistics import li_ma_significance

from .sensitivity import MIN_EXCESS, MIN_SIGNIFICANCE, MIN_SIMULATED

__all__ = ["LONGEST_H", "DetectionTime", "detection_time"]

#: Longer exposures are not looked at.
LONGEST_H = 500.0
_STEPS_PER_HOUR = 60


@dataclass(frozen=True)
class DetectionTime:
    """
    When a source is detected.

    Parameters
    ----------
    hours : float or None
        Exposure [h], in whole minutes; None if there is none up to 500 h, or it cannot be told.
    reason : str
        Why there is none; empty if there is one.
    significance_1h : float
        Standard deviations after one hour; NaN where it cannot be told.
    signal_rate, background_rate : float
        In the on-region above the energy [1/min].
    energy_min_tev : float
        Least reconstructed energy [TeV].
    """

    hours: float | None
    reason: str
    significance_1h: float
    signal_rate: float
    background_rate: float
    energy_min_tev: float


def detection_time(rates: QTable, off_regions: int, energy_min_tev: float = 0.0) -> DetectionTime:
    """
    Return the exposure after which a source has 5 standard deviations and 10 excess counts.

    Significance grows as the square root of the exposure (equation 17 of Li & Ma 1983 scales so), which
    gives the time directly; it is rounded up to the next minute.

    Parameters
    ----------
    rates : QTable
        From `source_rates`, for the spectrum of the source.
    off_regions : int
        Number of off-regions, each as large as the on-region.
    energy_min_tev : float
        Bins that begin below are left out [TeV].
    """
    # Edges come out of logarithms: one that is meant to be the limit may lie a rounding below it.
    used = rates[rates["low"].to_value(u.TeV) >= energy_min_tev * (1 - 1e-9)]
    signal, background = (float(used[f"{k}_rate"].sum().to_value(1 / u.h)) for k in ("signal", "background"))
    known = min(used["n_signal"].sum(), used["n_background"].sum()) > MIN_SIMULATED if len(used) else False
    alpha = 1 / off_regions
    one_hour = float(li_ma_significance(signal + background, background / alpha, alpha)) if known else np.nan
    hours, reason = _grid_time(signal, one_hour) if known else (None, _too_few(used))
    return DetectionTime(hours, reason, one_hour, signal / 60, background / 60, energy_min_tev)


def _grid_time(signal_per_hour: float, one_hour: float) -> tuple[float | None, str]:
    if not (one_hour > 0 and signal_per_hour > 0):
        return None, "no gamma of this source is left after the cuts"
    exact = max((MIN_SIGNIFICANCE / one_hour) ** 2, MIN_EXCESS / signal_per_hour)
    hours = math.ceil(exact * _STEPS_PER_HOUR - 1e-9) / _STEPS_PER_HOUR
    if hours > LONGEST_H:
        return None, f"not detected within {LONGEST_H:g} h"
    return hours, ""


def _too_few(used: QTable) -> str:
    return (
        f"{int(np.sum(used['n_signal']))} gammas and {int(np.sum(used['n_background']))} background events "
        f"are left after the cuts; more than {MIN_SIMULATED} of each are needed"
    )
