"""What a night does for each run does not grow with the number of runs; what it leaves out is made up for."""

import os
import shutil
import time

import pytest

from sst1m import night_record
from sst1m.config import load_config
from sst1m.manifest import read_manifest
from sst1m.night_record import make_manifest, refresh_while_running
from sst1m.night_scan import NightRequest
from sst1m.night_science import NightScience, SciencePaths


@pytest.fixture
def request_of(made_night):
    for tel_id in (21, 22):
        made_night.add(tel_id, 1)
    return NightRequest(made_night.raw, made_night.layout, (21, 22), settle_minutes=1)


def done(night) -> int:
    return len(read_manifest(night.layout.manifest).in_state("done"))


def test_a_manifest_rests_after_it_was_made(made_night, request_of, monkeypatch):
    monkeypatch.setattr(night_record, "_REST_S_PER_BYTE", 1.0)
    monkeypatch.setattr(night_record, "_SMALL_BYTES", 0)
    manifest = make_manifest(request_of)
    product = made_night.layout.root / manifest.rows[0].product
    product.parent.mkdir(parents=True)
    product.touch()
    assert refresh_while_running(request_of) is None and done(made_night) == 0
    size = made_night.layout.manifest.stat().st_size
    rested = time.time() - 2 * size
    os.utime(made_night.layout.manifest, (rested, rested))
    assert len(refresh_while_running(request_of).in_state("done")) == done(made_night) == 1


def test_a_disk_whose_clock_is_ahead_does_not_stop_the_refresh(made_night, request_of):
    make_manifest(request_of)
    ahead = time.time() + 3600
    os.utime(made_night.layout.manifest, (ahead, ahead))
    assert refresh_while_running(request_of) is not None


def test_a_short_manifest_does_not_rest(made_night, request_of):
    """The observer of a usual night sees how many of the runs are done, after each of them."""
    make_manifest(request_of)
    for _ in range(3):
        assert refresh_while_running(request_of) is not None


@pytest.mark.parametrize("failing", [21, 22])
def test_a_night_that_fails_knows_all_its_runs_at_the_end(made_night, warm, failing):
    """Whichever telescope comes first: runs that end after a failure are not closed, and still are done."""
    for tel_id in (21, 22):
        made_night.add(tel_id, 1)
        made_night.add(tel_id, 2)
    calibration = made_night.base / "calibration"
    shutil.copytree(made_night.calibration, calibration)
    (calibration / f"averaged_calib_param_v2_2023_2024_tel{failing - 20}.h5").unlink()
    made_night.calibration = calibration

    def rest_for_ever():
        night_record._REST_S_PER_BYTE, night_record._SMALL_BYTES = 1e9, 0

    command = warm(made_night, before=rest_for_ever)
    assert command.wait() == 30, command.text()
    states = {(row["tel"], row["run"]): row["state"] for row in made_night.manifest().values()}
    expected = {
        (str(tel), str(run)): "waiting" if tel == failing else "done" for tel in (21, 22) for run in (1, 2)
    }
    assert states == expected
    reasons = {row["reason"] for row in made_night.manifest().values() if row["state"] == "waiting"}
    assert all("last attempt failed" in reason for reason in reasons)


def test_stereo_runs_are_found_by_one_listing_however_many(made_night, monkeypatch):
    paths = SciencePaths(None, None, None, None, None, None, "nearest")
    science = NightScience(made_night.layout, "Crab", (), paths, load_config(made_night.config))
    directory = made_night.layout.root / "Crab" / "cs1" / "dl1"
    directory.mkdir(parents=True)
    listed = []
    dl1_files = NightScience.dl1_files
    monkeypatch.setattr(
        NightScience, "dl1_files", lambda self, tel: listed.append(tel) or dl1_files(self, tel)
    )
    for run in range(1, 21):
        (directory / f"SST1M1_20240304_{run:04d}_W1_dl1.h5").touch()
    assert len(science.stereo_runs()) == 20
    assert listed == ["cs1"]
