"""What the electrons of an electromagnetic cascade radiate, and in which direction.

Shower universality: energies and angles of the electrons depend only on the shower's age s. The energies
follow Hillas 1982 (doi:10.1088/0305-4616/8/10/016); the angles are those of multiple scattering with
radiation (Rossi & Greisen 1941, doi:10.1103/RevModPhys.13.240), a normal distribution for each energy. The
Cherenkov cone turns the latter into a Rice distribution, which is summed over the energies here, once.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.special import i0e

from .random_numbers import uniform

__all__ = ["ELECTRON_MASS", "LightTables", "angular_density", "light_tables", "sample_energy"]

#: [MeV]
ELECTRON_MASS = 0.511
_SCATTERING_ENERGY = 21.2
#: Mean square angle of all electrons of an energy, in units of (scattering energy / energy)^2.
_MEAN_SQUARE_ANGLE = 0.57
_SMALLEST_SPREAD = 0.6e-3

_N_REFRACTIVITY, _N_AGE, _N_ANGLE, _N_ENERGY = 28, 10, 128, 36
_LOG_REFRACTIVITY = (np.log(1.0e-6), np.log(2.9e-4))
_AGE = (0.2, 2.0)
_MAX_ANGLE = 0.3
_ENERGY = (15.0, 3.0e4)


class LightTables(NamedTuple):
    """
    Angular distributions of Cherenkov light about the axis of an electromagnetic cascade.

    Attributes
    ----------
    density : ndarray of float64, shape=(n_refractivities, n_ages, n_angles)
        Photons per steradian and electron, in units of what one electron of the speed of light radiates.
    energy_cdf : ndarray of float32, shape=(n_refractivities, n_ages, n_angles, n_energies)
        Share of that light from electrons below an energy.
    energy, spread : ndarray of float64, shape=(n_energies,)
        Energy [MeV] and angular spread in one projection [rad] of the electrons.
    """

    density: NDArray[np.float64]
    energy_cdf: NDArray[np.float32]
    energy: NDArray[np.float64]
    spread: NDArray[np.float64]


def fraction_above(energy: NDArray[np.float64], age: float) -> NDArray[np.float64]:
    """Return the fraction of the electrons' track length above an energy [MeV] (Hillas 1982, eq. 5)."""
    scale = 44.0 - 17.0 * (age - 1.46) ** 2 if age >= 0.4 else 26.0
    return ((0.89 * scale - 1.2) / (scale + energy)) ** age / (1.0 + 1e-4 * age * energy) ** 2


def _rice(angle: NDArray, cone: NDArray, spread: NDArray) -> NDArray[np.float64]:
    """Return the density per steradian of a ring of radius `cone` blurred by `spread`, at an angle."""
    argument = angle * cone / spread**2
    return np.exp(-0.5 * ((angle - cone) / spread) ** 2) * i0e(argument) / (2 * np.pi * spread**2)


@cache
def light_tables() -> LightTables:
    """Return the tables; they take a fraction of a second to make."""
    edges = np.geomspace(*_ENERGY, _N_ENERGY + 1)
    energy = np.sqrt(edges[1:] * edges[:-1])
    spread = np.sqrt(_MEAN_SQUARE_ANGLE / 2) * _SCATTERING_ENERGY / energy
    spread = np.hypot(spread, _SMALLEST_SPREAD)
    angle = _MAX_ANGLE * (np.arange(_N_ANGLE) / (_N_ANGLE - 1)) ** 2
    refractivity = np.exp(np.linspace(*_LOG_REFRACTIVITY, _N_REFRACTIVITY))
    ages = np.linspace(*_AGE, _N_AGE)
    light = np.empty((_N_REFRACTIVITY, _N_AGE, _N_ANGLE, _N_ENERGY))
    for i, index in enumerate(refractivity):
        excess = 1.0 - (ELECTRON_MASS / np.sqrt(2 * index) / energy) ** 2
        cone = np.sqrt(2 * index * np.clip(excess, 0, 1))
        ring = _rice(angle[:, np.newaxis], cone, spread) * np.clip(excess, 0, 1)
        for j, age in enumerate(ages):
            light[i, j] = ring * -np.diff(fraction_above(edges, age))
    density = light.sum(axis=-1)
    cdf = np.cumsum(light, axis=-1) / np.maximum(density, 1e-300)[..., np.newaxis]
    return LightTables(density, cdf.astype(np.float32), energy, spread)


@njit(cache=True, inline="always")
def _refractivity_position(refractivity: float) -> float:
    low, high = _LOG_REFRACTIVITY
    position = (np.log(refractivity) - low) / (high - low) * (_N_REFRACTIVITY - 1)
    return min(max(position, 0.0), _N_REFRACTIVITY - 1.001)


@njit(cache=True, inline="always")
def _age_position(age: float) -> float:
    low, high = _AGE
    return min(max((age - low) / (high - low) * (_N_AGE - 1), 0.0), _N_AGE - 1.001)


@njit(cache=True, inline="always")
def _angle_position(angle: float) -> float:
    return min(np.sqrt(angle / _MAX_ANGLE) * (_N_ANGLE - 1), _N_ANGLE - 1.001)


@njit(cache=True)
def angular_density(tables: LightTables, refractivity: float, age: float, angle: float) -> float:
    """
    Return the light per steradian and electron at an angle to the axis, interpolated linearly.

    Parameters
    ----------
    tables : LightTables
        From `light_tables`.
    refractivity, age, angle : float
        Place of emission and direction [rad]; beyond 0.3 rad nothing is left.
    """
    if angle >= _MAX_ANGLE:
        return 0.0
    r, s, a = _refractivity_position(refractivity), _age_position(age), _angle_position(angle)
    i, j, k = int(r), int(s), int(a)
    total = 0.0
    for di in range(2):
        weight_i = r - i if di else 1.0 - (r - i)
        for dj in range(2):
            weight = weight_i * (s - j if dj else 1.0 - (s - j))
            low, high = tables.density[i + di, j + dj, k], tables.density[i + di, j + dj, k + 1]
            total += weight * (low + (a - k) * (high - low))
    return total


@njit(cache=True)
def sample_energy(
    tables: LightTables, state: NDArray[np.uint64], refractivity: float, age: float, angle: float
) -> int:
    """Return the row of `LightTables.energy` of the electron behind a photon of given direction."""
    i = int(_refractivity_position(refractivity) + uniform(state))
    j = int(_age_position(age) + uniform(state))
    k = int(_angle_position(angle) + uniform(state))
    wanted = np.float32(uniform(state))
    low, high = 0, _N_ENERGY - 1
    while low < high:
        middle = (low + high) // 2
        if tables.energy_cdf[i, j, k, middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low
