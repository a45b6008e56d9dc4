"""Photon lists: what is in them, what is not and why, and the way from one export to the next."""

import json
import re

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.time import Time
from fits_schema.exceptions import WrongValue
from gammapy.data import GTI as GammapyGTI
from gammapy.data import DataStore, EventList, Observation
from ogadf_schema.events import EVENTS, GTI
from ogadf_schema.irfs import AEFF_2D, BKG_2D, EDISP_2D, PSF_TABLE

from sst1m.checkpoint import write_json
from sst1m.dl3.blocks import BlockRules
from sst1m.dl3.export import RECORD_NAME
from sst1m.dl3.index import HDU_INDEX, OBS_INDEX
from sst1m.dl3.names import dl3_obs_id, is_dl3_name
from sst1m.errors import DataQualityError, InputError, ModelMismatchError, OutputError
from sst1m.sources import Source
from sst1m.times import ns_to_time, ns_to_utc_text

SCHEMA = {"EVENTS": EVENTS, "GTI": GTI, "EFFECTIVE AREA": AEFF_2D, "ENERGY DISPERSION": EDISP_2D}
SCHEMA |= {"POINT SPREAD FUNCTION": PSF_TABLE, "BACKGROUND": BKG_2D}


@pytest.fixture(scope="module")
def crab_runs(tmp_path_factory, make_dl2, new_run):
    """Two runs on one wobble, a minute apart, and one on the other: DL2 files of telescope 21."""
    directory = tmp_path_factory.mktemp("dl2")
    runs = (
        new_run(number=5, start_s=0, pauses=((3.0, 4.0),)),
        new_run(number=6, start_s=60),
        new_run(number=7, start_s=1200, axis=(82.87789, 22.0122), n_events=61),
    )
    return {run.number: (run, make_dl2(directory, run)) for run in runs}


@pytest.fixture
def files(crab_runs):
    return [path for _, path in crab_runs.values()]


def headers(path) -> fits.Header:
    return fits.getheader(path, "EVENTS")


def expected_events(run) -> np.ndarray:
    """Event ids that pass: intensity, gammaness, and no pause."""
    number = np.arange(run.n_events)
    good = (number % 10 != 5) & (number % 4 != 3) & run.live.contains(run.time_ns)
    return number[good] + 1


def test_every_event_is_written_or_explained(crab_runs, files, export, tmp_path):
    summary = export(files, tmp_path)
    assert [path.name for path in summary.files] == [
        "SST1M_Crab_obs_id_2024030400051_dl3.fits",
        "SST1M_Crab_obs_id_2024030400071_dl3.fits",
    ]
    written = {}
    for path in summary.files:
        events = fits.getdata(path, "EVENTS")
        for run_id in np.unique(events["RUN_ID"]):
            written[int(run_id)] = sorted(events["EVENT_ID"][events["RUN_ID"] == run_id].tolist())
        header = headers(path)
        cuts = {header[f"CUT{i}"]: header[f"NCUT{i}"] for i in range(1, 20) if f"CUT{i}" in header}
        assert header["N_DL2"] - sum(cuts.values()) == header["N_WRITE"] == len(events)
        assert cuts["camera_frame_hillas_intensity"] > 0 and cuts["gammaness 0.75"] > 0
    assert written == {run.obs_id: expected_events(run).tolist() for run, _ in crab_runs.values()}
    first = headers(summary.files[0])
    lost = next(first[f"NCUT{i}"] for i in range(1, 20) if first[f"CUT{i}"] == "outside good time")
    run = crab_runs[5][0]
    assert lost == np.count_nonzero(~run.live.contains(run.time_ns)[expected_events_without_gti(run)]) > 0
    assert [first["RUN1"], first["RUN2"]] == [202403040005, 202403040006] and "RUN3" not in first


def expected_events_without_gti(run) -> np.ndarray:
    number = np.arange(run.n_events)
    return (number % 10 != 5) & (number % 4 != 3)


