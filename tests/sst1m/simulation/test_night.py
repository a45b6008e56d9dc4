"""A simulated night: layout, headers, times, coincidences, and the same bytes every time."""

import datetime
import json
from collections.abc import Callable
from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, SkyCoord
from astropy.table import Table
from ctapipe.coordinates import CameraFrame
from ctapipe.io import read_table

from sst1m.errors import ConfigError, InputError, OutputError
from sst1m.instrument import sst1m_subarray, telescope_location
from sst1m.io.raw_header import verify_raw_file
from sst1m.io.rawfile import RawFile
from sst1m.layout import parse_raw_path, raw_path
from sst1m.names import RawName, parse_target
from sst1m.pointing import Pointing, offline_earth_orientation
from sst1m.reduction import reduce_raw_run
from sst1m.simulation.night import simulate_night
from sst1m.simulation.night_spec import NightSpec, night_is_complete, simulation_directory
from sst1m.simulation.raw_writer import RawWriter
from sst1m.simulation.schedule import plan_night
from sst1m.simulation.visibility import sky_position
from sst1m.sources import read_sources
from sst1m.times import camera_clock_to_tai, ns_to_time

DATE = datetime.date(2024, 3, 4)
SPEC = NightSpec(
    date=DATE,
    source=read_sources().named("Crab"),
    flux=1500.0,
    n_runs=3,
    seed=3,
    run_seconds=1.5,
    pedestal_hz=70.0,
    background=0.3,
)
TINY = replace(SPEC, n_runs=1, run_seconds=0.4, calibration_runs=False, flux=300.0)
DELAY_NS = 520


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("night")


@pytest.fixture(scope="module")
def night(root):
    return simulate_night(SPEC, root / "raw", calibration_dir=root / "calibration")


@pytest.fixture(scope="module")
def groups():
    return plan_night(SPEC)


@pytest.fixture(scope="module")
def indices(night):
    """The small columns of every raw file."""
    found = {}
    for path in night.files:
        with RawFile(path) as raw:
            found[path.name] = raw.index
    return found


def truth_of(root, group) -> Table:
    path = simulation_directory(root / "raw", SPEC) / f"truth_{group.number:04d}.ecsv"
    return Table.read(path, format="ascii.ecsv")


def science(groups):
    return [group for group in groups if group.kind == "science"]


def test_files_lie_where_the_site_keeps_them_and_are_whole(root, night):
    for path, n_events in night.files.items():
        name = parse_raw_path(root / "raw", path)
        header = verify_raw_file(path, headers=True)
        assert header.n_events == n_events > 10
        with RawFile(path) as raw:
            assert raw.tel_id == name.tel_id
            assert (raw.index.event_type == 8).sum() > 10
    assert not list((root / "raw").rglob(".part*"))


def test_headers_say_what_was_observed_and_that_it_was_simulated(root, night, groups):
    for group in groups:
        for run in group.runs:
            header = verify_raw_file(raw_path(root / "raw", run.name))
            target = parse_target(header.target)
            assert target.kind == group.kind
            assert header.cards["SIMULAT"] is True and header.cards["ORIGIN"] == "sst1m.simulation"
            if group.kind == "science":
                assert (target.name, target.wobble) == ("Crab", ("W1", "W2")[groups.index(group) in (3,)])
                position = SkyCoord(target.ra_deg * u.deg, target.dec_deg * u.deg)
                separation = position.separation(sky_position(SPEC.source))
                assert separation.deg == pytest.approx(SPEC.wobble_deg, abs=1e-6)


def test_dark_transition_and_missing_runs(night, groups):
    assert [group.kind for group in groups] == ["dark", "science", "transition", "science", "science"]
    assert len({(run.tel_id, run.name.run) for group in groups for run in group.runs}) == len(night.files)
    assert [len(group.runs) for group in groups] == [2, 2, 2, 2, 1]
    assert groups[-1].runs[0].tel_id == 21


def test_only_pedestals_without_showers(root, night, groups, indices):
    for group in groups:
        for run in group.runs:
            showers = indices[str(run.name)].event_type == 1
            assert showers.any() == (group.kind == "science")


def test_telescopes_start_and_stop_apart_and_events_are_in_order(groups, indices):
    for group in groups:
        starts, stops = set(), set()
        for run in group.runs:
            time_ns = indices[str(run.name)].time_ns
            assert (np.diff(time_ns) >= 5000).all()
            assert run.start_ns <= time_ns[0] and time_ns[-1] < run.stop_ns + 20
            starts.add(run.start_ns)
            stops.add(run.stop_ns)
        assert len(starts) == len(stops) == len(group.runs)


