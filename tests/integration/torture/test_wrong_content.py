"""Raw files that are whole and yet wrong: copied, disordered, of another time, telescope or calibration."""

import json
import os

import numpy as np
import pandas as pd
import pytest
import tables

from sst1m.io.dl1 import check_dl1
from sst1m.io.rawfile import EventIndex, RawFile
from sst1m.simulation.raw_writer import RawWriter

HOUR_NS = 3_600_000_000_000


def rewritten(night, source, tel_id, run, rows=None, **changes):
    """Put a run into the night whose events are some of those of another one, in any order."""
    path = night.path(tel_id, run)
    path.parent.mkdir(parents=True, exist_ok=True)
    with RawFile(source) as raw:
        block = raw.read(0, raw.n_events)
    rows = np.arange(len(block)) if rows is None else np.asarray(rows)
    index = {name: getattr(block.index, name)[rows] for name in EventIndex.__dataclass_fields__}
    index |= {name: change(index[name]) for name, change in changes.items()}
    with RawWriter(path, tel_id=tel_id, target="Crab_W1_84.386_21.956") as writer:
        writer.append(block.samples[rows], EventIndex(**index), baseline=block.baseline[rows])
    os.utime(path, (1_709_700_000 + run,) * 2)
    return path


def jumping_back(time_ns):
    return np.where(np.arange(len(time_ns)) >= len(time_ns) // 2, time_ns - HOUR_NS, time_ns)


@pytest.fixture(scope="module")
def finished(make_night, warm, raw_templates):
    night = make_night()
    source, n_events = raw_templates[21], 60
    every, disorder = np.arange(n_events), np.random.default_rng(3).permutation(n_events)
    rewritten(night, source, 21, 1)
    rewritten(night, source, 21, 2, rows=np.concatenate([every[:40], every[20:40], every[40:]]))
    rewritten(night, source, 21, 3, rows=disorder)
    rewritten(night, source, 21, 4, time_ns=jumping_back)
    rewritten(night, source, 21, 5, time_ns=lambda time_ns: time_ns + 48 * HOUR_NS)
    rewritten(night, source, 22, 6).rename(night.path(21, 6))
    rewritten(night, source, 21, 7, time_ns=lambda time_ns: time_ns * 0)
    rewritten(night, source, 21, 8)
    rewritten(night, source, 22, 8).rename(night.path(22, 8).with_name(night.path(21, 8).name))
    command = warm(night)
    night.status, night.text = command.wait(), command.text()
    return night


def events(night, run):
    row = night.row(21, run)
    assert row["state"] == "done", row
    path = night.layout.root / row["product"]
    with tables.open_file(str(path)) as h5file:
        extras = h5file.get_node("/sst1m/dl1/event/telescope/parameters/tel_021").read()
        parameters = h5file.get_node("/dl1/event/telescope/parameters/tel_021").read()
    order = np.argsort(extras["camera_event_id"])
    return extras[order], parameters[order], check_dl1(path)


def test_nothing_of_it_is_a_traceback(finished):
    assert finished.status == 30
    assert "Traceback" not in finished.text and "unexpected" not in finished.text


def test_copied_events_count_once(finished):
    (good, images, _), (found, others, info) = events(finished, 1), events(finished, 2)
    assert found["camera_event_id"].tolist() == good["camera_event_id"].tolist()
    assert info["n_events"] == 80 and info["n_repeated"] == 13
    intensity = "camera_frame_hillas_intensity"
    # the pedestals that stand there twice change the noise a little, and with it the cleaning
    np.testing.assert_allclose(others[intensity], images[intensity], rtol=0.05)


def test_the_order_of_events_does_not_matter_to_who_they_are(finished):
    (good, _, _), (found, _, _) = events(finished, 1), events(finished, 3)
    assert found["camera_event_id"].tolist() == good["camera_event_id"].tolist()
    assert found["time_ns"].tolist() == good["time_ns"].tolist()


def test_a_clock_that_jumps_back_gives_no_exposure_in_between(finished):
    live = events(finished, 4)[2]["live_time"]
    assert len(live["intervals_ns"]) == 2
    assert live["ontime_s"] == pytest.approx(events(finished, 1)[2]["live_time"]["ontime_s"], rel=0.1)


@pytest.mark.parametrize(
    ("run", "reason"),
    [(5, "not of the night 2024-03-04"), (6, "telescope 22"), (7, "1969-12-31"), (8, "another file named")],
)
def test_what_cannot_be_right_is_quarantined_with_the_reason(finished, run, reason):
    row = finished.row(21, run)
    assert row["state"] == "quarantined" and reason in row["reason"], row


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -22.0])
def test_impossible_gains_never_become_numbers(made_night, warm, tmp_path, value):
    made_night.add(21, 1)
    made_night.calibration = tmp_path / "calibration"
    made_night.calibration.mkdir()
    for path in made_night.templates[21].parent.joinpath("calibration").iterdir():
        (made_night.calibration / path.name).write_bytes(path.read_bytes())
    name = made_night.calibration / "averaged_calib_param_v2_2023_2024_tel1.h5"
    frame = pd.read_hdf(name, "calibration_parameters")
    frame.loc[:199, "dc_to_pe"] = value
    frame.to_hdf(name, key="calibration_parameters", format="fixed", mode="w")
    command = warm(made_night)
    status, row = command.wait(), made_night.row(21, 1)
    assert "Traceback" not in command.text()
    if row["state"] != "done":
        assert status == 30 and name.name in row["reason"], row
        return
    info = check_dl1(made_night.layout.root / row["product"])
    assert info["n_bad_pixels"] >= 200, json.dumps(info, default=str)
    with tables.open_file(str(made_night.layout.root / row["product"])) as h5file:
        rows = h5file.get_node("/dl1/event/telescope/parameters/tel_021").read()
    intensity = rows["camera_frame_hillas_intensity"]
    assert np.all(np.isnan(intensity) | (intensity > 0)) and np.nanmax(intensity) < 1e5
