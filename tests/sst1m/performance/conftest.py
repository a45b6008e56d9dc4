"""Reconstructed events of which everything is known."""

from collections.abc import Callable

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import offset_by
from astropy.table import QTable

from sst1m.config import McConfig, load_config
from sst1m.events import ReconstructedEvents
from sst1m.thrown import ThrownShowers

GAMMA, ELECTRON, PROTON = 0, 1, 101
RADIUS_M = 500.0


@pytest.fixture(scope="session")
def mc_config(project_root) -> McConfig:
    return load_config(project_root / "config" / "sst1m_mc_config.json")


@pytest.fixture(scope="session")
def make_events() -> Callable[..., ReconstructedEvents]:
    """Return a function: a simulation with a Gaussian energy error, a Rayleigh PSF and a flat acceptance."""

    def make(
        n_thrown: int,
        *,
        primary: int = GAMMA,
        cone: tuple[float, float] = (0.0, 0.0),
        energy: tuple[float, float] = (0.5, 50.0),
        index: float = -2.0,
        acceptance: float = 0.5,
        energy_error: float = 0.2,
        energy_bias: float = 0.0,
        psf_deg: float = 0.1,
        gammaness: tuple[float, float] = (0.0, 1.0),
        setup: str = "stereo",
        seed: int = 1,
    ) -> ReconstructedEvents:
        rng = np.random.default_rng(seed)
        seen = int(rng.binomial(n_thrown, acceptance))
        low, high = (edge ** (index + 1) for edge in energy)
        true = (low + rng.random(seen) * (high - low)) ** (1 / (index + 1))
        inner, outer = np.cos(np.deg2rad(cone))
        offset = np.rad2deg(np.arccos(inner - rng.random(seen) * (inner - outer)))
        turn = (rng.random((2, seen)) * 360) * u.deg
        az, alt = offset_by(180 * u.deg, 70 * u.deg, turn[0], offset * u.deg)
        error = rng.rayleigh(psf_deg, seen) if psf_deg else np.zeros(seen)
        reco_az, reco_alt = offset_by(az, alt, turn[1], error * u.deg)
        columns = {
            "obs_id": np.ones(seen, dtype=int),
            "event_id": np.arange(seen),
            "true_energy": true * u.TeV,
            "reco_energy": true * np.abs(1 + energy_bias + rng.normal(0, energy_error, seen)) * u.TeV,
            "gammaness": rng.uniform(*gammaness, seen),
            "true_alt": alt.to(u.deg),
            "true_az": az.to(u.deg),
            "reco_alt": reco_alt.to(u.deg),
            "reco_az": reco_az.to(u.deg),
            "true_alt_tel": np.full(seen, 70.0) * u.deg,
            "true_az_tel": np.full(seen, 180.0) * u.deg,
            "true_shower_primary_id": np.full(seen, primary),
        }
        suffixes = ("_tel1", "_tel2") if setup == "stereo" else ("",)
        for suffix in suffixes:
            columns |= {
                f"camera_frame_hillas_intensity{suffix}": np.full(seen, 500.0),
                f"camera_frame_hillas_width{suffix}": np.full(seen, 0.02) * u.m,
                f"camera_frame_hillas_length{suffix}": np.full(seen, 0.05) * u.m,
                f"leakage_intensity_width_2{suffix}": np.zeros(seen),
            }
        thrown = ThrownShowers(n_thrown, *energy, index, RADIUS_M, *cone)
        return ReconstructedEvents(QTable(columns), setup, {"node": "ze20_az180_nsb100"}, thrown)

    return make
