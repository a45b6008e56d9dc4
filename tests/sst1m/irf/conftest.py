"""Simulated events of an instrument of which everything is known, without a camera: fast and exact."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import QTable

from sst1m.config import McConfig, config_from_dict
from sst1m.events import ReconstructedEvents
from sst1m.irf.cuts import GammanessCuts
from sst1m.irf.maker import build_irfs
from sst1m.irf.responses import IrfSet
from sst1m.nodes import Node
from sst1m.thrown import ThrownShowers

#: Bins that the small samples here can fill.
TEST_BINS = {
    "fov_offset_max_deg": 4,
    "nbins_fov_offset": 5,
    "fov_offset_bg_max_deg": 4,
    "nbins_fov_offset_bg": 5,
    "nbins_source_offset": 41,
    "n_energy_bins": 13,
    "n_bins_migration": 31,
    "gamma_min_simulated_energy_tev": 0.5,
    "proton_min_simulated_energy_tev": 0.5,
}
AREA_RADIUS_M = 500.0
NODE = Node(20, 180, 100)


@pytest.fixture(scope="session")
def make_mc_config(project_root: Path) -> Callable[..., McConfig]:
    """Return a function: the configuration of simulations with other values of its section analysis."""
    text = (project_root / "config" / "sst1m_mc_config.json").read_text()

    def make(**analysis: Any) -> McConfig:
        document = json.loads(text)
        document["analysis"] |= TEST_BINS | analysis
        config = config_from_dict(document)
        assert isinstance(config, McConfig)
        return config

    return make


@pytest.fixture(scope="session")
def mc_config(make_mc_config: Callable[..., McConfig]) -> McConfig:
    return make_mc_config()


def _energies(n: int, thrown: ThrownShowers, rng: np.random.Generator) -> np.ndarray:
    slope = thrown.spectral_index + 1
    low, high = thrown.energy_min_tev**slope, thrown.energy_max_tev**slope
    return (low + rng.random(n) * (high - low)) ** (1 / slope)


def _seen_fraction(energy: np.ndarray, offset: np.ndarray, node: Node, hadron: bool) -> np.ndarray:
    """Return the fraction of thrown showers that trigger: a threshold that rises with air mass and sky."""
    sec = 1 / np.cos(np.deg2rad(node.zenith_deg))
    threshold = 1.2 * sec**3 * (node.nsb_mhz / 100) ** 0.3
    plateau = 0.25 * sec**2 * np.exp(-0.5 * (offset / 3.0) ** 2)
    return plateau / (1 + (threshold / energy) ** 3) * (0.5 if hadron else 1.0)


@pytest.fixture(scope="session")
def make_events() -> Callable[..., ReconstructedEvents]:
    """Return a function that throws showers at the known instrument and reconstructs them."""

    def make(
        particle: str = "gamma",
        node: Node = NODE,
        *,
        n_showers: int = 200_000,
        seed: int = 1,
        setup: str = "stereo",
        cone_deg: float = 4.0,
        offset_deg: float | None = None,
        scale_m: float = AREA_RADIUS_M,
        energies: tuple[float, float] = (0.5, 100.0),
        smear_deg: float = 0.15,
        tail: float = 0.05,
    ) -> ReconstructedEvents:
        rng = np.random.default_rng([seed, len(particle)])
        cone = (0.0, cone_deg) if offset_deg is None else (offset_deg, offset_deg)
        thrown = ThrownShowers(n_showers, *energies, -2.0, scale_m, *cone)
        energy = _energies(n_showers, thrown, rng)
        if offset_deg is None:
            cos = 1 - rng.random(n_showers) * (1 - np.cos(np.deg2rad(cone_deg)))
            offset = np.rad2deg(np.arccos(cos))
        else:
            offset = np.full(n_showers, offset_deg)
        hadron = particle != "gamma"
        seen = rng.random(n_showers) < _seen_fraction(energy, offset, node, hadron)
        energy, offset = energy[seen], offset[seen]
        n = len(energy)
        pointing = SkyCoord(node.azimuth_deg * u.deg, (90 - node.zenith_deg) * u.deg)
        true = pointing.directional_offset_by(rng.uniform(0, 360, n) * u.deg, offset * u.deg)
        far = rng.random(n) < tail
        theta = np.where(far, rng.uniform(0.5, 3.0, n), rng.rayleigh(smear_deg * energy**-0.2, n))
        reco = true.directional_offset_by(rng.uniform(0, 360, n) * u.deg, theta * u.deg)
        score = rng.beta(2, 3, n) if hadron else rng.beta(6, 1.3, n)
        spread = (0.6 if hadron else 1.0) * np.exp(rng.normal(0, 0.18, n))
        table = QTable(
            {
                "obs_id": np.ones(n, dtype=np.int64),
                "event_id": np.arange(n),
                "true_energy": energy * u.TeV,
                "reco_energy": energy * spread * u.TeV,
                "gammaness": score,
                "true_alt": true.dec.to(u.deg),
                "true_az": true.ra.to(u.deg),
                "reco_alt": reco.dec.to(u.deg),
                "reco_az": reco.ra.to(u.deg),
                "true_alt_tel": np.full(n, 90 - node.zenith_deg) * u.deg,
                "true_az_tel": np.full(n, node.azimuth_deg) * u.deg,
            }
        )
        for suffix in ("_tel1", "_tel2") if setup == "stereo" else ("",):
            table[f"camera_frame_hillas_intensity{suffix}"] = np.full(n, 500.0)
            table[f"camera_frame_hillas_width{suffix}"] = np.full(n, 0.02) * u.m
            table[f"camera_frame_hillas_length{suffix}"] = np.full(n, 0.05) * u.m
            table[f"leakage_intensity_width_2{suffix}"] = np.zeros(n)
        info = {"node": str(node), "simulated": True, "nsb_mhz": node.nsb_mhz}
        return ReconstructedEvents(table, setup, info, thrown)

    return make


@pytest.fixture(scope="session")
def grid_irfs(make_events, make_mc_config) -> dict[Node, IrfSet]:
    """Return responses of a production grid, each from a sample of its own energies and directions."""
    config = make_mc_config(
        nbins_fov_offset=2, log_energy_min_tev=-0.2, log_energy_max_tev=1.6, n_energy_bins=10
    )
    made = {}
    for seed, zenith in enumerate((20, 30, 40, 50, 60)):
        node = Node(zenith, 180, 100)
        gamma = make_events("gamma", node, n_showers=300_000, seed=seed)
        proton = make_events("proton", node, n_showers=20_000, seed=seed)
        cuts = GammanessCuts.from_config(config)
        made[node] = build_irfs(gamma, proton, cuts=cuts, config=config, node=node, setup="stereo")
    return made
