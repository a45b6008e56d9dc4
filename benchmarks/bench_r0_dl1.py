"""
Raw -> DL1 on one core: this pipeline, ctapipe's event loop with our plugin, and bare reading as the limit.

Every row is measured in this one run on the same events; the ratios are what counts, since the events per
second depend on the machine. Files: the real events of 2018-08-22 repeated (real compression chains), and
simulated waveforms written by our own writer.

    python benchmarks/bench_r0_dl1.py [--events 20000] [--output benchmarks/scratch/table.md]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import numpy as np

ROOT = Path(__file__).parents[1]
WORK = ROOT / "benchmarks" / "scratch"
DATA = Path(os.environ.get("SST1M_DATA", ROOT.parent / "shared" / "data"))
RA_DEG, DEC_DEG = 330.0, 45.0
DATE, RUN = 20180822, 1
BLOCK = 256


def config_file(images: str) -> Path:
    """Write the data configuration with tailcuts cleaning, which ctapipe has too."""
    document = json.loads((ROOT / "config" / "sst1m_data_config.json").read_text())
    document["ImageProcessor"]["image_cleaner_type"] = "TailcutsImageCleaner"
    document["DataWriter"] = {"write_images": images}
    path = WORK / f"config_{images}.json"
    path.write_text(json.dumps(document))
    return path


def ctapipe_config() -> Path:
    """Write the same choices in ctapipe's words."""
    tel = 22
    cuts = json.loads((ROOT / "config" / "sst1m_data_config.json").read_text())["ImageProcessor"][
        "TailcutsImageCleaner"
    ]
    values = {key: next(v for _, t, v in rows if t == tel) for key, rows in cuts.items()}
    document = {
        "SST1MEventSource": {
            "config_file": str(config_file("all")),
            "calibration_dir": str(DATA / "calibration"),
            "pointing_ra": RA_DEG,
            "pointing_dec": DEC_DEG,
        },
        "CameraCalibrator": {
            "image_extractor_type": "LocalPeakWindowSum",
            "LocalPeakWindowSum": {"window_shift": 3, "window_width": 7},
        },
        "ImageProcessor": {
            "use_telescope_frame": False,
            "image_cleaner_type": "TailcutsImageCleaner",
            "TailcutsImageCleaner": values,
        },
    }
    path = WORK / "ctapipe.json"
    path.write_text(json.dumps(document))
    return path


def make_files(n_events: int) -> dict[str, Path]:
    """Return the raw files of the benchmark, made once."""
    from sst1m.simulation.raw_writer import repeat_raw_file

    real = WORK / f"real_{n_events}" / "SST1M2_20180822_0001.fits.fz"
    simulated = WORK / f"simulated_{n_events}" / "SST1M2_20180822_0001.fits.fz"
    for path in (real, simulated):
        path.parent.mkdir(parents=True, exist_ok=True)
    if not real.exists():
        repeat_raw_file(DATA / "raw" / "example_SST1M_20180822.fits.fz", real, n_events)
    if not simulated.exists():
        write_simulated(simulated, n_events)
    return {"real 2018 events, repeated": real, "simulated, zstd": simulated}


def write_simulated(path: Path, n_events: int) -> None:
    """Write noise with pulses in an elliptic spot, one pedestal in three events."""
    from bench_waveforms import write_run

    write_run(path, n_events, seed=1)