def test_header_times_are_those_of_the_events(root, groups, indices):
    for run in groups[1].runs:
        header = verify_raw_file(raw_path(root / "raw", run.name))
        time_ns = indices[str(run.name)].time_ns
        assert camera_clock_to_tai(np.array([header.t_start_ns, header.t_stop_ns])).tolist() == [
            time_ns[0],
            time_ns[-1],
        ]


def test_coincidences_by_clock_and_by_number_are_those_that_were_made(root, night, groups, indices):
    total = 0
    for group in science(groups)[:2]:
        first, second = (indices[str(run.name)] for run in group.runs)
        truth = truth_of(root, group)
        both = truth[(truth["event_21"] > 0) & (truth["event_22"] > 0)]
        made = set(zip(both["event_21"].tolist(), both["event_22"].tolist(), strict=True))
        assert len(made) > 50
        common, a, b = np.intersect1d(
            first.array_event_number, second.array_event_number, return_indices=True
        )
        assert sorted(common) == sorted(both["array_event_number"])
        assert set(zip(first.event_number[a], second.event_number[b], strict=True)) == made
        assert _pairs_by_clock(first, second) == made
        total += len(made)
    assert night.n_coincident == total


def _pairs_by_clock(first, second):
    first, second = (index[np.flatnonzero(index.event_type == 1)] for index in (first, second))
    apart = np.abs(first.time_ns[:, np.newaxis] - second.time_ns)
    return {
        (int(first.event_number[i]), int(second.event_number[j]))
        for i, j in zip(*np.nonzero(apart <= DELAY_NS), strict=True)
    }


def test_light_reaches_the_telescopes_as_a_plane_from_the_shower(root, groups, indices):
    group = groups[1]
    first, second = (indices[str(run.name)] for run in group.runs)
    truth = truth_of(root, group)
    both = truth[(truth["event_21"] > 0) & (truth["event_22"] > 0)]
    seen = second.time_ns[both["event_22"] - 1] - first.time_ns[both["event_21"] - 1]
    alt, az = np.deg2rad(both["alt"]), np.deg2rad(both["az"])
    origin = np.stack([np.cos(alt) * np.cos(az), -np.cos(alt) * np.sin(az), np.sin(alt)])
    baseline = (sst1m_subarray().positions[22] - sst1m_subarray().positions[21]).to_value("m")
    expected = -(baseline @ origin) / 0.299792458
    # the front of the light is curved and several metres thick
    assert np.median(np.abs(seen - expected)) < 20
    assert np.abs(expected).mean() > 50


def test_gamma_rays_come_from_the_source_and_protons_do_not(root, groups):
    for group in science(groups):
        truth = truth_of(root, group)
        source = _horizontal(sky_position(SPEC.source), group)
        directions = SkyCoord(alt=truth["alt"], az=truth["az"], unit="deg", frame=source.frame)
        away = directions.separation(source).deg
        gamma = truth["particle"] == "gamma"
        assert gamma.sum() > 30 and (~gamma).sum() > 20
        # the sky turns by less than this during half a run
        assert away[gamma].max() < 0.02
        assert np.median(away[~gamma]) > 1


