"""From raw waveforms to photon lists: a source is seen, every event accounted for, kills change nothing."""

import datetime
import importlib.util
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tables
from astropy.io import fits
from astropy.table import Table

from sst1m.coincidence import read_coincidences
from sst1m.coincidence.fate import Fate
from sst1m.config import load_config
from sst1m.dl3.gti import Intervals
from sst1m.io.dl1 import check_dl1
from sst1m.io.dl2 import check_dl2, read_dl2
from sst1m.io.rawfile import RawFile
from sst1m.irf.cuts import GammanessCuts
from sst1m.monitoring import LiveTime
from sst1m.reco.selection import select_events
from sst1m.simulation.night import simulate_night
from sst1m.simulation.night_spec import NightSpec
from sst1m.sources import DEFAULT_SOURCES, read_sources

ROOT = Path(__file__).parents[2]
SETUPS = ("cs1", "cs2", "stereo")
#: Disk operations of the main process between two kills.
STRIDE = 30
OPERATIONS = ("replace", "fsync", "unlink")
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)

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


def table_ids(path: Path, table: str = "/dl1/event/subarray/trigger") -> list[int]:
    with tables.open_file(str(path)) as h5file:
        return h5file.get_node(table).col("event_id").tolist()


def dl1_files(night, setup: str) -> list[Path]:
    return sorted((night.layout.root / "Crab" / setup / "dl1").glob("SST1M*.h5"))


def follow_from_raw_to_dl1(night, setup: str) -> dict[int, set[int]]:
    """Check that each raw event is in DL1, once, or a counted pedestal; return the events of each run."""
    found = {}
    for dl1 in dl1_files(night, setup):
        raw = next(night.raw.rglob(f"{dl1.name[:20]}.fits.fz"))
        shower, info, ids = raw_shower_ids(raw), check_dl1(dl1), table_ids(dl1)
        assert sorted(ids) == sorted(shower) or sorted(ids) == sorted(shower.values())
        assert len(set(ids)) == len(ids)
        with RawFile(raw) as file:
            assert info["n_events"] == len(file.index.event_type) == len(ids) + info["n_pedestal"]
        found[int(info["obs_id"])] = set(ids)
    return found


def check_lost_before_dl2(dl1: Path, lost: set[int], counts: dict[str, int]) -> None:
    """Check that each event that DL2 has not lacks an image, or in stereo has one without an axis."""
    no_image, no_axis = set(), set()
    with tables.open_file(str(dl1)) as h5file:
        for table in h5file.root.dl1.event.telescope.parameters._f_iter_nodes():
            rows = table.read()
            no_image |= set(rows["event_id"][np.isnan(rows["camera_frame_hillas_intensity"])].tolist())
            bad = ~((rows["camera_frame_hillas_width"] > 0) & (rows["leakage_intensity_width_2"] < 1))
            no_axis |= set(rows["event_id"][bad].tolist())
    no_axis = no_axis - no_image if "stereo" in dl1.name else set()
    assert lost == no_image | no_axis
    reasons = {name: n for name, n in counts.items() if n and name not in ("n_dl1", "n_written")}
    expected = {"no_image_parameters": len(no_image), "no_stereo_geometry": len(no_axis)}
    assert reasons == {name: n for name, n in expected.items() if n}