@pytest.mark.filterwarnings("ignore:Unexpected header card")
def test_a_file_is_what_the_standard_asks_for(files, export, tmp_path):
    path = export(files, tmp_path).files[0]
    with fits.open(path, checksum=True) as hdus:
        assert [hdu.name for hdu in hdus[1:4]] == ["EVENTS", "GTI", "POINTING"] and "IRF_NODES" in hdus
        for name, schema in SCHEMA.items():
            schema.validate_hdu(hdus[name], onerror="raise")
        assert all(hdu.verify_checksum() == 1 for hdu in hdus[1:])
        assert not any("DATE" in hdu.header for hdu in hdus)
        header = hdus["EVENTS"].header
    assert (header["MJDREFI"], header["TIMESYS"], header["OBS_MODE"]) == (58849, "TT", "POINTING")
    assert (header["OBJECT"], header["RA_OBJ"], header["DEC_OBJ"]) == ("Crab", 83.63308, 22.0145)
    assert header["SIMULAT"] is True and header["NSBLEVEL"] == 95.0 and header["TELLIST"] == "21"
    assert header["RFNODE"] == "ze30_az220_nsb100" and header["CREATOR"].startswith("sst1m ")


#: Mandatory in version 0.3 of GADF: how times count and where they were taken, in every table with times.
TIMES_03 = ("MJDREFI", "MJDREFF", "TIMEUNIT", "TIMESYS", "TIMEREF")
CLASS_03 = ("HDUCLASS", "HDUDOC", "HDUVERS", "HDUCLAS1")
EVENTS_03 = (
    *("OBS_ID", "OBS_MODE", "TSTART", "TSTOP", "ONTIME", "LIVETIME", "DEADC", "RA_PNT", "DEC_PNT"),
    *("EQUINOX", "RADECSYS", "ORIGIN", "TELESCOP", "INSTRUME", "CREATOR", "GEOLON", "GEOLAT", "ALTITUDE"),
)
RESPONSE_03 = ("HDUCLAS2", "HDUCLAS3", "HDUCLAS4")


def test_all_that_version_3_of_the_standard_asks_for_is_there(files, export, tmp_path):
    path = export(files, tmp_path).files[0]
    with fits.open(path) as hdus:
        asked = {name: CLASS_03 + TIMES_03 for name in ("EVENTS", "GTI", "POINTING")}
        asked["EVENTS"] += EVENTS_03
        asked |= {name: CLASS_03 + RESPONSE_03 for name in SCHEMA if name not in ("EVENTS", "GTI")}
        for name, keywords in asked.items():
            assert [key for key in keywords if hdus[name].header.get(key) in (None, "")] == [], name
        header = hdus["EVENTS"].header
    assert header["OBS_MODE"] == "POINTING" and header["RADECSYS"] == "ICRS"
    index = fits.getheader(tmp_path / OBS_INDEX, 1)
    columns = {index[f"TTYPE{i}"] for i in range(1, index["TFIELDS"] + 1)}
    assert {"OBS_ID", "OBS_MODE", "RA_PNT", "DEC_PNT", "TSTART", "TSTOP"} <= columns


@pytest.mark.filterwarnings("ignore:Unexpected header card")
@pytest.mark.parametrize(("keyword", "value"), [("HDUVERS", "0.3"), ("TIMEREF", "TOPOCENTER")])
def test_the_published_schema_refuses_what_version_3_would_say(files, export, tmp_path, keyword, value):
    """Why the lists say 0.2 and LOCAL; once a schema knows 0.3, this fails, and they can say so."""
    path = export(files, tmp_path).files[0]
    with fits.open(path) as hdus:
        events = hdus["EVENTS"]
        EVENTS.validate_hdu(events, onerror="raise")
        events.header[keyword] = value
        with pytest.raises(WrongValue, match=keyword):
            EVENTS.validate_hdu(events, onerror="raise")


def test_gammapy_reads_everything_from_one_file(files, export, tmp_path):
    path = export(files, tmp_path).files[0]
    observation = Observation.read(path, checksum=True)
    for name in ("events", "gti", "aeff", "edisp", "psf", "bkg"):
        assert getattr(observation, name) is not None, name
    header = headers(path)
    assert observation.observation_live_time_duration.to_value("s") == pytest.approx(
        header["LIVETIME"], rel=1e-9
    )
    assert observation.pointing.fixed_icrs.ra.deg == pytest.approx(84.38827)
    assert observation.psf.has_offset_axis and observation.bkg.data.max() > 0


