"""Simulated events of the array: what is thrown, what is true, and the light that arrives."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError
from ..instrument.subarray import REFERENCE_LOCATION, TEL_IDS, sst1m_subarray
from .electrons import light_tables
from .light import Light, Telescopes
from .optics import camera_lattice, sky_axes
from .photoelectrons import PhotoElectrons
from .showers import ELECTRON, GAMMA, PROTON, Thrown, simulate_batch

__all__ = [
    "MC_TEL_IDS",
    "PARTICLES",
    "Observatory",
    "ShowerSpec",
    "SimulatedEvents",
    "simulate_batches",
    "simulate_events",
    "sst1m_observatory",
]

#: Telescopes 21 and 22 as simulations number them.
MC_TEL_IDS = (1, 2)
PARTICLES = {"gamma": GAMMA, "electron": ELECTRON, "proton": PROTON}

_CAPACITY = 1_000_000
_LARGEST_CAPACITY = 64_000_000
_N_DEPTHS = 500
_MAX_ZENITH_DEG = 65.0


@dataclass(frozen=True)
class ShowerSpec:
    """
    What to throw at the array, and where it looks.

    Parameters
    ----------
    particle : {"gamma", "electron", "proton"}
        Primary.
    n_showers : int
        To throw, each once.
    energy_min_tev, energy_max_tev, spectral_index : float
        Power law ``E ** spectral_index`` [TeV].
    scatter_radius_m : float
        Axes are spread evenly over a disc of this radius across their own direction [m], so that the area of
        generation is the disc's whatever the zenith angle.
    pointing_alt_deg, pointing_az_deg : float
        Direction of both telescopes [deg], azimuth from north to east.
    view_cone_deg : tuple of float
        Least and largest angle to the pointing, evenly filled [deg]; (0, 0) for a point source.
    offset_deg : float
        Angle of a point source to the pointing [deg].
    offset_angle_deg : float or None
        Position angle of the point source, from growing altitude towards growing azimuth [deg]; None spreads
        the showers around the ring.
    seed : int
        Same seed, same events, however they are grouped into batches.
    """

    particle: Literal["gamma", "electron", "proton"]
    n_showers: int
    energy_min_tev: float = 0.5
    energy_max_tev: float = 100.0
    spectral_index: float = -2.0
    scatter_radius_m: float = 400.0
    pointing_alt_deg: float = 70.0
    pointing_az_deg: float = 180.0
    view_cone_deg: tuple[float, float] = (0.0, 0.0)
    offset_deg: float = 0.0
    offset_angle_deg: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        checks = {
            f"particle must be one of {sorted(PARTICLES)}": self.particle in PARTICLES,
            "n_showers must not be negative": self.n_showers >= 0,
            "0.05 <= energy_min_tev <= energy_max_tev": 0.05 <= self.energy_min_tev <= self.energy_max_tev,
            "scatter_radius_m must be positive": self.scatter_radius_m > 0,
            f"the zenith angle must be below {_MAX_ZENITH_DEG:g} deg": (
                90 - _MAX_ZENITH_DEG <= self.pointing_alt_deg <= 90
            ),
            "0 <= view cone minimum <= maximum <= 10 deg": (
                0 <= self.view_cone_deg[0] <= self.view_cone_deg[1] <= 10
            ),
            "offset_deg is for point sources, without a view cone": (
                self.offset_deg == 0 or self.view_cone_deg == (0, 0)
            ),
        }
        if broken := [text for text, fulfilled in checks.items() if not fulfilled]:
            raise ConfigError(f"These showers cannot be simulated: {'; '.join(broken)}; got {self}")

    @property
    def is_point_source(self) -> bool:
        """Whether all showers come from one angle to the pointing."""
        return self.view_cone_deg[1] == 0

    @property
    def primary_id(self) -> int:
        """CORSIKA's code of the particle as ctapipe's files carry it: 0 gamma, 1 electron, 101 proton."""
        return PARTICLES[self.particle]


@dataclass(frozen=True, eq=False)
class Observatory:
    """
    Where the telescopes stand.

    Parameters
    ----------
    positions : mapping of int to ndarray, shape=(3,)
        North, west and up from the centre of the array [m], by telescope.
    altitude_m : float
        Of the centre above sea level [m].
    mirror_area_m2 : float
        Of each telescope [m2].
    """

    positions: Mapping[int, NDArray[np.float64]]
    altitude_m: float
    mirror_area_m2: float = 9.41809

    def looking_at(self, spec: ShowerSpec) -> Telescopes:
        """Return the telescopes pointed as a specification says, for the kernels."""
        axes = sky_axes(np.deg2rad(spec.pointing_alt_deg), np.deg2rad(spec.pointing_az_deg))
        position = np.array([self.positions[t] for t in self.positions], dtype=np.float64)
        return Telescopes(position, axes, self.altitude_m, self.mirror_area_m2)


@cache
def sst1m_observatory() -> Observatory:
    """Return the two telescopes at Ondrejov under their numbers in simulations, 1 and 2."""
    positions = sst1m_subarray().positions
    return Observatory(
        {mc: positions[data].to_value("m") for mc, data in zip(MC_TEL_IDS, TEL_IDS, strict=True)},
        float(REFERENCE_LOCATION.height.to_value("m")),
    )


@dataclass(frozen=True, eq=False)
class SimulatedEvents:
    """
    Showers with light, and how many were thrown for them.

    Attributes
    ----------
    spec : ShowerSpec
        What was thrown.
    n_thrown : int
        Showers simulated, with light or without.
    thrown_energy, thrown_core_distance : ndarray, shape=(n_thrown,)
        Of all showers [TeV] and [m], the distance of the axis to the centre of the array.
    number : ndarray of int64, shape=(n_events,)
        Number of the shower within its specification, from 0.
    energy : ndarray, shape=(n_events,)
        [TeV].
    alt, az : ndarray, shape=(n_events,)
        Direction of origin [rad].
    core_x, core_y : ndarray, shape=(n_events,)
        Where the axis meets the ground, north and west [m].
    h_first_int : ndarray, shape=(n_events,)
        Height of the first interaction above sea level [m].
    x_max : ndarray, shape=(n_events,)
        Slant depth of the largest number of electrons [g/cm2].
    light : dict of int to PhotoElectrons
        By telescope, all events, some of them without light.
    arrival_ns : dict of int to ndarray, shape=(n_events,)
        Mean arrival of the light after the shower plane passes the centre of the array; NaN without light.
    impact_m : dict of int to ndarray, shape=(n_events,)
        Distance of the telescope to the shower axis [m].
    """

    spec: ShowerSpec
    n_thrown: int
    thrown_energy: NDArray[np.float64]
    thrown_core_distance: NDArray[np.float64]
    number: NDArray[np.int64]
    energy: NDArray[np.float64]
    alt: NDArray[np.float64]
    az: NDArray[np.float64]
    core_x: NDArray[np.float64]
    core_y: NDArray[np.float64]
    h_first_int: NDArray[np.float64]
    x_max: NDArray[np.float64]
    light: dict[int, PhotoElectrons]
    arrival_ns: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    impact_m: dict[int, NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.number)

    @property
    def primary_id(self) -> int:
        """CORSIKA's code of the particle as ctapipe's files carry it."""
        return self.spec.primary_id


def _thrown(spec: ShowerSpec) -> Thrown:
    cone = np.deg2rad([spec.offset_deg] * 2 if spec.is_point_source else spec.view_cone_deg)
    angle = np.nan if spec.offset_angle_deg is None else np.deg2rad(spec.offset_angle_deg)
    return Thrown(
        spec.primary_id,
        float(spec.energy_min_tev),
        float(spec.energy_max_tev),
        float(spec.spectral_index),
        float(cone[0]),
        float(cone[1]),
        float(angle),
        float(spec.scatter_radius_m),
        int(spec.seed),
    )


def _axis_distance(truth: NDArray[np.float64], position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of a point to the axes of showers [m]."""
    direction = truth[:, 1:4]
    from_core = position - np.column_stack([truth[:, 4], truth[:, 5], np.zeros(len(truth))])
    return np.linalg.norm(np.cross(from_core, direction), axis=1)


