"""
Showers per second, one core: to photo-electrons in both cameras, and on to triggered waveforms and DL1.

Run with ``python benchmarks/bench_simulation.py [n_showers]``; numbers are of this machine and this moment.
"""

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from sst1m.config import McConfig, load_config
from sst1m.simulation.events import MC_TEL_IDS, ShowerSpec, simulate_events
from sst1m.simulation.mc import McTelescope, simulate_mc_dl1

CONFIG = Path(__file__).parents[1] / "config" / "sst1m_mc_config.json"
SPECS = (
    ShowerSpec("gamma", 0, energy_min_tev=0.5, energy_max_tev=100, scatter_radius_m=400, offset_deg=0.5),
    ShowerSpec(
        "proton", 0, energy_min_tev=0.5, energy_max_tev=100, scatter_radius_m=400, view_cone_deg=(0, 5)
    ),
)


def _measure(spec: ShowerSpec, config: McConfig, directory: Path) -> str:
    start = time.perf_counter()
    events = simulate_events(spec, min_photoelectrons=20)
    to_images = time.perf_counter() - start
    telescopes = {t: McTelescope(t, config, 150.0, 0) for t in MC_TEL_IDS}
    start = time.perf_counter()
    n_read, n_triggered = 0, 0
    for tel_id, telescope in telescopes.items():
        light = events.light[tel_id]
        for first in range(0, len(light), 200):
            _, kept = telescope.digitise(light.take(range(first, min(first + 200, len(light)))))
            n_read, n_triggered = n_read + len(kept), n_triggered + int(kept.sum())
    to_waveforms = time.perf_counter() - start
    start = time.perf_counter()
    summary = simulate_mc_dl1(spec, directory / "mc.h5", config=config, nsb_mhz=150.0)
    to_dl1 = time.perf_counter() - start
    return (
        f"{spec.particle}: {spec.n_showers / to_images:.0f} thrown showers/s to images of both telescopes "
        f"({len(events)} of {spec.n_showers} with light); {n_read / to_waveforms:.0f} telescope events/s "
        f"digitised, {n_triggered / to_waveforms:.0f} triggered/s; "
        f"whole way to DL1 {spec.n_showers / to_dl1:.0f} thrown/s, "
        f"{summary.n_events_written / to_dl1:.0f} array events/s"
    )


def main(n_showers: int) -> None:
    """Print the rates of gammas and protons."""
    config = load_config(CONFIG)
    with tempfile.TemporaryDirectory() as directory:
        for spec in SPECS:
            _measure(replace(spec, n_showers=50), config, Path(directory))
            print(_measure(replace(spec, n_showers=n_showers, seed=1), config, Path(directory)))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