def test_exposure_is_good_time_less_measured_dead_time(crab_runs, files, export, tmp_path):
    first, second = export(files, tmp_path).files
    header = headers(first)
    ontime = sum(crab_runs[number][0].live.ontime_s for number in (5, 6))
    assert header["ONTIME"] == pytest.approx(ontime, abs=1e-5) == pytest.approx(19.0, abs=1e-4)
    assert header["LIVETIME"] == pytest.approx(header["ONTIME"] * header["DEADC"], rel=1e-12)
    assert header["DEADC"] == pytest.approx(0.93) and 0 < header["DEADCERR"] < 0.004
    assert header["TELAPSE"] == pytest.approx(70.0, abs=1e-4)
    assert len(fits.getdata(first, "GTI")) == 3 and len(fits.getdata(second, "GTI")) == 1


@pytest.mark.parametrize("setup", ["cs1", "stereo"])
def test_a_break_within_a_run_divides_its_photon_list(setup, tmp_path, make_dl2, new_run, export):
    """One raw file with a pause of 20 s of its 60: good time and events fall into two lists, none twice."""
    tel_setup = {"cs1": "tel_021", "stereo": "stereo"}[setup]
    run = new_run(number=5, n_events=241, pauses=((4.0, 6.0), (20.0, 40.0)), setup=tel_setup)
    files = [make_dl2(tmp_path / "dl2", run)]
    whole = export(files, tmp_path / "whole", setup=setup)
    assert len(whole.files) == 1 and len(fits.getdata(whole.files[0], "GTI")) == 3
    divided = export(files, tmp_path / "divided", setup=setup, rules=BlockRules(max_gap_s=15))
    digit = {"cs1": 1, "stereo": 3}[setup]
    ids = [int(f"202403040005{digit}"), int(f"202403040005{digit}02")]
    assert [headers(path)["OBS_ID"] for path in divided.files] == ids
    assert DataStore.from_dir(tmp_path / "divided").obs_ids.tolist() == ids
    assert all(is_dl3_name(path.name) for path in divided.files)
    # the same events, good time and exposure as in one list
    for table, name in (("EVENTS", "EVENT_ID"), ("GTI", "START"), ("GTI", "STOP")):
        parts = [fits.getdata(path, table)[name] for path in divided.files]
        assert np.concatenate(parts).tolist() == fits.getdata(whole.files[0], table)[name].tolist()
        assert all(len(part) for part in parts)
    before, after = (headers(path) for path in divided.files)
    one = headers(whole.files[0])
    for key in ("ONTIME", "LIVETIME", "N_DL2", "N_WRITE", *(k for k in one if k.startswith("NCUT"))):
        assert before[key] + after[key] == pytest.approx(one[key], rel=1e-9), key
    assert before["DEADC"] == after["DEADC"] == pytest.approx(one["DEADC"])
    assert before["TSTOP"] + 20 == pytest.approx(after["TSTART"], abs=1e-4)
    assert before["ONTIME"] == pytest.approx(18.0, abs=1e-4) and after["ONTIME"] == pytest.approx(
        20.0, abs=1e-4
    )
    # 79 triggers lie inside the long pause, and belong to the part before it
    assert before["N_DL2"] == 160 and after["N_DL2"] == 81
    tracks = [fits.getdata(path, "POINTING")["TIME"] for path in divided.files]
    assert tracks[0].max() < before["TSTOP"] and tracks[1].min() > after["TSTART"]
    side = json.loads(divided.files[1].with_suffix(".json").read_text())["counts"]["by_run"]
    assert {name: (run["n_dl2"], sum(run["removed"].values())) for name, run in side.items()} == {
        f"{files[0].name} part 2": (81, 81 - after["N_WRITE"])
    }


def test_a_shorter_list_again_removes_the_parts(tmp_path, make_dl2, new_run, export):
    files = [make_dl2(tmp_path / "dl2", new_run(number=5, n_events=241, pauses=((20.0, 40.0),)))]
    export(files, tmp_path / "dl3", rules=BlockRules(max_gap_s=15))
    summary = export(files, tmp_path / "dl3")
    assert summary.removed == ("SST1M_Crab_obs_id_202403040005102_dl3.fits",)
    assert len(list((tmp_path / "dl3").glob("SST1M_*.fits"))) == 1


