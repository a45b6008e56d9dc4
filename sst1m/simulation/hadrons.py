"""Hadronic showers: a chain of collisions that ends in electromagnetic cascades and muons.

A simple superposition of what is measured: cross sections of protons on air, leading particles of uniform
energy share, fragmentation in scaling, transverse momenta of 0.35 GeV/c (Gaisser, Engel & Resconi 2016,
Cosmic Rays and Particle Physics, chapters 5 and 16). No nuclear fragments, no kaons, no heavy flavours.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .atmosphere import depth_at, height_at
from .electrons import LightTables
from .light import RADIATION_LENGTH, Light, Telescopes, cascade_light, muon_light
from .optics import CameraLattice
from .random_numbers import exponential, normal, uniform

__all__ = ["NUCLEON", "PION", "hadron_light", "interaction_length"]

NUCLEON, PION = 0.0, 1.0
_STACK = 4096
#: Mean transverse momentum is twice this [GeV/c].
_TRANSVERSE = 0.175
#: Fragmentation: the share z of the remaining energy has the density n (1 - z)^(n - 1).
_FRAGMENTATION = 3.0
_PION_RANGE = 55.9
_MUON_THRESHOLD = 5.5
#: Hadrons below this energy, or this fraction of the primary's, are not followed; a fixed fraction of theirs
#: ends in one electromagnetic cascade.
_FOLLOWED, _FOLLOWED_FRACTION = 4.0, 3e-3
_SOFT_FRACTION = 0.1
#: TUNED: share of neutral pions. A third of all pions, less what kaons, baryons and nuclear fragments would
#: carry, and lowered until a proton gives clearly less light than a gamma of its energy.
_NEUTRAL_SHARE = 0.20
#: Age in radiation lengths of a neutral pion's cascade where a photon of it converts: the mean path to
#: there, and that two photons share the energy.
_PION_ADVANCE = 9.0 / 7.0 + math.log(2.0)


@njit(cache=True)
def interaction_length(kind: float, energy: float) -> float:
    """
    Return the mean free path in air [g/cm2] of a nucleon or a charged pion of an energy [GeV].

    The cross section of protons rises by 30 mb per decade from 285 mb at 1 TeV (compilation of
    Ulrich et al. 2009, doi:10.1088/1367-2630/11/6/065018); pions have 0.78 of it.
    """
    cross_section = max(285.0 + 30.0 * math.log10(energy / 1000.0), 240.0)
    return 24160.0 / cross_section / (1.0 if kind == NUCLEON else 0.78)


@njit(cache=True)
def _deflect(
    state: NDArray[np.uint64], direction: NDArray[np.float64], angle: float, out: NDArray[np.float64]
) -> None:
    """Write into `out` a direction at an angle to another."""
    azimuth = 2.0 * math.pi * uniform(state)
    norm = math.sqrt(direction[0] ** 2 + direction[2] ** 2)
    ex, ez = direction[2] / norm, -direction[0] / norm
    fx, fy = direction[1] * ez, direction[2] * ex - direction[0] * ez
    fz = -direction[1] * ex
    a, b = angle * math.cos(azimuth), angle * math.sin(azimuth)
    out[0] = direction[0] + a * ex + b * fx
    out[1] = direction[1] + b * fy
    out[2] = direction[2] + a * ez + b * fz
    length = math.sqrt(out[0] ** 2 + out[1] ** 2 + out[2] ** 2)
    for k in range(3):
        out[k] /= length


@njit(cache=True)
def _decays_first(
    state: NDArray[np.uint64], energy: float, altitude: float, start: NDArray[np.float64], cosine: float
) -> tuple[bool, float]:
    """Return whether a charged pion decays before it would collide, and the path until then [m]."""
    path = _PION_RANGE * energy * exponential(state)
    top = start[2] + altitude
    below = depth_at(top) + interaction_length(PION, energy) * exponential(state) * cosine
    free = (top - height_at(below)) / cosine
    return path < free, min(path, free)


@njit(cache=True)
def _move(place: NDArray[np.float64], direction: NDArray[np.float64], path: float) -> None:
    for k in range(3):
        place[k] -= path * direction[k]


@njit(cache=True)
def _neutral_pion(
    light: Light,
    scope: Telescopes,
    lattice: CameraLattice,
    tables: LightTables,
    state: NDArray[np.uint64],
    place: NDArray[np.float64],
    direction: NDArray[np.float64],
    energy: float,
) -> None:
    """Add the cascade of a neutral pion, as one, beginning where a photon of it converts."""
    below = (
        depth_at(place[2] + scope.altitude) + 9.0 / 7.0 * RADIATION_LENGTH * exponential(state) * direction[2]
    )
    path = (place[2] + scope.altitude - height_at(below)) / direction[2]
    start = np.empty(3)
    for k in range(3):
        start[k] = place[k] - path * direction[k]
    if start[2] > 0.0:
        cascade_light(
            light,
            scope,
            lattice,
            tables,
            state,
            start,
            direction,
            energy,
            _PION_ADVANCE + 0.5 * normal(state),
        )


@njit(cache=True)
def _collide(
    light: Light,
    scope: Telescopes,
    lattice: CameraLattice,
    tables: LightTables,
    state: NDArray[np.uint64],
    stack: NDArray[np.float64],
    n_waiting: int,
    particle: NDArray[np.float64],
    followed: float,
) -> int:
    """
    Let a hadron collide at its place; return how many hadrons wait.

    Rows of `stack` and `particle` hold kind, energy, position, direction.
    """
    kind, energy = particle[0], particle[1]
    place, direction = particle[2:5], particle[5:8]
    out = np.empty(3)
    leading = energy * (0.05 + 0.9 * uniform(state))
    remaining, fragment, is_leading = energy, leading, True
    while remaining > 0.02 * followed and n_waiting < _STACK - 1:
        remaining -= fragment
        momentum = -_TRANSVERSE * math.log((1.0 - uniform(state)) * (1.0 - uniform(state)))
        _deflect(state, direction, min(momentum / fragment, 0.3), out)
        neutral = uniform(state) < _NEUTRAL_SHARE and not (is_leading and kind == NUCLEON)
        if out[2] < 0.2:
            pass
        elif neutral:
            _neutral_pion(light, scope, lattice, tables, state, place, out, fragment)
        else:
            stack[n_waiting, 0] = NUCLEON if is_leading and kind == NUCLEON else PION
            stack[n_waiting, 1] = fragment
            for k in range(3):
                stack[n_waiting, 2 + k], stack[n_waiting, 5 + k] = place[k], out[k]
            n_waiting += 1
        is_leading = False
        if remaining < followed:
            fragment = remaining
        else:
            fragment = remaining * (1.0 - (1.0 - uniform(state)) ** (1.0 / _FRAGMENTATION))
    return n_waiting


@njit(cache=True)
def hadron_light(
    light: Light,
    scope: Telescopes,
    lattice: CameraLattice,
    tables: LightTables,
    state: NDArray[np.uint64],
    place: NDArray[np.float64],
    direction: NDArray[np.float64],
    energy: float,
) -> None:
    """Add the light of the shower of a proton [GeV] that collides at a place [m]."""
    stack = np.empty((_STACK, 8))
    particle = np.empty(8)
    followed = max(_FOLLOWED, _FOLLOWED_FRACTION * energy)
    particle[0], particle[1] = NUCLEON, energy
    for k in range(3):
        particle[2 + k], particle[5 + k] = place[k], direction[k]
    n_waiting = _collide(light, scope, lattice, tables, state, stack, 0, particle, followed)
    while n_waiting > 0:
        n_waiting -= 1
        for k in range(8):
            particle[k] = stack[n_waiting, k]
        now, way = particle[2:5], particle[5:8]
        if particle[0] == PION:
            decays, path = _decays_first(state, particle[1], scope.altitude, now, way[2])
            _move(now, way, path)
            if decays:
                muon = particle[1] * (0.57 + 0.43 * uniform(state))
                if muon > _MUON_THRESHOLD and now[2] > 50.0:
                    muon_light(light, scope, lattice, state, now, way, muon)
                continue
        else:
            top = now[2] + scope.altitude
            below = depth_at(top) + interaction_length(NUCLEON, particle[1]) * exponential(state) * way[2]
            _move(now, way, (top - height_at(below)) / way[2])
        if now[2] <= 50.0:
            continue
        if particle[1] < followed:
            _neutral_pion(light, scope, lattice, tables, state, now, way, _SOFT_FRACTION * particle[1])
        else:
            n_waiting = _collide(light, scope, lattice, tables, state, stack, n_waiting, particle, followed)
