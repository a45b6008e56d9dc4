"""The manifest, the operator's corrections, and the scan that joins them, without reducing anything."""

import datetime
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from sst1m.corrections import Correction, read_corrections
from sst1m.ecsv import Column, ecsv_text, read_ecsv
from sst1m.errors import ConfigError, InputError
from sst1m.instrument import N_PIXELS, N_SAMPLES
from sst1m.io.rawfile import EventIndex
from sst1m.layout import NightLayout, raw_path
from sst1m.manifest import Manifest, ManifestRow, read_manifest
from sst1m.names import RawName
from sst1m.night_scan import NightRequest, is_current, scan_night
from sst1m.simulation.raw_writer import RawWriter

NIGHT = datetime.date(2024, 3, 4)
LONG_AGO = 1_709_700_000


@pytest.fixture
def request_(tmp_path: Path) -> NightRequest:
    return NightRequest(tmp_path / "raw", NightLayout(tmp_path / "ana", NIGHT), (21, 22), 15.0)


def put(
    request: NightRequest, tel_id: int, run: int, target: str | None = "Crab_W1_84.4_21.9", name: str = ""
) -> Path:
    path = raw_path(request.root_dir, RawName(tel_id - 20, NIGHT, run))
    path.parent.mkdir(parents=True, exist_ok=True)
    path = path.with_name(name) if name else path
    numbers = np.arange(1, 4)
    index = EventIndex(numbers, numbers, numbers * 0 + 1, 1_709_586_037_000_000_000 + numbers * 10_000_000)
    with RawWriter(path, tel_id=tel_id, target=target) as writer:
        writer.append(np.full((3, N_PIXELS, N_SAMPLES), 300, dtype=np.int16), index)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def correct(request: NightRequest, text: str) -> None:
    request.night.root.mkdir(parents=True, exist_ok=True)
    request.night.corrections.write_text(text)


def rows(request: NightRequest) -> dict[tuple[int, str], ManifestRow]:
    return {(row.tel, row.file): row for row in scan_night(request).rows}


# ------------------------------------------------------------------------------------------------ text tables


def test_astropy_reads_what_is_written_and_we_read_it_back(tmp_path):
    columns = (
        Column("tel", "int64", description="with, a comma"),
        Column("ra", "float64", "deg"),
        Column("reason", "string"),
    )
    content = [
        {"tel": 21, "ra": 84.386, "reason": 'he said "dark", twice'},
        {"tel": None, "ra": None, "reason": ""},
        {"tel": 22, "ra": 1e-7, "reason": "plain"},
    ]
    path = tmp_path / "table.ecsv"
    path.write_text(ecsv_text(columns, content, {"night": "2024-03-04", "n": 3}))
    table = Table.read(path, format="ascii.ecsv")
    assert table["reason"][0] == 'he said "dark", twice'
    assert table["ra"].mask.tolist() == [False, True, False]
    assert float(table["ra"][2]) == 1e-7
    assert table.meta == {"night": "2024-03-04", "n": 3}
    ours = read_ecsv(path)
    assert ours.meta == {"night": "2024-03-04", "n": 3}
    assert ours.rows[1][1] == ("", "", "")
    assert ours.rows[0][1][2] == 'he said "dark", twice'


def test_a_manifest_survives_the_way_to_its_file_and_back(tmp_path):
    row = ManifestRow(
        21, 3, "SST1M1_20240304_0003.fits.fz", "done", "", "science", "Crab", "W1", 84.386, -21.9
    )
    odd = ManifestRow(22, None, "'a\\nb'", "skipped", "name is not a raw name")
    manifest = Manifest(NIGHT, (row, odd), "ab12", {"x.fits.fz": 77}, 123)
    path = tmp_path / "manifest.ecsv"
    path.write_text(manifest.text())
    assert read_manifest(path) == manifest
    assert read_manifest(path).text() == manifest.text()


def test_a_broken_manifest_is_made_again_and_no_error(tmp_path):
    path = tmp_path / "manifest.ecsv"
    for text in ("", "tel run\n1 2\n", "\0\0", "tel,run\n1\n"):
        path.write_text(text)
        assert read_manifest(path) is None
    assert read_manifest(tmp_path / "absent") is None


# ------------------------------------------------------------------------------------------------ corrections