def test_a_run_with_more_pauses_than_numbers_is_refused():
    assert dl3_obs_id(202403040005, "cs2", 99) == 202403040005299
    with pytest.raises(DataQualityError, match="more than 99 parts; allow longer pauses"):
        dl3_obs_id(202403040005, "cs2", 100)


def test_times_come_back_to_the_microsecond(crab_runs, files, export, tmp_path):
    """The 37 leap seconds: gammapy's UTC is that of the White-Rabbit nanoseconds."""
    path = export(files, tmp_path).files[1]
    run = crab_runs[7][0]
    truth = run.time_ns[expected_events(run) - 1]
    events = EventList.read(path)
    assert np.abs((events.time - ns_to_time(truth)).to_value("ns")).max() < 40
    for time, time_ns in zip(events.time[:5], truth, strict=False):
        shown = time.utc
        shown.precision = 6
        away = Time(ns_to_utc_text(time_ns, 9), scale="utc") - shown
        assert abs(away.to_value("us")) < 0.05 and shown.isot.startswith("2024-03-04T19:20:0")
    gti = GammapyGTI.read(path)
    kept = sum(len(events.select_time(interval).table) for interval in gti.time_intervals)
    assert kept == len(events.table) == len(truth)
    assert fits.getdata(path, "EVENTS")["EVENT_ID"][-1] == expected_events(run)[-1]


def test_directions_in_the_sky_and_in_the_field_of_view(files, export, tmp_path):
    path = export(files, tmp_path).files[0]
    with fits.open(path) as hdus:
        events, header = hdus["EVENTS"].data, hdus["EVENTS"].header
        track = hdus["POINTING"].data
    sky = SkyCoord(events["RA"], events["DEC"], unit="deg")
    axis = SkyCoord(header["RA_PNT"], header["DEC_PNT"], unit="deg")
    offset = np.hypot(events["DETX"], events["DETY"])
    assert np.allclose(offset, sky.separation(axis).deg, rtol=3e-3)
    # GADF: the longitude of the field of view grows against azimuth, its latitude with altitude
    azimuth = np.interp(events["TIME"], track["TIME"], np.unwrap(track["AZ_PNT"], period=360))
    altitude = np.interp(events["TIME"], track["TIME"], track["ALT_PNT"])
    away = (events["AZ"] - azimuth + 180) % 360 - 180
    large = np.abs(away) > 0.3
    assert large.any() and np.all(np.sign(events["DETX"][large]) == -np.sign(away[large]))
    assert np.allclose(events["DETX"], -away * np.cos(np.radians(events["ALT"])), atol=0.05)
    assert np.allclose(events["DETY"], events["ALT"] - altitude, atol=0.06)
    assert header["ZEN_PNT"] == pytest.approx(90 - track["ALT_PNT"].mean(), abs=0.1)


def test_close_to_north_and_to_the_zenith(tmp_path, make_dl2, new_run, export, cuts, write_irf_tree):
    # below the pole at 19:17 UTC: azimuths on both sides of north
    runs = [new_run(number=n, start_s=n * 600.0, axis=(288.1, 75.0)) for n in (1, 2, 3)]
    files = [make_dl2(tmp_path / "a", run) for run in runs]
    low = write_irf_tree(cuts, (50, 60, 70))
    summary = export(files, tmp_path / "north", irfs=low)
    azimuths = [headers(path)["AZ_PNT"] for path in summary.files]
    assert all(min(azimuth, 360 - azimuth) < 5 for azimuth in azimuths)
    track = np.concatenate([fits.getdata(path, "POINTING")["AZ_PNT"] for path in summary.files])
    assert track.min() < 5 and track.max() > 355
    zenith = make_dl2(tmp_path / "b", new_run(axis=(102.0, 49.9)))
    header = headers(export([zenith], tmp_path / "zenith", irfs=write_irf_tree(cuts, (0, 10))).files[0])
    assert 0 <= header["ZEN_PNT"] < 3
    events = fits.getdata(tmp_path / "zenith" / "SST1M_Crab_obs_id_2024030400011_dl3.fits", "EVENTS")
    assert np.hypot(events["DETX"], events["DETY"]).max() < 2


