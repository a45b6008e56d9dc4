"""Where the telescope looks: from a fixed ICRS position to horizontal coordinates at given times."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import AltAz, SkyCoord
from astropy.coordinates.erfa_astrom import ErfaAstromInterpolator, erfa_astrom
from astropy.utils.iers import conf as iers_conf
from numpy.typing import NDArray

from .instrument import telescope_location
from .times import ns_to_time

__all__ = ["Pointing", "horizontal_pointing", "offline_earth_orientation"]

_INTERPOLATION_STEP = 60 * u.s


@dataclass(frozen=True)
class Pointing:
    """
    Direction to which a telescope is pointed during a run.

    Parameters
    ----------
    ra_deg, dec_deg : float
        ICRS position of the optical axis [deg], not of the source.
    source : str
        Who said so: ``header``, ``corrections`` or ``command``.
    """

    ra_deg: float
    dec_deg: float
    source: str


@contextlib.contextmanager
def offline_earth_orientation() -> Iterator[None]:
    """Use only the Earth-orientation tables that are installed; never ask the network."""
    with iers_conf.set_temp("auto_download", False), iers_conf.set_temp("auto_max_age", None):
        yield


def horizontal_pointing(
    pointing: Pointing, tel_id: int, time_ns: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """
    Return azimuth and altitude of the optical axis at each time.

    Parameters
    ----------
    pointing : Pointing
        Fixed ICRS direction.
    tel_id : int
        21 or 22; its own geodetic position is used.
    time_ns : ndarray of int64, shape=(n_times,)
        TAI nanoseconds since 1970.

    Returns
    -------
    azimuth, altitude : ndarray, shape=(n_times,)
        [rad], azimuth from North over East, no refraction and no pointing model.

    Notes
    -----
    Earth orientation is interpolated over 60 s (astropy's `ErfaAstromInterpolator`), which changes
    directions by less than a milliarcsecond.
    """
    if len(time_ns) == 0:
        return np.empty(0), np.empty(0)
    axis = SkyCoord(pointing.ra_deg * u.deg, pointing.dec_deg * u.deg, frame="icrs")
    with offline_earth_orientation(), erfa_astrom.set(ErfaAstromInterpolator(_INTERPOLATION_STEP)):
        frame = AltAz(obstime=ns_to_time(time_ns), location=telescope_location(tel_id))
        horizontal = axis.transform_to(frame)
    return horizontal.az.to_value(u.rad), horizontal.alt.to_value(u.rad)
