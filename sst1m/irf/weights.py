"""Weights that turn simulated events into expected counts, and samples cut out of simulations."""

from dataclasses import replace

import astropy.units as u
import numpy as np
from astropy.coordinates import angular_separation
from numpy.typing import NDArray
from pyirf.spectral import DIFFUSE_FLUX_UNIT, PowerLaw, calculate_event_weights
from pyirf.utils import cone_solid_angle

from ..errors import InputError
from ..events import ReconstructedEvents
from ..thrown import ThrownShowers
from .spectra import Spectrum

__all__ = [
    "above_energy",
    "event_weights",
    "pointing_offset",
    "thrown_showers",
    "true_distance",
    "within_cone",
]


def thrown_showers(events: ReconstructedEvents) -> ThrownShowers:
    """
    Return what a simulation threw.

    Raises
    ------
    InputError
        If the events are data.
    """
    if events.thrown is None:
        raise InputError(
            f"the events ({events.tel_setup}) are not simulated, nothing says how many showers were thrown; "
            "give DL2 files of simulations"
        )
    return events.thrown


def event_weights(
    events: ReconstructedEvents, spectrum: Spectrum, observation_time: u.Quantity
) -> NDArray[np.float64]:
    """
    Return how many events of an observation each simulated event stands for.

    Parameters
    ----------
    events : ReconstructedEvents
        Simulated.
    spectrum : callable
        Flux of a point source [TeV-1 cm-2 s-1] or of a diffuse one [... sr-1]. A point source on diffuse
        simulations stands for one whose place is anywhere in the view cone with equal probability.
    observation_time : Quantity
        Live time of the observation.

    Returns
    -------
    ndarray, shape=(n_events,)
        Sum over the events of a bin: expected counts in it.

    Raises
    ------
    InputError
        If the events are data, or a diffuse flux is asked of a simulated point source.
    """
    thrown = thrown_showers(events)
    simulated = PowerLaw.from_simulation(thrown.to_pyirf(), observation_time)
    energy = u.Quantity(events.table["true_energy"], u.TeV)
    diffuse = bool(spectrum(1 * u.TeV).unit.is_equivalent(DIFFUSE_FLUX_UNIT))
    if diffuse and thrown.is_point_source:
        raise InputError(
            "showers thrown from one point cannot stand for a diffuse flux; give a diffuse simulation"
        )
    if not diffuse and not thrown.is_point_source:
        cone = (thrown.viewcone_min_deg * u.deg, thrown.viewcone_max_deg * u.deg)
        simulated = simulated.integrate_cone(*cone)
    return np.asarray(calculate_event_weights(energy, spectrum, simulated))


def pointing_offset(events: ReconstructedEvents, prefix: str) -> u.Quantity:
    """Return the angles of the ``true`` or ``reco`` directions to the pointing [deg], shape=(n_events,)."""
    table = events.table
    return angular_separation(
        table[f"{prefix}_az"], table[f"{prefix}_alt"], table["true_az_tel"], table["true_alt_tel"]
    ).to(u.deg)


def true_distance(events: ReconstructedEvents) -> u.Quantity:
    """Return the angles between reconstructed and true directions [deg], shape=(n_events,)."""
    table = events.table
    return angular_separation(table["reco_az"], table["reco_alt"], table["true_az"], table["true_alt"]).to(
        u.deg
    )


def above_energy(events: ReconstructedEvents, energy_min_tev: float) -> ReconstructedEvents:
    """Return the events above a true energy [TeV], with the showers that were thrown there."""
    thrown = thrown_showers(events)
    if energy_min_tev <= thrown.energy_min_tev:
        return events
    kept = events.select(u.Quantity(events.table["true_energy"], u.TeV).value >= energy_min_tev)
    return replace(kept, thrown=thrown.above(energy_min_tev))


def within_cone(events: ReconstructedEvents, max_offset_deg: float) -> ReconstructedEvents:
    """
    Return the events thrown near the pointing, as if no other had been thrown.

    Parameters
    ----------
    events : ReconstructedEvents
        Simulated; those of a point source stay all.
    max_offset_deg : float
        Largest true angle to the pointing [deg].
    """
    thrown = thrown_showers(events)
    if thrown.is_point_source or max_offset_deg >= thrown.viewcone_max_deg:
        return events
    edges = [thrown.viewcone_min_deg, max(max_offset_deg, thrown.viewcone_min_deg), thrown.viewcone_max_deg]
    inner, outer = np.diff(cone_solid_angle(edges * u.deg)).to_value(u.sr)
    if inner <= 0:
        raise InputError(
            f"showers were thrown from {thrown.viewcone_min_deg:g} deg off the pointing outwards; "
            f"within {max_offset_deg:g} deg there are none; give simulations from there"
        )
    kept = events.select(pointing_offset(events, "true") <= max_offset_deg * u.deg)
    n_showers = round(thrown.n_showers * inner / (inner + outer))
    return replace(kept, thrown=replace(thrown, n_showers=n_showers, viewcone_max_deg=max_offset_deg))
