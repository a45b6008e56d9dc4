"""Cherenkov light of cascades and muons in the telescopes, photo-electron by photo-electron.

All positions are metres in ctapipe's ground frame (north, west, up) about the centre of the array. A particle
or cascade has a position and a direction, which is the unit vector *up* its track, towards the sky.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .atmosphere import density_at, depth_at, height_at, refractivity_at, transmission_at
from .electrons import LightTables, angular_density, sample_energy
from .optics import CameraLattice, focal_position, pixel_at
from .random_numbers import exponential, normal, poisson, uniform, von_mises

__all__ = ["Light", "Telescopes", "cascade_light", "mean_electrons", "muon_light"]

#: Radiation length of air [g/cm2] and critical energy [GeV] of Greisen's formula.
RADIATION_LENGTH = 36.66
CRITICAL_ENERGY = 0.081
#: Below this a cascade has no light of its own [GeV].
SMALLEST_ENERGY = 0.4
PROFILE_STEP = 5.0

#: TUNED: photo-electrons per photon of 300-540 nm that falls on the mirror. One number for mirror, shadowing,
#: window, light concentrators, gaps and the detection efficiency of the sensors; fixed with the real events.
DETECTION_EFFICIENCY = 0.205
#: TUNED: lateral displacement of an electron in radiation lengths per radian of its angle; fixed with the
#: widths of the real images.
LATERAL_SCALE = 0.62

_BAND = 1.0 / 300e-9 - 1.0 / 540e-9
#: Photo-electrons per metre of track, per n - 1 (Frank-Tamm, sin^2 = 2 (n - 1)).
_YIELD = 2.0 * math.pi / 137.036 * 2.0 * _BAND * DETECTION_EFFICIENCY
_STEP = 1.0
_CORRELATION = 0.8
#: Steps that promise less light than this give none.
_NEGLIGIBLE = 1e-4
_SPEED = 0.299792458
#: (n - 1) over depth: how much refraction delays light [m per g/cm2].
_DELAY = 2.83e-4 / (1222.6562 / 994186.38) / 100.0
_FRONT_DELAY, _MIRROR_SPREAD = 0.8, 0.4
_MUON_MASS, _MIRROR_RADIUS = 0.10566, 1.73
_MUON_REACH, _MUON_BLUR = 160.0, 0.8e-3


class Telescopes(NamedTuple):
    """
    The telescopes that look at the showers.

    Attributes
    ----------
    position : ndarray, shape=(n_telescopes, 3)
        North, west, up from the centre of the array [m].
    axes : ndarray, shape=(3, 3)
        Where all of them point, from `optics.sky_axes`.
    altitude : float
        Of the centre of the array above sea level [m].
    mirror_area : float
        Of each [m2].
    """

    position: NDArray[np.float64]
    axes: NDArray[np.float64]
    altitude: float
    mirror_area: float


class Light(NamedTuple):
    """
    Where kernels put photo-electrons.

    Attributes
    ----------
    pixel : ndarray of int16, shape=(n_telescopes, capacity)
        Pixel ids.
    time : ndarray of float64, shape=(n_telescopes, capacity)
        Arrival after the shower plane passes the centre of the array [ns].
    count : ndarray of int64, shape=(n_telescopes,)
        Rows in use; more than the capacity where rows were lost.
    profile : ndarray, shape=(n_depths,)
        Electrons in steps of 5 g/cm2 of slant depth.
    """

    pixel: NDArray[np.int16]
    time: NDArray[np.float64]
    count: NDArray[np.int64]
    profile: NDArray[np.float64]


@njit(cache=True)
def mean_electrons(energy: float, depth: float) -> tuple[float, float]:
    """
    Return the number of electrons of a cascade and its age (Greisen 1956).

    Parameters
    ----------
    energy : float
        Of the photon that starts it [GeV].
    depth : float
        Since then [radiation lengths].
    """
    beta = math.log(energy / CRITICAL_ENERGY)
    if depth <= 0.0:
        return 0.0, 0.0
    age = 3.0 * depth / (depth + 2.0 * beta)
    return 0.31 / math.sqrt(beta) * math.exp(depth * (1.0 - 1.5 * math.log(age))), age


@njit(cache=True)
def _keep(light: Light, t: int, pixel: int, time: float) -> None:
    row = light.count[t]
    if row < light.pixel.shape[1]:
        light.pixel[t, row], light.time[t, row] = pixel, time
    light.count[t] = row + 1


@njit(cache=True)
def _record(
    light: Light,
    scope: Telescopes,
    lattice: CameraLattice,
    state: NDArray[np.uint64],
    t: int,
    ray: tuple[float, float, float],
    emitted: float,
) -> None:
    """Put one photo-electron of telescope t in its pixel; `ray` leads from the mirror to the emission."""
    length = math.sqrt(ray[0] ** 2 + ray[1] ** 2 + ray[2] ** 2)
    x, y = focal_position(scope.axes, ray[0] / length, ray[1] / length, ray[2] / length, state)
    pixel = pixel_at(lattice, x, y)
    if pixel < 0:
        return
    low = scope.altitude + scope.position[t, 2]
    column = (depth_at(low) - depth_at(low + ray[2])) * length / ray[2]
    arrival = emitted + (length + _DELAY * column) / _SPEED
    _keep(light, t, pixel, arrival + _FRONT_DELAY * exponential(state) + _MIRROR_SPREAD * normal(state))


@njit(cache=True)
def _perpendicular(x: float, y: float, z: float) -> tuple[float, float, float]:
    """Return a unit vector across a unit vector that is not horizontal."""
    norm = math.sqrt(x * x + z * z)
    return z / norm, 0.0, -x / norm


@njit(cache=True)
def _displacement(
    tables: LightTables,
    state: NDArray[np.uint64],
    refractivity: float,
    age: float,
    angle: float,
    radiation_length: float,
) -> tuple[float, float]:
    """
    Return how far the electron behind a photon is from the axis [m], towards the telescope and across.

    The electron and its photon differ by the Cherenkov angle, in an azimuth about the photon that prefers
    small electron angles; the displacement follows the electron's angle.
    """
    row = sample_energy(tables, state, refractivity, age, angle)
    spread = tables.spread[row]
    cone = math.sqrt(2.0 * refractivity)
    azimuth = von_mises(state, min(angle * cone / spread**2, 1e6))
    ahead = angle - cone * math.cos(azimuth)
    across = cone * math.sin(azimuth)
    scale = LATERAL_SCALE * radiation_length
    rest = math.sqrt(1.0 - _CORRELATION**2) * spread
    return (
        scale * (_CORRELATION * ahead + rest * normal(state)),
        scale * (_CORRELATION * across + rest * normal(state)),
    )


@njit(cache=True)
def _step_light(
    light: Light,
    scope: Telescopes,
    lattice: CameraLattice,
    tables: LightTables,
    state: NDArray[np.uint64],
    place: NDArray[np.float64],
    direction: NDArray[np.float64],
    track: float,
    age: float,
) -> None:
    """Make the light of one step: `track` is the summed path of the electrons [m] about a place."""
    index = refractivity_at(place[2] + scope.altitude)
    for t in range(scope.position.shape[0]):
        vx, vy = place[0] - scope.position[t, 0], place[1] - scope.position[t, 1]
        vz = place[2] - scope.position[t, 2]
        distance = math.sqrt(vx * vx + vy * vy + vz * vz)
        along = vx * direction[0] + vy * direction[1] + vz * direction[2]
        if along < 50.0:
            continue
        # vector from the telescope to the axis, across it
        ax, ay, az = vx - along * direction[0], vy - along * direction[1], vz - along * direction[2]
        off = math.sqrt(ax * ax + ay * ay + az * az)
        angle = math.atan2(off, along)
        density = angular_density(tables, index, age, angle)
        if density <= 0.0:
            continue
        mean = _YIELD * index * track * density * scope.mirror_area / (distance * distance)
        if mean < _NEGLIGIBLE:
            continue
        mean *= transmission_at(place[2] + scope.altitude, scope.altitude, vz / distance)
        count = poisson(state, mean)
        if count == 0:
            continue
        length = RADIATION_LENGTH / density_at(place[2] + scope.altitude) / 100.0
        if off > 1e-6:
            ux, uy, uz = -ax / off, -ay / off, -az / off
        else:
            ux, uy, uz = _perpendicular(direction[0], direction[1], direction[2])
        wx = direction[1] * uz - direction[2] * uy
        wy = direction[2] * ux - direction[0] * uz
        wz = direction[0] * uy - direction[1] * ux
        emitted = -(place[0] * direction[0] + place[1] * direction[1] + place[2] * direction[2]) / _SPEED
        for _ in range(count):
            near, side = _displacement(tables, state, index, age, angle, length)
            shift = _STEP * length * (uniform(state) - 0.5)
            ray = (
                vx + near * ux + side * wx + shift * direction[0],
                vy + near * uy + side * wy + shift * direction[1],
                vz + near * uz + side * wz + shift * direction[2],
            )
            if ray[2] > 10.0:
                _record(light, scope, lattice, state, t, ray, emitted - shift / _SPEED)


@njit(cache=True)
def cascade_light(
    light: Light,
    scope: Telescopes,
    lattice: CameraLattice,
    tables: LightTables,
    state: NDArray[np.uint64],
    start: NDArray[np.float64],
    direction: NDArray[np.float64],
    energy: float,
    advance: float,
) -> None:
    """
    Add the light of one electromagnetic cascade.

    Parameters
    ----------
    light, scope, lattice, tables, state
        Where the light goes, the telescopes, and the random numbers.
    start, direction : ndarray, shape=(3,)
        Where it begins [m] and the way up its axis.
    energy : float
        [GeV].
    advance : float
        Age at the start, in radiation lengths of a cascade that began higher up.
    """
    if energy < SMALLEST_ENERGY:
        return
    cosine = direction[2]
    first = depth_at(start[2] + scope.altitude)
    ground = depth_at(scope.altitude)
    beta = math.log(energy / CRITICAL_ENERGY)
    place = np.empty(3)
    n_steps = int((2.5 * beta + 12.0) / _STEP)
    for i in range(n_steps):
        travelled = _STEP * (i + 0.5)
        below = first + travelled * RADIATION_LENGTH * cosine
        if below >= ground:
            return
        number, age = mean_electrons(energy, travelled + advance)
        if number < 0.05:
            continue
        height = height_at(below)
        path = (start[2] + scope.altitude - height) / cosine
        for k in range(3):
            place[k] = start[k] - path * direction[k]
        step = _STEP * RADIATION_LENGTH / density_at(height) / 100.0
        slant = min(int(below / cosine / PROFILE_STEP), len(light.profile) - 1)
        light.profile[slant] += number
        _step_light(light, scope, lattice, tables, state, place, direction, number * step, age)


@njit(cache=True)
def _muon_point(state: NDArray[np.uint64], px: float, py: float, distance: float) -> tuple[float, float]:
    """
    Return where light of a muon hits the mirror, as the offset from the track [m].

    The light thins out as one over the distance to the track, which only matters near to it.
    """
    nearest = max(distance - _MIRROR_RADIUS, 0.15)
    while True:
        radius = _MIRROR_RADIUS * math.sqrt(uniform(state))
        azimuth = 2.0 * math.pi * uniform(state)
        qx, qy = px + radius * math.cos(azimuth), py + radius * math.sin(azimuth)
        if uniform(state) * max(math.sqrt(qx * qx + qy * qy), nearest) <= nearest:
            return qx, qy


@njit(cache=True)
def _muon_emission(
    altitude: float, distance: float, cosine: float, energy: float, length: float
) -> tuple[float, float, float]:
    """
    Return slope, intensity and height of the muon's light that arrives at a distance to the track [m].

    The slope is the tangent of the Cherenkov angle, the intensity in units of photo-electrons per metre; no
    light, 0, where it would have had to be emitted above the muon's birth.
    """
    slope, intensity, height = 0.02, 0.0, altitude
    for _ in range(3):
        if distance > slope * length:
            return slope, 0.0, height
        height = altitude + distance / slope * cosine
        index = refractivity_at(height)
        excess = 1.0 - _MUON_MASS**2 / (energy * energy * 2.0 * index)
        if excess <= 0.01:
            return slope, 0.0, height
        slope = math.sqrt(2.0 * index * excess)
        intensity = _YIELD * index * excess
    return slope, intensity if distance <= slope * length else 0.0, height


@njit(cache=True)
def muon_light(
    light: Light,
    scope: Telescopes,
    lattice: CameraLattice,
    state: NDArray[np.uint64],
    start: NDArray[np.float64],
    direction: NDArray[np.float64],
    energy: float,
) -> None:
    """
    Add the light of a muon [GeV] that flies straight to the ground.

    Its light at the distance R from the track was emitted R / tan(Cherenkov angle) higher up, and N photons
    per metre spread over the circle give ``N / (2 pi R tan(angle))`` per square metre.
    """
    ex, ey, ez = _perpendicular(direction[0], direction[1], direction[2])
    fx, fy = direction[1] * ez - direction[2] * ey, direction[2] * ex - direction[0] * ez
    fz = direction[0] * ey - direction[1] * ex
    top = start[0] * direction[0] + start[1] * direction[1] + start[2] * direction[2]
    for t in range(scope.position.shape[0]):
        vx, vy = scope.position[t, 0] - start[0], scope.position[t, 1] - start[1]
        vz = scope.position[t, 2] - start[2]
        px, py = vx * ex + vy * ey + vz * ez, vx * fx + vy * fy + vz * fz
        distance = math.sqrt(px * px + py * py)
        below = -(vx * direction[0] + vy * direction[1] + vz * direction[2])
        if distance > _MUON_REACH or below < 50.0:
            continue
        slope, intensity, height = _muon_emission(scope.altitude, distance, direction[2], energy, below)
        if intensity == 0.0:
            continue
        area = scope.mirror_area / (2.0 * math.pi * math.hypot(distance, 0.5 * _MIRROR_RADIUS))
        mean = intensity * area / slope * transmission_at(height, scope.altitude, direction[2])
        for _ in range(poisson(state, mean)):
            qx, qy = _muon_point(state, px, py, distance)
            up = math.sqrt(qx * qx + qy * qy) / slope
            a = -qx + up * _MUON_BLUR * normal(state)
            b = -qy + up * _MUON_BLUR * normal(state)
            ray = (
                up * direction[0] + a * ex + b * fx,
                up * direction[1] + a * ey + b * fy,
                up * direction[2] + a * ez + b * fz,
            )
            if ray[2] > 1.0:
                _record(light, scope, lattice, state, t, ray, (below - up - top) / _SPEED)
