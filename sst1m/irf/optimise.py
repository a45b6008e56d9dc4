"""Choice of energy-dependent gammaness cuts, by efficiency or by significance."""

from typing import Literal

import astropy.units as u
import numpy as np
from astropy.table import QTable
from gammapy.stats import WStatCountsStatistic
from numpy.typing import NDArray
from pyirf.binning import bin_center, calculate_bin_indices
from pyirf.cuts import calculate_percentile_cut
from scipy.interpolate import make_smoothing_spline

from ..config import AnalysisConfig
from ..errors import InputError
from ..events import ReconstructedEvents
from ..reco.selection import select_events
from .cuts import GammanessCuts
from .spectra import GAMMA_SPECTRUM, PROTON_SPECTRUM, spectrum_named
from .weights import event_weights, pointing_offset, true_distance, within_cone

__all__ = ["make_cut_table", "reco_energy_edges"]

#: Gammas further from the pointing say little about those that are observed.
_MAX_OFFSET = 4 * u.deg
#: The background is as flat as that around the pointing [deg].
_BACKGROUND_RADIUS_DEG = 1.2
_EFFICIENCY_LIMITS = (0.1, 0.95)
_EFFICIENCY_MIN_EVENTS = 100
_TRIED_CUTS = np.linspace(0.3, 0.95, 100)


def reco_energy_edges(config: AnalysisConfig) -> u.Quantity:
    """Return the edges of the bins in reconstructed energy [TeV], shape=(n_energy_bins,)."""
    analysis = config.analysis
    return (
        np.logspace(analysis.log_energy_min_tev, analysis.log_energy_max_tev, analysis.n_energy_bins) * u.TeV
    )


def make_cut_table(
    method: Literal["efficiency", "significance"],
    gamma: ReconstructedEvents,
    proton: ReconstructedEvents | None,
    config: AnalysisConfig,
) -> GammanessCuts:
    """
    Choose a gammaness cut for each bin of reconstructed energy.

    By efficiency: the cut that keeps the fraction ``gamma_efficiency`` of the gammas, between 0.1 and 0.95;
    bins of fewer than 100 gammas get the largest gammaness of the sample. By significance: of 100 cuts from
    0.3 to 0.95 the one with the largest significance (Li & Ma 1983, ApJ 272, 317, eq. 17) of a Crab-like
    source within ``global_theta_cut`` in ``observation_time_h``, with ``off_regions`` background regions;
    bins without signal or background get the largest gammaness of the sample.

    Parameters
    ----------
    method : {"efficiency", "significance"}
        What to choose by.
    gamma : ReconstructedEvents
        Simulated gammas; the event selection of the configuration is applied.
    proton : ReconstructedEvents or None
        Simulated diffuse protons, for `significance`; selected as well.
    config : AnalysisConfig
        Bins and what the method needs.

    Raises
    ------
    InputError
        If there are no gammas, or no protons where they are needed.
    """
    gamma = gamma.select(select_events(gamma, config).mask & (pointing_offset(gamma, "reco") < _MAX_OFFSET))
    if len(gamma) == 0:
        raise InputError("there is not one gamma to choose a gammaness cut by; give more simulated gammas")
    edges = reco_energy_edges(config)
    if method == "efficiency":
        efficiency = config.analysis.gamma_efficiency
        return GammanessCuts(method, table=_by_efficiency(gamma, edges, efficiency), efficiency=efficiency)
    if proton is None:
        raise InputError("a gammaness cut by significance needs protons; give them, or choose by efficiency")
    proton = proton.select(select_events(proton, config).mask)
    return GammanessCuts(method, table=_by_significance(gamma, proton, edges, config))


def _by_efficiency(gamma: ReconstructedEvents, edges: u.Quantity, efficiency: float) -> QTable:
    score = np.asarray(gamma.table["gammaness"])
    return calculate_percentile_cut(
        score,
        gamma.table["reco_energy"],
        edges,
        fill_value=score.max(),
        percentile=100 * (1 - efficiency),
        min_value=_EFFICIENCY_LIMITS[0],
        max_value=_EFFICIENCY_LIMITS[1],
        min_events=_EFFICIENCY_MIN_EVENTS,
    )


def _by_significance(
    gamma: ReconstructedEvents, proton: ReconstructedEvents, edges: u.Quantity, config: AnalysisConfig
) -> QTable:
    analysis = config.analysis
    time = analysis.observation_time_h * u.h
    near = within_cone(gamma, _BACKGROUND_RADIUS_DEG)
    near = near.select(true_distance(near) < analysis.global_theta_cut * u.deg)
    around = proton.select(pointing_offset(proton, "reco") < _BACKGROUND_RADIUS_DEG * u.deg)
    signal = _passing(near, event_weights(near, spectrum_named(GAMMA_SPECTRUM), time), edges)
    background = _passing(around, event_weights(around, spectrum_named(PROTON_SPECTRUM), time), edges)
    background *= (analysis.global_theta_cut / _BACKGROUND_RADIUS_DEG) ** 2

    table = QTable({"low": edges[:-1], "high": edges[1:]})
    table["n_gamma_events"] = np.histogram(near.table["reco_energy"], edges)[0]
    table["n_proton_events"] = np.histogram(around.table["reco_energy"], edges)[0]
    table["center"] = bin_center(edges)
    fill = float(np.asarray(gamma.table["gammaness"]).max())
    table["cut"] = [
        _best_cut(s, b, analysis.off_regions, smooth=getattr(analysis, "significance_fit", False), fill=fill)
        for s, b in zip(signal, background, strict=True)
    ]
    return table


def _passing(
    events: ReconstructedEvents, weights: NDArray[np.float64], edges: u.Quantity
) -> NDArray[np.float64]:
    """Return the weighted counts at or above each tried cut, shape=(n_bins, n_cuts)."""
    energy_bin, valid = calculate_bin_indices(events.table["reco_energy"], edges)
    below = np.searchsorted(_TRIED_CUTS, np.asarray(events.table["gammaness"]), side="right")
    counts = np.zeros((len(edges) - 1, len(_TRIED_CUTS) + 1))
    np.add.at(counts, (energy_bin[valid], below[valid]), weights[valid])
    # An event that n of the rising cuts keep counts for each of the first n.
    return counts[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]


def _best_cut(
    signal: NDArray[np.float64],
    background: NDArray[np.float64],
    off_regions: int,
    *,
    smooth: bool,
    fill: float,
) -> float:
    usable = (signal > 0) & (background > 0)
    if not usable.any():
        return fill
    significance = WStatCountsStatistic(
        signal + background, background * off_regions, 1 / off_regions
    ).sqrt_ts
    significance = np.where(usable, np.nan_to_num(significance), 0)
    if smooth and usable.sum() >= 5:
        cuts = _TRIED_CUTS[usable]
        significance[usable] = make_smoothing_spline(cuts, significance[usable])(cuts)
    return float(_TRIED_CUTS[np.argmax(np.where(usable, significance, -np.inf))])
