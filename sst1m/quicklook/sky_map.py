"""Map of significances with the background from a ring around each place."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.datasets import MapDataset, MapDatasetOnOff
from gammapy.estimators import ExcessMapEstimator
from gammapy.irf import BackgroundIRF
from gammapy.makers import RingBackgroundMaker
from gammapy.makers.utils import make_map_background_irf
from gammapy.maps import Map, MapAxis, WcsGeom, WcsNDMap
from regions import CircleSkyRegion

from sst1m.quicklook.acceptance import MIN_EVENTS, acceptance_from_events
from sst1m.quicklook.observations import Chosen
from sst1m.quicklook.options import QuicklookOptions
from sst1m.quicklook.regions import OnRegion

__all__ = ["SkyMap", "significance_map"]

_WIDTH_DEG = 5.0
_RING_INNER_DEG, _RING_WIDTH_DEG = 0.6, 0.2
_FIELD_DEG = 5.0
_BINS_PER_DECADE = 4
#: Pixels across the on-radius.
_PIXELS = 8
#: The acceptance of a place must reach this fraction of the largest, else its significance means nothing.
_LEAST_ACCEPTANCE = 0.05
#: Events outside the excluded regions; with fewer there is nothing to see.
_MIN_BACKGROUND = 50


@dataclass(frozen=True, eq=False)
class SkyMap:
    """
    Significances across the sky.

    Parameters
    ----------
    significance : WcsNDMap or None
        Standard deviations (Li & Ma) within circles of the on-radius; NaN where there is no background.
    facts : dict
        What it shows, as JSON values.
    background_values : ndarray, shape=(n_pixels,)
        Significances outside the excluded regions.
    """

    significance: WcsNDMap | None
    facts: dict[str, Any]
    background_values: np.ndarray = field(default_factory=lambda: np.empty(0))


def significance_map(
    used: Sequence[Chosen],
    region: OnRegion,
    excluded: Sequence[CircleSkyRegion],
    options: QuicklookOptions,
) -> SkyMap:
    """
    Return the map around the source.

    Parameters
    ----------
    used : sequence of Chosen
        Observations.
    region : OnRegion
        Position; its radius is that of the circles.
    excluded : sequence of CircleSkyRegion
        Where no background is taken.
    options : QuicklookOptions
        Range of energies.

    Notes
    -----
    The background rate across the field of view comes from the BACKGROUND of each observation; for those
    without, from the events.
    """
    energy = MapAxis.from_energy_bounds(
        *(options.energy_min_tev, options.energy_max_tev, _BINS_PER_DECADE), unit="TeV", per_decade=True
    )
    without = [chosen for chosen in used if not _has_background(chosen, energy)]
    measured = acceptance_from_events(without, excluded, energy) if without else None
    mapped = [chosen for chosen in used if measured is not None or chosen not in without]
    if not mapped:
        return SkyMap(
            None,
            _not_made(
                "the store has no BACKGROUND, or one that is zero at the source, and fewer than "
                f"{MIN_EVENTS} events from which it could be taken"
            ),
        )
    image = _geometry(region)
    mask = ~image.region_mask(list(excluded))
    ring = RingBackgroundMaker(_RING_INNER_DEG * u.deg, _RING_WIDTH_DEG * u.deg, exclusion_mask=mask)
    total = _sum([_with_ring(chosen, measured, image, energy, ring) for chosen in mapped])
    n_background = int((total.counts.data[0] * mask.data).sum())
    if n_background < _MIN_BACKGROUND:
        return SkyMap(None, _not_made(f"{n_background} background events; {_MIN_BACKGROUND} are needed"))
    estimator = ExcessMapEstimator(region.radius_deg * u.deg, selection_optional=[], correlate_off=False)
    values = estimator.run(total)["sqrt_ts"].sum_over_axes(keepdims=False)
    values.data = np.where(_seen(total), values.data, np.nan)
    if not np.isfinite(values.data).any():
        return SkyMap(None, _not_made("no place has background events in its ring"))
    outside = values.data[mask.data & np.isfinite(values.data)]
    acceptance = _source_of_acceptance(len(mapped), len(without), measured)
    facts = {"n_observations": len(mapped), "acceptance": acceptance} | _facts(values, outside, region)
    return SkyMap(values, {"status": "made"} | facts, outside)


def _has_background(chosen: Chosen, energy: MapAxis) -> bool:
    """Return whether the responses have a background rate at the source; few simulated events give none."""
    if "bkg" not in chosen.observation.available_irfs:
        return False
    background = chosen.observation.bkg
    if not background.has_offset_axis:
        background = background.to_2d()
    rates = background.evaluate(energy=energy.center, offset=chosen.offset_deg * u.deg)
    return bool(np.nanmax(rates.value, initial=0.0) > 0)


def _not_made(reason: str) -> dict[str, Any]:
    return {"status": "not made", "reason": reason}


def _source_of_acceptance(n_mapped: int, n_without: int, measured: BackgroundIRF | None) -> str:
    if measured is None or n_without == 0:
        return "background of the store"
    return "events" if n_without == n_mapped else "background of the store, else events"


def _geometry(region: OnRegion) -> WcsGeom:
    pixel = float(np.clip(region.radius_deg / _PIXELS, 0.02, 0.05))
    # an odd number of pixels has one in the middle: at the source
    n_pixels = 2 * round(_WIDTH_DEG / pixel / 2) + 1
    return WcsGeom.create(skydir=region.position, binsz=pixel, npix=n_pixels, proj="TAN", frame="icrs")


def _with_ring(
    chosen: Chosen, measured: BackgroundIRF | None, image: WcsGeom, energy: MapAxis, ring: RingBackgroundMaker
) -> MapDatasetOnOff:
    """Return counts, background in rings and acceptance of an observation, summed over energies."""
    observation, geometry = chosen.observation, image.to_cube([energy])
    rate = observation.bkg if _has_background(chosen, energy) else measured
    acceptance = make_map_background_irf(
        pointing=observation.pointing,
        ontime=observation.observation_time_duration,
        bkg=rate,
        geom=geometry,
        time_start=observation.gti.time_start[0],
        location=observation.meta.location,
    )
    counts = Map.from_geom(geometry)
    counts.fill_events(observation.events)
    flat = image.to_cube([energy.squash()])
    near = image.separation(chosen.pointing) < _FIELD_DEG * u.deg
    dataset = MapDataset(
        name=chosen.name,
        counts=_image(counts, flat, near),
        background=_image(acceptance, flat, near),
        mask_safe=Map.from_geom(flat, data=near[np.newaxis], dtype=bool),
    )
    return ring.run(dataset)


def _image(cube: WcsNDMap, flat: WcsGeom, near: np.ndarray) -> WcsNDMap:
    data = np.nan_to_num(cube.data).sum(axis=0, keepdims=True) * near
    return Map.from_geom(flat, data=data)


def _sum(datasets: Sequence[MapDatasetOnOff]) -> MapDatasetOnOff:
    first, *others = datasets
    total = first.copy(name="all")
    for dataset in others:
        total.stack(dataset)
    return total


def _seen(total: MapDatasetOnOff) -> np.ndarray:
    acceptance = total.acceptance.data[0] * total.mask_safe.data[0]
    return acceptance > _LEAST_ACCEPTANCE * acceptance.max()


def _facts(values: WcsNDMap, outside: np.ndarray, region: OnRegion) -> dict[str, Any]:
    data = values.data
    peak = np.unravel_index(np.nanargmax(data), data.shape)
    place: SkyCoord = values.geom.get_coord().skycoord[peak]
    at_source = float(values.get_by_coord({"skycoord": region.position})[0])
    return {
        "radius_deg": region.radius_deg,
        "ring_inner_deg": _RING_INNER_DEG,
        "ring_width_deg": _RING_WIDTH_DEG,
        "significance_at_source": at_source if np.isfinite(at_source) else None,
        "peak": {
            "significance": float(data[peak]),
            "ra_deg": float(place.ra.deg),
            "dec_deg": float(place.dec.deg),
            "distance_deg": float(place.separation(region.position).deg),
        },
        "background_mean": float(outside.mean()) if len(outside) else None,
        "background_std": float(outside.std()) if len(outside) else None,
    }
