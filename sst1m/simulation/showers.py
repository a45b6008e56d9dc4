"""Showers from their first interaction to photo-electrons in all telescopes, in batches."""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .atmosphere import height_at
from .electromagnetic import electromagnetic_light
from .electrons import LightTables
from .hadrons import NUCLEON, hadron_light, interaction_length
from .light import PROFILE_STEP, RADIATION_LENGTH, Light, Telescopes
from .optics import CameraLattice
from .random_numbers import exponential, start_stream, uniform

__all__ = ["ELECTRON", "GAMMA", "PROTON", "TRUTH_COLUMNS", "Thrown", "simulate_batch"]

#: Particle codes of CORSIKA as ctapipe's files carry them.
GAMMA, ELECTRON, PROTON = 0, 1, 101

#: Columns of the truth, in the units that the kernels use.
TRUTH_COLUMNS = ("energy", "north", "west", "up", "core_x", "core_y", "h_first_int", "x_max")


class Thrown(NamedTuple):
    """
    The distribution of the showers thrown.

    Attributes
    ----------
    particle : int
        `GAMMA`, `ELECTRON` or `PROTON`.
    energy_min, energy_max, index : float
        Power law [TeV].
    cone_min, cone_max, cone_angle : float
        Angles to the pointing [rad] between which directions fill the sky evenly, and the position angle
        from the direction of growing altitude towards growing azimuth [rad]; NaN: all.
    radius : float
        Of the disc across the shower's direction that the axes hit evenly [m].
    seed : int
        Of all random numbers.
    """

    particle: int
    energy_min: float
    energy_max: float
    index: float
    cone_min: float
    cone_max: float
    cone_angle: float
    radius: float
    seed: int


@njit(cache=True)
def _throw_energy(state: NDArray[np.uint64], thrown: Thrown) -> float:
    u = uniform(state)
    if thrown.energy_max <= thrown.energy_min:
        return thrown.energy_min
    if abs(thrown.index + 1.0) < 1e-9:
        return thrown.energy_min * (thrown.energy_max / thrown.energy_min) ** u
    power = thrown.index + 1.0
    low, high = thrown.energy_min**power, thrown.energy_max**power
    return (low + u * (high - low)) ** (1.0 / power)


@njit(cache=True)
def _throw_direction(
    state: NDArray[np.uint64], thrown: Thrown, axes: NDArray[np.float64], out: NDArray[np.float64]
) -> None:
    low, high = math.cos(thrown.cone_min), math.cos(thrown.cone_max)
    cosine = low + uniform(state) * (high - low)
    turn = 2.0 * math.pi * uniform(state)
    if not math.isnan(thrown.cone_angle):
        turn = thrown.cone_angle
    sine = math.sqrt(max(1.0 - cosine * cosine, 0.0))
    for k in range(3):
        out[k] = cosine * axes[0, k] + sine * (math.sin(turn) * axes[1, k] + math.cos(turn) * axes[2, k])


@njit(cache=True)
def _throw_core(
    state: NDArray[np.uint64], radius: float, direction: NDArray[np.float64], core: NDArray[np.float64]
) -> None:
    """Throw evenly on a disc across the direction, then follow the axis to the ground."""
    distance = radius * math.sqrt(uniform(state))
    azimuth = 2.0 * math.pi * uniform(state)
    a, b = distance * math.cos(azimuth), distance * math.sin(azimuth)
    norm = math.sqrt(direction[0] ** 2 + direction[2] ** 2)
    ex, ez = direction[2] / norm, -direction[0] / norm
    fx, fy = direction[1] * ez, direction[2] * ex - direction[0] * ez
    fz = -direction[1] * ex
    x, y, z = a * ex + b * fx, b * fy, a * ez + b * fz
    core[0], core[1] = x - z / direction[2] * direction[0], y - z / direction[2] * direction[1]
    core[2] = 0.0


@njit(cache=True)
def _first_depth(state: NDArray[np.uint64], thrown: Thrown, energy: float) -> float:
    """Return the slant depth of the first interaction [g/cm2]; electrons radiate almost at once."""
    if thrown.particle == PROTON:
        return interaction_length(NUCLEON, energy) * exponential(state)
    mean = 9.0 / 7.0 if thrown.particle == GAMMA else 0.2
    return mean * RADIATION_LENGTH * exponential(state)