def test_a_block_without_photons_keeps_its_exposure(tmp_path, make_dl2, new_run, export):
    silent = make_dl2(tmp_path / "dl2", new_run(number=1, gammaness=0.1))
    empty = make_dl2(tmp_path / "dl2", new_run(number=2, start_s=100, n_events=0))
    with pytest.raises(DataQualityError, match="no good time"):
        export([empty], tmp_path / "none")
    assert not (tmp_path / "none").exists()
    summary = export([silent, empty], tmp_path / "dl3")
    assert summary.left_out == {empty.name: "no good time (no time was measured: 0 triggers)"}
    observation = DataStore.from_dir(tmp_path / "dl3").obs(2024030400011)
    assert len(observation.events.table) == 0 and observation.bkg is not None
    assert observation.observation_live_time_duration.to_value("s") == pytest.approx(9.3, abs=1e-3)
    assert Observation.read(summary.files[0]).events.table["ENERGY"].unit == "TeV"


def test_two_exports_give_the_same_bytes(files, export, tmp_path):
    one, two = export(files, tmp_path / "one"), export(list(reversed(files)), tmp_path / "two")
    names = [path.name for path in one.files] + [HDU_INDEX, OBS_INDEX]
    assert [path.name for path in two.files] == names[:-2]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_the_next_export_replaces_the_last_one(crab_runs, files, export, tmp_path):
    export(files, tmp_path)
    foreign = tmp_path / "SST1M_Crab_obs_id_2023030400051_dl3.fits"
    foreign.write_bytes(b"not ours")
    write_json(tmp_path / RECORD_NAME, json.loads((tmp_path / RECORD_NAME).read_text()) | {"files": RECORDED})
    (tmp_path / "keep.txt").write_text("keep")
    summary = export(files[1:], tmp_path)
    assert [path.name for path in summary.files] == [
        "SST1M_Crab_obs_id_2024030400061_dl3.fits",
        "SST1M_Crab_obs_id_2024030400071_dl3.fits",
    ]
    assert summary.removed == ("SST1M_Crab_obs_id_2024030400051_dl3.fits",)
    assert not (tmp_path / "SST1M_Crab_obs_id_2024030400051_dl3.json").exists()
    assert foreign.exists() and (tmp_path / "keep.txt").exists()
    assert DataStore.from_dir(tmp_path).obs_ids.tolist() == [2024030400061, 2024030400071]
    assert not list(tmp_path.glob(".*.part*"))


RECORDED = [
    "SST1M_Crab_obs_id_2024030400051_dl3.fits",
    "SST1M_Crab_obs_id_2024030400071_dl3.fits",
    "../keep.txt",
    "keep.txt",
    7,
]


def test_a_failed_export_leaves_the_old_one(files, export, tmp_path, make_dl2, new_run):
    export(files, tmp_path / "dl3")
    before = {path: path.read_bytes() for path in (tmp_path / "dl3").iterdir()}
    low = make_dl2(tmp_path / "dl2", new_run(number=9, start_s=0, axis=(200.0, 20.0)))
    with pytest.raises(ModelMismatchError, match="steps away"):
        export([*files, low], tmp_path / "dl3")
    assert {path: path.read_bytes() for path in (tmp_path / "dl3").iterdir()} == before


def test_one_run_twice_is_an_error_that_names_both(crab_runs, files, export, tmp_path, make_dl2):
    copy = make_dl2(tmp_path / "other", crab_runs[6][0])
    with pytest.raises(InputError, match="both run 202403040006") as error:
        export([*files, copy], tmp_path / "dl3")
    assert str(copy) in str(error.value) and str(files[1]) in str(error.value)


