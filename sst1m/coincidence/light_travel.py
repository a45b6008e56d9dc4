"""How much later the front of a shower reaches the second telescope."""

import astropy.units as u
import numpy as np
from astropy.constants import c
from numpy.typing import NDArray

from ..instrument import TEL_IDS, sst1m_subarray

__all__ = ["light_delay_ns"]


def light_delay_ns(azimuth_deg: NDArray[np.float64], altitude_deg: NDArray[np.float64]) -> NDArray[np.int64]:
    """
    Return by how much a plane front from a direction reaches telescope 22 after telescope 21.

    Parameters
    ----------
    azimuth_deg, altitude_deg : ndarray, shape=(n_events,)
        Where the front comes from [deg]; azimuth from North over East.

    Returns
    -------
    ndarray of int64, shape=(n_events,)
        ``-(r22 - r21) . n / c`` [ns] with the positions r (north, west, up) and the direction n; at most
        518 ns in size.
    """
    positions = sst1m_subarray().positions
    baseline = positions[TEL_IDS[1]] - positions[TEL_IDS[0]]
    north, west, up = (baseline / c).to_value(u.ns)
    azimuth, altitude = np.deg2rad(azimuth_deg), np.deg2rad(altitude_deg)
    level = north * np.cos(azimuth) - west * np.sin(azimuth)
    return np.rint(-(np.cos(altitude) * level + np.sin(altitude) * up)).astype(np.int64)
