"""Conditions of a run that every later stage chooses models and responses by."""

from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import CartesianRepresentation, SphericalRepresentation, UnitSphericalRepresentation
from numpy.typing import NDArray

from .live_time import measure_live_time
from .nsb import NightSky

__all__ = ["mean_pointing", "observing_conditions"]


def mean_pointing(
    azimuth_deg: NDArray[np.float64], altitude_deg: NDArray[np.float64]
) -> dict[str, float] | None:
    """
    Return the mean of directions as vectors.

    Parameters
    ----------
    azimuth_deg, altitude_deg : ndarray, shape=(n_times,)
        [deg], azimuth from North over East.

    Returns
    -------
    dict of str to float or None
        ``alt_deg`` and ``az_deg`` (0 to 360); None where there is no direction.
    """
    if not len(azimuth_deg):
        return None
    directions = UnitSphericalRepresentation(azimuth_deg * u.deg, altitude_deg * u.deg)
    mean = directions.represent_as(CartesianRepresentation).mean()
    mean = mean.represent_as(SphericalRepresentation)
    return {"alt_deg": float(mean.lat.deg), "az_deg": float(mean.lon.wrap_at(360 * u.deg).deg)}


def observing_conditions(
    time_ns: NDArray[np.int64],
    periodic: NDArray[np.bool_],
    azimuth_deg: NDArray[np.float64],
    altitude_deg: NDArray[np.float64],
    sky: NightSky,
) -> dict[str, Any]:
    """
    Return live time, night sky and mean pointing as they stand in the info of a product.

    Parameters
    ----------
    time_ns : ndarray of int64, shape=(n_triggers,)
        All triggers of the run [ns TAI since 1970].
    periodic : ndarray of bool, shape=(n_triggers,)
        Pedestals.
    azimuth_deg, altitude_deg : ndarray, shape=(n_triggers,)
        Optical axis at each [deg].
    sky : NightSky
        Level of the night sky.
    """
    live = measure_live_time(time_ns, periodic)
    # an event with a wrong clock would drag the mean away
    inside = live.contains(time_ns)
    return {
        "live_time": live.to_dict(),
        "nsb_mhz": sky.mhz,
        "nsb_note": sky.note,
        "mean_pointing": mean_pointing(azimuth_deg[inside], altitude_deg[inside]),
    }