def _collect_light(
    light: Light, t: int, ends: NDArray[np.int64], kept: NDArray[np.bool_]
) -> tuple[PhotoElectrons, NDArray[np.float64]]:
    """Return the light of one telescope by event, and the mean arrival that was taken out."""
    n_rows = int(ends[-1]) if len(ends) else 0
    first = np.concatenate([[0], ends[kept]]).astype(np.int64)
    counts = np.diff(first)
    time = light.time[t, :n_rows]
    events = np.repeat(np.arange(len(counts)), counts)
    total = np.bincount(events, weights=time, minlength=len(counts))
    with np.errstate(invalid="ignore"):
        mean = total / np.where(counts > 0, counts, np.nan)
    centred = (time - np.repeat(mean, counts)).astype(np.float32)
    return PhotoElectrons(first, light.pixel[t, :n_rows].copy(), centred), mean


def _collect(
    spec: ShowerSpec,
    observatory: Observatory,
    light: Light,
    first: int,
    truth: NDArray[np.float64],
    ends: NDArray[np.int64],
) -> SimulatedEvents:
    """Return the events of one stretch of showers."""
    kept = np.diff(ends, axis=0, prepend=0).max(axis=1) > 0 if len(ends) else np.zeros(0, dtype=bool)
    images, arrivals = {}, {}
    for t, tel_id in enumerate(observatory.positions):
        images[tel_id], arrivals[tel_id] = _collect_light(light, t, ends[:, t], kept)
    seen = truth[kept]
    return SimulatedEvents(
        spec=spec,
        n_thrown=len(truth),
        thrown_energy=truth[:, 0].copy(),
        thrown_core_distance=_axis_distance(truth, np.zeros(3)),
        number=first + np.flatnonzero(kept),
        energy=seen[:, 0],
        alt=np.arcsin(seen[:, 3]),
        az=np.mod(np.arctan2(-seen[:, 2], seen[:, 1]), 2 * np.pi),
        core_x=seen[:, 4],
        core_y=seen[:, 5],
        h_first_int=seen[:, 6],
        x_max=seen[:, 7],
        light=images,
        arrival_ns=arrivals,
        impact_m={t: _axis_distance(seen, position) for t, position in observatory.positions.items()},
    )


