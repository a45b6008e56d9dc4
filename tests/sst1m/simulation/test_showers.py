"""Simulated showers: the physics against reference numbers, and real sim_telarray events against them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ctapipe.instrument import FocalLengthKind
from ctapipe.io import SimTelEventSource

from sst1m.errors import ConfigError
from sst1m.image import CameraTables, CleaningOptions, clean_block, parametrize_block
from sst1m.instrument import N_PIXELS, camera_geometry
from sst1m.instrument.camera import pixel_positions
from sst1m.simulation import atmosphere
from sst1m.simulation.electrons import angular_density, fraction_above, light_tables
from sst1m.simulation.events import (
    Observatory,
    ShowerSpec,
    SimulatedEvents,
    simulate_batches,
    simulate_events,
)
from sst1m.simulation.light import mean_electrons
from sst1m.simulation.optics import camera_lattice, pixel_at
from sst1m.simulation.truth import true_images

POINT = ShowerSpec("gamma", 300, energy_min_tev=1, offset_deg=0.5, seed=7)


def _parameters(image: np.ndarray) -> dict[str, np.ndarray]:
    """Parametrise images without noise, pixels of few photo-electrons left out."""
    tables = CameraTables.from_geometry(camera_geometry())
    image, time = image.astype(np.float32), np.zeros(image.shape, dtype=np.float32)
    options = CleaningOptions(
        boundary_threshold=3, min_picture_neighbors=1, time_limit=None, min_time_neighbors=0
    )
    mask = clean_block(image, time, tables, options, np.full((1, N_PIXELS), 6, dtype=np.float32))
    return parametrize_block(image, time, mask, tables, seed=0)


def _columns(events: SimulatedEvents) -> list[np.ndarray]:
    truth = [events.energy, events.alt, events.az, events.core_x, events.h_first_int, events.x_max]
    light = [(pe.first, pe.pixel, pe.time) for pe in events.light.values()]
    return [events.number, *truth, *(column for columns in light for column in columns)]


def test_atmosphere_is_the_us_standard() -> None:
    # CORSIKA's tables: depth at sea level; U.S. standard atmosphere 1976: density at 0 and 10 km
    assert atmosphere.depth(0.0) == pytest.approx(1036.1, abs=0.1)
    assert atmosphere.depth(511.195) == pytest.approx(974.8, abs=1.0)
    assert atmosphere.density(0.0) == pytest.approx(1.225e-3, rel=0.01)
    assert atmosphere.density(10_000.0) == pytest.approx(4.135e-4, rel=0.04)
    assert np.rad2deg(atmosphere.cherenkov_angle(8000.0)) == pytest.approx(0.89, abs=0.02)
    assert atmosphere.air_mass(60.0) == pytest.approx(2.0)
    heights = np.array([0.0, 3999, 4001, 9999, 10_001, 39_000, 60_000, 104_000])
    np.testing.assert_allclose(atmosphere.height_of_depth(atmosphere.depth(heights)), heights, atol=0.5)


def test_atmosphere_scatters_more_light_from_higher_up_and_from_the_side() -> None:
    transmission = atmosphere.transmission([2000, 8000, 15_000], 511.0, 1.0)
    assert np.all(np.diff(transmission) < 0)
    assert 0.6 < transmission[1] < 0.85
    assert atmosphere.transmission(8000, 511.0, 0.5) == pytest.approx(transmission[1] ** 2)


def test_mean_cascade_is_greisens() -> None:
    depth = np.arange(0.1, 40, 0.05)
    number = np.array([mean_electrons(1000.0, t)[0] for t in depth])
    # Greisen: maximum at ln(E / critical energy), 0.31 E / critical energy / sqrt(that) electrons, age 1
    expected = np.log(1000 / 0.081)
    assert depth[number.argmax()] == pytest.approx(expected, abs=0.1)
    assert number.max() == pytest.approx(0.31 / np.sqrt(expected) * 1000 / 0.081, rel=0.01)
    assert mean_electrons(1000.0, expected)[1] == pytest.approx(1.0)


def test_electron_energies_are_hillas() -> None:
    # at the maximum about a third of the track length is above the critical energy of air (Hillas 1982)
    above = fraction_above(np.array([20.0, 80.0, 1000.0]), 1.0)
    assert 0.25 < above[1] < above[0] < 0.75
    assert above[2] < 0.05


def test_light_falls_off_beyond_the_cherenkov_angle() -> None:
    tables, index = light_tables(), float(atmosphere.refractivity(8000.0))
    cone = np.sqrt(2 * index)
    density = np.array([angular_density(tables, index, 1.0, x * cone) for x in (0.0, 1.0, 2.0, 4.0, 25.0)])
    # a ring at the Cherenkov angle, blurred, and a steep fall outside it
    assert density[1] > density[0] > 2 * density[2] > 4 * density[3] > 0
    assert density[4] == 0
    # all light is within the table: it adds up to what the electrons above threshold radiate
    angle = np.linspace(0, 0.3, 3000)
    light = [angular_density(tables, index, 1.0, x) for x in angle]
    total = np.trapezoid(2 * np.pi * angle * light, angle)
    threshold = 0.511 / cone
    assert 0.4 * fraction_above(np.array(threshold), 1.0) < total < fraction_above(np.array(threshold), 1.0)


def test_pixels_are_found_from_positions() -> None:
    x, y = pixel_positions()
    lattice = camera_lattice()
    assert [pixel_at(lattice, *at) for at in zip(x, y, strict=True)] == list(range(N_PIXELS))
    rng = np.random.default_rng(1)
    for px, py in rng.uniform(-0.55, 0.55, (500, 2)):
        distance = np.hypot(px - x, py - y)
        found = pixel_at(lattice, px, py)
        if found >= 0:
            assert found == distance.argmin()
        else:
            assert distance.min() > 0.0121


def test_events_depend_on_the_seed_alone() -> None:
    whole = simulate_events(POINT)
    for one, other in zip(_columns(whole), _columns(simulate_events(POINT)), strict=True):
        np.testing.assert_array_equal(one, other)
    parts = list(simulate_batches(POINT, batch_size=7))
    assert len(parts) > 40
    joined = zip(*(_columns(part) for part in parts), strict=True)
    for one, pieces in zip(_columns(whole)[:7], list(joined)[:7], strict=True):
        np.testing.assert_array_equal(one, np.concatenate(pieces))
    for tel_id in (1, 2):
        pixels = np.concatenate([part.light[tel_id].pixel for part in parts])
        np.testing.assert_array_equal(whole.light[tel_id].pixel, pixels)
    other = simulate_events(replace(POINT, seed=8))
    assert not np.array_equal(other.energy[:10], whole.energy[:10])


def test_all_showers_are_accounted_for() -> None:
    events = simulate_events(replace(POINT, n_showers=1500, scatter_radius_m=900))
    assert events.n_thrown == len(events.thrown_energy) == 1500 > len(events) > 100
    # even in area: half of the axes within the radius over the root of two
    assert np.mean(events.thrown_core_distance < 900 / np.sqrt(2)) == pytest.approx(0.5, abs=0.05)
    # E^-2: half of the showers below 2 / (1 + 1/100) times the least energy
    assert np.median(events.thrown_energy) == pytest.approx(2 / 1.01, rel=0.1)
    np.testing.assert_array_equal(events.energy, events.thrown_energy[events.number])
    for tel_id, light in events.light.items():
        assert len(light) == len(events) == len(events.impact_m[tel_id])
    assert np.all(np.maximum(*(pe.counts for pe in events.light.values())) >= 30)


def test_point_source_and_view_cone() -> None:
    def separation(events: SimulatedEvents) -> np.ndarray:
        alt, az = np.deg2rad([POINT.pointing_alt_deg, POINT.pointing_az_deg])
        cosine = np.sin(events.alt) * np.sin(alt) + np.cos(events.alt) * np.cos(alt) * np.cos(events.az - az)
        return np.rad2deg(np.arccos(cosine))

    np.testing.assert_allclose(separation(simulate_events(POINT)), 0.5, atol=1e-5)
    cone = separation(simulate_events(replace(POINT, offset_deg=0, view_cone_deg=(1, 3))))
    assert cone.min() > 1 and cone.max() < 3
    with pytest.raises(ConfigError, match="view cone"):
        replace(POINT, view_cone_deg=(0, 3))


def test_both_telescopes_see_the_same_shower() -> None:
    events = simulate_events(
        replace(POINT, n_showers=400, scatter_radius_m=100, energy_min_tev=10, offset_deg=0)
    )
    x, y = pixel_positions()
    cog = {}
    for tel_id, light in events.light.items():
        image = true_images(light)
        cog[tel_id] = np.stack([image @ x, image @ y]) / image.sum(axis=1)
    # seen from 155 m apart, the maximum about 7 km away moves by about 1.3 deg, along the line of telescopes
    apart = np.rad2deg(np.hypot(*(cog[1] - cog[2])) / 5.697)
    assert 0.9 < np.median(apart) < 2.0
    # the arrival times differ by what the direction of the source says, to a few nanoseconds
    positions = np.array([[-71.38, -30.43, -1.43], [71.38, 30.43, 1.42]])
    direction = [-np.cos(np.deg2rad(70)), 0, np.sin(np.deg2rad(70))]
    expected = -np.diff(positions @ direction)[0] / 0.299792458
    delay = events.arrival_ns[2] - events.arrival_ns[1]
    assert np.median(delay) == pytest.approx(expected, abs=5)
    assert np.abs(events.light[1].time).max() < 1000


def test_protons_are_wider_and_more_irregular_than_gammas() -> None:
    gammas = ShowerSpec("gamma", 250, 3, 10, scatter_radius_m=200, seed=5)
    protons = ShowerSpec("proton", 400, 9, 30, scatter_radius_m=200, seed=5)
    parameters = {}
    for name, spec in {"gamma": gammas, "proton": protons}.items():
        light = simulate_events(spec).light[1]
        chosen = _parameters(true_images(light.take(np.flatnonzero(light.counts > 300))))
        parameters[name] = chosen
        assert len(chosen["camera_frame_hillas_width"]) > 50
    width = {name: np.nanmedian(p["camera_frame_hillas_width"]) for name, p in parameters.items()}
    spread = {name: np.nanstd(p["camera_frame_hillas_width"]) for name, p in parameters.items()}
    islands = {name: p["morphology_n_islands"].mean() for name, p in parameters.items()}
    assert width["proton"] > 1.2 * width["gamma"]
    assert spread["proton"] > 1.5 * spread["gamma"]
    assert islands["proton"] > islands["gamma"]


def test_protons_give_less_light_than_gammas_of_the_same_energy() -> None:
    light = {}
    for particle in ("gamma", "proton"):
        spec = ShowerSpec(particle, 400, 10, 10, scatter_radius_m=300, seed=4)
        light[particle] = simulate_events(spec, min_photoelectrons=0).light[1].counts.mean()
    assert 0.3 < light["proton"] / light["gamma"] < 0.9


def test_electrons_look_like_gammas() -> None:
    light = {}
    for particle in ("gamma", "electron"):
        spec = ShowerSpec(particle, 300, 2, 2, scatter_radius_m=150, seed=3)
        light[particle] = np.median(simulate_events(spec).light[1].counts)
    assert light["electron"] == pytest.approx(light["gamma"], rel=0.25)


@pytest.fixture(scope="module")
def real_events(shared_data: Path) -> list[tuple[float, float, np.ndarray]]:
    """Energy [TeV], distance to the axis [m] and photo-electrons by pixel of real sim_telarray events."""
    path = shared_data / "simtel" / "simtel_test_file.simtel.gz"
    with SimTelEventSource(path, focal_length_choice=FocalLengthKind.EQUIVALENT) as source:
        return [
            (
                event.simulation.shower.energy.to_value("TeV"),
                seen.impact.distance.to_value("m"),
                seen.true_image,
            )
            for event in source
            for seen in event.simulation.tel.values()
        ]


def test_real_events_are_inside_the_simulated_distributions(
    real_events: list[tuple[float, float, np.ndarray]],
) -> None:
    # vertical gammas at 2150 m above sea level, of the same energy and distance, true images of both
    observatory = Observatory({1: np.zeros(3)}, 2150.0)
    inside = []
    for energy, distance, image in real_events:
        radius = distance + 15
        spec = ShowerSpec("gamma", 700, energy, energy, -2.0, radius, 90, 0, seed=3)
        events = simulate_events(spec, observatory=observatory)
        near = np.flatnonzero(np.abs(events.impact_m[1] - distance) < 15)
        assert len(near) > 40
        simulated = _parameters(true_images(events.light[1].take(near)))
        real = _parameters(image[np.newaxis])
        for name in ("intensity", "width", "length", "r"):
            values = simulated[f"camera_frame_hillas_{name}"]
            value = real[f"camera_frame_hillas_{name}"][0]
            # nowhere far outside
            assert 0.75 * np.nanmin(values) < value < 1.25 * np.nanmax(values)
            inside.append(np.nanquantile(values, 0.02) <= value <= np.nanquantile(values, 0.98))
    assert len(inside) == 36
    assert np.mean(inside) >= 0.85
