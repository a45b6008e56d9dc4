"""When sources can be seen, and where wobbles point."""

import datetime

import astropy.units as u
import numpy as np
from astropy.coordinates import AltAz, SkyCoord, get_sun
from astropy.time import Time

from ..errors import InputError
from ..instrument import telescope_location
from ..pointing import offline_earth_orientation
from ..sources import Source
from ..times import time_to_ns

__all__ = ["best_start", "sky_position", "wobble_position"]

_SUN_LIMIT = -14 * u.deg
_LOWEST = 25 * u.deg
_STEP_MINUTES = 5


def sky_position(source: Source) -> SkyCoord:
    """Return the ICRS position of a source."""
    return SkyCoord(source.ra_deg * u.deg, source.dec_deg * u.deg, frame="icrs")


def wobble_position(source: Source, wobble: str, offset_deg: float) -> tuple[float, float]:
    """
    Return the ICRS direction [deg] of the optical axis of a wobble.

    Parameters
    ----------
    source : Source
        The target.
    wobble : str
        ``W1`` east, ``W2`` west, ``W3`` north, ``W4`` south of the source.
    offset_deg : float
        Distance from the source.

    Raises
    ------
    InputError
        There is no such wobble.
    """
    angles = {"W1": 90, "W2": 270, "W3": 0, "W4": 180}
    if wobble not in angles:
        raise InputError(f"no wobble {wobble!r}; choose from {', '.join(angles)}")
    position = sky_position(source).directional_offset_by(angles[wobble] * u.deg, offset_deg * u.deg)
    return float(position.ra.deg), float(position.dec.deg)


def best_start(source: Source, date: datetime.date, duration_minutes: float) -> int:
    """
    Return when to begin so that a source stands as high as it can for a while, in the dark.

    Parameters
    ----------
    source : Source
        The target.
    date : datetime.date
        Date of the evening on which the night begins.
    duration_minutes : float
        From the begin of the first run to the end of the last one.

    Returns
    -------
    int
        Nanoseconds TAI since 1970.

    Raises
    ------
    InputError
        The source is not above 25° in the dark for so long.
    """
    n_steps = int(np.ceil(duration_minutes / _STEP_MINUTES)) + 1
    noon = Time(f"{date:%Y-%m-%d}T12:00:00", scale="utc")
    times = noon + np.arange(0, 24 * 60, _STEP_MINUTES) * u.min
    with offline_earth_orientation():
        frame = AltAz(obstime=times, location=telescope_location(21))
        sun = get_sun(times).transform_to(frame).alt
        altitude = sky_position(source).transform_to(frame).alt
    seen = np.where(sun < _SUN_LIMIT, altitude.to_value(u.deg), -90.0)
    lowest = np.lib.stride_tricks.sliding_window_view(seen, min(n_steps, len(seen))).min(axis=1)
    best = int(np.argmax(lowest))
    if lowest[best] < _LOWEST.to_value(u.deg):
        raise InputError(
            f"{source.name} is not above {_LOWEST:.0f} in the dark for {duration_minutes:.0f} minutes of the "
            f"night {date:%Y-%m-%d}; choose another date or source, or fewer runs"
        )
    return time_to_ns(times[best])
