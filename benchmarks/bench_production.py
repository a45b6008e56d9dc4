"""
Time of whole productions against the number of events and of nodes: both must be straight lines.

Run with ``python benchmarks/bench_production.py [multiple] [showers]``. Productions of 1, 2, ... up to
that multiple of the showers (at one node), and of the nodes, are made from nothing to their page, each
by its own luigi on one core. CPU seconds; numbers are of this machine and this moment.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "config" / "sst1m_mc_demo_config.json"
ZENITHS = (20, 30, 40, 50, 60)

PRODUCTION = """
seed = 1
setups = ["mono"]
cuts = ["global"]
irf_version = "0_1"

[axes]
zenith = {zenith}
azimuth = [180]
nsb = [100]

[source]
kind = "simulator"

[particles.gamma_diffuse]
energy_min = 0.5
energy_max = 50
index = -2.0
scatter_radius = 300
view_cone = 3.0
train = {{ shards = 1, showers = {showers} }}
test = {{ shards = 1, showers = {showers} }}

[particles.proton_diffuse]
energy_min = 0.8
energy_max = 100
index = -2.0
scatter_radius = 350
view_cone = 5.0
train = {{ shards = 1, showers = {showers} }}
test = {{ shards = 1, showers = {showers} }}
"""
SITE = """
[site]
mc_dir = {root}/mc
irf_dir = {root}/irf
mc_config_file = {config}
"""


@dataclass(frozen=True)
class Measurement:
    """One production."""

    n_nodes: int
    n_showers: int
    cpu_s: float
    wall_s: float

    @property
    def total(self) -> int:
        return 4 * self.n_nodes * self.n_showers


def _make(n_nodes: int, n_showers: int) -> Measurement:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        file = root / "bench.toml"
        file.write_text(PRODUCTION.format(zenith=list(ZENITHS[:n_nodes]), showers=n_showers))
        settings = (
            (ROOT / "luigi.cfg").read_text().replace("[site]", SITE.format(root=root, config=CONFIG), 1)
        )
        (root / "luigi.cfg").write_text(settings)
        environment = os.environ | {
            "LUIGI_CONFIG_PATH": str(root / "luigi.cfg"),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-m", "luigi", "--module", "tasks", "MakeProduction"]
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        run = subprocess.run(
            [*command, "--production", str(file), "--workers", "1"],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
        )
        if run.returncode:
            sys.exit(f"the production failed with status {run.returncode}\n{run.stderr[-3000:]}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Measurement(n_nodes, n_showers, cpu, time.perf_counter() - start)


def _line(title: str, points: list[tuple[float, Measurement]]) -> None:
    """Print a table, and how far its points are from the straight line through them."""
    x = np.array([value for value, _ in points])
    cpu = np.array([measured.cpu_s for _, measured in points])
    slope, fixed = np.polyfit(x, cpu, 1)
    print(f"\n### time against {title}\n")
    print("| nodes | showers thrown | CPU [s] | wall [s] | straight line [s] | difference |")
    print("|---|---|---|---|---|---|")
    for value, measured in points:
        line = fixed + slope * value
        print(
            f"| {measured.n_nodes} | {measured.total} | {measured.cpu_s:.1f} | {measured.wall_s:.1f} "
            f"| {line:.1f} | {100 * (measured.cpu_s / line - 1):+.1f} % |"
        )
    print(f"\nfixed {fixed:.1f} s, and {slope:.3g} s for each of the {title}")


def main(largest: int, n_showers: int) -> None:
    """Print both tables."""
    if not 3 <= largest <= len(ZENITHS):
        sys.exit(f"the largest multiple must lie between 3 (a line needs three points) and {len(ZENITHS)}")
    first = _make(1, n_showers)
    several = [_make(1, n_showers * multiple) for multiple in range(2, largest + 1)]
    _line("showers thrown", [(measured.total, measured) for measured in (first, *several)])
    many = [_make(n_nodes, n_showers) for n_nodes in range(2, largest + 1)]
    _line("nodes", [(measured.n_nodes, measured) for measured in (first, *many)])


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    main(*(given + [3, 4000][len(given) :]))
