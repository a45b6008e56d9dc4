"""Showers that reach the telescopes during some seconds of a night, at their real rates."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import astropy.units as u
import numpy as np
from astropy.coordinates import AltAz, SkyCoord
from numpy.typing import NDArray

from ..instrument import TEL_IDS, telescope_location
from ..pointing import offline_earth_orientation
from ..sources import Source
from ..times import ns_to_time
from .events import MC_TEL_IDS, ShowerSpec, SimulatedEvents, simulate_batches
from .night_spec import NightSpec
from .photoelectrons import PhotoElectrons
from .readout import MINIMAL_PE
from .schedule import Group
from .visibility import sky_position

__all__ = ["SkyEvents", "sky_events"]


Particle = Literal["gamma", "proton"]


@dataclass(frozen=True)
class _Population:
    """
    A kind of particle and how many arrive.

    Attributes
    ----------
    norm : float
        dN/dE at 1 TeV [1 / (m2 s TeV)], per steradian for a diffuse flux.
    """

    particle: Particle
    norm: float
    index: float
    energies: tuple[float, float]
    scatter_m: float
    cone_deg: float

    def rate(self) -> float:
        """Return the number of showers per second [Hz]."""
        slope = self.index + 1
        low, high = self.energies
        flux = self.norm * (high**slope - low**slope) / slope
        solid_angle = 2 * np.pi * (1 - np.cos(np.deg2rad(self.cone_deg))) if self.cone_deg else 1.0
        return float(flux * np.pi * self.scatter_m**2 * solid_angle)


#: Crab nebula: power law of HEGRA, ApJ 614 (2004) 897.
_GAMMA = _Population("gamma", 2.83e-7, -2.62, (0.4, 100.0), 400.0, 0.0)
#: Protons: K. Bernloehr et al., Astropart. Phys. 43 (2013) 171.
_PROTON = _Population("proton", 9.8e-2, -2.62, (0.8, 200.0), 450.0, 5.0)


@dataclass(frozen=True)
class SkyEvents:
    """
    Showers with enough light in at least one telescope, in the order of time.

    Attributes
    ----------
    time_ns : ndarray of int64, shape=(n_showers,)
        When the shower's front would pass the centre of the array [ns TAI since 1970].
    arrival_ns : dict of int to ndarray of int64, shape=(n_showers,)
        When the front reaches each telescope.
    light : dict of int to PhotoElectrons
        By telescope.
    truth : dict of str to ndarray, shape=(n_showers,)
        ``particle``, ``energy`` [TeV], ``alt`` and ``az`` [deg], ``core_x`` and ``core_y`` [m].
    n_thrown : dict of str to int
        Showers thrown, by particle.
    """

    time_ns: NDArray[np.int64]
    arrival_ns: dict[int, NDArray[np.int64]]
    light: dict[int, PhotoElectrons]
    truth: dict[str, NDArray]
    n_thrown: dict[str, int]

    def __len__(self) -> int:
        return len(self.time_ns)


@dataclass(frozen=True)
class _Part:
    """Truth of some showers; arrival after the centre of the array [ns] and light by telescope."""

    truth: dict[str, NDArray]
    arrival: dict[int, NDArray[np.float64]]
    light: dict[int, PhotoElectrons]


def sky_events(
    spec: NightSpec, group: Group, progress: Callable[[int, int], object] | None = None
) -> SkyEvents:
    """
    Return the showers during a group of runs: gamma rays of the source, and protons from everywhere.

    Parameters
    ----------
    spec : NightSpec
        Fluxes and seed.
    group : Group
        Pointing and time; dark runs and transitions see no showers.
    progress : callable, optional
        Called with (showers thrown, all showers).
    """
    rng = np.random.default_rng([spec.seed, group.number, 31])
    seconds = (group.stop_ns - group.start_ns) / 1e9
    wanted = [
        (population, int(rng.poisson(population.rate() * seconds * scale)))
        for population, scale in ((_GAMMA, spec.flux), (_PROTON, spec.background))
        if group.kind == "science"
    ]
    total = sum(number for _, number in wanted)
    parts: list[_Part] = []
    thrown = 0
    for population, number in wanted:
        for events in simulate_batches(
            _shower_spec(spec, group, population, number), min_photoelectrons=MINIMAL_PE
        ):
            parts.append(_part(events))
            thrown += events.n_thrown
            if progress:
                progress(thrown, total)
    return _in_order(group, parts, {population.particle: number for population, number in wanted}, rng)


def _shower_spec(spec: NightSpec, group: Group, population: _Population, number: int) -> ShowerSpec:
    """Return what is to be thrown, seen from the telescopes in the middle of their runs."""
    axis, source = _horizontal(spec.source, group)
    stream = np.random.SeedSequence([spec.seed, group.number, *population.particle.encode()])
    diffuse = population.cone_deg > 0
    return ShowerSpec(
        particle=population.particle,
        n_showers=number,
        energy_min_tev=population.energies[0],
        energy_max_tev=population.energies[1],
        spectral_index=population.index,
        scatter_radius_m=population.scatter_m,
        pointing_alt_deg=float(axis.alt.deg),
        pointing_az_deg=float(axis.az.deg),
        view_cone_deg=(0.0, population.cone_deg),
        offset_deg=0.0 if diffuse else float(axis.separation(source).deg),
        offset_angle_deg=None if diffuse else float(axis.position_angle(source).deg),
        seed=int(stream.generate_state(1)[0]),
    )


def _horizontal(source: Source, group: Group) -> tuple[SkyCoord, SkyCoord]:
    """Return the optical axis and the source in horizontal coordinates, in the middle of the runs."""
    middle = ns_to_time((group.start_ns + group.stop_ns) // 2)
    axis = SkyCoord(group.ra_deg * u.deg, group.dec_deg * u.deg, frame="icrs")
    with offline_earth_orientation():
        frame = AltAz(obstime=middle, location=telescope_location(TEL_IDS[0]))
        # without the frame's observer the two directions are compared as they stand on the sky
        horizontal = [position.transform_to(frame) for position in (axis, sky_position(source))]
    return horizontal[0], horizontal[1]


def _part(events: SimulatedEvents) -> _Part:
    """Return truth, arrival and light of a batch, under the numbers of the telescopes in data."""
    truth = {
        "particle": np.full(len(events), events.spec.particle),
        "energy": events.energy,
        "alt": np.rad2deg(events.alt),
        "az": np.rad2deg(events.az),
        "core_x": events.core_x,
        "core_y": events.core_y,
    }
    pairs = tuple(zip(TEL_IDS, MC_TEL_IDS, strict=True))
    # a telescope without light never triggers, so any time will do
    arrival = {data: np.nan_to_num(events.arrival_ns[mc]) for data, mc in pairs}
    return _Part(truth, arrival, {data: events.light[mc] for data, mc in pairs})


def _in_order(
    group: Group, parts: list[_Part], n_thrown: dict[str, int], rng: np.random.Generator
) -> SkyEvents:
    """Give the showers their times, and put them in order."""
    truth = {
        name: np.concatenate([part.truth[name] for part in parts]) if parts else np.zeros(0)
        for name in ("particle", "energy", "alt", "az", "core_x", "core_y")
    }
    times = rng.integers(group.start_ns, group.stop_ns, len(truth["energy"]))
    order = np.argsort(times, kind="stable")
    arrival, light = {}, {}
    for tel_id in TEL_IDS:
        after = np.concatenate([part.arrival[tel_id] for part in parts] or [np.zeros(0)])
        arrival[tel_id] = times[order] + np.rint(after[order]).astype(np.int64)
        light[tel_id] = PhotoElectrons.concatenate([part.light[tel_id] for part in parts]).take(order)
    truth = {name: values[order] for name, values in truth.items()}
    return SkyEvents(times[order], arrival, light, truth, n_thrown)