def follow_from_dl1_to_dl3(night, setup: str) -> int:
    """Check that each DL1 event is in DL2 or counted there, and in DL3 or cut there; return their number."""
    config = load_config(night.config)
    cuts = GammanessCuts.from_config(config)
    lists = photon_lists(night, setup)
    written = [(int(row["RUN_ID"]), int(row["EVENT_ID"])) for path in lists for row in events_of(path)]
    sides = [json.loads(path.with_suffix(".json").read_text())["counts"]["by_run"] for path in lists]
    removed = {name: run["removed"] for side in sides for name, run in side.items()}
    left_out = json.loads((lists[0].parent / "dl3.json").read_text())["left_out"]
    expected: list[tuple[int, int]] = []
    n_dl1 = 0
    for dl1 in dl1_files(night, setup):
        ids, events = table_ids(dl1), read_dl2(night.layout.dl2_path(dl1))
        found = events.table["event_id"].tolist()
        counts = check_dl2(night.layout.dl2_path(dl1))["counts"]
        assert set(found) <= set(ids) and len(found) == len(set(found)) == counts["n_written"]
        assert counts["n_dl1"] == len(ids) == len(set(ids))
        check_lost_before_dl2(dl1, set(ids) - set(found), counts)
        n_dl1 += len(ids)
        name = night.layout.dl2_path(dl1).name
        if name in left_out:
            assert not found and left_out[name].startswith("no good time")
            continue
        selection = select_events(events, config)
        live = LiveTime.from_dict(events.info["dl1"]["live_time"])
        good_time = Intervals.between_triggers(live.intervals_ns)
        steps = {
            "outside good time": good_time.contains(np.asarray(events.table["time_ns"])),
            f"gammaness {cuts.tag}": cuts.passes(
                events.table["reco_energy"].to_value("TeV"), np.asarray(events.table["gammaness"])
            ),
        }
        explained = {k: n for k, n in selection.counts.items() if k not in ("n_dl2", "n_selected")}
        kept = np.asarray(selection.mask)
        for cut, passes in steps.items():
            explained[cut] = np.count_nonzero(kept & ~passes)
            kept &= passes
        assert removed[name] == explained | {"undefined": 0}
        run = int(check_dl1(dl1)["obs_id"])
        expected += [(run, event) for event in events.table["event_id"][kept].tolist()]
    assert sorted(written) == sorted(expected)
    assert len(set(written)) == len(written) > 20
    return n_dl1


@pytest.mark.parametrize("setup", ["cs1", "cs2"])
def test_every_event_is_followed_from_raw_to_the_photon_list(finished, setup):
    """Each raw shower is in DL1; each DL1 event in DL2 or counted there; each DL2 event in DL3 or cut."""
    runs = follow_from_raw_to_dl1(finished, setup)
    assert follow_from_dl1_to_dl3(finished, setup) == sum(len(ids) for ids in runs.values()) > 500


def test_every_event_of_both_telescopes_is_followed_to_the_stereo_photon_list(finished):
    """Each DL1 event of a telescope is in a pair or has its reason; each pair is stereo or lacks an image."""
    coincidences = read_coincidences(finished.layout.coincidences_path("Crab"))
    pairs, truth = coincidences.pairs, simulated_showers(finished)
    both = {number for number, telescopes in truth.items() if telescopes == {21, 22}}
    recorded = {tel_id: follow_from_raw_to_dl1(finished, f"cs{tel_id - 20}") for tel_id in (21, 22)}
    for tel_id, runs in recorded.items():
        expected = sorted((run, event) for run, ids in runs.items() for event in ids)
        keys = (f"obs_id_{tel_id}", f"event_id_{tel_id}")
        paired = list(zip(*(pairs[key].tolist() for key in keys), strict=True))
        alone = coincidences.unmatched[tel_id]
        unmatched = list(zip(alone["obs_id"].tolist(), alone["event_id"].tolist(), strict=True))
        assert sorted(paired + unmatched) == expected
        # numbers of the array trigger identify the simulated showers
        assert {event for _, event in paired} == both
        assert not both & {event for _, event in unmatched}
        check_reasons(finished, tel_id, alone)
    # telescope 22 misses a run
    assert Fate.OTHER_OFF in coincidences.unmatched[21]["reason"]
    written = set()
    for dl1 in dl1_files(finished, "stereo"):
        rows = {tel_id: stereo_identities(dl1, tel_id) for tel_id in (21, 22)}
        written |= set(zip(rows[21], rows[22], strict=True))
        assert len(rows[21]) == len(table_ids(dl1)) == check_dl1(dl1)["n_events_written"]
    columns = ("obs_id_21", "event_id_21", "obs_id_22", "event_id_22")
    with_image = {tel_id: events_with_image(finished, f"cs{tel_id - 20}") for tel_id in (21, 22)}
    for run_1, event_1, run_2, event_2 in zip(*(pairs[name].tolist() for name in columns), strict=True):
        images = (run_1, event_1) in with_image[21] and (run_2, event_2) in with_image[22]
        assert (((run_1, event_1), (run_2, event_2)) in written) == images
    assert follow_from_dl1_to_dl3(finished, "stereo") == len(written) > 50


