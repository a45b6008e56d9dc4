"""The atmosphere: depth, density, refraction and transmission against height.

Depth and density are the five layers of the U.S. standard atmosphere in Linsley's parametrisation as used
by CORSIKA (Heck et al. 1998, FZKA 6019, appendix D): ``X(h) = a + b exp(-h / c)``. The curvature of the
Earth is neglected, so zenith angles above about 60 degrees are outside the validity.
"""

import math
from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "air_mass",
    "cherenkov_angle",
    "density",
    "depth",
    "height_of_depth",
    "refractivity",
    "transmission",
]

#: Lower borders [m] and parameters a, b [g/cm2], c [m] of the layers.
_BORDERS = (0.0, 4000.0, 10000.0, 40000.0, 100000.0)
_A = (-186.5562, -94.919, 0.61289, 0.0, 0.01128292)
_B = (1222.6562, 1144.9069, 1305.5948, 540.1778, 1.0)
_C = (9941.8638, 8781.5355, 6361.4304, 7721.7016, 1.0e7)
_TOP = 112829.2
_BORDER_DEPTHS = (1036.1, 631.1003845, 271.7000806, 3.0396, 0.00128292)

#: Refractivity n - 1 at sea level, at the wavelengths that the camera sees (CORSIKA's value).
REFRACTIVITY_AT_SEA_LEVEL = 2.83e-4
_SEA_LEVEL_DENSITY = 1222.6562 / 994186.38

#: Mean free path of Rayleigh scattering at 400 nm [g/cm2] (Bernlöhr 2000, doi:10.1016/S0927-6505(99)00093-6).
_RAYLEIGH_PATH = 2974.0
#: Vertical optical depth of aerosols above sea level and their scale height [m], of a clear night.
_AEROSOL_DEPTH = 0.10
_AEROSOL_SCALE = 1200.0


@njit(cache=True, inline="always")
def _layer(height: float) -> int:
    if height < _BORDERS[1]:
        return 0
    if height < _BORDERS[2]:
        return 1
    if height < _BORDERS[3]:
        return 2
    return 3 if height < _BORDERS[4] else 4


@njit(cache=True)
def depth_at(height: float) -> float:
    """Return the vertical depth of one height; see `depth`."""
    if height >= _TOP:
        return 0.0
    i = _layer(height)
    if i == 4:
        return _A[4] - _B[4] * height / _C[4]
    return _A[i] + _B[i] * math.exp(-height / _C[i])


@njit(cache=True)
def density_at(height: float) -> float:
    """Return the density of one height; see `density`."""
    if height >= _TOP:
        return 0.0
    i = _layer(height)
    if i == 4:
        return _B[4] / _C[4] / 100.0
    return _B[i] / _C[i] / 100.0 * math.exp(-height / _C[i])


@njit(cache=True)
def height_at(vertical_depth: float) -> float:
    """Return the height of one vertical depth; see `height_of_depth`."""
    if vertical_depth <= 0.0:
        return _TOP
    for i in range(4):
        if vertical_depth >= _BORDER_DEPTHS[i + 1] or i == 3:
            height = -_C[i] * math.log((vertical_depth - _A[i]) / _B[i])
            if i < 3 or height < _BORDERS[4]:
                return height
    return (_A[4] - vertical_depth) * _C[4] / _B[4]


@njit(cache=True)
def refractivity_at(height: float) -> float:
    """Return the refractivity of one height; see `refractivity`."""
    return REFRACTIVITY_AT_SEA_LEVEL * density_at(height) / _SEA_LEVEL_DENSITY


@njit(cache=True)
def transmission_at(height: float, observation_height: float, cos_zenith: float) -> float:
    """Return the transmission of one path; see `transmission`."""
    rayleigh = (depth_at(observation_height) - depth_at(height)) / _RAYLEIGH_PATH
    aerosol = math.exp(-observation_height / _AEROSOL_SCALE) - math.exp(-height / _AEROSOL_SCALE)
    return math.exp(-(rayleigh + _AEROSOL_DEPTH * aerosol) / cos_zenith)


def _each(function: Callable[..., float], *arguments: ArrayLike) -> NDArray[np.float64]:
    """Apply a function of numbers to arrays, which is enough for tables and tests."""
    return np.vectorize(function, otypes=[np.float64])(*arguments)


def depth(height: ArrayLike) -> NDArray[np.float64]:
    """Return the vertical depth [g/cm2] above a height above sea level [m]."""
    return _each(depth_at, height)


def density(height: ArrayLike) -> NDArray[np.float64]:
    """Return the density of the air [g/cm3] at a height above sea level [m]."""
    return _each(density_at, height)


def height_of_depth(vertical_depth: ArrayLike) -> NDArray[np.float64]:
    """Return the height above sea level [m] that has a vertical depth [g/cm2] above it."""
    return _each(height_at, vertical_depth)


def refractivity(height: ArrayLike) -> NDArray[np.float64]:
    """Return ``n - 1`` at a height [m], proportional to the density (CORSIKA's approximation)."""
    return _each(refractivity_at, height)


def cherenkov_angle(height: ArrayLike) -> NDArray[np.float64]:
    """Return the angle [rad] of the Cherenkov light of a particle of the speed of light at a height [m]."""
    return np.arccos(1.0 / (1.0 + refractivity(height)))


def transmission(height: ArrayLike, observation_height: float, cos_zenith: float) -> NDArray[np.float64]:
    """
    Return the fraction of light that reaches the ground, at 400 nm.

    Parameters
    ----------
    height : array-like
        Of emission, above sea level [m].
    observation_height : float
        Of the telescopes, above sea level [m].
    cos_zenith : float
        Of the light's direction; one over the air mass.

    Notes
    -----
    Rayleigh scattering and an exponential layer of aerosols; ozone is left out, and so is the dependence on
    wavelength: the light yield is tuned with this transmission.
    """
    return _each(transmission_at, height, observation_height, cos_zenith)


def air_mass(zenith_deg: ArrayLike) -> NDArray[np.float64]:
    """Return the slant depth in units of the vertical one, of a flat atmosphere, at a zenith angle [deg]."""
    return 1.0 / np.cos(np.deg2rad(zenith_deg))
