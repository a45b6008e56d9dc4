"""Moon and Sun over a night, from astropy's own ephemeris."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import AltAz, SkyCoord, get_body
from astropy.time import Time

from ..instrument import telescope_location
from ..pointing import offline_earth_orientation

__all__ = ["sky_facts"]

_TEL_ID = 21
#: So many points over the night.
_POINTS = 49
#: Shown before the first and after the last run [s].
_MARGIN_S = 1800.0


def sky_facts(
    first_utc_s: float, last_utc_s: float, targets: Mapping[str, Mapping[str, float] | None]
) -> dict[str, Any]:
    """
    Return altitudes of Moon, Sun and targets around the runs of a night, as JSON values.

    Parameters
    ----------
    first_utc_s, last_utc_s : float
        First and last event [unix s, UTC].
    targets : mapping of str to (mapping or None)
        ``ra_deg`` and ``dec_deg`` (ICRS) by name; None where nobody knows them.
    """
    seconds = np.round(np.linspace(first_utc_s - _MARGIN_S, last_utc_s + _MARGIN_S, _POINTS))
    with offline_earth_orientation():
        times, site = Time(seconds, format="unix", scale="utc"), telescope_location(_TEL_ID)
        frame = AltAz(obstime=times, location=site)
        moon, sun = (get_body(name, times, site, ephemeris="builtin") for name in ("moon", "sun"))
        horizontal = [body.transform_to(frame) for body in (moon, sun)]
        found = {name: _target(place, horizontal[0], frame) for name, place in targets.items() if place}
    return {
        "time_utc_s": seconds.tolist(),
        "moon_alt_deg": _degrees(horizontal[0].alt),
        "sun_alt_deg": _degrees(horizontal[1].alt),
        "moon_illuminated": _illuminated(moon[_POINTS // 2], sun[_POINTS // 2]),
        "targets": found,
    }


def _target(place: Mapping[str, float], moon: SkyCoord, frame: AltAz) -> dict[str, Any]:
    axis = SkyCoord(place["ra_deg"] * u.deg, place["dec_deg"] * u.deg).transform_to(frame)
    return {"alt_deg": _degrees(axis.alt), "moon_deg": _degrees(axis.separation(moon))}


def _degrees(angles: Any) -> Sequence[float]:  # noqa: ANN401 - astropy's angles
    return [round(float(value), 3) for value in angles.to_value(u.deg)]


def _illuminated(moon: SkyCoord, sun: SkyCoord) -> float:
    """Return the illuminated fraction of the Moon (J. Meeus, Astronomical Algorithms, chapter 48)."""
    elongation = float(sun.separation(moon).rad)
    distances = sun.distance.to_value(u.au), moon.distance.to_value(u.au)
    angle = math.atan2(
        distances[0] * math.sin(elongation), distances[1] - distances[0] * math.cos(elongation)
    )
    return round((1 + math.cos(angle)) / 2, 4)
