"""A night from raw files to its closing: layout, corrections, resuming, and what it costs."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from astropy.table import Table

from sst1m.io.dl1 import check_dl1

HEAVY = ("numpy", "numba", "astropy", "ctapipe", "tables", "pydantic", "sst1m.reduction")


@pytest.fixture(scope="module")
def finished(make_night, warm):
    """A night that is complete."""
    night = make_night()
    night.add(21, 1)
    night.add(21, 2, "Transition")
    night.add(22, 1, "1ES_1959+650_W2_299.9_65.1")
    command = warm(night)
    assert command.wait() == 0, command.text()
    night.output = command.text()
    return night


def test_products_stand_in_the_standard_layout_with_log_and_provenance(finished):
    assert [str(path.relative_to(finished.layout.root)) for path in finished.products()] == [
        "1ES_1959+650/cs2/dl1/SST1M2_20240304_0001_W2_dl1.h5",
        "Crab/cs1/dl1/SST1M1_20240304_0001_W1_dl1.h5",
    ]
    for product in finished.products():
        info = check_dl1(product)
        provenance = json.loads(product.with_suffix(".json").read_text())
        assert provenance["product"] == product.name
        assert provenance["counts"]["n_events"] == info["n_events"] == 60
        assert provenance["config"]["fingerprint"] == info["config_fingerprint"]
        assert provenance["inputs"][0]["size"] == finished.templates[21].stat().st_size
        assert provenance["command"].startswith("luigi RunNight --date 2024-03-04")
        lines = product.with_suffix(".log").read_text().splitlines()
        assert "software: python" in lines[0]
        assert "result: done, 60 events" in lines[-1]


def test_the_manifest_is_a_table_that_astropy_reads(finished):
    table = Table.read(finished.layout.manifest, format="ascii.ecsv")
    assert list(table["tel"]) == [21, 21, 22]
    assert list(table["state"]) == ["done", "skipped", "done"]
    assert str(table["ra"].unit) == "deg"
    np.testing.assert_allclose(table["dec"][[0, 2]], [21.956, 65.1])
    assert table["ra"].mask.tolist() == [False, True, False]
    assert table["t_start"][0] == "2024-03-04T21:00:00.010"
    assert table["reason"][1] == "transition run: TARGET is 'Transition'"


def test_the_observer_sees_progress_and_a_table_at_the_end(finished):
    assert "2/2  tel 22 run 0001: 60 events in" in finished.output
    assert "night 2024-03-04: complete, 3 raw files" in finished.output
    assert str(finished.layout.manifest) in finished.output


def test_the_closing_record_counts_the_night(finished):
    record = json.loads(finished.layout.record.read_text())
    assert record["complete"] is True
    assert record["telescopes"]["21"]["done"] == record["telescopes"]["21"]["skipped"] == 1
    assert record["telescopes"]["22"]["n_events"] == 60
    assert len(record["products"]) == 2


def test_a_second_call_on_a_finished_night_does_no_work(finished):
    code = (
        "import sys, time, resource\n"
        "from luigi.cmdline import luigi_run\n"
        "start = time.process_time()\n"
        "try:\n"
        "    luigi_run(['--module', 'tasks', *sys.argv[1:]])\n"
        "except SystemExit as end:\n"
        f"    heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "    print(end.code, time.process_time() - start, heavy)\n"
    )
    before = {path: path.stat().st_mtime_ns for path in finished.ana.rglob("*")}
    done = subprocess.run(
        [sys.executable, "-c", code, *finished.command()[3:]],
        cwd=finished.base,
        env=finished.env(),
        capture_output=True,
        text=True,
    )
    status, seconds, heavy = done.stdout.split(maxsplit=2)
    assert (status, heavy.strip()) == ("0", "[]"), done.stderr
    assert float(seconds) < 1.0
    assert {path: path.stat().st_mtime_ns for path in finished.ana.rglob("*")} == before
    assert "complete, 3 raw files" in done.stderr


def test_a_lost_product_is_made_again(make_night, warm, differing_tables):
    night = make_night()
    night.add(21, 1)
    night.add(22, 1)
    assert warm(night).wait() == 0
    lost, kept = night.products()
    copy, inode = lost.rename(night.base / "copy.h5"), kept.stat().st_ino
    assert warm(night).wait() == 0
    assert differing_tables(lost, copy) == []
    assert kept.stat().st_ino == inode


def test_a_changed_raw_file_is_reduced_again(made_night, warm):
    made_night.add(21, 1)
    made_night.add(21, 2)
    assert warm(made_night).wait() == 0
    first, second = (path.stat().st_ino for path in made_night.products())
    os.utime(made_night.path(21, 2))
    command = warm(made_night)
    assert command.wait() == 0
    assert "the raw file has changed" in command.text()
    assert made_night.products()[0].stat().st_ino == first
    assert made_night.products()[1].stat().st_ino != second
    assert "the raw file has changed" in made_night.layout.log.read_text()


def test_corrections_move_set_and_exclude_runs(made_night, warm):
    for run, target in ((1, "Crab_W1_84.386_21.956"), (2, "Crab_W1_84.386_21.956"), (3, "no coordinates")):
        made_night.add(21, run, target)
    assert warm(made_night).wait() == 20
    assert made_night.row(21, 3)["state"] == "waiting"
    assert "corrections.ecsv" in made_night.row(21, 3)["reason"]
    made_night.layout.corrections.write_text(
        "tel run target wobble ra dec exclude reason\n"
        '1 1 Mrk421 "" "" "" "" "wrong header"\n'
        '21 2 "" "" "" "" true "clouds, and a lot of them"\n'
        '1 3 Test_Field "" 10.5 -20.25 "" ""\n'
    )
    command = warm(made_night)
    assert command.wait() == 0, command.text()
    assert [str(path.relative_to(made_night.layout.root)) for path in made_night.products()] == [
        "Mrk421/cs1/dl1/SST1M1_20240304_0001_W1_dl1.h5",
        "Test_Field/cs1/dl1/SST1M1_20240304_0003_dl1.h5",
    ]
    assert not (made_night.layout.root / "Crab").exists(), "nothing of the old target is left"
    assert made_night.row(21, 2)["reason"] == "excluded by the operator: clouds, and a lot of them"
    row = made_night.row(21, 3)
    assert (row["ra"], row["dec"], row["pointing_source"]) == ("10.5", "-20.25", "corrections")
    info = check_dl1(made_night.products()[1])
    assert (info["ra_deg"], info["dec_deg"]) == (10.5, -20.25)
    made_night.layout.corrections.write_text("tel run target ra dec\n1 3 Test_Field 11.5 -20.25\n")
    assert warm(made_night).wait() == 0
    assert check_dl1(made_night.products()[2])["ra_deg"] == 11.5
    assert made_night.row(21, 1)["target"] == "Crab"


def test_invalid_corrections_are_one_clear_line(made_night, warm):
    made_night.add(21, 1)
    made_night.layout.root.mkdir(parents=True)
    made_night.layout.corrections.write_text("tel run targt exclude\n1 7 Crab true\n")
    command = warm(made_night)
    assert command.wait() == 30
    assert "unknown column 'targt': did you mean 'target'?" in command.text()
    made_night.layout.corrections.write_text("tel run target\n1 7 Crab\n")
    command = warm(made_night)
    assert command.wait() == 30
    assert "telescope 21 has no run 7 in this night" in command.text()
    assert "Traceback" not in command.text()


def test_a_finished_night_that_cannot_be_looked_at_is_not_called_complete(made_night, warm):
    made_night.add(21, 1)
    assert warm(made_night).wait() == 0
    made_night.layout.corrections.write_text('tel run target\n1 1 "Crab\n')
    command = warm(made_night)
    assert command.wait() == 30
    assert "not complete" in command.text() and ": complete" not in command.text(), command.text()
    assert "as an earlier call has seen it; now: " in command.text() and "corrections.ecsv" in command.text()
    page = (made_night.layout.report / "index.html").read_text()
    assert "corrections.ecsv" in page and "not complete" in page
    made_night.layout.corrections.unlink()
    command = warm(made_night)
    assert command.wait() == 0 and ": complete" in command.text()


def test_another_configuration_in_the_same_root_is_refused(make_night, warm):
    night = make_night()
    night.add(21, 1)
    assert warm(night).wait() == 0
    config = json.loads(night.config.read_text())
    config["analysis"]["global_theta_cut"] = 0.25
    night.config.write_text(json.dumps(config))
    command = warm(night)
    assert command.wait() == 35
    assert "analysis.global_theta_cut was 0.2, is 0.25" in command.text()
    assert "new ana_dir" in command.text()
    assert "Traceback" not in command.text()
    command = warm(night, "--night-px-charges=true")
    assert command.wait() == 35
    assert "px_charges was false, is true" in command.text()


def test_pedestal_charges_stand_beside_the_product(made_night, warm):
    made_night.add(21, 1)
    command = warm(made_night, "--night-px-charges=true")
    assert command.wait() == 0, command.text()
    product = made_night.products()[0]
    assert product.with_name("SST1M1_20240304_0001_W1_pedestal_hist.h5").stat().st_size > 0


@pytest.mark.slow
def test_forked_workers_share_what_the_first_process_has_loaded(make_night):
    night = make_night()
    for run in (1, 2):
        night.add(21, run)
        night.add(22, run)
    notes = night.base / "notes"
    code = (
        "import os, sys, time\n"
        "from luigi.cmdline import luigi_run\n"
        "import sst1m.run_reduction as reduction\n"
        "reduce = reduction._reduce_and_check\n"
        "def watched(*args, **kwargs):\n"
        "    before = set(sys.modules)\n"
        "    result = reduce(*args, **kwargs)\n"
        f"    with open({str(notes)!r}, 'a') as file:\n"
        "        file.write(f'{os.getppid()} {sorted(set(sys.modules) - before)}\\n')\n"
        "    return result\n"
        "reduction._reduce_and_check = watched\n"
        "luigi_run(['--module', 'tasks', *sys.argv[1:]])\n"
    )
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code, *night.command("--workers", "2")[3:]],
        cwd=night.base,
        env=night.env(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - start < 120
    lines = notes.read_text().splitlines()
    assert len(lines) == 4
    assert {line.split(" ", 1)[1] for line in lines} == {"[]"}, "nothing is imported while a run is reduced"
    assert len({line.split()[0] for line in lines}) > 1, "two workers were at work"
