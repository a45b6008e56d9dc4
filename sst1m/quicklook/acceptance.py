"""How many background events are expected across the field of view."""

from collections.abc import Sequence

import astropy.units as u
import numpy as np
from gammapy.irf import Background2D
from gammapy.maps import MapAxis
from numpy.typing import NDArray
from regions import CircleSkyRegion

from sst1m.quicklook.observations import Chosen

__all__ = ["MIN_EVENTS", "acceptance_from_events"]

#: With fewer events outside the excluded regions their distribution is not known well enough.
MIN_EVENTS = 200
_RING_DEG = 0.25
_CIRCLES = 5
_DIRECTIONS = np.arange(0, 360, 2)


def acceptance_from_events(
    used: Sequence[Chosen], excluded: Sequence[CircleSkyRegion], energy: MapAxis
) -> Background2D | None:
    """
    Return the background rate against the angle to the optical axis, from the events themselves.

    Rings around the axis are counted without the excluded regions and divided by the solid angle that is
    left; the dependences on angle and on energy are taken as independent, which is enough for the sum over
    energies.

    Parameters
    ----------
    used : sequence of Chosen
        Observations.
    excluded : sequence of CircleSkyRegion
        Where sources are.
    energy : MapAxis
        Bins of reconstructed energy.

    Returns
    -------
    Background2D or None
        None if there are too few events.
    """
    offsets, energies = _background_events(used, excluded)
    if len(offsets) < MIN_EVENTS:
        return None
    edges = np.arange(0, np.max(offsets) + _RING_DEG, _RING_DEG)
    by_ring, _ = np.histogram(offsets, edges)
    steradian = 2 * np.pi * -np.diff(np.cos(np.radians(edges)))
    exposure = sum(chosen.livetime_s * _open_fraction(chosen, excluded, edges) for chosen in used)
    seen = exposure * steradian
    rate = np.divide(by_ring, seen, out=np.zeros(len(seen)), where=seen > 0)
    by_energy, _ = np.histogram(energies, energy.edges.to_value("TeV"))
    share = by_energy / by_energy.sum() / energy.bin_width.to_value("MeV")
    # Logarithms are interpolated: an empty bin counts as one that is almost empty.
    data = np.maximum(share, share[share > 0].min() * 1e-3)[:, np.newaxis] * np.maximum(
        rate, rate[rate > 0].min() * 1e-3
    )
    offset_axis = MapAxis.from_edges(edges * u.deg, name="offset")
    return Background2D(axes=[energy, offset_axis], data=data, unit="s-1 MeV-1 sr-1")


def _background_events(
    used: Sequence[Chosen], excluded: Sequence[CircleSkyRegion]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return angle to the axis [deg] and energy [TeV] of events outside the excluded regions."""
    offsets, energies = [], []
    for chosen in used:
        events = chosen.observation.events
        position = events.radec
        keep = np.ones(len(position), dtype=bool)
        for circle in excluded:
            keep &= position.separation(circle.center) > circle.radius
        offsets.append(position.separation(chosen.pointing).deg[keep])
        energies.append(events.energy.to_value("TeV")[keep])
    return np.concatenate(offsets), np.concatenate(energies)


def _open_fraction(
    chosen: Chosen, excluded: Sequence[CircleSkyRegion], edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the fraction of each ring outside the excluded regions, shape=(n_rings,)."""
    # several circles within a ring: it is not thin compared with the excluded regions
    low, width = edges[:-1, np.newaxis], np.diff(edges)[:, np.newaxis]
    radii = low + width * (np.arange(_CIRCLES) + 0.5) / _CIRCLES
    places = chosen.pointing.directional_offset_by(_DIRECTIONS * u.deg, radii[..., np.newaxis] * u.deg)
    open_sky = np.ones(places.shape, dtype=bool)
    for circle in excluded:
        if circle.center.separation(chosen.pointing).deg < edges[-1] + circle.radius.to_value("deg"):
            open_sky &= places.separation(circle.center) > circle.radius
    return np.average(open_sky.mean(axis=-1), axis=-1, weights=radii)
