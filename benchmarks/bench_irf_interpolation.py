"""
Counts of a Crab-like source predicted at nodes that are left out: by interpolation, and by the nearest node.

The project's simulator throws gammas at zenith 20 to 60 deg, through camera, trigger and cleaning. Of this
grid the nodes at 30, 40 and 50 deg are left out one after the other. A second grid has four corners, zenith
20 and 40 deg and a night sky of 100 and 200 MHz, which predict the node in their middle. Images are really
selected; energies and directions are the true ones, smeared by what an image of that intensity allows, so
that the numbers say something about responses and not about forests. The same seed gives all nodes the same
energies, directions and impacts as far as they can be the same, which takes most of the chance out of the
differences. Showers are thrown as far from the telescopes as their light reaches, which is farther at large
zenith angles. Run with ``python benchmarks/bench_irf_interpolation.py [n_showers]``.
"""

import sys
import tempfile
import time
from pathlib import Path

import astropy.units as u
import numpy as np
import tables
from astropy.coordinates import SkyCoord
from astropy.table import QTable

from sst1m.config import McConfig, config_from_dict, load_config
from sst1m.events import ReconstructedEvents
from sst1m.irf.cuts import GammanessCuts
from sst1m.irf.left_out import LeftOutNode, leave_out
from sst1m.irf.maker import build_irfs
from sst1m.irf.responses import IrfSet
from sst1m.nodes import Node
from sst1m.simulation.events import MC_TEL_IDS, ShowerSpec
from sst1m.simulation.mc import simulate_mc_dl1
from sst1m.thrown import ThrownShowers

CONFIG = Path(__file__).parents[1] / "config" / "sst1m_mc_config.json"
ZENITHS = [Node(zenith, 180.0, 100.0) for zenith in (20.0, 30.0, 40.0, 50.0, 60.0)]
CORNERS = [Node(zenith, 180.0, sky) for zenith in (20.0, 40.0) for sky in (100.0, 200.0)]
MIDDLE = Node(30.0, 180.0, 150.0)
CONE_DEG = 1.0
IMAGE_COLUMNS = (
    *(f"camera_frame_hillas_{name}" for name in ("intensity", "width", "length")),
    "leakage_intensity_width_2",
)
ENERGIES_TEV, SCATTER_M = (0.5, 40.0), 400.0
#: Near that of the source, so that the showers are thrown where its counts come from.
_INDEX, _SEED = -2.2, 1


def bench_config() -> McConfig:
    """Return a configuration whose bins a small view cone fills."""
    document = load_config(CONFIG).canonical()
    document["DataWriter"] = {"write_images": "none"}
    document["analysis"] |= {
        "fov_offset_max_deg": CONE_DEG,
        "nbins_fov_offset": 2,
        "fov_offset_bg_max_deg": CONE_DEG,
        "nbins_fov_offset_bg": 2,
        "nbins_source_offset": 101,
        "n_energy_bins": 10,
        "n_bins_migration": 41,
        "log_energy_min_tev": -0.2,
        "log_energy_max_tev": 1.6,
        "global_gammaness_cut": 0.5,
    }
    config = config_from_dict(document)
    assert isinstance(config, McConfig)
    return config


def scatter_radius(node: Node) -> float:
    """Return how far from the telescopes showers are thrown [m]: their light comes from farther away."""
    return SCATTER_M / np.cos(np.deg2rad(node.zenith_deg))


def simulate(node: Node, n_showers: int, config: McConfig) -> QTable:
    """Return truth and images of the showers that both telescopes see."""
    spec = ShowerSpec(
        "gamma",
        n_showers,
        *ENERGIES_TEV,
        _INDEX,
        scatter_radius(node),
        pointing_alt_deg=90 - node.zenith_deg,
        pointing_az_deg=node.azimuth_deg,
        view_cone_deg=(0, CONE_DEG),
        seed=_SEED,
    )
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "mc.h5")
        simulate_mc_dl1(spec, path, config=config, nsb_mhz=node.nsb_mhz)
        with tables.open_file(str(path)) as h5file:
            truth = h5file.get_node("/simulation/event/subarray/shower").read()
            images = [
                h5file.get_node(f"/dl1/event/telescope/parameters/tel_{t:03d}").read() for t in MC_TEL_IDS
            ]
    common = np.intersect1d(*(rows["event_id"] for rows in images))
    truth = truth[np.isin(truth["event_id"], common)]
    result = QTable({"true_energy": truth["true_energy"] * u.TeV})
    for name in ("true_alt", "true_az"):
        result[name] = truth[name] * u.deg
    for t, rows in zip(MC_TEL_IDS, images, strict=True):
        chosen = rows[np.isin(rows["event_id"], common)]
        for name in IMAGE_COLUMNS:
            result[f"{name}_tel{t}"] = chosen[name] * (u.m if name.endswith(("width", "length")) else 1)
    return result


