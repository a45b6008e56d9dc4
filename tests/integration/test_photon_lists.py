"""From raw waveforms to photon lists: a source is seen, every event accounted for, kills change nothing."""

import datetime
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tables
from astropy.io import fits

from sst1m.config import load_config
from sst1m.io.dl1 import check_dl1
from sst1m.io.dl2 import check_dl2, read_dl2
from sst1m.io.rawfile import RawFile
from sst1m.irf.cuts import GammanessCuts
from sst1m.reco.selection import select_events
from sst1m.simulation.night import simulate_night
from sst1m.simulation.night_spec import NightSpec
from sst1m.sources import DEFAULT_SOURCES, read_sources

ROOT = Path(__file__).parents[2]
SETUPS = ("cs1", "cs2", "stereo")
#: Disk operations of the main process between two kills.
STRIDE = 30
OPERATIONS = ("replace", "fsync", "unlink")

PRODUCTION = """\
seed = 3
setups = ["mono", "stereo"]
cuts = ["global", "efficiency"]
irf_version = "0_1"
[axes]
zenith = [30]
azimuth = [180]
nsb = [100]
[source]
kind = "simulator"
[particles.gamma_diffuse]
energy_min = 0.5
energy_max = 50
index = -2.0
scatter_radius = 280
view_cone = 1.5
train = { shards = 1, showers = 4000 }
test = { shards = 1, showers = 5000 }
[particles.proton_diffuse]
energy_min = 0.8
energy_max = 100
index = -2.0
scatter_radius = 350
view_cone = 4.0
train = { shards = 1, showers = 6000 }
test = { shards = 1, showers = 6000 }
"""
ANALYSIS = {
    "log_energy_min_tev": -0.5,
    "log_energy_max_tev": 1.7,
    "n_energy_bins": 5,
    "n_bins_migration": 13,
    "fov_offset_max_deg": 1.5,
    "nbins_fov_offset": 3,
    "fov_offset_bg_max_deg": 4,
    "nbins_fov_offset_bg": 3,
    "nbins_source_offset": 21,
    "gamma_min_simulated_energy_tev": 0.5,
    "proton_min_simulated_energy_tev": 0.8,
    "n_training_events": 10000,
    "global_gammaness_cut": 0.6,
}