def test_stereo_and_both_telescopes_have_numbers_of_their_own(tmp_path, make_dl2, new_run, export):
    ids = {}
    for setup, tel_setup in (("cs1", "tel_021"), ("cs2", "tel_022"), ("stereo", "stereo")):
        sky = {"21": 90.0, "22": 110.0} if setup == "stereo" else 100.0
        run = make_dl2(tmp_path / setup / "dl2", new_run(setup=tel_setup, nsb_mhz=sky))
        path = export([run], tmp_path / setup / "dl3", setup=setup).files[0]
        header = headers(path)
        ids[setup] = header["OBS_ID"]
        assert header["TELESCOP"] == f"SST1M_{tel_setup}" and header["NSBLEVEL"] == 100.0
        assert header["N_TELS"] == (2 if setup == "stereo" else 1)
        assert set(fits.getdata(path, "EVENTS")["MULTIP"]) == {header["N_TELS"]}
        with pytest.raises(InputError, match="photon lists are made from the files of one set-up"):
            export([run], tmp_path / "wrong", setup="stereo" if setup != "stereo" else "cs1")
    assert ids == {"cs1": 2024030400011, "cs2": 2024030400012, "stereo": 2024030400013}


@pytest.mark.parametrize("name", ["../Crab", "a/b", "Crab\nSIMULAT= F", "", "stereo", "x" * 80])
def test_hostile_target_names_never_become_files(files, export, tmp_path, name):
    with pytest.raises(OutputError, match="no photon list can be named"):
        export(files[:1], tmp_path / "dl3", target=Source(name, 83.0, 22.0))
    assert not (tmp_path / "dl3").exists()


def test_night_sky_that_nobody_measured_is_that_of_the_models(tmp_path, make_dl2, new_run, export):
    path = make_dl2(tmp_path / "dl2", new_run(nsb_mhz=None))
    header = headers(export([path], tmp_path / "dl3").files[0])
    assert header["NSBLEVEL"] == 100.0 and header["NSBMEAS"] is False


def test_the_record_says_what_became_of_every_run(files, export, tmp_path):
    summary = export(files, tmp_path)
    record = json.loads((tmp_path / RECORD_NAME).read_text())
    assert record["complete"] and record["files"] == sorted(path.name for path in summary.files)
    side = json.loads(summary.files[0].with_suffix(".json").read_text())
    assert [re.sub(r".*/", "", item["path"]) for item in side["inputs"]] == [path.name for path in files[:2]]
    assert side["counts"]["n_written"] == headers(summary.files[0])["N_WRITE"]
    by_run = side["counts"]["by_run"]
    assert set(by_run) == {path.name for path in files[:2]}
    assert all(
        run["dl2"]["n_written"] - sum(run["removed"].values()) in range(1, 41) for run in by_run.values()
    )
    assert u.Quantity(record["livetime_s"], "s") > 20 * u.s


def test_an_interrupted_export_is_no_product_and_the_next_one_completes_it(files, export, tmp_path):
    """The night before had other files; the export breaks off when all but the index is written."""
    export(files[2:], tmp_path / "dl3")

    def break_off(counts):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(files, tmp_path / "dl3", side_files=break_off)
    assert not (tmp_path / "dl3" / OBS_INDEX).exists() and not (tmp_path / "dl3" / HDU_INDEX).exists()
    export(files[:1], tmp_path / "dl3")
    fresh = export(files[:1], tmp_path / "fresh")
    names = {path.name for path in (tmp_path / "dl3").iterdir()}
    assert names == {path.name for path in (tmp_path / "fresh").iterdir()}
    for name in (fresh.files[0].name, HDU_INDEX, OBS_INDEX):
        assert (tmp_path / "dl3" / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes()


def test_side_files_get_the_counts_and_lie_beside_the_index(files, export, tmp_path):
    def side_files(counts):
        return {tmp_path / "obs-index.fits.json": lambda: json.dumps(counts).encode()}

    summary = export(files, tmp_path, side_files=side_files)
    counts = json.loads((tmp_path / "obs-index.fits.json").read_text())
    assert counts["n_written"] == sum(observation["n_written"] for observation in summary.observations)
    assert [observation["obs_id"] for observation in counts["observations"]] == [2024030400051, 2024030400071]


def test_a_run_of_unknown_conditions_is_named(tmp_path, make_dl2, new_run, export):
    known = make_dl2(tmp_path / "dl2", new_run(number=1))
    unknown = make_dl2(tmp_path / "dl2", new_run(number=2, start_s=60, n_events=0, node=None, triggers=9))
    summary = export([known, unknown], tmp_path / "dl3")
    assert "conditions or models for them are not known" in summary.left_out[unknown.name]