@pytest.mark.parametrize("separator", [" ", ","])
def test_corrections_are_read_with_and_without_a_header(tmp_path, separator):
    path = tmp_path / "corrections.ecsv"
    lines = [
        "tel run target wobble ra dec exclude reason",
        '1 12 Crab W1 84.5 -21.5 "" ""',
        '22 3 "" "" "" "" yes clouds',
    ]
    path.write_text("\n".join(line.replace(" ", separator) for line in lines) + "\n\n")
    expected = {
        (21, 12): Correction(21, 12, "Crab", "W1", 84.5, -21.5, False, "", 2),
        (22, 3): Correction(22, 3, exclude=True, reason="clouds", line=3),
    }
    assert read_corrections(path) == expected
    table = Table.read(path, format="ascii")
    table.write(path, format="ascii.ecsv", overwrite=True)
    again = read_corrections(path)
    assert {key: (c.target, c.ra_deg, c.exclude) for key, c in again.items()} == {
        (21, 12): ("Crab", 84.5, False),
        (22, 3): ("", None, True),
    }


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("3 1 Crab W1 1 2 false x", "line 2: tel '3': allowed is 1, 2, 21 or 22"),
        ("1 -1 Crab W1 1 2 false x", "run '-1': allowed is a number from 0 to 9999"),
        ("1 1 ../x W1 1 2 false x", "target '../x'"),
        ("1 1 report W1 1 2 false x", "needs this name for itself"),
        ("1 1 Crab w1 1 2 false x", "wobble 'w1'"),
        ("1 1 Crab W1 360 2 false x", r"ra '360': allowed is an angle in degrees in \[0, 360\)"),
        ("1 1 Crab W1 nan 2 false x", "ra 'nan'"),
        ("1 1 Crab W1 1 -90.1 false x", "dec '-90.1'"),
        ('1 1 Crab W1 1 "" false x', "give both ra and dec"),
        ("1 1 Crab W1 1 2 perhaps x", "exclude 'perhaps': allowed is true or false"),
        ('1 1 Crab W1 1 2 true ""', "exclude needs a reason"),
        ("1 1 Crab W1 1 2 true", "7 values for 8 columns"),
        (
            "1 1 Crab W1 1 2 false x\n21 1 Crab W1 1 2 false x",
            "line 3: telescope 21 run 1 stands in line 2 already",
        ),
    ],
)
def test_a_wrong_correction_is_named_with_its_line(tmp_path, row, message):
    path = tmp_path / "corrections.ecsv"
    path.write_text(f"tel run target wobble ra dec exclude reason\n{row}\n")
    with pytest.raises(ConfigError, match=message):
        read_corrections(path)


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    path = tmp_path / "corrections.ecsv"
    path.write_text("tel run ra dec\n1 x 1 2\n9 1 1 2\n1 2 999 2\n")
    with pytest.raises(ConfigError, match="line 2.*line 3.*line 4"):
        read_corrections(path)
    path.write_text("tel number targets\n1 2 3\n")
    with pytest.raises(
        ConfigError, match="unknown column 'number'.*did you mean 'target'.*column 'run' is missing"
    ):
        read_corrections(path)


# ------------------------------------------------------------------------------------------------ scan


def test_headers_and_corrections_make_the_rows(request_):
    put(request_, 21, 1)
    put(request_, 21, 2, None)
    put(request_, 21, 3, "dark")
    put(request_, 21, 4, "3C_273_187.3_2.05")
    put(request_, 22, 1, "Crab_W2_82.9_22.1")
    correct(
        request_,
        'tel run target wobble ra dec exclude reason\n2 1 "" W3 "" "" "" ""\n1 3 M31 "" 10.7 41.3 "" ""\n',
    )
    found = list(rows(request_).values())
    assert [(row.kind, row.target, row.wobble, row.ra, row.pointing_source) for row in found] == [
        ("science", "Crab", "W1", 84.4, "header"),
        ("unknown", "", "", None, "none"),
        ("science", "M31", "", 10.7, "corrections"),
        ("science", "3C_273", "UNDEF", 187.3, "header"),
        ("science", "Crab", "W3", 82.9, "header"),
    ]
    assert found[0].product == "Crab/cs1/dl1/SST1M1_20240304_0001_W1_dl1.h5"
    assert found[0].n_events == 3
    assert (found[0].t_start, found[0].t_stop) == ("2024-03-04T21:00:00.010", "2024-03-04T21:00:00.030")
    assert (found[1].state, found[1].product) == ("waiting", "")
    assert "give target, ra, dec of tel 21 run 2 in corrections.ecsv" in found[1].reason


