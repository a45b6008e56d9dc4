"""Samples that performance is measured on, after each stage of the analysis."""

from collections.abc import Mapping
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from ..config import McConfig
from ..events import ReconstructedEvents
from ..irf.cuts import GammanessCuts
from ..irf.weights import above_energy, pointing_offset, thrown_showers, within_cone
from ..reco.selection import select_events

__all__ = ["DEFAULT_MAX_OFFSET_DEG", "Sample", "cut_sample", "finite_events", "point_signal"]

#: Sources are observed 0.7 deg off the axis: diffuse gammas further out stand for no observation.
DEFAULT_MAX_OFFSET_DEG = 1.0

_NEEDED = ("reco_energy", "gammaness", "reco_alt", "reco_az")


@dataclass(frozen=True, eq=False)
class Sample:
    """
    Events of one particle, and which of them are left after each stage.

    Parameters
    ----------
    events : ReconstructedEvents
        Those that have an energy, a direction and a gammaness.
    stages : mapping of str to ndarray of bool, shape=(n_events,)
        ``reconstructed``, ``selected`` (quality cuts), ``gammaness``; each keeps no more than the last.
    note : str
        What is unusual about it; empty if nothing.
    """

    events: ReconstructedEvents
    stages: Mapping[str, NDArray[np.bool_]]
    note: str = ""

    def after(self, stage: str) -> ReconstructedEvents:
        """Return the events that are left after a stage."""
        return self.events.select(self.stages[stage])

    def counts(self) -> dict[str, int]:
        """Return how many showers were thrown, and how many events are left after each stage."""
        left = {name: int(mask.sum()) for name, mask in self.stages.items()}
        return {"thrown": thrown_showers(self.events).n_showers, **left}


def point_signal(
    gamma: ReconstructedEvents, max_offset_deg: float = DEFAULT_MAX_OFFSET_DEG
) -> tuple[ReconstructedEvents, str]:
    """
    Return gammas that stand for those of a point source, and what they are, for people.

    Gammas of a point source are taken as they are. Of diffuse ones those count that were thrown within an
    angle to the axis, and as many showers count as thrown as the solid angle of that cone holds.

    Parameters
    ----------
    gamma : ReconstructedEvents
        Simulated gammas, of a point source or diffuse.
    max_offset_deg : float
        Of diffuse gammas [deg].

    Raises
    ------
    InputError
        If no diffuse gamma was thrown that near to the axis, or these are no simulations.
    """
    thrown = thrown_showers(gamma)
    if thrown.is_point_source:
        # The view cone of a source off the axis is a point as well; the events know better where it is.
        away = pointing_offset(gamma, "true").to_value(u.deg)
        where = f" {np.median(away):.2g} deg off the axis" if len(away) else ""
        return gamma, f"gammas of a point source{where}"
    outer = min(max_offset_deg, thrown.viewcone_max_deg)
    text = f"diffuse gammas {thrown.viewcone_min_deg:g} to {outer:g} deg off the axis"
    return within_cone(gamma, max_offset_deg), text


def finite_events(events: ReconstructedEvents) -> NDArray[np.bool_]:
    """Return which events have a reconstructed energy, direction and gammaness."""
    return np.all([np.isfinite(np.asarray(events.table[name])) for name in _NEEDED], axis=0)


def cut_sample(
    events: ReconstructedEvents,
    cuts: GammanessCuts,
    config: McConfig,
    *,
    true_energy_min_tev: float,
    reco_energy_min_tev: float = 0.0,
) -> Sample:
    """
    Apply the cuts to simulated events, one after the other.

    Parameters
    ----------
    events : ReconstructedEvents
        As read from DL2.
    cuts : GammanessCuts
        Cut in gammaness; none is made where no event has any.
    config : McConfig
        Quality cuts.
    true_energy_min_tev, reco_energy_min_tev : float
        Least energies [TeV].

    Raises
    ------
    InputError
        If these are no simulations.
    """
    events = above_energy(events, true_energy_min_tev)
    events = events.select(finite_events(events))
    energy = u.Quantity(events.table["reco_energy"], u.TeV).value
    gammaness = np.asarray(events.table["gammaness"], dtype=np.float64)
    everything = np.ones(len(events), dtype=bool)
    selected = select_events(events, config).mask & (energy >= reco_energy_min_tev)
    if len(events) and not gammaness.any():
        # Without protons no forest tells them from gammas, and every gammaness is 0.
        return Sample(
            events,
            {"reconstructed": everything, "selected": selected, "gammaness": selected},
            "no event has a gammaness, and no cut in it was made",
        )
    gamma_like = selected & cuts.passes(energy, gammaness)
    return Sample(events, {"reconstructed": everything, "selected": selected, "gammaness": gamma_like})