def simulated_showers(night) -> dict[int, set[int]]:
    """Return which telescopes recorded each shower, by its number."""
    showers = {}
    for path in sorted(night.raw.glob("simulation/*/truth_*.ecsv")):
        for row in Table.read(path, format="ascii.ecsv"):
            showers[int(row["array_event_number"])] = {t for t in (21, 22) if row[f"event_{t}"] > 0}
    return showers


def check_reasons(night, tel_id: int, unmatched: np.ndarray) -> None:
    """Check that the other telescope is called off when, and only when, none of its runs was going on."""
    spans = []
    for dl1 in dl1_files(night, f"cs{43 - tel_id - 20}"):
        spans += LiveTime.from_dict(check_dl1(dl1)["live_time"]).intervals_ns
    times = event_times(night, f"cs{tel_id - 20}")
    margin = 20_000_000
    for run, event, reason in unmatched.tolist():
        time = times[run, event]
        observed = any(start - margin <= time <= stop + margin for start, stop in spans)
        assert reason == (Fate.ALONE if observed else Fate.OTHER_OFF)
    assert {Fate.ALONE} <= set(unmatched["reason"].tolist()) <= {Fate.ALONE, Fate.OTHER_OFF}


def event_times(night, setup: str) -> dict[tuple[int, int], int]:
    times = {}
    for dl1 in dl1_files(night, setup):
        with tables.open_file(str(dl1)) as h5file:
            rows = h5file.get_node(
                f"/sst1m/dl1/event/telescope/parameters/tel_{20 + int(setup[2]):03d}"
            ).read()
        keys = zip(rows["obs_id"].tolist(), rows["event_id"].tolist(), strict=True)
        times |= dict(zip(keys, rows["time_ns"].tolist(), strict=True))
    return times


def events_with_image(night, setup: str) -> set[tuple[int, int]]:
    found = set()
    for dl1 in dl1_files(night, setup):
        with tables.open_file(str(dl1)) as h5file:
            rows = h5file.get_node(f"/dl1/event/telescope/parameters/tel_{20 + int(setup[2]):03d}").read()
        rows = rows[rows["camera_frame_hillas_intensity"] > 0]
        found |= set(zip(rows["obs_id"].tolist(), rows["event_id"].tolist(), strict=True))
    return found


def stereo_identities(dl1: Path, tel_id: int) -> list[tuple[int, int]]:
    """Return run and event that a telescope gave to the events of a stereo file."""
    with tables.open_file(str(dl1)) as h5file:
        rows = h5file.get_node(f"/sst1m/dl1/event/telescope/parameters/tel_{tel_id:03d}").read()
    return list(zip(rows["tel_obs_id"].tolist(), rows["tel_event_id"].tolist(), strict=True))