def clock(work) -> float:
    """Return the CPU seconds of a piece of work in this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def read_protozfits(path: Path) -> int:
    """Iterate a file as protozfits offers it."""
    import protozfits

    file = protozfits.File(str(path))
    return sum(int(event.hiGain.waveforms.samples[0] >= 0) for event in file.Events)


def read_blocks(path: Path) -> int:
    """Read a file in our blocks."""
    from sst1m.io.rawfile import RawFile

    with RawFile(path) as raw:
        return sum(len(block) for block in raw.blocks(BLOCK, reuse_buffers=True))


def reduce_file(path: Path, images: str) -> None:
    """Run raw -> DL1 of this pipeline, with the check of the file that a night makes before."""
    from sst1m.config import load_config
    from sst1m.io.rawfile import verify_raw_file
    from sst1m.pointing import Pointing
    from sst1m.reduction import reduce_raw_run

    verify_raw_file(path)
    reduce_raw_run(
        path,
        WORK / f"ours_{images}.h5",
        config=load_config(config_file(images)),
        calibration_dir=DATA / "calibration",
        tel_id=22,
        date=DATE,
        run=RUN,
        pointing=Pointing(RA_DEG, DEC_DEG, "command"),
    )


def run_ctapipe_process(path: Path, images: bool) -> None:
    """Run ctapipe-process with our plugin in this process."""
    from ctapipe.core import run_tool
    from ctapipe.tools.process import ProcessorTool

    arguments = [
        f"--input={path}",
        f"--output={WORK / 'ctapipe.h5'}",
        f"--config={ctapipe_config()}",
        "--overwrite",
        "--write-images" if images else "--no-write-images",
        f"--provenance-log={WORK / 'ctapipe.provenance.log'}",
        "--log-level=ERROR",
    ]
    code = run_tool(ProcessorTool(), argv=arguments, cwd=WORK)
    if code:
        raise SystemExit(f"ctapipe-process ended with {code}")


def compute_ours(path: Path, n_events: int, *, pedestals: bool) -> float:
    """
    Return CPU seconds per event from waveforms in memory to image parameters.

    With `pedestals` it includes the statistics of the pedestal events, which ctapipe's loop does not do:
    there the plugin has done them before.
    """
    from sst1m.calib.pedestals import is_pedestal
    from sst1m.calib.telescope import load_telescope_calibration
    from sst1m.config import load_config
    from sst1m.image import CameraTables, parametrize_block
    from sst1m.instrument import camera_geometry
    from sst1m.io.rawfile import RawFile
    from sst1m.reduction import waveforms
    from sst1m.reduction.charges import ChargeCalibrator
    from sst1m.reduction.cleaning import ImageCleaner
    from sst1m.reduction.pedestals import calibrated_blocks

    config = load_config(config_file("all"))
    tables = CameraTables.from_geometry(camera_geometry())
    with RawFile(path) as raw:
        constants = load_telescope_calibration(
            config, 22, calibration_dir=DATA / "calibration", time_ns=int(raw.index.time_ns[0])
        )
        blocks = [raw.read(first, BLOCK) for first in range(0, n_events - BLOCK + 1, BLOCK)]
        if not pedestals:
            blocks = [
                replace(b, index=replace(b.index, event_type=np.ones_like(b.index.event_type)))
                for b in blocks
            ]
        pedestal = is_pedestal(np.concatenate([b.index.event_type for b in blocks]))
        loaded = _Loaded(blocks, raw.path)
    charges, cleaner = ChargeCalibrator(config, constants, tables), ImageCleaner(config, 22, tables)

    def work() -> None:
        stream = waveforms.charge_blocks(loaded, config, constants.channel_of_pixel)
        for block in calibrated_blocks(stream, pedestal, config, constants, charges, []):
            cleaned = cleaner(block.images.image, block.images.peak_time)
            ids = np.arange(block.rows.start, block.rows.stop)
            parametrize_block(
                block.images.image, block.images.peak_time, cleaned.mask, tables, seed=1, event_ids=ids
            )

    work()
    return min(clock(work) for _ in range(3)) / (BLOCK * len(blocks))


class _Loaded:
    """Blocks in memory that pass for an open raw file."""

    def __init__(self, blocks: list, path: Path) -> None:
        self._blocks, self.path = blocks, path

    def blocks(self, _size: int, *, reuse_buffers: bool) -> list:
        return self._blocks


def compute_ctapipe(path: Path, n_events: int) -> float:
    """Return CPU seconds per event of ctapipe's calibrator and image processor, R1 in memory."""
    from ctapipe.calib import CameraCalibrator
    from ctapipe.image import ImageProcessor
    from ctapipe.io import EventSource
    from traitlets.config import Config

    config = Config(json.loads(ctapipe_config().read_text()))
    with EventSource(str(path), config=config, max_events=n_events) as source:
        calibrate = CameraCalibrator(subarray=source.subarray, config=config)
        process = ImageProcessor(subarray=source.subarray, config=config)
        events = list(source)

    def work() -> None:
        for event in events:
            calibrate(event)
            process(event)

    first = events[:20]
    for event in first:
        calibrate(event)
        process(event)
    return clock(work) / len(events)