def test_two_files_of_the_same_run_are_both_quarantined(request_):
    right = put(request_, 22, 5)
    stray = put(request_, 21, 1).with_name(right.name)
    stray.write_bytes(right.read_bytes())
    found = rows(request_)
    for key in ((21, right.name), (22, right.name)):
        assert found[key].state == "quarantined"
        assert "another file named" in found[key].reason
    assert found[(21, "SST1M1_20240304_0001.fits.fz")].state == "waiting"
    stray.unlink()
    assert rows(request_)[(22, right.name)].product


def test_hostile_file_names_stay_on_one_line_of_the_table(request_, tmp_path):
    put(request_, 21, 1)
    directory = request_.raw_directory(21)
    for name in ("a\nb,c", "x\x1b[2J", 'quote"; rm', "ü", os.fsdecode(b"\xff\xfe")):
        (directory / name).touch()
    manifest = scan_night(request_)
    (tmp_path / "manifest.ecsv").write_text(manifest.text())
    assert read_manifest(tmp_path / "manifest.ecsv") == manifest
    assert sum(row.state == "skipped" for row in manifest.rows) == 5


def test_a_correction_of_a_run_that_does_not_exist_is_refused(request_):
    put(request_, 21, 1)
    correct(request_, "tel run target\n1 1 M31\n1 2 M31\n")
    with pytest.raises(ConfigError, match="line 3: telescope 21 has no run 2"):
        scan_night(request_)


def test_a_night_without_files_is_an_error_that_names_the_places(request_):
    with pytest.raises(InputError, match="no raw files of the night 2024-03-04 in .*SST1M1 and .*SST1M2"):
        scan_night(request_)


def test_a_manifest_is_current_until_something_changes(request_):
    path = put(request_, 21, 1)
    manifest = scan_night(request_)
    assert is_current(manifest, request_)
    for change in (
        lambda: os.utime(path, (LONG_AGO, LONG_AGO + 1)),
        lambda: put(request_, 22, 1),
        lambda: correct(request_, "tel run target\n1 1 M31\n"),
        path.unlink,
    ):
        change()
        assert not is_current(manifest, request_)
        if change != path.unlink:
            manifest = scan_night(request_)
            assert is_current(manifest, request_)


def test_the_growth_of_a_file_in_transfer_is_no_news_but_its_end_is(request_):
    path = put(request_, 21, 1)
    content = path.read_bytes()
    path.write_bytes(content[:-300])
    manifest = scan_night(request_)
    assert manifest.rows[0].state == "waiting"
    path.write_bytes(content[:-100])
    assert is_current(manifest, request_)
    path.write_bytes(content)
    assert not is_current(manifest, request_)
    assert scan_night(request_).rows[0].product


def test_a_file_that_stays_incomplete_is_quarantined_after_the_settling_time(request_):
    path = put(request_, 21, 1)
    path.write_bytes(path.read_bytes()[:-300])
    recent = scan_night(request_)
    assert (recent.rows[0].state, recent.recheck_after_ns) == (
        "waiting",
        path.stat().st_mtime_ns + 900_000_000_000,
    )
    an_hour_ago = time.time() - 3600
    os.utime(path, (an_hour_ago, an_hour_ago))
    old = scan_night(request_)
    assert (old.rows[0].state, old.recheck_after_ns) == ("quarantined", None)
    assert "truncated" in old.rows[0].reason


def test_a_file_that_the_disk_refuses_waits_and_the_next_command_looks_again(request_):
    """It is no fault of the file; and one command does not look at it without end."""
    put(request_, 21, 1)
    path = raw_path(request_.root_dir, RawName(1, NIGHT, 2))
    path.symlink_to("/proc/self/mem")  # reading it from the start is an input/output error
    manifest = scan_night(replace(request_, asked_ns=time.time_ns()))
    row = manifest.rows[1]
    assert (row.state, row.product) == ("waiting", "")
    assert "cannot be read (Input/output error)" in row.reason
    request_.night.root.mkdir(parents=True)
    request_.night.manifest.write_text(manifest.text())
    known = read_manifest(request_.night.manifest)
    assert is_current(known, request_)
    assert not is_current(known, replace(request_, asked_ns=time.time_ns()))