def _horizontal(position, group):
    middle = ns_to_time((group.start_ns + group.stop_ns) // 2)
    with offline_earth_orientation():
        return position.transform_to(AltAz(obstime=middle, location=telescope_location(21)))


def test_the_pointing_moves_over_the_sky(groups):
    altitudes = [
        _horizontal(SkyCoord(g.ra_deg * u.deg, g.dec_deg * u.deg), g).alt.deg for g in science(groups)
    ]
    assert np.ptp(altitudes) > 2


@pytest.mark.parametrize("place", [1, 3])
def test_runs_reduce_to_dl1_with_images_that_point_to_the_source(
    root, night, groups, indices, make_config: Callable, tmp_path, place
):
    group = groups[place]
    run = group.runs[place // 3]
    path = raw_path(root / "raw", run.name)
    summary = reduce_raw_run(
        path,
        tmp_path / "dl1.h5",
        config=make_config(),
        calibration_dir=root / "calibration",
        tel_id=run.tel_id,
        date=20240304,
        run=run.name.run,
        pointing=Pointing(group.ra_deg, group.dec_deg, "header"),
    )
    index = indices[str(run.name)]
    assert summary.n_events == night.files[path]
    assert summary.n_events_written == (index.event_type == 1).sum()
    assert summary.info["event_id_source"] == "swat"
    alpha, gamma = _alpha_deg(tmp_path / "dl1.h5", run.tel_id, truth_of(root, group), group)
    assert gamma.sum() > 15
    assert np.median(alpha[gamma]) < 8


def _alpha_deg(path, tel_id, truth, group):
    """Angle between image axis and direction to the source, of bright elongated images; which are gammas."""
    table = f"dl1/event/telescope/parameters/tel_{tel_id:03d}"
    images, extras = read_table(path, f"/{table}"), read_table(path, f"/sst1m/{table}")
    row = {number: i for i, number in enumerate(truth["array_event_number"].tolist())}
    gamma = np.array([truth["particle"][row[number]] == "gamma" for number in images["event_id"].tolist()])
    source = _horizontal(sky_position(SPEC.source), group)
    axis = SkyCoord(
        alt=extras["true_alt_tel"][0] * u.deg, az=extras["true_az_tel"][0] * u.deg, frame=source.frame
    )
    camera = source.transform_to(CameraFrame(focal_length=5.6 * u.m, telescope_pointing=axis))
    column = {name: np.asarray(images[f"camera_frame_hillas_{name}"]) for name in _HILLAS}
    dx, dy = camera.x.to_value("m") - column["x"], camera.y.to_value("m") - column["y"]
    psi = np.deg2rad(column["psi"])
    alpha = np.rad2deg(np.arcsin(np.abs(dy * np.cos(psi) - dx * np.sin(psi)) / np.hypot(dx, dy)))
    with np.errstate(invalid="ignore"):
        good = (column["intensity"] > 60) & (column["length"] > 1.5 * column["width"])
    good &= np.hypot(column["x"], column["y"]) < 0.35
    return alpha[good], gamma[good]


_HILLAS = ("x", "y", "psi", "intensity", "length", "width")


def _bytes_below(directory):
    return {p.relative_to(directory): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_same_seed_same_bytes_and_another_seed_another_night(tmp_path):
    for name, spec in (("a", TINY), ("b", TINY), ("c", replace(TINY, seed=4))):
        simulate_night(spec, tmp_path / name / "raw", calibration_dir=tmp_path / name / "calibration")
    first, second, other = (_bytes_below(tmp_path / name) for name in "abc")
    # two raw files; four of calibration; specification, truth, what was made, lock
    assert len(first) == 2 + 4 + 4
    assert first == second
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first if name.name != ".lock")


def test_a_night_that_was_cut_short_goes_on_and_ends_the_same(tmp_path):
    spec = replace(TINY, n_runs=2, run_seconds=0.3)
    summary = simulate_night(spec, tmp_path)
    assert night_is_complete(spec, tmp_path)
    whole = _bytes_below(tmp_path)
    kept, lost = (path for path in summary.files if path.name.startswith("SST1M1"))
    lost.unlink()
    # what a killed call leaves
    lost.with_name(f".part123.{lost.name}").write_bytes(b"half")
    (simulation_directory(tmp_path, spec) / "truth_0001.json").unlink()
    assert not night_is_complete(spec, tmp_path)
    before = kept.stat().st_mtime_ns
    assert simulate_night(spec, tmp_path) == summary
    assert kept.stat().st_mtime_ns == before
    assert _bytes_below(tmp_path) == whole


def test_another_night_of_the_same_date_is_not_mixed_in(tmp_path):
    simulate_night(TINY, tmp_path)
    other = replace(TINY, flux=2.0)
    assert not night_is_complete(other, tmp_path)
    with pytest.raises(OutputError, match="another night of this date"):
        simulate_night(other, tmp_path)
    note = json.loads((simulation_directory(tmp_path, TINY) / "night.json").read_text())
    assert note["simulated"] and note["complete"] and note["spec"]["flux"] == 300.0


def test_real_raw_files_are_never_replaced_nor_joined(tmp_path):
    real = raw_path(tmp_path, RawName(1, DATE, 77))
    real.parent.mkdir(parents=True)
    real.write_bytes(b"real")
    with pytest.raises(OutputError, match="perhaps real ones"):
        simulate_night(TINY, tmp_path)
    real.unlink()
    summary = simulate_night(TINY, tmp_path)
    replaced = next(iter(summary.files))
    with RawWriter(replaced, tel_id=21, target="Crab_W1_84.388_22.013"):
        pass
    (simulation_directory(tmp_path, TINY) / "truth_0000.json").unlink()
    with pytest.raises(OutputError, match="no simulated file"):
        simulate_night(TINY, tmp_path)


def test_what_cannot_be_observed_is_refused(tmp_path):
    with pytest.raises(InputError, match="not above 25 deg in the dark"):
        simulate_night(replace(TINY, date=datetime.date(2024, 6, 10)), tmp_path)
    with pytest.raises(InputError, match="no wobble 'W9'"):
        simulate_night(replace(TINY, wobbles=("W9",)), tmp_path)
    for wrong in ({"flux": -1.0}, {"n_runs": 0}, {"nsb_mhz": 900.0}, {"wobbles": ()}, {"run_seconds": 1e6}):
        with pytest.raises(ConfigError, match="cannot be simulated"):
            replace(TINY, **wrong)
    assert not list(tmp_path.iterdir())
