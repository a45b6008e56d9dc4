"""
The demo night, both ways in one run: by `RunNight`, and by a script of ctapipe's own tools.

Run with ``python benchmarks/bench_night_both_ways.py [demo] [--run-seconds 60]`` after ``make night``; with
that option a night of longer runs is simulated first, since those of the demo last 6 s. Both read the same
raw runs, clean with the same tail cuts, and end with energy, direction and gammaness of each telescope's
images by forests of the same size. Ours does it with one command; the script with ``ctapipe-process`` and
``ctapipe-apply-models`` for each run. CPU seconds of all processes. Before, and not counted, ctapipe's
trainers make its forests from the demo's showers. Everything is written to a temporary directory.
"""

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tables

ROOT = Path(__file__).parents[1]
DATE = "2024-03-04"
NODE = "ze20_az180_nsb100"
PARAMETERS = "/dl1/event/telescope/parameters"
#: ctapipe's names of what our forests of one telescope see.
FEATURES = [
    "log_intensity", "hillas_width", "hillas_length", "wl", "hillas_skewness", "hillas_kurtosis",
    "timing_slope", "leakage_intensity_width_2",
]  # fmt: skip
PLACE = ["hillas_fov_lon", "hillas_fov_lat"]
GENERATED = [["log_intensity", "log10(hillas_intensity)"], ["wl", "hillas_width / hillas_length"]]
QUALITY = [
    ["intensity", "hillas_intensity >= 50"],
    ["width", "hillas_width > 0"],
    ["leakage", "leakage_intensity_width_2 <= 0.7"],
]


