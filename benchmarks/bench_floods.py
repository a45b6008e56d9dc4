"""
Floods: nights of many short runs, long raw files, and productions of a hundred thousand files.

Run with ``python benchmarks/bench_floods.py [--runs 75 150 300 600] [--figure floods.png]``. Nights of two
telescopes and that many runs each are processed to DL1 by the command of the operator, and asked for once
more when they are complete. CPU seconds of the command and all its processes, peak memory of its main
process, and calls to the file system, which strace counts in a run of its own. Then one run of more and
more events, and the graphs of productions of more and more files. Each table ends with the straight line
through its points; memory has to stay where it is when files get longer.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
NIGHT = date(2024, 3, 4)
TELESCOPES = (21, 22)
TARGET = "Crab_W1_84.386_21.956"
FIRST_EVENT_NS = 1_709_586_037_000_000_000
SITE = """[site]
root_dir = {base}/raw
ana_dir = {base}/ana
config_file = {config}
calibration_dir = {calibration}
mc_dir = {base}/mc
irf_dir = {base}/irf
mc_config_file = {mc_config}
"""
BEAM = """[particles.{particle}]
energy_min = 0.5
energy_max = 50
index = -2.0
scatter_radius = 300
view_cone = 3.0
train = {{ shards = {shards}, showers = 1000 }}
test = {{ shards = {shards}, showers = 1000 }}
"""
PRODUCTION = """seed = 1
setups = ["mono"]
cuts = ["global"]
irf_version = "0_1"
[axes]
zenith = [20, 40]
azimuth = [0, 180]
nsb = [100, 200]
[source]
kind = "simulator"
"""
#: Calls that take a path, and those that read directories, lock, or wait for the disk.
CALLS = "%file,getdents64,flock,fsync,fdatasync"


# ---- raw files ---------------------------------------------------------------------------------------------


def write_raw_file(path: Path, tel_id: int, n_events: int) -> None:
    """Write noise in one tile, every third event a pedestal, the others with a bright spot on it."""
    from sst1m.instrument.camera import pixel_positions
    from sst1m.io.rawfile import EventIndex
    from sst1m.simulation.raw_writer import RawWriter

    rng = np.random.default_rng(tel_id)
    numbers = np.arange(1, n_events + 1)
    x, y = pixel_positions()
    samples = rng.normal(300.0, 6.0, (n_events, len(x), 50)).astype(np.float32)
    for event in np.flatnonzero(numbers % 3):
        cx, cy = rng.uniform(-0.2, 0.2, 2)
        spot = ((x - cx) / 0.09) ** 2 + ((y - cy) / 0.04) ** 2 < 1
        samples[event, spot, 20:26] += rng.uniform(60, 300)
    index = EventIndex(
        event_number=numbers,
        array_event_number=numbers + 1000,
        event_type=np.where(numbers % 3, 1, 8),
        time_ns=FIRST_EVENT_NS + numbers * 10_000_000,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with RawWriter(path, tel_id=tel_id, target=TARGET, rows_per_tile=n_events) as writer:
        writer.append(np.rint(samples).astype(np.int16), index, baseline=np.full((n_events, len(x)), 300.0))


def write_calibration(directory: Path) -> None:
    """Write a flat calibration of both cameras."""
    import pandas as pd

    directory.mkdir(parents=True)
    frame = pd.DataFrame({"dc_to_pe": np.full(1296, 22.0), "calib_flag": np.ones(1296)})
    for number, window in ((1, "1st"), (2, "2nd")):
        name = f"averaged_calib_param_v2_2023_2024_tel{number}.h5"
        frame.to_hdf(directory / name, key="calibration_parameters", format="fixed")
        lines = ["pixel_id  correction_factor", *(f"{pixel} 1.0" for pixel in range(1296)), ""]
        (directory / f"corr_factor_{window}_wdw.txt").write_text("\n".join(lines))


@dataclass(frozen=True)
class Site:
    """A directory with raw files, a calibration, and the settings that name them."""

    base: Path
    templates: Path

    def prepare(self) -> "Site":
        """Write the settings; calibration and raw files are those of the templates."""
        config = ROOT / "config"
        self.base.mkdir(parents=True)
        text = SITE.format(
            base=self.base,
            config=config / "sst1m_data_config.json",
            mc_config=config / "sst1m_mc_demo_config.json",
            calibration=self.templates / "calibration",
        )
        settings = (ROOT / "luigi.cfg").read_text().replace("[site]\n", text, 1)
        (self.base / "luigi.cfg").write_text(settings)
        return self

    def raw_file(self, tel_id: int, run: int) -> Path:
        """Return the path of a raw file."""
        number = tel_id - 20
        directory = self.base / f"raw/cs{number}/data/raw/{NIGHT:%Y/%m/%d}/SST1M{number}"
        return directory / f"SST1M{number}_{NIGHT:%Y%m%d}_{run:04d}.fits.fz"

    def fill(self, n_runs: int) -> None:
        """Put the same small file into the tree under many names, every fourth run on another target."""
        for tel_id in TELESCOPES:
            content = (self.templates / f"{tel_id}.fits.fz").read_bytes()
            other = content.replace(TARGET.encode(), TARGET.replace("Crab", "Mrk1").encode(), 1)
            for run in range(1, n_runs + 1):
                path = self.raw_file(tel_id, run)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(other if run % 4 == 0 else content)

    def environment(self) -> dict[str, str]:
        """Return the environment of the commands."""
        own = {"LUIGI_CONFIG_PATH": str(self.base / "luigi.cfg"), "PYTHONPATH": str(ROOT)}
        return os.environ | own | {"OMP_NUM_THREADS": "1"}


# ---- one command -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Usage:
    """What a command used: it and its processes [CPU s], its main process and the largest one [MB]."""

    cpu_s: float
    wall_s: float
    main_mb: float
    largest_mb: float


def _peak_mb(pid: int) -> float:
    """Return the peak memory of a running process so far; 0 where it has just ended."""
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def measure(command: Sequence[str], site: Site) -> Usage:
    """Run a command to its end and return what it used."""
    start, peak = time.perf_counter(), 0.0
    with tempfile.TemporaryFile("w+", dir=site.base) as output:
        process = subprocess.Popen(
            command, cwd=site.base, env=site.environment(), stdout=output, stderr=output
        )
        while True:
            peak = max(peak, _peak_mb(process.pid))
            pid, status, used = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(0.05)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            sys.exit(f"{' '.join(command)} ended with {process.returncode}\n{output.read()[-3000:]}")
    cpu = used.ru_utime + used.ru_stime
    return Usage(cpu, time.perf_counter() - start, peak, used.ru_maxrss / 1024)


def count_calls(command: Sequence[str], site: Site) -> int:
    """Return how many calls to the file system a command and its processes make; strace counts them."""
    summary = site.base / "strace.txt"
    trace = ["strace", "-f", "--seccomp-bpf", "-c", "-e", f"trace={CALLS}", "-o", str(summary)]
    run = subprocess.run(
        [*trace, *command], cwd=site.base, env=site.environment(), capture_output=True, text=True
    )
    if run.returncode:
        sys.exit(f"{' '.join(command)} under strace ended with {run.returncode}\n{run.stderr[-3000:]}")
    return int(next(line.split()[3] for line in summary.read_text().splitlines() if line.endswith("total")))


def night_command() -> list[str]:
    """Return what the operator types."""
    return [sys.executable, "-m", "tasks", "RunNight", "--date", f"{NIGHT:%Y-%m-%d}", "--until", "dl1"]


# ---- the three floods --------------------------------------------------------------------------------------

Row = dict[str, float]


def many_runs(n_runs: int, directory: Path, templates: Path, traced: Callable[[int], bool]) -> Row:
    """Process a night of two telescopes with so many runs each, and ask for it again."""
    site = Site(directory / f"night_{n_runs}", templates).prepare()
    site.fill(n_runs)
    first = measure(night_command(), site)
    record = json.loads((site.base / f"ana/{NIGHT:%Y%m%d}/closing.json").read_text())
    done = sum(telescope["done"] for telescope in record["telescopes"].values())
    if not record["complete"] or done != 2 * n_runs:
        sys.exit(f"{site.base}: {done} of {2 * n_runs} runs done")
    again = measure(night_command(), site)
    row = {
        "runs": 2.0 * n_runs,
        "CPU [s]": first.cpu_s,
        "main process [MB]": first.main_mb,
        "largest process [MB]": first.largest_mb,
        "again, CPU [s]": again.cpu_s,
        "again [MB]": again.main_mb,
    }
    if traced(n_runs):
        row["again, file calls"] = count_calls(night_command(), site)
        shutil.rmtree(site.base / "ana")
        row["file calls"] = count_calls(night_command(), site)
    shutil.rmtree(site.base)
    return row


def long_file(n_events: int, directory: Path, templates: Path) -> Row:
    """Process a night of one run of so many events."""
    from sst1m.simulation.raw_repeat import repeat_raw_file

    site = Site(directory / f"long_{n_events}", templates).prepare()
    path = site.raw_file(22, 1)
    path.parent.mkdir(parents=True)
    events = repeat_raw_file(templates / "long.fits.fz", path, n_events)
    used = measure(night_command(), site)
    shutil.rmtree(site.base)
    return {
        "events": events,
        "CPU [s]": used.cpu_s,
        "main process [MB]": used.main_mb,
        "largest process [MB]": used.largest_mb,
    }


def large_production(n_files: int, directory: Path, templates: Path, traced: Callable[[int], bool]) -> Row:
    """Walk the graph of a production of so many files, and ask of each whether it is there."""
    site = Site(directory / f"production_{n_files}", templates).prepare()
    file = site.base / "flood.toml"
    particles = ("gamma_diffuse", "proton_diffuse")
    beams = [BEAM.format(particle=particle, shards=n_files // 32) for particle in particles]
    file.write_text(PRODUCTION + "".join(beams))
    command = [sys.executable, __file__, "--walk", str(file)]
    used = measure(command, site)
    row = {"files": 32.0 * (n_files // 32), "CPU [s]": used.cpu_s, "main process [MB]": used.main_mb}
    if traced(n_files):
        row["file calls"] = count_calls(command, site)
    shutil.rmtree(site.base)
    return row


def walk(production: str) -> None:
    """Find every task of a production, the single files too, and ask whether it is complete."""
    import tasks
    from tasks.production_samples import SimulateBatch

    root = tasks.MakeProduction(production=production)
    seen, pending = {root.task_id}, [root]
    while pending:
        task = pending.pop()
        parts = task.parts() if isinstance(task, SimulateBatch) else []
        for needed in (*task.deps(), *parts):
            if needed.task_id not in seen:
                seen.add(needed.task_id)
                pending.append(needed)
                if needed.complete():
                    sys.exit(f"{needed} is complete, but nothing was made")


# ---- tables, lines and curves ------------------------------------------------------------------------------


def straight_line(rows: Sequence[Row], x: str, y: str) -> str:
    """Return the straight line through the points of a column and how far off they are, or its limits."""
    points = np.array([(row[x], row[y]) for row in rows if y in row])
    if len(points) < 3:
        return ""
    least, most = points[:, 1].min(), points[:, 1].max()
    if most < 1.3 * least:
        return f"- {y}: stays between {least:.3g} and {most:.3g}"
    slope, fixed = np.polyfit(points[:, 0], points[:, 1], 1)
    off = points[:, 1] / (fixed + slope * points[:, 0]) - 1
    bend = np.polyfit(points[:, 0], points[:, 1], 2)[0] * points[-1, 0] ** 2 / points[-1, 1]
    shown = ", ".join(f"{100 * part:+.1f}" for part in off)
    return (
        f"- {y}: {fixed:.3g} + {slope:.3g} for each of the {x}; points off the line by {shown} %; "
        f"part that grows with the square, at the last: {100 * bend:+.1f} %"
    )


def show(title: str, rows: Sequence[Row]) -> None:
    """Print a table and the lines through its columns."""
    columns = list(max(rows, key=len))
    print(f"\n### {title}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        cells = (f"{row[c]:.{2 if '[s]' in c else 0}f}" if c in row else "" for c in columns)
        print(f"| {' | '.join(cells)} |")
    lines = [line for column in columns[1:] if (line := straight_line(rows, columns[0], column))]
    print("\n" + "\n".join(lines), flush=True)


def draw(path: Path, floods: Sequence[tuple[str, Sequence[Row], Sequence[str]]]) -> None:
    """Draw the columns that are named, each with the straight line through its points."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = [(title, rows, column) for title, rows, columns in floods for column in columns]
    figure, axes = plt.subplots(3, 3, figsize=(9, 7), layout="constrained")
    for axis, (title, rows, column) in zip(axes.flat, panels, strict=True):
        name = next(iter(rows[0]))
        points = np.array([(row[name], row[column]) for row in rows if column in row])
        ends = np.array([0, points[-1, 0]])
        axis.plot(ends, np.polyval(np.polyfit(*points.T, 1), ends), color="0.6", linewidth=1)
        axis.plot(*points.T, "o", markersize=4)
        axis.set(xlabel=name, ylabel=column, title=title, ylim=(0, 1.2 * points[:, 1].max()))
        axis.title.set_size(9)
        axis.locator_params(axis="x", nbins=4)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=70)


