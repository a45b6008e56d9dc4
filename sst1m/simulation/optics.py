"""The telescope as photons see it: from directions to pixels."""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..instrument.camera import EFFECTIVE_FOCAL_LENGTH, pixel_positions
from .random_numbers import normal

__all__ = ["CameraLattice", "camera_lattice", "direction_vector", "focal_position", "pixel_at", "sky_axes"]

_PITCH = 24.3e-3
_ROW_PITCH = _PITCH * math.sqrt(3) / 2
_FIRST_ROW = -498.05e-3
_N_ROWS, _N_COLUMNS, _MIDDLE = 48, 40, 20
_FOCAL_LENGTH = float(EFFECTIVE_FOCAL_LENGTH.to_value("m"))

#: Spread of a point source in one projection [rad]: facets and alignment on the axis, and the growth of
#: Davies-Cotton coma with the angle to the axis [rad/rad], away from the centre and across. Chosen such that
#: 80 % of the light falls within a diameter of 0.08 deg on the axis and 0.25 deg at 4 deg, the published
#: figures of the SST-1M (Heller et al. 2017, doi:10.1140/epjc/s10052-017-4609-z).
_SPREAD_ON_AXIS = math.radians(0.022)
_RADIAL_COMA, _TANGENTIAL_COMA = 0.020, 0.010


class CameraLattice(NamedTuple):
    """
    Pixel ids on the lattice of hexagons.

    Attributes
    ----------
    pixel : ndarray of int16, shape=(n_rows, n_columns)
        -1 where the lattice has no pixel.
    """

    pixel: NDArray[np.int16]


@cache
def camera_lattice() -> CameraLattice:
    """Return where each pixel stands on the lattice."""
    x, y = pixel_positions()
    row = np.rint((-x - _FIRST_ROW) / _ROW_PITCH).astype(int)
    column = np.rint((-y - _PITCH / 2 * (row % 2 == 0)) / _PITCH).astype(int) + _MIDDLE
    pixel = np.full((_N_ROWS, _N_COLUMNS), -1, dtype=np.int16)
    pixel[row, column] = np.arange(len(x))
    return CameraLattice(pixel)


@njit(cache=True)
def pixel_at(lattice: CameraLattice, x: float, y: float) -> int:
    """Return the pixel that contains a point of the camera frame [m], -1 outside the camera."""
    across, along = (-x - _FIRST_ROW) / _ROW_PITCH, -y / _PITCH
    lower = math.floor(across)
    best, pixel = 1e9, -1
    for row in (lower, lower + 1):
        shift = 0.5 if row % 2 == 0 else 0.0
        column = math.floor(along - shift + 0.5)
        distance = ((across - row) * _ROW_PITCH) ** 2 + ((along - shift - column) * _PITCH) ** 2
        if distance < best:
            best = distance
            k = int(column) + _MIDDLE
            inside = 0 <= row < _N_ROWS and 0 <= k < _N_COLUMNS
            pixel = lattice.pixel[int(row), k] if inside else -1
    return pixel


def direction_vector(altitude: NDArray | float, azimuth: NDArray | float) -> NDArray[np.float64]:
    """
    Return unit vectors towards the sky in ctapipe's ground frame.

    Parameters
    ----------
    altitude, azimuth : ndarray
        [rad], azimuth from north to east.

    Returns
    -------
    ndarray, shape=(..., 3)
        Components to north, west and zenith.
    """
    cosine = np.cos(altitude)
    return np.stack([cosine * np.cos(azimuth), -cosine * np.sin(azimuth), np.sin(altitude)], axis=-1)


def sky_axes(altitude: float, azimuth: float) -> NDArray[np.float64]:
    """Return as rows the pointing direction and the directions of growing azimuth and of growing altitude."""
    return np.array(
        [
            direction_vector(altitude, azimuth),
            [-np.sin(azimuth), -np.cos(azimuth), 0.0],
            direction_vector(altitude + np.pi / 2, azimuth),
        ]
    )


@njit(cache=True)
def focal_position(
    axes: NDArray[np.float64], dx: float, dy: float, dz: float, state: NDArray[np.uint64]
) -> tuple[float, float]:
    """
    Return where light from a direction arrives in the camera frame [m], blurred by the mirror.

    Parameters
    ----------
    axes : ndarray, shape=(3, 3)
        From `sky_axes`.
    dx, dy, dz : float
        Unit vector towards the sky.
    state : ndarray
        Of the random numbers.

    Notes
    -----
    The camera frame of ctapipe: x along the altitude, y along the azimuth, both ``focal length * angle``.
    """
    ahead = axes[0, 0] * dx + axes[0, 1] * dy + axes[0, 2] * dz
    if ahead < 0.98:
        return 9.9, 9.9
    longitude = math.atan2(axes[1, 0] * dx + axes[1, 1] * dy + axes[1, 2] * dz, ahead)
    latitude = math.asin(axes[2, 0] * dx + axes[2, 1] * dy + axes[2, 2] * dz)
    angle = math.sqrt(longitude * longitude + latitude * latitude)
    radial = math.sqrt(_SPREAD_ON_AXIS**2 + (_RADIAL_COMA * angle) ** 2) * normal(state)
    across = math.sqrt(_SPREAD_ON_AXIS**2 + (_TANGENTIAL_COMA * angle) ** 2) * normal(state)
    cosine, sine = (latitude / angle, longitude / angle) if angle > 1e-9 else (1.0, 0.0)
    x = latitude + radial * cosine - across * sine
    y = longitude + radial * sine + across * cosine
    return _FOCAL_LENGTH * x, _FOCAL_LENGTH * y
