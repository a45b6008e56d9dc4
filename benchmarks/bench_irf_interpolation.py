"""
Counts of a Crab-like source predicted at nodes that are left out: by interpolation, and by the nearest node.

The project's simulator throws gammas at zenith 20, 30, 40 deg and a night sky of 100, 150, 200 MHz, through
camera, trigger and cleaning. Responses of the four corners of this grid predict the other five nodes: one
zenith angle, one night sky or both in the middle of them. Images are really selected; energies and directions
are the true ones, smeared by what an image of that intensity allows, so that the numbers say something about
responses and not about forests. The same seed gives all nodes the same energies, directions and impacts as
far as they can be the same, which takes most of the chance out of the differences. Run with
``python benchmarks/bench_irf_interpolation.py [n_showers]``.
"""

import sys
import tempfile
import time
from pathlib import Path

import astropy.units as u
import numpy as np
import tables
from astropy.coordinates import SkyCoord
from astropy.table import QTable, Table
from gammapy.irf import EffectiveAreaTable2D, EnergyDispersion2D
from gammapy.maps import MapAxis

from sst1m.config import McConfig, config_from_dict, load_config
from sst1m.events import ReconstructedEvents
from sst1m.irf.cuts import GammanessCuts
from sst1m.irf.gadf import component_hdus
from sst1m.irf.grid import place
from sst1m.irf.interpolate import combine_irfs
from sst1m.irf.maker import build_irfs
from sst1m.irf.responses import IrfSet
from sst1m.irf.spectra import spectrum_named
from sst1m.nodes import Node, nearest_node
from sst1m.simulation.events import MC_TEL_IDS, ShowerSpec
from sst1m.simulation.mc import simulate_mc_dl1
from sst1m.thrown import ThrownShowers

CONFIG = Path(__file__).parents[1] / "config" / "sst1m_mc_config.json"
ZENITHS, SKIES = (20.0, 30.0, 40.0), (100.0, 150.0, 200.0)
CONE_DEG = 1.0
IMAGE_COLUMNS = (
    *(f"camera_frame_hillas_{name}" for name in ("intensity", "width", "length")),
    "leakage_intensity_width_2",
)
RECO_EDGES = np.geomspace(0.7, 30, 9) * u.TeV
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
        "n_energy_bins": 15,
        "n_bins_migration": 41,
        "log_energy_min_tev": 0,
        "log_energy_max_tev": 2,
        "global_gammaness_cut": 0.5,
    }
    config = config_from_dict(document)
    assert isinstance(config, McConfig)
    return config


def simulate(node: Node, n_showers: int, config: McConfig) -> QTable:
    """Return truth and images of the showers that both telescopes see."""
    spec = ShowerSpec(
        "gamma",
        n_showers,
        *ENERGIES_TEV,
        _INDEX,
        SCATTER_M,
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
    thrown = ThrownShowers(n_showers, *ENERGIES_TEV, _INDEX, SCATTER_M, 0.0, CONE_DEG)
    return ReconstructedEvents(result, "stereo", {"nsb_mhz": node.nsb_mhz}, thrown)


def response(events: ReconstructedEvents, node: Node, config: McConfig) -> IrfSet:
    """Return the response of a node; the same events stand for the background, which is not looked at."""
    cuts = GammanessCuts.from_config(config)
    return build_irfs(events, events, cuts=cuts, config=config, node=node, setup="stereo")


def counts(irf: IrfSet) -> np.ndarray:
    """Return the counts of the Crab in 50 h, folded by gammapy, by bin of reconstructed energy."""
    hdus = {hdu.name: Table.read(hdu) for hdu in component_hdus(irf)}
    area = EffectiveAreaTable2D.from_table(hdus["EFFECTIVE AREA"])
    dispersion = EnergyDispersion2D.from_table(hdus["ENERGY DISPERSION"])
    true = MapAxis.from_energy_bounds(*ENERGIES_TEV, 120, unit="TeV", name="energy_true")
    reco = MapAxis.from_energy_edges(RECO_EDGES, name="energy")
    offset = CONE_DEG / 2 * u.deg
    flux = spectrum_named("CRAB_HEGRA")(true.center) * true.bin_width * 50 * u.h
    seen = (flux * area.evaluate(energy_true=true.center, offset=offset)).to_value(u.one)
    return seen @ np.asarray(dispersion.to_edisp_kernel(offset, true, reco).pdf_matrix)


def report(irfs: dict[Node, IrfSet], errors: dict[Node, float]) -> None:
    """Print how far both predictions are from the counts of the nodes that are no corner."""
    corners = [node for node in irfs if node.zenith_deg != ZENITHS[1] and node.nsb_mhz != SKIES[1]]
    print(
        "| left out | counts | nearest node | its error: sum, per bin | interpolation | better by | chance |"
    )
    print("|---|---|---|---|---|---|---|")
    sums = {"all": np.zeros((2, 2)), "those between zenith angles": np.zeros((2, 2))}
    for node in irfs:
        if node in corners:
            continue
        found = place(corners, node)
        made = combine_irfs([irfs[n] for n in found.nodes], found.weights, node)
        near = nearest_node(corners, node).node
        truth = counts(irfs[node])
        predicted = [counts(irfs[near]), counts(made)]
        total = np.array([abs(n.sum() / truth.sum() - 1) for n in predicted])
        bins = np.array([np.abs(n - truth).sum() / truth.sum() for n in predicted])
        sums["all"] += [total, bins]
        if node.zenith_deg == ZENITHS[1]:
            sums["those between zenith angles"] += [total, bins]
        ratios = np.array([total, bins])[:, 0] / np.clip([total[1], bins[1]], 1e-9, None)
        print(
            f"| {node} | {truth.sum():.0f} | {near} | {total[0]:.1%}, {bins[0]:.1%} | "
            f"{total[1]:.1%}, {bins[1]:.1%} | x{ratios[0]:.1f}, x{ratios[1]:.1f} | {errors[node]:.1%} |"
        )
    for name, (total, bins) in sums.items():
        better = [total[0] / total[1], bins[0] / bins[1]]
        print(f"{name}: nearest / interpolation: sums x{better[0]:.1f}, per bin x{better[1]:.1f}")


def main(n_showers: int) -> None:
    """Simulate the nodes, leave out one after the other, and print the errors."""
    config, start = bench_config(), time.perf_counter()
    irfs, errors = {}, {}
    for node in [Node(zenith, 180.0, sky) for zenith in ZENITHS for sky in SKIES]:
        table = simulate(node, n_showers, config)
        events = reconstruct(table, node, n_showers)
        irfs[node] = response(events, node, config)
        weights = events.table["true_energy"].value ** (-2.62 - _INDEX)
        errors[node] = float(np.sqrt((weights**2).sum()) / weights.sum())
        elapsed = time.perf_counter() - start
        print(f"{node}: {len(events)} of {n_showers} showers ({elapsed:.0f} s)", file=sys.stderr)
    report(irfs, errors)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