def reconstruct(table: QTable, node: Node, n_showers: int) -> ReconstructedEvents:
    """Smear the truth by as much as the intensity of the fainter image allows."""
    rng = np.random.default_rng(_SEED)
    intensity = np.fmin(*(np.asarray(table[f"{IMAGE_COLUMNS[0]}_tel{t}"]) for t in MC_TEL_IDS))
    n, relative = len(table), np.sqrt(300 / np.clip(np.nan_to_num(intensity), 10, None))
    result = table.copy()
    result["reco_energy"] = table["true_energy"] * np.exp(rng.normal(0, 0.1 + 0.08 * relative))
    true = SkyCoord(table["true_az"], table["true_alt"])
    reco = true.directional_offset_by(rng.uniform(0, 360, n) * u.deg, rng.rayleigh(0.08 * relative) * u.deg)
    result["reco_az"], result["reco_alt"] = reco.ra.to(u.deg), reco.dec.to(u.deg)
    result["true_alt_tel"] = np.full(n, 90 - node.zenith_deg) * u.deg
    result["true_az_tel"] = np.full(n, node.azimuth_deg) * u.deg
    result["gammaness"] = np.ones(n)
    thrown = ThrownShowers(n_showers, *ENERGIES_TEV, _INDEX, scatter_radius(node), 0.0, CONE_DEG)
    return ReconstructedEvents(result, "stereo", {"nsb_mhz": node.nsb_mhz}, thrown)


def response(events: ReconstructedEvents, node: Node, config: McConfig) -> IrfSet:
    """Return the response of a node; the same events stand for the background, which is not looked at."""
    cuts = GammanessCuts.from_config(config)
    return build_irfs(events, events, cuts=cuts, config=config, node=node, setup="stereo")


def show(title: str, results: list[LeftOutNode]) -> None:
    """Print how far both predictions are from the counts of the nodes themselves."""
    print(f"\n{title}\n")
    print(
        "| left out | counts | nearest node | its error: sum, per bin | interpolation | better by | chance |"
    )
    print("|---|---|---|---|---|---|---|")
    for left in results:
        better = [near / made for made, near in zip(*_errors(left), strict=True)]
        cells = [", ".join(f"{error:.1%}" for error in errors) for errors in _errors(left)]
        print(
            f"| {left.node} | {left.own.sum():.0f} | {left.nearest} | {cells[1]} | {cells[0]} | "
            f"x{better[0]:.1f}, x{better[1]:.1f} | {left.chance:.1%} |"
        )
    made, near = (np.sum(errors, axis=0) for errors in zip(*map(_errors, results), strict=True))
    print(f"\nall: nearest / interpolation: sums x{near[0] / made[0]:.1f}, per bin x{near[1] / made[1]:.1f}")


def _errors(left: LeftOutNode) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the errors of sum and bins: of the interpolation, of the nearest node."""
    made, near = zip(map(abs, left.total_errors), left.bin_errors, strict=True)
    return made, near


def main(n_showers: int) -> None:
    """Simulate the nodes, leave out one after the other, and print the errors."""
    config, start = bench_config(), time.perf_counter()
    irfs = {}
    for node in sorted({*ZENITHS, *CORNERS, MIDDLE}):
        events = reconstruct(simulate(node, n_showers, config), node, n_showers)
        irfs[node] = response(events, node, config)
        elapsed = time.perf_counter() - start
        print(f"{node}: {len(events)} of {n_showers} showers ({elapsed:.0f} s)", file=sys.stderr)
    zeniths = {node: irfs[node] for node in ZENITHS}
    show("Zenith angles 20 to 60 deg", [leave_out(zeniths, node) for node in ZENITHS[1:-1]])
    square = {node: irfs[node] for node in (*CORNERS, MIDDLE)}
    show("In the middle of zenith 20 and 40 deg, night sky 100 and 200 MHz", [leave_out(square, MIDDLE)])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 25_000)