def measure_all(directory: Path, options: argparse.Namespace) -> None:
    """Measure the three floods, print their tables, and draw them."""
    templates = directory / "templates"
    for tel_id in TELESCOPES:
        write_raw_file(templates / f"{tel_id}.fits.fz", tel_id, 30)
    write_raw_file(templates / "long.fits.fz", 22, 250)
    write_calibration(templates / "calibration")

    def each(title: str, sizes: Sequence[int], flood: Callable[..., Row], *more: object) -> list[Row]:
        rows = []
        for size in sizes:
            rows.append(flood(size, directory, templates, *more))
            sys.stderr.write(f"{title}: {rows[-1]}\n")
        if rows:
            show(title, rows)
        return rows

    def traced(size: int) -> bool:
        return size <= options.traced and shutil.which("strace") is not None

    files = each("productions, planned", options.files, large_production, lambda _: traced(0))
    events = each("one run of many events", options.events, long_file)
    runs = each("nights of two telescopes, 30 events in each run", options.runs, many_runs, traced)
    if options.figure and traced(0) and files and events and runs:
        columns = ["CPU [s]", "main process [MB]", "file calls"]
        of_events = [*columns[:2], "largest process [MB]"]
        floods = [("night of short runs", runs, columns), ("one long run", events, of_events)]
        draw(options.figure, [*floods, ("planned production", files, columns)])


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, nargs="*", default=[75, 150, 300, 600])
    parser.add_argument("--traced", type=int, default=600, help="count calls of nights up to so many runs")
    parser.add_argument("--events", type=int, nargs="*", default=[1000, 4000, 16000])
    parser.add_argument("--files", type=int, nargs="*", default=[25_000, 50_000, 100_000])
    parser.add_argument("--figure", type=Path, help="draw the curves here")
    parser.add_argument("--directory", type=Path, help="where there is room for the files")
    parser.add_argument("--walk", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.walk:
        walk(options.walk)
        return
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        measure_all(Path(name), options)


if __name__ == "__main__":
    main()