@dataclass(frozen=True)
class Place:
    """Where the demo and the demo of the night lie, and where everything is written."""

    demo: Path
    night_of: Path
    work: Path

    @property
    def config(self) -> Path:
        """Our configuration of data, with ctapipe's cleaning."""
        return self.work / "config.json"

    @property
    def night(self) -> Path:
        """Products of our night."""
        return self.work / "ana" / DATE.replace("-", "")

    def prepare(self) -> None:
        """Write our configuration and settings: those of the demo, with tail cuts and another directory."""
        document = json.loads((ROOT / "config" / "sst1m_data_config.json").read_text())
        document["ImageProcessor"]["image_cleaner_type"] = "TailcutsImageCleaner"
        self.config.write_text(json.dumps(document))
        self.settings("luigi.cfg", stereo=False)
        self.settings("stereo.cfg", stereo=True)

    def settings(self, name: str, *, stereo: bool) -> None:
        """Write settings of luigi."""
        text = (self.demo / "luigi.cfg").read_text()
        new = {
            "root_dir": self.night_of / "raw",
            "calibration_dir": self.night_of / "calibration",
            "ana_dir": self.work / "ana",
            "config_file": self.config,
            "stereo": str(stereo).lower(),
        }
        for key, value in new.items():
            text = re.sub(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
        (self.work / name).write_text(text)


def cpu_s(command: Sequence[str], work: Path, **more: str) -> float:
    """Run a command and return the CPU seconds of all its processes."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | more
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if run.returncode:
        sys.exit(f"{' '.join(command)} ended with {run.returncode}\n{(run.stdout + run.stderr)[-3000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


# ---- our way -----------------------------------------------------------------------------------------------


def run_night(place: Place, until: str, settings: str = "luigi.cfg") -> float:
    """Process the night up to a level; what is there already is not made again."""
    command = [sys.executable, "-m", "tasks", "RunNight", "--date", DATE, "--until", until, "--workers", "1"]
    return cpu_s(command, place.work, LUIGI_CONFIG_PATH=str(place.work / settings))


def raw_files(place: Place) -> list[Path]:
    """Return the raw files that our night has reduced."""
    products = sorted(place.night.glob("*/cs[12]/dl1/*_dl1.h5"))
    names = ["_".join(product.name.split("_")[:3]) for product in products]
    return [next((place.night_of / "raw").rglob(f"{name}.fits.fz")) for name in names]


# ---- the way of ctapipe's tools ----------------------------------------------------------------------------


def tool(name: str, place: Place, *options: str) -> float:
    """Run one of ctapipe's tools and return its CPU seconds."""
    log = f"--provenance-log={place.work / 'tools.provenance.log'}"
    return cpu_s([str(Path(sys.executable).with_name(name)), *options, log, "--log-level=ERROR"], place.work)


def process_config(place: Place) -> Path:
    """Write our choices in ctapipe's words; images are parametrised on the sky, as its forests want them."""
    cuts = json.loads(place.config.read_text())["ImageProcessor"]["TailcutsImageCleaner"]
    document = {
        "SST1MEventSource": {
            "config_file": str(place.config),
            "calibration_dir": str(place.night_of / "calibration"),
            "skip_pedestals": True,
        },
        "CameraCalibrator": {
            "image_extractor_type": "LocalPeakWindowSum",
            "LocalPeakWindowSum": {"window_shift": 3, "window_width": 7},
        },
        "ImageProcessor": {
            "use_telescope_frame": True,
            "image_cleaner_type": "TailcutsImageCleaner",
            "TailcutsImageCleaner": cuts,
        },
    }
    path = place.work / "process.json"
    path.write_text(json.dumps(document))
    return path


def training_file(place: Place, particle: str) -> Path:
    """Write the demo's training sample of a particle with image parameters on the sky."""
    from ctapipe.io import read_table, write_table

    name = f"{particle}_{NODE}_train_dl1.h5"
    path = place.work / name
    shutil.copy(place.demo / "mc/demo/dl1" / particle / NODE / "train" / name, path)
    with tables.open_file(path) as file:
        telescopes = [node._v_name for node in file.iter_nodes(PARAMETERS)]
        focal_m = file.root.configuration.instrument.telescope.optics.col("effective_focal_length")[0]
    for telescope in telescopes:
        table = read_table(path, f"{PARAMETERS}/{telescope}")
        write_table(_on_the_sky(table, focal_m), path, f"{PARAMETERS}/{telescope}", overwrite=True)
    return path


def _on_the_sky(table, focal_m: float):
    """Return image parameters in ctapipe's telescope frame: its latitude is the camera's x."""
    import astropy.units as u

    for column in list(table.colnames):
        if column.startswith("camera_frame_"):
            table.rename_column(column, column.removeprefix("camera_frame_"))
    table["hillas_fov_lat"] = np.rad2deg(np.array(table["hillas_x"]) / focal_m) * u.deg
    table["hillas_fov_lon"] = np.rad2deg(np.array(table["hillas_y"]) / focal_m) * u.deg
    for name in ("hillas_length", "hillas_width", "hillas_r"):
        table[name] = np.rad2deg(np.array(table[name]) / focal_m) * u.deg
    table["hillas_psi"] = (90 - np.array(table["hillas_psi"])) * u.deg
    table["timing_slope"] = np.array(table["timing_slope"]) * np.deg2rad(1) * focal_m / u.deg
    table.remove_columns([name for name in ("hillas_x", "hillas_y", "hillas_phi") if name in table.colnames])
    return table


def train(place: Place) -> list[Path]:
    """Let ctapipe's trainers make forests of the size of the demo's; return them in their order."""
    document = json.loads((ROOT / "config" / "sst1m_mc_demo_config.json").read_text())
    regressor = document["random_forest_regressor_args"] | {"n_jobs": 1}
    classifier = document["random_forest_classifier_args"] | {"n_jobs": 1}
    common = {"QualityQuery": {"quality_criteria": QUALITY}, "FeatureGenerator": {"features": GENERATED}}
    components = {
        "EnergyRegressor": {
            "model_cls": "RandomForestRegressor", "model_config": regressor, "log_target": True,
            "features": FEATURES + PLACE,
        },
        "ParticleClassifier": {
            "model_cls": "RandomForestClassifier", "model_config": classifier,
            "features": [*FEATURES, *PLACE, "RandomForestRegressor_tel_energy"],
        },
        "DispReconstructor": {
            "norm_cls": "RandomForestRegressor", "norm_config": regressor, "log_target": True,
            "sign_cls": "RandomForestClassifier", "sign_config": classifier, "features": FEATURES,
        },
    }  # fmt: skip
    path = place.work / "train.json"
    path.write_text(json.dumps({name: common | part for name, part in components.items()}))
    gammas, protons = (training_file(place, particle) for particle in ("gamma_diffuse", "proton_diffuse"))
    energy, disp, gammaness = (place.work / f"{name}.pkl" for name in ("energy", "disp", "gammaness"))
    tool("ctapipe-train-energy-regressor", place, f"-c={path}", f"-i={gammas}", f"-o={energy}")
    tool("ctapipe-train-disp-reconstructor", place, f"-c={path}", f"-i={gammas}", f"-o={disp}")
    with_energy = []
    for file in (gammas, protons):
        with_energy.append(file.with_name(f"energy_{file.name}"))
        tool("ctapipe-apply-models", place, f"-i={file}", f"-o={with_energy[-1]}", f"-r={energy}")
    samples = [f"--signal={with_energy[0]}", f"--background={with_energy[1]}"]
    tool("ctapipe-train-particle-classifier", place, f"-c={path}", *samples, f"-o={gammaness}")
    return [energy, disp, gammaness]


def process(place: Place, config: Path, raw: Path) -> float:
    """Make the DL1 file of a run."""
    options = [
        f"--input={raw}",
        f"--output={_dl1(place, raw)}",
        f"--config={config}",
        "--write-images",
        "--overwrite",
    ]
    return tool("ctapipe-process", place, *options)


def add_pointing(place: Place, raw: Path) -> None:
    """Copy the table of the pointing from our file: ctapipe-process writes none for observed data."""
    name = raw.name.removesuffix(".fits.fz")
    ours = next(place.night.glob(f"*/cs[12]/dl1/{name}_*dl1.h5"))
    with tables.open_file(ours) as source, tables.open_file(_dl1(place, raw), "r+") as file:
        group = file.create_group("/dl0/monitoring/telescope", "pointing", createparents=True)
        for node in source.iter_nodes("/dl0/monitoring/telescope/pointing"):
            node.copy(group)


def _dl1(place: Place, raw: Path) -> Path:
    return place.work / "ctapipe" / f"{raw.name.removesuffix('.fits.fz')}_dl1.h5"


def apply_models(place: Place, models: Sequence[Path], raw: Path) -> float:
    """Make the DL2 file of a run, which like ours carries no images."""
    dl1 = _dl1(place, raw)
    output = dl1.with_name(dl1.name.replace("_dl1", "_dl2"))
    options = [
        f"-i={dl1}",
        f"-o={output}",
        *(f"-r={model}" for model in models),
        "--no-dl1-images",
    ]
    return tool("ctapipe-apply-models", place, *options)


# ---- what came out -----------------------------------------------------------------------------------------


def images(files: Sequence[Path], column: str) -> int:
    """Return the number of images with parameters."""
    return sum(_count(path, PARAMETERS, column, np.isfinite) for path in files)


def _count(path: Path, group: str, column: str, accepts) -> int:
    with tables.open_file(path) as file:
        return sum(int(np.sum(accepts(node.col(column)))) for node in file.iter_nodes(group))


def reconstructed(files: Sequence[Path], column: str) -> int:
    """Return the number of images with an energy."""
    group = "/dl2/event/telescope/energy/RandomForestRegressor"
    return sum(_count(path, group, column, lambda values: values.astype(bool)) for path in files)


def ours_reconstructed(place: Place) -> int:
    """Return the number of images of our DL2 files."""
    total = 0
    for path in sorted(place.night.glob("*/cs[12]/dl2/*_dl2.json")):
        total += json.loads(path.read_text())["counts"]["n_written"]
    return total


def show(rows: Sequence[tuple[str, float, float]]) -> None:
    """Print CPU seconds side by side."""
    print("| CPU seconds | RunNight | ctapipe's tools | ratio |\n|---|---|---|---|")
    for what, ours, theirs in rows:
        print(f"| {what} | {ours:.1f} | {theirs:.1f} | ×{theirs / ours:.1f} |")


def main() -> None:
    """Do the night both ways and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("demo", nargs="?", type=Path, default=ROOT / "demo", help="where `make night` was")
    parser.add_argument("--run-seconds", type=float, help="simulate a night of runs of this length")
    parser.add_argument("--directory", type=Path, help="where there is room for the files")
    options = parser.parse_args()
    if not (options.demo / "mc/demo/models_mono").is_dir():
        sys.exit(f"{options.demo}: there is no finished demo; run `make night` first")
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        demo = night_of = options.demo.resolve()
        if options.run_seconds:
            night_of = Path(name) / "longer"
            maker = str(Path(sys.executable).with_name("sst1m"))
            cpu_s(
                [maker, "demo", f"--output-dir={night_of}", f"--run-seconds={options.run_seconds}"],
                Path(name),
            )
        compare(Place(demo, night_of, Path(name)))


def compare(place: Place) -> None:
    """Measure both ways, check that both have the same images, and print."""
    place.prepare()
    (place.work / "ctapipe").mkdir()
    config, models = process_config(place), train(place)
    ours_dl1 = run_night(place, "dl1")
    ours_dl2 = run_night(place, "dl2")
    raw = raw_files(place)
    theirs_dl1 = sum(process(place, config, path) for path in raw)
    for path in raw:
        add_pointing(place, path)
    theirs_dl2 = sum(apply_models(place, models, path) for path in raw)
    start_s = tool("ctapipe-process", place, "--help") * 2 * len(raw)
    rows = [
        ("raw to DL1 with images", ours_dl1, theirs_dl1),
        ("DL1 to DL2, each telescope", ours_dl2, theirs_dl2),
        ("the night", ours_dl1 + ours_dl2, theirs_dl1 + theirs_dl2),
    ]
    print(f"{len(raw)} runs of {DATE}, {sum(path.stat().st_size for path in raw) / 1e6:.0f} MB\n")
    show(rows)
    products = sorted(place.night.glob("*/cs[12]/dl1/*_dl1.h5"))
    made = {level: sorted((place.work / "ctapipe").glob(f"*_{level}.h5")) for level in ("dl1", "dl2")}
    counts = (
        images(products, "camera_frame_hillas_intensity"),
        images(made["dl1"], "hillas_intensity"),
        ours_reconstructed(place),
        reconstructed(made["dl2"], "RandomForestRegressor_tel_is_valid"),
    )
    print(
        f"\nimages with parameters: {counts[0]} and {counts[1]}; with an energy: {counts[2]} and {counts[3]}"
    )
    print(f"of ctapipe's seconds, {2 * len(raw)} starts of its tools: {start_s:.1f} s")
    print(f"matching and stereo by RunNight, in addition: {run_night(place, 'dl2', 'stereo.cfg'):.1f} s")
    if counts[0] != counts[1]:
        sys.exit("both ways differ in the number of images with parameters")


if __name__ == "__main__":
    main()