@njit(cache=True)
def _develop(
    light: Light,
    scope: Telescopes,
    lattice: CameraLattice,
    tables: LightTables,
    state: NDArray[np.uint64],
    thrown: Thrown,
    start: NDArray[np.float64],
    direction: NDArray[np.float64],
    energy: float,
) -> None:
    """Make the light of a shower that first interacts at a place."""
    if thrown.particle == PROTON:
        hadron_light(light, scope, lattice, tables, state, start, direction, energy)
        return
    is_electron = thrown.particle == ELECTRON
    electromagnetic_light(light, scope, lattice, tables, state, start, direction, energy, is_electron)


@njit(cache=True)
def _fullest(count: NDArray[np.int64]) -> int:
    most = 0
    for value in count:
        most = max(most, value)
    return most


@njit(cache=True)
def _deepest(profile: NDArray[np.float64]) -> int:
    """Return the depth with most electrons."""
    best = 0
    for k in range(len(profile)):
        if profile[k] > profile[best]:
            best = k
    return best


@njit(cache=True)
def _settle(light: Light, before: NDArray[np.int64], least: int, ends: NDArray[np.int64]) -> None:
    """Keep the light of a shower, or forget it where no telescope has enough."""
    most = 0
    for t in range(len(before)):
        most = max(most, light.count[t] - before[t])
    for t in range(len(before)):
        if most < least:
            light.count[t] = before[t]
        ends[t] = light.count[t]


@njit(cache=True)
def simulate_batch(
    light: Light,
    scope: Telescopes,
    lattice: CameraLattice,
    tables: LightTables,
    thrown: Thrown,
    numbers: tuple[int, int],
    min_photoelectrons: int,
    truth: NDArray[np.float64],
    ends: NDArray[np.int64],
) -> int:
    """
    Simulate showers until the last or until the light does not fit.

    Parameters
    ----------
    light, scope, lattice, tables, thrown
        Filled, its capacity is the limit; telescopes, camera, physics and what to throw.
    numbers : tuple of int
        First shower and the one after the last; each has its own stream of random numbers.
    min_photoelectrons : int
        Images of showers with less light in every telescope are dropped.
    truth, ends : ndarray, shape=(n_showers, 8) and (n_showers, n_telescopes)
        Filled with `TRUTH_COLUMNS` and the rows of `light` in use after each shower.

    Returns
    -------
    int
        The first shower not done.
    """
    state = np.zeros(1, dtype=np.uint64)
    direction, core, start = np.empty(3), np.empty(3), np.empty(3)
    before = np.zeros_like(light.count)
    for t in range(len(before)):
        light.count[t] = 0
    for number in range(numbers[0], numbers[1]):
        row = number - numbers[0]
        start_stream(state, thrown.seed, number)
        energy = _throw_energy(state, thrown)
        _throw_direction(state, thrown, scope.axes, direction)
        _throw_core(state, thrown.radius, direction, core)
        first = _first_depth(state, thrown, 1000.0 * energy)
        height = height_at(first * direction[2])
        path = (height - scope.altitude) / direction[2]
        for k in range(3):
            start[k] = core[k] + path * direction[k]
        for k in range(len(light.profile)):
            light.profile[k] = 0.0
        for t in range(len(before)):
            before[t] = light.count[t]
        if path > 0.0:
            _develop(light, scope, lattice, tables, state, thrown, start, direction, 1000.0 * energy)
        if _fullest(light.count) > light.pixel.shape[1]:
            return number
        _settle(light, before, min_photoelectrons, ends[row])
        truth[row, 0], truth[row, 4], truth[row, 5] = energy, core[0], core[1]
        truth[row, 1], truth[row, 2], truth[row, 3] = direction[0], direction[1], direction[2]
        truth[row, 6], truth[row, 7] = height, (_deepest(light.profile) + 0.5) * PROFILE_STEP
    return numbers[1]