def peak_memory(path: Path) -> float:
    """Return the peak resident memory [MB] of reducing a file with images in a process of its own."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from pathlib import Path; import bench_r0_dl1 as b; b.reduce_file(Path(sys.argv[2]), 'all');"
        "status = Path('/proc/self/status').read_text();"
        "print(int(status.split('VmHWM:')[1].split()[0]) / 1024)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(run.stdout.split()[-1])


def measure(name: str, path: Path, n_events: int, n_compute: int, repeat: int) -> list[tuple[str, float]]:
    """Return (what, CPU seconds per event); the short measurements are the best of `repeat`."""

    def best(work) -> float:
        return min(clock(work) for _ in range(repeat)) / n_events

    rows = [
        ("protozfits, bare reading", best(lambda: read_protozfits(path))),
        ("this reader, in blocks", best(lambda: read_blocks(path))),
        ("raw -> DL1 without images", best(lambda: reduce_file(path, "none"))),
        ("raw -> DL1 with images", best(lambda: reduce_file(path, "all"))),
        ("ctapipe-process without images", clock(lambda: run_ctapipe_process(path, images=False)) / n_events),
        ("ctapipe-process with images", clock(lambda: run_ctapipe_process(path, images=True)) / n_events),
        ("compute part, this pipeline", compute_ours(path, n_compute, pedestals=False)),
        ("the same with pedestal statistics", compute_ours(path, n_compute, pedestals=True)),
        ("compute part, ctapipe loop", compute_ctapipe(path, n_compute)),
    ]
    sys.stderr.write(f"{name}: done\n")
    return rows


def table(name: str, rows: list[tuple[str, float]]) -> str:
    """Return the rows as a Markdown table with the ratios that the project promises."""
    cost = dict(rows)
    bare = cost["protozfits, bare reading"]
    lines = [f"### {name}", "", "| what | events/s | time / bare reading |", "|---|---|---|"]
    lines += [f"| {what} | {1 / seconds:.0f} | {seconds / bare:.2f} |" for what, seconds in rows]
    ratios = {
        "compute part, ctapipe / this": cost["compute part, ctapipe loop"]
        / cost["compute part, this pipeline"],
        "end to end without images, ctapipe / this": cost["ctapipe-process without images"]
        / cost["raw -> DL1 without images"],
        "end to end with images, ctapipe / this": cost["ctapipe-process with images"]
        / cost["raw -> DL1 with images"],
    }
    lines += ["", *(f"- {what}: **x{ratio:.1f}**" for what, ratio in ratios.items()), ""]
    return "\n".join(lines)


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=20000, help="events per file")
    parser.add_argument(
        "--compute-events", type=int, default=2048, help="events held in memory for the compute part"
    )
    parser.add_argument("--repeat", type=int, default=2, help="repetitions of the short measurements")
    parser.add_argument("--output", type=Path, default=WORK / "table.md")
    options = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    texts = []
    for name, path in make_files(options.events).items():
        reduce_file(path, "all")  # imports and compiled kernels are loaded before anything is timed
        rows = measure(name, path, options.events, options.compute_events, options.repeat)
        text = table(f"{name}, {options.events} events", rows)
        text += f"\nPeak memory of raw -> DL1 with images: {peak_memory(path):.0f} MB\n"
        texts.append(text)
        print(text, flush=True)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(f"CPU of the whole run: {usage.ru_utime + usage.ru_stime:.0f} s")
    options.output.write_text("\n".join(texts))


if __name__ == "__main__":
    main()