def _empty_light(n_telescopes: int, capacity: int) -> Light:
    return Light(
        np.empty((n_telescopes, capacity), np.int16),
        np.empty((n_telescopes, capacity), np.float64),
        np.zeros(n_telescopes, np.int64),
        np.zeros(_N_DEPTHS),
    )


def simulate_batches(
    spec: ShowerSpec,
    *,
    batch_size: int = 2000,
    min_photoelectrons: int = 30,
    observatory: Observatory | None = None,
) -> Iterator[SimulatedEvents]:
    """
    Yield all showers of a specification in stretches that fit into memory.

    Parameters
    ----------
    spec : ShowerSpec
        What to throw.
    batch_size : int
        Most showers at a time; the events do not depend on it.
    min_photoelectrons : int
        Showers with less light in every telescope are only counted as thrown.
    observatory : Observatory, optional
        Ondrejov where left out.

    Raises
    ------
    ConfigError
        One single shower has more light than fits.
    """
    observatory = observatory or sst1m_observatory()
    scope, lattice, tables, thrown = (
        observatory.looking_at(spec),
        camera_lattice(),
        light_tables(),
        _thrown(spec),
    )
    n_telescopes = len(observatory.positions)
    light = _empty_light(n_telescopes, _CAPACITY)
    first = 0
    while first < spec.n_showers:
        last = min(first + batch_size, spec.n_showers)
        truth, ends = np.empty((last - first, 8)), np.zeros((last - first, n_telescopes), np.int64)
        numbers = (first, last)
        done = simulate_batch(light, scope, lattice, tables, thrown, numbers, min_photoelectrons, truth, ends)
        if done == first:
            if light.pixel.shape[1] >= _LARGEST_CAPACITY:
                raise ConfigError(
                    f"Shower {first} of {spec} has more than {_LARGEST_CAPACITY} photo-electrons; "
                    "lower energy_max_tev"
                )
            light = _empty_light(n_telescopes, 4 * light.pixel.shape[1])
            continue
        yield _collect(spec, observatory, light, first, truth[: done - first], ends[: done - first])
        first = done


def simulate_events(
    spec: ShowerSpec, *, min_photoelectrons: int = 30, observatory: Observatory | None = None
) -> SimulatedEvents:
    """
    Return all showers of a specification at once; for many, `simulate_batches` needs less memory.

    Parameters
    ----------
    spec : ShowerSpec
        What to throw.
    min_photoelectrons : int
        Showers with less light in every telescope are only counted as thrown.
    observatory : Observatory, optional
        Ondrejov where left out.
    """
    observatory = observatory or sst1m_observatory()
    batches = list(simulate_batches(spec, min_photoelectrons=min_photoelectrons, observatory=observatory))
    if len(batches) == 1:
        return batches[0]
    if not batches:
        nothing = _empty_light(len(observatory.positions), 0)
        return _collect(
            spec,
            observatory,
            nothing,
            0,
            np.empty((0, 8)),
            np.empty((0, len(observatory.positions)), np.int64),
        )
    return _join(spec, batches)


def _join(spec: ShowerSpec, batches: list[SimulatedEvents]) -> SimulatedEvents:
    columns = (
        "thrown_energy thrown_core_distance number energy alt az core_x core_y h_first_int x_max".split()
    )
    tel_ids = batches[0].light.keys()
    return SimulatedEvents(
        spec=spec,
        n_thrown=sum(batch.n_thrown for batch in batches),
        **{name: np.concatenate([getattr(batch, name) for batch in batches]) for name in columns},
        light={t: _join_light([batch.light[t] for batch in batches]) for t in tel_ids},
        arrival_ns={t: np.concatenate([batch.arrival_ns[t] for batch in batches]) for t in tel_ids},
        impact_m={t: np.concatenate([batch.impact_m[t] for batch in batches]) for t in tel_ids},
    )


def _join_light(parts: list[PhotoElectrons]) -> PhotoElectrons:
    counts = np.concatenate([part.counts for part in parts])
    return PhotoElectrons(
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        np.concatenate([part.pixel for part in parts]),
        np.concatenate([part.time for part in parts]),
    )
