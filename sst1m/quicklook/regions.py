"""On-region, excluded regions, and how much of a point source lies in the on-region."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from gammapy.irf import RadMax2D
from gammapy.maps import WcsGeom, WcsNDMap
from regions import CircleSkyRegion, PointSkyRegion, SkyRegion

from sst1m.errors import ConfigError, InputError
from sst1m.quicklook.observations import Chosen, position_of
from sst1m.quicklook.options import ON_RADIUS_DEG, QuicklookOptions
from sst1m.sources import Source

__all__ = ["OnRegion", "excluded_regions", "exclusion_mask", "on_region"]

_MASK_BIN_DEG = 0.02
_SAME_DEG = 1e-3
#: Off-regions for on-regions whose radius depends on energy: as many as fit, up to this.
_MAX_OFF = 5


@dataclass(frozen=True)
class OnRegion:
    """
    Where the counts of the source are taken.

    Parameters
    ----------
    position : SkyCoord
        Of the source.
    radius_deg : float
        Radius [deg]; the largest where it depends on energy.
    energy_dependent : bool
        The radius comes from a table of the responses (RAD_MAX).
    point_like : bool
        The responses hold for this on-region; otherwise the point spread function says which fraction of
        the gammas is inside.
    """

    position: SkyCoord
    radius_deg: float
    energy_dependent: bool
    point_like: bool

    @property
    def sky_region(self) -> SkyRegion:
        """Return the region as gammapy wants it: a point stands for a radius that depends on energy."""
        if self.energy_dependent:
            return PointSkyRegion(self.position)
        return CircleSkyRegion(self.position, self.radius_deg * u.deg)

    def off_positions(self, offset_deg: float) -> int:
        """Return how many equal off-regions fit on the circle around the optical axis, at most five."""
        return positions_that_fit(offset_deg, 2 * self.radius_deg)


def positions_that_fit(offset_deg: float, distance_deg: float, most: int = _MAX_OFF) -> int:
    """
    Return how many off positions, evenly spread with the source on a circle, keep a distance to each other.

    Parameters
    ----------
    offset_deg : float
        Radius of the circle [deg].
    distance_deg : float
        Smallest distance between neighbours [deg].
    most : int
        More are not wanted.
    """
    for number in range(most, 0, -1):
        if 2 * offset_deg * np.sin(np.pi / (number + 1)) >= distance_deg:
            return number
    return 0


def on_region(used: Sequence[Chosen], source: Source, options: QuicklookOptions) -> OnRegion:
    """
    Return the on-region that suits the responses of all observations.

    Raises
    ------
    InputError
        Some responses are point-like and others not, or they were made with different on-regions.
    ConfigError
        Another radius is wanted than that with which point-like responses were made.
    """
    position = position_of(source)
    kinds = {_kind(chosen) for chosen in used}
    if len(kinds) > 1:
        raise InputError(
            "the responses of the observations were made for different on-regions "
            f"({', '.join(sorted(kind or 'full-enclosure' for kind in kinds))}); look at them separately"
        )
    if kinds == {""}:
        return OnRegion(position, options.on_radius_deg or ON_RADIUS_DEG, False, False)
    rad_max = _rad_max(used[0])
    radii = np.ravel(rad_max.quantity.to_value("deg"))
    radius, fixed = float(np.nanmax(radii)), bool(rad_max.is_fixed_rad_max)
    wanted = options.on_radius_deg
    if wanted is not None and (not fixed or abs(wanted - radius) > _SAME_DEG):
        made = f"{radius:g} deg" if fixed else "a radius that depends on energy"
        raise ConfigError(
            f"--on-radius {wanted:g}: the responses are point-like and hold for {made}; leave the option out"
        )
    return OnRegion(position, radius, not fixed, True)


def _kind(chosen: Chosen) -> str:
    """Return a name of what the responses hold for; empty for full enclosure."""
    observation = chosen.observation
    if "aeff" not in observation.available_irfs or not observation.aeff.is_pointlike:
        return ""
    rad_max = _rad_max(chosen)
    if rad_max.is_fixed_rad_max:
        return f"point-like {float(np.ravel(rad_max.quantity.to_value('deg'))[0]):.4f} deg"
    return "point-like, by energy"


def _rad_max(chosen: Chosen) -> RadMax2D:
    try:
        return chosen.observation.rad_max
    except ValueError as error:
        raise InputError(
            f"observation {chosen.name}: its responses are point-like, but do not say for which on-region "
            f"(RAD_MAX): {error}; make them again"
        ) from error


def excluded_regions(
    region: OnRegion, neighbours: Iterable[Source], options: QuicklookOptions
) -> list[CircleSkyRegion]:
    """Return circles without background: around the source, and around others of the catalogue nearby."""
    radius = max(options.exclusion_deg, 1.1 * region.radius_deg) * u.deg
    circles = [CircleSkyRegion(region.position, radius)]
    for neighbour in neighbours:
        position = position_of(neighbour)
        distance = position.separation(region.position).deg
        if region.radius_deg < distance < 2 * options.max_offset_deg + 2:
            circles.append(CircleSkyRegion(position, options.exclusion_deg * u.deg))
    return circles


def exclusion_mask(circles: Sequence[CircleSkyRegion], options: QuicklookOptions) -> WcsNDMap:
    """Return a map that is False in the excluded regions."""
    width = 4 * options.max_offset_deg + 4 * _MASK_BIN_DEG
    geometry = WcsGeom.create(skydir=circles[0].center, binsz=_MASK_BIN_DEG, width=width, proj="TAN")
    return ~geometry.region_mask(list(circles))