def test_a_second_call_has_nothing_to_do(finished, warm):
    before = {path: path.stat().st_mtime_ns for path in finished.ana.rglob("*") if path.is_file()}
    command = warm(finished)
    assert command.wait() == 0
    assert "stereo (eff)" in command.text()
    after = {path: path.stat().st_mtime_ns for path in finished.ana.rglob("*") if path.is_file()}
    changed = {path.name for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed <= {"night.log"}


def kill_at(counter, last: int, number: signal.Signals) -> None:
    """Count what the main process does on the disk, and end it just before operation number `last`."""
    main = os.getpid()
    # a shell lets what it starts in the background ignore Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def counted(original):
        def operation(*args, **kwargs):
            if os.getpid() == main:
                counter.value += 1
                if counter.value == last:
                    os.kill(main, number)
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
@pytest.mark.torture
def test_killed_again_and_again_the_photon_lists_are_the_same(
    new_night, finished, warm, dose, watched, record_property
):
    rng, killed = np.random.default_rng(20240304), Counter()
    while killed.total() < dose(20, 120):
        night = new_night()
        with watched(night.ana, "night.log"):
            finish_under_kills(night, finished, warm, rng, killed)
    for number, count in sorted(killed.items()):
        record_property(f"ended by {number.name}", count)


def finish_under_kills(night, finished, warm, rng, killed) -> None:
    """Process a night although it is ended again and again, and compare what comes of it."""
    status, n_killed = None, 0
    while status != 0 and n_killed < 80:
        counter = multiprocessing.get_context("fork").Value("i", 0)
        last = int(rng.integers(STRIDE // 2, 2 * STRIDE))
        number = signal.Signals(int(rng.choice(SIGNALS)))
        command = warm(night, before=lambda c=counter, n=last, s=number: kill_at(c, n, s))
        status = command.wait()
        if status != 0:
            killed[number] += 1
            n_killed += 1
        look(night)
    assert status == 0, command.text()
    assert not [path for path in night.ana.rglob("*") if ".part" in path.name]
    for setup in SETUPS:
        for level in ("dl3", "dl3_eff"):
            theirs, ours = photon_lists(finished, setup, level), photon_lists(night, setup, level)
            assert [path.name for path in ours] == [path.name for path in theirs]
            for one, other in zip(ours, theirs, strict=True):
                assert events_of(one).tobytes() == events_of(other).tobytes()
                assert fits.getdata(one, "GTI").tobytes() == fits.getdata(other, "GTI").tobytes()


@pytest.mark.slow
@pytest.mark.torture
def test_products_appear_by_renaming_only(new_night, dose, tmp_path):
    """Watched by the kernel: no file is ever written under the name by which others know it."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace here: apt-get install strace")
    night, trace = new_night(), tmp_path / "trace"
    options = dose(("--until", "dl1"), ())
    prefix = (strace, "-f", "-qq", "-s", "400", "-e", "trace=open,openat,creat", "-o", str(trace))
    done = night.run(*options, prefix=prefix)
    assert done.returncode == 0, done.stderr
    opened = re.findall(r'"([^"]+)", [A-Z_|]*(?:O_WRONLY|O_RDWR)[A-Z_|]*(?:, \d+)?\) = \d', trace.read_text())
    written = [Path(name) for name in opened if name.startswith(f"{night.ana}/")]
    assert any(path.name.endswith("_dl1.h5") is False and ".part" in path.name for path in written)
    other = {path for path in written if ".part" not in path.name}
    allowed = {path for path in other if path.parent.name in (".locks", ".work") or path.suffix == ".lock"}
    assert {path.name for path in other - allowed} <= {"night.log"}


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


def test_a_set_up_without_responses_or_models_does_not_hold_up_the_others(
    new_night, finished, site, warm, tmp_path
):
    """Responses of telescope 1 are gone, and the models that there are were made for another zenith angle."""
    irfs, models = tmp_path / "irfs", tmp_path / "models"
    shutil.copytree(site["irf_dir"], irfs)
    shutil.rmtree(irfs / "data" / "sst1m_tel_021")
    night = new_night(irf_dir=irfs)
    shutil.copytree(finished.ana, night.ana)
    command = warm(night)
    assert command.wait() == 30, command.text()
    assert "Traceback" not in command.text()
    states = science_states(night)
    assert {key: state for key, (state, _) in states.items() if key[1].startswith("dl3")} == {
        (setup, level): "quarantined" if setup == "cs1" else "done"
        for setup in SETUPS for level in ("dl3", "dl3_eff")
    }  # fmt: skip
    assert "tel_021" in states["cs1", "dl3"][1] and str(irfs) in states["cs1", "dl3"][1]
    assert photon_lists(night, "cs2") and photon_lists(night, "stereo")
    shutil.copytree(site["mono_model_dir"], models)
    (models / "ze30_az180_nsb100").rename(models / "ze60_az180_nsb100")
    for card in models.rglob("*.json"):
        card.write_text(card.read_text().replace("ze30_az180_nsb100", "ze60_az180_nsb100"))
    night = new_night(mono_model_dir=models)
    shutil.copytree(finished.ana, night.ana)
    command = warm(night)
    assert command.wait() == 30, command.text()
    states = science_states(night)
    assert states["cs1", "dl2"][0] == states["cs2", "dl2"][0] == "quarantined"
    assert "ze60_az180_nsb100" in states["cs1", "dl2"][1]
    assert states["stereo", "dl3"][0] == states["stereo", "dl2"][0] == "done"
    # what the old models made is not left to be taken for new
    assert (
        not photon_lists(night, "cs1")
        or not (photon_lists(night, "cs1")[0].parent / "obs-index.fits.gz").exists()
    )


def science_states(night) -> dict[tuple[str, str], tuple[str, str]]:
    """Return state and reason by set-up and level, from the closing record: the worst of each."""
    states = {}
    for product in json.loads(night.layout.record.read_text())["states"]:
        key = product["setup"], product["level"]
        if key not in states or product["state"] != "done":
            states[key] = product["state"], product["reason"]
    return states


def test_one_telescope_alone_has_its_photon_lists(new_night, site, warm, tmp_path):
    raw = tmp_path / "raw"
    shutil.copytree(site["root_dir"], raw)
    for path in raw.rglob("SST1M2_*.fits.fz"):
        path.unlink()
    night = new_night(root_dir=raw)
    command = warm(night, "--targets", "Crab")
    assert command.wait() == 0, command.text()
    assert photon_lists(night, "cs1") and photon_lists(night, "cs1", "dl3_eff")
    assert not photon_lists(night, "cs2") and not photon_lists(night, "stereo")
    states = {state for state, _ in (science_states(night)[setup, "dl3"] for setup in ("cs2", "stereo"))}
    assert states == {"skipped"}


def test_an_analysis_version_stands_beside_the_old_one_and_levels_are_reached_one_by_one(
    new_night, finished, warm
):
    night = new_night()
    shutil.copytree(finished.ana, night.ana)
    before = {path: path.stat().st_mtime_ns for path in night.ana.rglob("*") if path.is_file()}
    alone = ("--night-cs2", "false", "--night-stereo", "false")
    new = night.ana / "v2" / night.layout.root.name / "Crab" / "cs1"
    for level, there in (("dl1", ()), ("dl2", ("dl2",)), ("dl3", ("dl2", "dl3", "dl3_eff"))):
        command = warm(night, "--night-version", "v2", "--until", level, "--targets", "Crab", *alone)
        assert command.wait() == 0, command.text()
        assert {path.name for path in new.iterdir()} == {"dl1", *there}
    now = {path: path.stat().st_mtime_ns for path in before}
    assert {path.name for path in before if now[path] != before[path]} <= {"night.log"}
    for path in photon_lists(finished, "cs1"):
        assert events_of(new / "dl3" / path.name).tobytes() == events_of(path).tobytes()


def test_a_target_that_was_not_observed_is_named(finished, warm):
    command = warm(finished, "--targets", "Mrk421")
    assert command.wait() == 35
    assert "Mrk421: not observed in the night 2024-03-04; there are Crab" in command.text()
    assert "Traceback" not in command.text()


def test_nights_in_one_go_say_what_was_skipped_and_why(new_night, finished):
    night = new_night()
    shutil.copytree(finished.ana, night.ana)

    def run(*options: str) -> str:
        nights = ["RunNights", "--start", "2024-03-02", "--stop", "2024-03-05", *options]
        result = subprocess.run(
            [sys.executable, "-m", "tasks", *nights],
            cwd=night.base, env=night.env(), capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        assert "1 nights with raw files, 3 skipped because they have none" in result.stderr
        assert "skipped: 2024-03-02 to 2024-03-03, 2024-03-05" in result.stderr
        assert "night 2024-03-04: complete" in result.stderr
        return result.stderr

    assert "not observed" not in run()
    assert "2024-03-04: Mrk421 not observed" in run("--targets", "Crab,Mrk421")


def test_a_run_that_arrives_late_or_changes_comes_into_the_photon_lists(new_night, site, warm, tmp_path):
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
    lists = {path.name: events_of(path).tobytes() for path in photon_lists(night, "cs1")}
    assert sum(len(events_of(path)) for path in photon_lists(night, "cs1")) > before
    # a raw file that changes: here only its time does, so that what is made again must be the same
    os.utime(late, (1_709_700_500, 1_709_700_500))
    times = {
        path: path.stat().st_mtime_ns for path in night.ana.rglob("*") if path.suffix in (".h5", ".fits")
    }
    command = warm(night, "--targets", "Crab")
    assert command.wait() == 0, command.text()
    again = {path for path, before in times.items() if path.stat().st_mtime_ns != before}
    assert {path.parent.name for path in again} == {"dl1", "dl2", "dl3", "dl3_eff", "coincidences"}
    run = late.name[:20]
    assert {path.name[:20] for path in again if path.parent.name == "dl2" and path.parts[-3] == "cs1"} == {
        run
    }
    assert not [path for path in again if path.parts[-3] == "cs2"]
    assert {path.name: events_of(path).tobytes() for path in photon_lists(night, "cs1")} == lists


def test_the_page_of_the_night_is_filled_in_every_section(finished, tmp_path):
    spec = importlib.util.spec_from_file_location("pages", Path(__file__).parents[1] / "pages.py")
    pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pages)
    page = finished.layout.report / "index.html"
    facts = json.loads((page.parent / "night.json").read_text())
    text = "".join(pages.read(page).text)
    assert "missing: " not in text, text[text.index("missing: ") :][:300]
    assert pages.broken_links(page) == []
    assert facts["state"]["complete"] is True and facts["failures"] == []
    assert {(entry["target"], entry["setup"]) for entry in facts["signals"]} == {("Crab", s) for s in SETUPS}
    for seen in facts["signals"]:
        assert seen["theta2"]["status"] == "made" and seen["excess"] > 10
        assert sum(seen["theta2"]["n_on"]) >= seen["n_on"] > 10
        assert seen["light_curve"]["nights"][0]["flux_crab"] > 0
    for response in facts["responses"]:
        header = fits.getheader(page.parent / response["path"], "EVENTS")
        assert response["n_events"] == header["NAXIS2"] and response["method"] == header["IRFMETH"]
        assert sum(weight for _, weight in response["nodes"]) == pytest.approx(1.0, abs=1e-4)
    (pairs,) = facts["coincidences"]
    assert pairs["n_pairs"] == sum(pairs["histogram"]["counts"]) > 100
    for entry in facts["reconstruction"]:
        files = (finished.layout.root / "Crab" / entry["setup"] / "dl2").glob("*_dl2.h5")
        assert entry["n_events"] == sum(len(read_dl2(path).table) for path in files) > 50
    assert all(part["n_events"] > 100 for part in facts["expected"].values())
    assert all(stage["cpu_s"] > 0 for stage in facts["resources"]["stages"])
    opened = pages.open_page(page, tmp_path)
    assert opened.drawn and opened.messages == [] and min(opened.parts.values()) > 20
    assert all(needed <= width for width, needed in opened.needed.items())


def test_runs_of_bad_quality_are_left_out_of_the_photon_lists(new_night, finished, warm, tmp_path):
    night = new_night()
    shutil.copytree(finished.ana, night.ana)
    facts = json.loads((finished.layout.report / "night.json").read_text())
    rates = {
        run["run"]: run["quantities"]["trigger_rate_hz"]
        for run in facts["runs"]
        if run["tel"] == 21 and run["state"] == "done"
    }
    worst = min(rates, key=rates.get)
    limits = tmp_path / "quality.toml"
    low = (rates[worst] + sorted(rates.values())[1]) / 2
    limits.write_text(f"[run]\ntrigger_rate_hz = {{ good = [{low}, 1e9], usable = [{low}, 1e9] }}\n")
    command = warm(night, "--night-quality", "usable", f"--site-quality-file={limits}")
    assert command.wait() == 0, command.text()

    def runs(of, setup: str) -> set[int]:
        return {int(run) % 10000 for path in photon_lists(of, setup) for run in events_of(path)["RUN_ID"]}

    assert runs(night, "cs1") == runs(finished, "cs1") - {worst} != runs(finished, "cs1")
    assert runs(night, "stereo") == runs(finished, "stereo") - {worst}
    page = (night.layout.report / "index.html").read_text()
    assert page.count("not in photon lists") >= 1
    assert warm(night).wait() == 0
    assert runs(night, "cs1") == runs(finished, "cs1")
