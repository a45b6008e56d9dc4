"""The first generations of electromagnetic showers, one particle at a time.

What makes two showers of one energy different is how the first few particles share it. They are followed
with the cross sections of complete screening (Rossi & Greisen 1941, doi:10.1103/RevModPhys.13.240); what
each of them does below a fraction of the first energy is a mean cascade.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .atmosphere import depth_at, height_at
from .electrons import LightTables
from .light import RADIATION_LENGTH, Light, Telescopes, cascade_light
from .optics import CameraLattice
from .random_numbers import exponential, uniform

__all__ = ["ELECTRON_ADVANCE", "MEAN_ADVANCE", "electromagnetic_light"]

#: A cascade that an electron starts is one radiation length ahead of a photon's (Particle Data Group, review
#: of the passage of particles through matter, section on electromagnetic cascades).
ELECTRON_ADVANCE = 1.0

#: TUNED: all mean cascades begin this much earlier than Greisen's formula says [radiation lengths]; fixed
#: with the depths of the maximum and the distances of the real images to the source.
MEAN_ADVANCE = 0.7

_STACK = 1024
#: Particles below this fraction of the first energy, or this energy [GeV], start mean cascades.
_FOLLOWED_FRACTION, _FOLLOWED = 0.06, 3.0
#: Radiation in lumps of more than a tenth of the electron's energy: collisions per radiation length; and loss
#: of energy per radiation length in smaller ones.
_LUMP = 0.1
_LUMPS = 4.0 / 3.0 * math.log(1.0 / _LUMP) - 4.0 / 3.0 * (1.0 - _LUMP) + 0.5 * (1.0 - _LUMP**2)
_SMOOTH_LOSS = 4.0 / 3.0 * _LUMP - 2.0 / 3.0 * _LUMP**2 + _LUMP**3 / 3.0


@njit(cache=True)
def _radiated_share(state: NDArray[np.uint64]) -> float:
    """Return the share of an electron's energy that a photon takes."""
    while True:
        share = _LUMP ** uniform(state)
        if uniform(state) <= 1.0 - share + 0.75 * share * share:
            return share


@njit(cache=True)
def electromagnetic_light(
    light: Light,
    scope: Telescopes,
    lattice: CameraLattice,
    tables: LightTables,
    state: NDArray[np.uint64],
    start: NDArray[np.float64],
    direction: NDArray[np.float64],
    energy: float,
    is_electron: bool,
) -> None:
    """
    Add the light of an electromagnetic shower.

    Parameters
    ----------
    light, scope, lattice, tables, state
        Where the light goes, the telescopes, and the random numbers.
    start, direction : ndarray, shape=(3,)
        Where the primary first interacts [m], and the way up.
    energy : float
        [GeV].
    is_electron : bool
        An electron, or a photon that has just become a pair.
    """
    top = depth_at(start[2] + scope.altitude) / direction[2]
    ground = depth_at(scope.altitude) / direction[2]
    followed = max(_FOLLOWED, _FOLLOWED_FRACTION * energy)
    stack = np.empty((_STACK, 3))
    share = 1.0 if is_electron else uniform(state)
    stack[0, 0], stack[0, 1], stack[0, 2] = 1.0, energy * share, top
    stack[1, 0], stack[1, 1], stack[1, 2] = 1.0, energy * (1.0 - share), top
    n_waiting = 2
    place = np.empty(3)
    while n_waiting > 0:
        n_waiting -= 1
        charged, own, depth = stack[n_waiting, 0], stack[n_waiting, 1], stack[n_waiting, 2]
        if own < followed or n_waiting > _STACK - 3:
            path = (height_at(depth * direction[2]) - start[2] - scope.altitude) / direction[2]
            for k in range(3):
                place[k] = start[k] + path * direction[k]
            advance = MEAN_ADVANCE + charged * ELECTRON_ADVANCE
            cascade_light(light, scope, lattice, tables, state, place, direction, own, advance)
            continue
        if charged > 0.5:
            step = exponential(state) / _LUMPS
            own *= math.exp(-_SMOOTH_LOSS * step)
            share = _radiated_share(state)
            second = 0.0
        else:
            step = 9.0 / 7.0 * exponential(state)
            share = uniform(state)
            second = 1.0
        depth += step * RADIATION_LENGTH
        if depth < ground:
            stack[n_waiting, 0], stack[n_waiting, 1], stack[n_waiting, 2] = 1.0, own * (1.0 - share), depth
            n_waiting += 1
            stack[n_waiting, 0], stack[n_waiting, 1], stack[n_waiting, 2] = second, own * share, depth
            n_waiting += 1
