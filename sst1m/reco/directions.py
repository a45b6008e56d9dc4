"""
Directions as unit vectors: in the camera, above the horizon and on the sky.

Vectors stand in ctapipe's ground frame: x to the north, y to the west, z to the zenith. Angles are formed
from vectors and never averaged, so nothing special happens at north or at the zenith.
"""

import astropy.units as u
import numpy as np
from astropy.coordinates import AltAz, SkyCoord
from astropy.coordinates.erfa_astrom import ErfaAstromInterpolator, erfa_astrom
from numpy.typing import ArrayLike, NDArray

from ..instrument import telescope_location
from ..pointing import offline_earth_orientation
from ..times import ns_to_time

__all__ = [
    "camera_to_direction",
    "direction_to_camera",
    "direction_vector",
    "horizontal",
    "horizontal_to_icrs",
    "mean_direction",
    "separation",
]

#: Between the times at which the rotation of the Earth is computed in full, see `horizontal_to_icrs`.
_INTERPOLATION_STEP = 60 * u.s

Vectors = NDArray[np.float64]


def direction_vector(alt: ArrayLike, az: ArrayLike) -> Vectors:
    """
    Return unit vectors, shape=(..., 3), of altitudes and azimuths.

    Parameters
    ----------
    alt, az : array_like, shape=(...)
        [rad], azimuth from north to east.
    """
    alt, az = np.asarray(alt, dtype=np.float64), np.asarray(az, dtype=np.float64)
    return np.stack([np.cos(alt) * np.cos(az), -np.cos(alt) * np.sin(az), np.sin(alt)], axis=-1)


def horizontal(direction: Vectors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return altitude and azimuth [rad], azimuth in [0, 2 pi), of vectors of any length, shape=(..., 3)."""
    x, y, z = np.moveaxis(direction, -1, 0)
    az = np.mod(np.arctan2(-y, x), 2 * np.pi)
    # The remainder of a tiny negative angle rounds to 2 pi itself.
    return np.arctan2(z, np.hypot(x, y)), np.where(az >= 2 * np.pi, 0.0, az)


def separation(first: Vectors, second: Vectors) -> NDArray[np.float64]:
    """Return the angles [rad] between vectors, shape=(..., 3), precise for small and for large angles."""
    across = np.linalg.norm(np.cross(first, second), axis=-1)
    return np.arctan2(across, np.sum(first * second, axis=-1))


def mean_direction(directions: Vectors, weights: NDArray[np.float64]) -> Vectors:
    """
    Return the weighted mean on the sphere.

    Parameters
    ----------
    directions : ndarray, shape=(..., n, 3)
        Unit vectors.
    weights : ndarray, shape=(..., n)
        Their weights.

    Returns
    -------
    ndarray, shape=(..., 3)
        Unit vectors.

    Notes
    -----
    Mean direction of the von Mises-Fisher distribution: the normalised sum of the vectors.
    """
    total = np.sum(weights[..., np.newaxis] * directions, axis=-2)
    return total / np.linalg.norm(total, axis=-1, keepdims=True)


def _axes(alt: ArrayLike, az: ArrayLike) -> tuple[Vectors, Vectors, Vectors]:
    """Return the pointing direction and the directions of growing azimuth and of growing altitude."""
    alt, az = np.broadcast_arrays(np.asarray(alt, dtype=np.float64), np.asarray(az, dtype=np.float64))
    east = np.stack([-np.sin(az), -np.cos(az), np.zeros_like(az)], axis=-1)
    return direction_vector(alt, az), east, direction_vector(alt + np.pi / 2, az)


def camera_to_direction(
    x: ArrayLike, y: ArrayLike, focal_length: ArrayLike, alt: ArrayLike, az: ArrayLike
) -> Vectors:
    """
    Return where on the sky points of the camera look.

    Parameters
    ----------
    x, y : array_like, shape=(...)
        Points in ctapipe's camera frame [m].
    focal_length : array_like
        [m].
    alt, az : array_like
        Pointing of the telescope [rad].

    Returns
    -------
    ndarray, shape=(..., 3)
        Unit vectors.

    Notes
    -----
    As `ctapipe.coordinates.CameraFrame` to `AltAz`: x over focal length is the latitude, y the longitude
    of a sphere whose equator runs through the pointing along the azimuth.
    """
    latitude, longitude = np.asarray(x) / focal_length, np.asarray(y) / focal_length
    ahead, east, up = _axes(alt, az)
    cosine = np.cos(latitude)
    return (
        (cosine * np.cos(longitude))[..., np.newaxis] * ahead
        + (cosine * np.sin(longitude))[..., np.newaxis] * east
        + np.sin(latitude)[..., np.newaxis] * up
    )


def direction_to_camera(
    direction: Vectors, focal_length: ArrayLike, alt: ArrayLike, az: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """
    Return where in the camera [m] directions on the sky appear, the inverse of `camera_to_direction`.

    Parameters
    ----------
    direction : ndarray, shape=(..., 3)
        Unit vectors.
    focal_length : array_like
        [m].
    alt, az : array_like
        Pointing of the telescope [rad].
    """
    ahead, east, up = (np.sum(direction * axis, axis=-1) for axis in _axes(alt, az))
    latitude = np.arctan2(up, np.hypot(ahead, east))
    return focal_length * latitude, focal_length * np.arctan2(east, ahead)


def horizontal_to_icrs(
    alt: NDArray[np.float64], az: NDArray[np.float64], tel_id: int, time_ns: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """
    Return right ascension and declination of directions, each at its own time.

    Parameters
    ----------
    alt, az : ndarray, shape=(n_events,)
        [rad], no refraction.
    tel_id : int
        21 or 22; its own geodetic position is used.
    time_ns : ndarray of int64, shape=(n_events,)
        TAI nanoseconds since 1970.

    Returns
    -------
    ra, dec : ndarray, shape=(n_events,)
        ICRS [rad].

    Notes
    -----
    The orientation of the Earth comes from the installed tables and is computed in full every 60 s and
    interpolated between, which changes directions by less than a milliarcsecond.
    """
    if len(time_ns) == 0:
        return np.empty(0), np.empty(0)
    with offline_earth_orientation(), erfa_astrom.set(ErfaAstromInterpolator(_INTERPOLATION_STEP)):
        frame = AltAz(obstime=ns_to_time(time_ns), location=telescope_location(tel_id))
        sky = SkyCoord(alt=alt * u.rad, az=az * u.rad, frame=frame).icrs
    return sky.ra.to_value(u.rad), sky.dec.to_value(u.rad)