def write_config(path: Path, kind: str) -> Path:
    document = json.loads((ROOT / "config" / f"sst1m_{kind}_config.json").read_text())
    known = document["analysis"].keys()
    document["analysis"] |= {key: value for key, value in ANALYSIS.items() if key in known}
    for forest in ("random_forest_regressor_args", "random_forest_classifier_args"):
        if forest in document:
            document[forest] |= {"n_estimators": 30, "max_depth": 12, "n_jobs": 1}
    document.setdefault("DataWriter", {})["write_images"] = "none"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Raw files of a bright source, and a small production to analyse them with; paths by key of [site]."""
    base = tmp_path_factory.mktemp("science")
    crab = read_sources(DEFAULT_SOURCES).named("Crab")
    spec = NightSpec(
        date=datetime.date(2024, 3, 4), source=crab, flux=300.0, n_runs=3, run_seconds=4.0,
        pedestal_hz=40.0, seed=2,
    )  # fmt: skip
    simulate_night(spec, base / "raw", calibration_dir=base / "calibration")
    (base / "small.toml").write_text(PRODUCTION)
    paths = {
        "mc_dir": base / "mc",
        "mc_config_file": write_config(base / "mc.json", "mc"),
        "irf_dir": base / "irfs",
    }
    subprocess.run(
        [sys.executable, "-m", "tasks", "MakeProduction", "--production", str(base / "small.toml"), "--until",
         "irfs", *(f"--site-{key.replace('_', '-')}={path}" for key, path in paths.items())],
        cwd=base, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, timeout=600,
    )  # fmt: skip
    return {
        "root_dir": base / "raw",
        "calibration_dir": base / "calibration",
        "config_file": write_config(base / "data.json", "data"),
        "irf_dir": paths["irf_dir"],
        "mono_model_dir": base / "mc" / "small" / "models_mono",
        "stereo_model_dir": base / "mc" / "small" / "models_stereo",
        "eff_cut_dir_mono": base / "mc" / "small" / "cuts",
        "eff_cut_dir_stereo": base / "mc" / "small" / "cuts",
        "sources_file": DEFAULT_SOURCES,
    }


@pytest.fixture(scope="module")
def new_night(make_night, site):
    """Return a function that makes a night of the site with nothing done yet."""

    def make(**other: Path):
        night = make_night()
        paths = site | other
        night.raw, night.calibration = paths.pop("root_dir"), paths.pop("calibration_dir")
        night.config = paths.pop("config_file")
        night.more_site, night.until = paths, ()
        night.configure(site="\n".join(f"{key} = {path}" for key, path in paths.items()))
        return night

    return make


@pytest.fixture(scope="module")
def finished(new_night, warm):
    """A night that is complete."""
    night = new_night()
    command = warm(night)
    assert command.wait() == 0, command.text()
    night.output = command.text()
    return night


def photon_lists(night, setup: str, level: str = "dl3") -> list[Path]:
    return sorted((night.layout.root / "Crab" / setup / level).glob("SST1M_Crab_obs_id_*_dl3.fits"))


def events_of(path: Path) -> np.ndarray:
    return np.array(fits.getdata(path, "EVENTS"))


def test_the_night_ends_with_photon_lists_of_every_setup(finished):
    for setup in SETUPS:
        for level in ("dl3", "dl3_eff"):
            directory = finished.layout.root / "Crab" / setup / level
            assert photon_lists(finished, setup, level), f"{directory} has no photon list"
            assert (directory / "obs-index.fits.gz").is_file() and (directory / "hdu-index.fits.gz").is_file()
    record = json.loads(finished.layout.record.read_text())
    assert record["complete"] is True and record["problems"] == []
    assert "night 2024-03-04: complete" in finished.output
    assert "stereo (eff)" in finished.output
    hidden = [path for path in finished.ana.rglob("*") if ".part" in path.name]
    assert hidden == []


@pytest.mark.parametrize("setup", SETUPS)
def test_the_source_is_seen_from_raw_waveforms(finished, setup):
    import astropy.units as u
    from astropy.coordinates import SkyCoord
    from gammapy.data import DataStore
    from gammapy.stats import WStatCountsStatistic
    from regions import CircleSkyRegion

    store = DataStore.from_dir(finished.layout.root / "Crab" / setup / "dl3")
    crab = read_sources(DEFAULT_SOURCES).named("Crab")
    source = SkyCoord(crab.ra_deg * u.deg, crab.dec_deg * u.deg)
    n_on = n_off = 0
    for observation in store.get_observations(required_irf="full-enclosure"):
        assert all(getattr(observation, name) is not None for name in ("aeff", "edisp", "psf", "bkg", "gti"))
        pointing = observation.get_pointing_icrs(observation.tmid)
        angle, distance = pointing.position_angle(source), pointing.separation(source)
        places = [pointing.directional_offset_by(angle + k * 60 * u.deg, distance) for k in range(6)]
        counts = [
            len(observation.events.select_region(CircleSkyRegion(place, 0.2 * u.deg))) for place in places
        ]
        n_on, n_off = n_on + counts[0], n_off + sum(counts[1:])
    assert WStatCountsStatistic(n_on, n_off, 0.2).sqrt_ts > 5


@pytest.mark.parametrize("setup", ["cs1", "cs2"])
def test_gammapy_recovers_the_flux_that_was_simulated(finished, setup, tmp_path):
    from sst1m.quicklook.look import quicklook
    from sst1m.quicklook.options import QuicklookOptions

    store = finished.layout.root / "Crab" / setup / "dl3"
    crab = read_sources(DEFAULT_SOURCES).named("Crab")
    options = QuicklookOptions(crab_units=True)
    spectrum = quicklook(store, tmp_path, source=crab, options=options, pictures=()).content["spectrum"]
    assert spectrum["status"] == "fitted", spectrum
    error = spectrum["flux_crab_error"]
    assert 0 < error < 150
    assert abs(spectrum["flux_crab"] - 300.0) < 3 * error


def test_selections_of_the_store_work(finished):
    import astropy.units as u
    from gammapy.data import DataStore

    table = DataStore.from_dir(finished.layout.root / "Crab" / "stereo" / "dl3").obs_table
    assert set(table["OBJECT"]) == {"Crab"}
    in_zenith = table.select_range("ZEN_PNT", u.Quantity([20, 40], "deg"))
    assert len(in_zenith) == len(table) > 0
    assert len(table.select_range("ZEN_PNT", u.Quantity([60, 70], "deg"))) == 0


def test_every_photon_list_is_valid_gadf(finished):
    from ogadf_schema.events import EVENTS, GTI
    from ogadf_schema.irfs import AEFF_2D, BKG_2D, EDISP_2D, PSF_TABLE

    schemas = {
        "EVENTS": EVENTS, "GTI": GTI, "EFFECTIVE AREA": AEFF_2D, "ENERGY DISPERSION": EDISP_2D,
        "POINT SPREAD FUNCTION": PSF_TABLE, "BACKGROUND": BKG_2D,
    }  # fmt: skip
    lists = [
        p for setup in SETUPS for level in ("dl3", "dl3_eff") for p in photon_lists(finished, setup, level)
    ]
    assert len(lists) >= 6
    for path in lists:
        with fits.open(path) as hdus:
            assert hdus["EVENTS"].header["SIMULAT"] is True
            for name, schema in schemas.items():
                schema.validate_hdu(hdus[name])


def raw_shower_ids(path: Path) -> dict[int, int]:
    """Return SWAT and camera numbers of the events of a raw file that are no pedestals."""
    with RawFile(path) as raw:
        index = raw.index
        shower = index.event_type != 8
        return dict(
            zip(index.array_event_number[shower].tolist(), index.event_number[shower].tolist(), strict=True)
        )


def table_ids(path: Path, table: str) -> list[int]:
    with tables.open_file(str(path)) as h5file:
        return h5file.get_node(table).col("event_id").tolist()


@pytest.mark.parametrize(("setup", "tel_id"), [("cs1", 21), ("cs2", 22)])
def test_every_event_is_followed_from_raw_to_the_photon_list(finished, setup, tel_id):
    """Each raw shower is in DL1; each DL1 event in DL2 or counted there; each DL2 event in DL3 or cut."""
    config = load_config(finished.config)
    cuts = GammanessCuts.from_config(config)
    expected: list[tuple[int, int]] = []
    n_raw = 0
    for dl1 in sorted((finished.layout.root / "Crab" / setup / "dl1").glob("*_dl1.h5")):
        raw = finished.raw.rglob(f"{dl1.name[:20]}.fits.fz")
        shower = raw_shower_ids(next(raw))
        ids = table_ids(dl1, "/dl1/event/subarray/trigger")
        assert sorted(ids) == sorted(shower) or sorted(ids) == sorted(shower.values())
        assert len(set(ids)) == len(ids)
        n_raw += len(ids)
        dl2 = finished.layout.dl2_path(dl1)
        counts = check_dl2(dl2)["counts"]
        lost = sum(n for name, n in counts.items() if name not in ("n_dl1", "n_written"))
        assert counts["n_dl1"] == len(ids) == counts["n_written"] + lost
        events = read_dl2(dl2)
        found = events.table["event_id"].tolist()
        assert set(found) <= set(ids) and len(found) == len(set(found)) == counts["n_written"]
        passed = np.asarray(select_events(events, config).mask) & cuts.passes(
            events.table["reco_energy"].to_value("TeV"), np.asarray(events.table["gammaness"])
        )
        run = int(check_dl1(dl1)["obs_id"])
        expected += [(run, event) for event in events.table["event_id"][passed].tolist()]
    lists = photon_lists(finished, setup)
    written = [(int(row["RUN_ID"]), int(row["EVENT_ID"])) for path in lists for row in events_of(path)]
    outside = sum(
        number
        for path in lists
        for name, number in json.loads(path.with_suffix(".json").read_text())["counts"]["removed"].items()
        if "good time" in name.lower() or "gti" in name.lower()
    )
    assert n_raw > 500 and len(expected) > 20
    assert set(written) <= set(expected) and len(written) == len(set(written))
    assert len(expected) - len(written) == outside


def test_stereo_events_are_the_coincidences_that_both_cameras_imaged(finished):
    root = finished.layout.root / "Crab" / "stereo"
    n_stereo = 0
    for dl1 in sorted((root / "dl1").glob("*_dl1_stereo.h5")):
        counts = check_dl1(dl1)["counts"]
        mono = finished.layout.root / "Crab" / "cs1" / "dl1" / dl1.name.replace("_dl1_stereo", "_dl1")
        assert counts["n_tel1"] == len(table_ids(mono, "/dl1/event/subarray/trigger"))
        assert counts["n_tel1"] == sum(n for name, n in counts.items() if name != "n_tel1")
        n_stereo += counts["written"]
    assert n_stereo > 50


def test_a_second_call_has_nothing_to_do(finished, warm):
    before = {path: path.stat().st_mtime_ns for path in finished.ana.rglob("*") if path.is_file()}
    command = warm(finished)
    assert command.wait() == 0
    assert "stereo (eff)" in command.text()
    after = {path: path.stat().st_mtime_ns for path in finished.ana.rglob("*") if path.is_file()}
    changed = {path.name for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed <= {"night.log"}


def kill_at(counter, last: int) -> None:
    """Count what the main process does on the disk, and kill it just before operation number `last`."""
    main = os.getpid()

    def counted(original):
        def operation(*args, **kwargs):
            if os.getpid() == main:
                counter.value += 1
                if counter.value == last:
                    os.kill(main, signal.SIGKILL)
            return original(*args, **kwargs)

        return operation

    for name in OPERATIONS:
        setattr(os, name, counted(getattr(os, name)))


def look(night) -> None:
    """Check that nothing incomplete is visible under the name of a product."""
    for path in night.ana.glob("*/*/*/dl1/SST1M*.h5"):
        check_dl1(path)
    for path in night.ana.glob("*/*/*/dl2/SST1M*.h5"):
        check_dl2(path)
    for path in night.ana.glob("*/*/*/dl3*/SST1M*.fits"):
        with fits.open(path) as hdus:
            assert {"EVENTS", "GTI", "BACKGROUND"} <= {hdu.name for hdu in hdus}


@pytest.mark.slow
def test_killed_again_and_again_the_photon_lists_are_the_same(new_night, finished, warm):
    night = new_night()
    rng = np.random.default_rng(20240304)
    n_killed, status = 0, -signal.SIGKILL
    while status == -signal.SIGKILL and n_killed < 80:
        counter = multiprocessing.get_context("fork").Value("i", 0)
        last = int(rng.integers(STRIDE // 2, 2 * STRIDE))
        command = warm(night, before=lambda c=counter, n=last: kill_at(c, n))
        status = command.wait()
        n_killed += status == -signal.SIGKILL
        look(night)
    assert status == 0, command.text()
    assert n_killed >= 20, f"only {n_killed} kills; make STRIDE smaller"
    assert not [path for path in night.ana.rglob("*") if ".part" in path.name]
    for setup in SETUPS:
        for level in ("dl3", "dl3_eff"):
            theirs, ours = photon_lists(finished, setup, level), photon_lists(night, setup, level)
            assert [path.name for path in ours] == [path.name for path in theirs]
            for one, other in zip(ours, theirs, strict=True):
                assert events_of(one).tobytes() == events_of(other).tobytes()
                assert fits.getdata(one, "GTI").tobytes() == fits.getdata(other, "GTI").tobytes()


def test_a_target_that_is_in_no_catalogue_does_not_hold_up_the_night(new_night, finished, warm, tmp_path):
    sources = tmp_path / "sources.ecsv"
    text = DEFAULT_SOURCES.read_text().splitlines()
    sources.write_text("\n".join(line for line in text if not line.startswith("Crab,")) + "\n")
    night = new_night(sources_file=sources)
    shutil.copytree(finished.ana, night.ana)
    command = warm(night)
    assert command.wait() == 30, command.text()
    assert "quarantined" in command.text() and "sources.ecsv" in command.text()
    assert "Traceback" not in command.text()
    shutil.copy(DEFAULT_SOURCES, sources)
    command = warm(night)
    assert command.wait() == 0, command.text()


def test_models_that_are_missing_are_named_before_anything_is_done(new_night, warm, tmp_path):
    night = new_night(mono_model_dir=tmp_path / "nowhere")
    command = warm(night)
    assert command.wait() == 35
    assert "nowhere: is no directory" in command.text()
    assert not night.ana.exists() or not list(night.ana.rglob("*_dl1.h5"))


def test_a_run_that_arrives_late_comes_into_the_photon_lists(new_night, site, warm, tmp_path):
    raw = tmp_path / "raw"
    shutil.copytree(site["root_dir"], raw)
    late = sorted(raw.rglob("SST1M1_*.fits.fz"))[-1]
    kept = tmp_path / late.name
    late.rename(kept)
    night = new_night(root_dir=raw)
    command = warm(night, "--targets", "Crab")
    assert command.wait() == 0, command.text()
    before = sum(len(events_of(path)) for path in photon_lists(night, "cs1"))
    kept.rename(late)
    command = warm(night, "--targets", "Crab")
    assert command.wait() == 0, command.text()
    assert sum(len(events_of(path)) for path in photon_lists(night, "cs1")) > before
