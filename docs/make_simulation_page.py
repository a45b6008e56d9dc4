"""
Draw the figures of ``docs/simulation.md`` from seeds: image parameters, cameras, pulses, light on the ground.

Run with ``python docs/make_simulation_page.py``; takes a few minutes.
"""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from ctapipe.visualization import CameraDisplay

from sst1m.config import load_config
from sst1m.image import CameraTables, parametrize_block
from sst1m.instrument import camera_geometry
from sst1m.reduction.cleaning import ImageCleaner
from sst1m.simulation.events import ShowerSpec, simulate_events
from sst1m.simulation.mc import McTelescope
from sst1m.simulation.truth import true_images

DOCS = Path(__file__).parent
CONFIG = load_config(DOCS.parent / "config" / "sst1m_mc_config.json")
TABLES = CameraTables.from_geometry(camera_geometry())
#: Gammas, and protons of three times the energy, whose images are about as bright [TeV].
ENERGIES = (1.0, 3.0, 10.0)
PROTON_FACTOR = 3.0
NSB_MHZ = 150.0
PANELS = {
    "camera_frame_hillas_intensity": ("intensity [p.e.]", np.geomspace(30, 30000, 40)),
    "camera_frame_hillas_width": ("width [mm]", np.linspace(0, 40, 41)),
    "camera_frame_hillas_length": ("length [mm]", np.linspace(0, 120, 41)),
    "morphology_n_islands": ("number of islands", np.arange(0.5, 9)),
    "concentration_cog": ("concentration about the centre", np.linspace(0, 1, 41)),
    "camera_frame_timing_slope": ("time slope [ns/m]", np.linspace(-200, 200, 41)),
}


def _parameters(particle: str, energy: float, n_showers: int) -> dict[str, np.ndarray]:
    spec = ShowerSpec(
        particle, n_showers, energy, energy, scatter_radius_m=250, offset_deg=0.5, pointing_alt_deg=70, seed=1
    )
    telescope = McTelescope(1, CONFIG, NSB_MHZ, 1)
    _, image, peak_time = telescope.record(simulate_events(spec).light[1])
    mask = ImageCleaner(CONFIG, 1, TABLES)(image, peak_time).mask
    return parametrize_block(image, peak_time, mask, TABLES, seed=0)


def draw_parameters() -> None:
    """Draw the distributions of image parameters of gammas and protons at three energies."""
    figure, axes = plt.subplots(len(PANELS), 3, figsize=(11, 15), layout="constrained")
    for column, energy in enumerate(ENERGIES):
        kinds = {"gamma": energy, "proton": PROTON_FACTOR * energy}
        found = {kind: _parameters(kind, value, 800) for kind, value in kinds.items()}
        axes[0, column].set_title(f"gammas {energy:g} TeV, protons {PROTON_FACTOR * energy:g} TeV")
        for ax, (name, (label, bins)) in zip(axes[:, column], PANELS.items(), strict=True):
            scale = 1000 if "[mm]" in label else 1
            for kind, parameters in found.items():
                ok = parameters["morphology_n_pixels"] > 3
                ax.hist(parameters[name][ok] * scale, bins, histtype="step", density=True, label=kind)
            ax.set_xlabel(label)
            if "intensity" in label:
                ax.set_xscale("log")
    axes[0, 0].legend()
    figure.savefig(DOCS / "images" / "simulation_parameters.png", dpi=70)


def draw_cameras() -> None:
    """Draw the same showers in both telescopes: truth above, through the camera below."""
    figure, axes = plt.subplots(4, 4, figsize=(16, 15))
    for row, (particle, energy) in enumerate((("gamma", 5.0), ("proton", 20.0))):
        seed = 9 if particle == "gamma" else 10
        spec = ShowerSpec(particle, 60, energy, energy, scatter_radius_m=120, offset_deg=0.5, seed=seed)
        events = simulate_events(spec)
        bright = np.minimum(events.light[1].counts, events.light[2].counts)
        chosen = np.flatnonzero(bright > 300)[:2]
        for t, tel_id in enumerate((1, 2)):
            light = events.light[tel_id].take(chosen)
            telescope = McTelescope(tel_id, CONFIG, NSB_MHZ, 1)
            recorded = telescope.images(telescope.digitise(light)[0])[0]
            for k, (true, image) in enumerate(zip(true_images(light), recorded, strict=True)):
                impact = events.impact_m[tel_id][chosen[k]]
                title = f"{particle} {energy:g} TeV, telescope {tel_id}, {impact:.0f} m"
                for ax, values in zip(axes[2 * row : 2 * row + 2, 2 * k + t], (true, image), strict=True):
                    display = CameraDisplay(camera_geometry(), values, ax=ax, title=title, show_frame=False)
                    ax.set(xlim=(-0.25, 0.25), ylim=(-0.25, 0.25), adjustable="box")
                    display.add_colorbar()
                    ax.set(xlabel="", ylabel="")
    figure.savefig(DOCS / "images" / "simulation_cameras.png", dpi=55)


def draw_pulses() -> None:
    """Draw waveforms of the brightest pixels, and when the light arrives."""
    spec = ShowerSpec("gamma", 200, 5.0, 5.0, scatter_radius_m=250, seed=2)
    events = simulate_events(spec)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    light = events.light[1].take(np.flatnonzero(events.light[1].counts > 300)[:1])
    for nsb, colour in ((0.0, "k"), (150.0, "tab:blue"), (500.0, "tab:red")):
        raw, _ = McTelescope(1, CONFIG, nsb, 1).digitise(light)
        for i, pixel in enumerate(np.argsort(true_images(light)[0])[-2:]):
            left.step(
                4 * np.arange(50), raw.samples[0, pixel], c=colour, label=f"NSB {nsb:g} MHz" if i else None
            )
    left.set(xlabel="time [ns]", ylabel="sample [ADC]", title="two brightest pixels of one gamma")
    left.legend()
    for low, high in ((0, 50), (80, 130), (180, 250)):
        near = np.flatnonzero((events.impact_m[1] > low) & (events.impact_m[1] < high))
        times = events.light[1].take(near).time
        right.hist(times, np.linspace(-30, 30, 121), histtype="step", density=True, label=f"{low}-{high} m")
    right.set(xlabel="arrival about the mean of the image [ns]", title="5 TeV gammas by distance to the axis")
    right.legend()
    figure.savefig(DOCS / "images" / "simulation_pulses.png", dpi=70)


def draw_light_pool() -> None:
    """Draw the photo-electrons per TeV against the distance to the axis."""
    figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
    edges = np.linspace(0, 400, 21)
    for particle, energy in (("gamma", 1.0), ("gamma", 10.0), ("proton", 10.0)):
        spec = ShowerSpec(particle, 1200, energy, energy, scatter_radius_m=450, seed=3)
        events = simulate_events(spec, min_photoelectrons=0)
        place = np.digitize(events.impact_m[1], edges)
        counts = events.light[1].counts / energy
        mean = [counts[place == i].mean() for i in range(1, len(edges))]
        ax.plot(edges[1:] - 10, mean, "o-", label=f"{particle} {energy:g} TeV")
    ax.set(
        xlabel="distance to the shower axis [m]",
        ylabel="p.e. per TeV in one telescope",
        yscale="log",
        ylim=(0.5, 1000),
    )
    ax.set_title("light on the ground, zenith 20 deg, 511 m")
    ax.legend()
    figure.savefig(DOCS / "images" / "simulation_light.png", dpi=70)


if __name__ == "__main__":
    (DOCS / "images").mkdir(exist_ok=True)
    for draw in (draw_parameters, draw_light_pool, draw_pulses, draw_cameras):
        draw()
