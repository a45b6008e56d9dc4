"""Whatever is wrong around a night: right state and reason, the other runs done, right exit status."""

import json
import os
import shutil
import subprocess
import time

import pytest

from sst1m.io.dl1 import check_dl1
from sst1m.layout import raw_path
from sst1m.names import RawName


def states(night) -> dict[str, str]:
    return {name: row["state"] for name, row in night.manifest().items()}


def assert_explained(output: str, *words: str) -> None:
    assert "Traceback" not in output
    for word in words:
        assert word in output, output


@pytest.fixture(scope="module")
def damaged(make_night):
    """A night with every kind of damaged raw file beside good ones, processed by the real command."""
    night = make_night()
    night.add(21, 1)
    night.add(21, 2, "Dark")
    night.add(22, 1, "PKS_2155-304_W2_329.7_-30.2")
    good = night.content(22, "Crab_W1_84.386_21.956")
    night.add(22, 2, content=good[:-5000])
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 4
    night.add(22, 3, content=bytes(flipped))
    night.add(22, 4, content=b"")
    night.add(22, 5, content=night.content(21, "Crab_W1_84.386_21.956"))  # events of the other telescope
    night.path(22, 6).mkdir()
    night.path(22, 7).symlink_to(night.base / "nowhere")
    stray = raw_path(night.raw, RawName(2, night.layout.date.replace(day=5), 8))
    (night.path(22, 1).parent / stray.name).write_bytes(good)  # of another night
    (night.path(22, 1).parent / "SST1M2_20240304_0009.fits.fz.tmp").write_bytes(good)
    night.add(22, 10, "../../evil,W1,84.4,21.9")
    night.add(22, 11, content=good[:10] + b"\0" * 3000)
    night.result = night.run()
    return night


def test_the_good_runs_are_done_beside_damaged_ones(damaged):
    assert damaged.row(21, 1)["state"] == "done"
    assert damaged.row(22, 1)["state"] == "done"
    assert [path.name for path in damaged.products()] == [
        "SST1M1_20240304_0001_W1_dl1.h5",
        "SST1M2_20240304_0001_W2_dl1.h5",
    ]
    for product in damaged.products():
        check_dl1(product)


@pytest.mark.parametrize(
    ("run", "state", "reason"),
    [
        (2, "quarantined", "truncated"),
        (3, "quarantined", "checksum"),
        (4, "quarantined", "empty"),
        (5, "quarantined", "telescope 21"),
        (6, "quarantined", "a directory"),
        (7, "quarantined", "a link that leads nowhere"),
        (10, "waiting", "no valid target name"),
        (11, "quarantined", "FITS"),
    ],
)
def test_a_damaged_file_has_its_state_and_reason(damaged, run, state, reason):
    row = damaged.row(22, run)
    assert row["state"] == state
    assert reason in row["reason"]


def test_files_that_do_not_belong_to_the_night_are_named(damaged):
    manifest = damaged.manifest()
    assert manifest["22:SST1M2_20240305_0008.fits.fz"]["state"] == "quarantined"
    assert "renamed or misplaced" in manifest["22:SST1M2_20240305_0008.fits.fz"]["reason"]
    temporary = manifest["22:'SST1M2_20240304_0009.fits.fz.tmp'"]
    assert (temporary["state"], temporary["run"]) == ("skipped", "")


def test_damaged_files_end_the_command_with_the_status_of_failed_tasks(damaged):
    assert damaged.result.returncode == 30
    assert_explained(damaged.result.stderr, "in quarantine", "manifest.ecsv", "truncated")


def test_a_quarantined_run_keeps_its_log_and_record(damaged):
    record = json.loads((damaged.layout.root / "quarantine" / "SST1M2_20240304_0003.json").read_text())
    assert record["error"] == "RawFileError"
    log = (damaged.layout.root / record["log"]).read_text()
    assert "result: quarantined" in log.splitlines()[-1]
    assert "software: python" in log.splitlines()[0]


def test_nothing_is_written_outside_the_layout(damaged):
    names = {path.name for path in damaged.layout.root.iterdir() if not path.name.startswith(".")}
    assert names == {"Crab", "PKS_2155-304", "manifest.ecsv", "closing.json", "quarantine", "report"}
    assert {path.name for path in damaged.base.iterdir()} == {"raw", "ana", "config.json", "luigi.cfg"}


def test_a_replaced_file_heals_the_night(damaged, warm):
    for run in (2, 3, 4, 5, 11):
        damaged.add(22, run)
        os.utime(damaged.path(22, run))  # a new file has a new time
    damaged.path(22, 6).rmdir()
    damaged.path(22, 7).unlink()
    (damaged.path(22, 1).parent / "SST1M2_20240305_0008.fits.fz").unlink()
    damaged.layout.corrections.write_text("tel run exclude reason\n2 10 true 'not ours'\n".replace("'", '"'))
    kept = {path: path.stat().st_ino for path in damaged.products()}
    command = warm(damaged)
    assert command.wait() == 0, command.text()
    assert {row["state"] for row in damaged.manifest().values()} == {"done", "skipped"}
    assert len(damaged.products()) == 7
    assert all(path.stat().st_ino == inode for path, inode in kept.items()), "finished runs are not touched"
    assert not list((damaged.layout.root / "quarantine").iterdir())


def test_quarantine_lasts_until_the_operator_asks_for_another_attempt(made_night, warm):
    made_night.add(21, 1)
    made_night.add(21, 2, content=made_night.content(22, "Crab,W1,84.4,21.9"))
    assert warm(made_night).wait() == 30
    record = made_night.layout.root / "quarantine" / "SST1M1_20240304_0002.json"
    first = record.stat().st_mtime_ns
    assert warm(made_night).wait() == 30
    assert record.stat().st_mtime_ns == first, "a settled run is not tried again"
    assert warm(made_night, "--retry-quarantined").wait() == 30
    assert record.stat().st_mtime_ns > first
    assert made_night.row(21, 2)["state"] == "quarantined"


def test_a_file_in_transfer_waits_until_it_has_settled(made_night, warm):
    made_night.add(21, 1)
    path = made_night.add(21, 2, content=made_night.content(21, "Crab,W1,84.4,21.9")[:-9000])
    os.utime(path)
    command = warm(made_night)
    assert command.wait() == 20
    assert made_night.row(21, 2)["state"] == "waiting"
    assert "still being copied" in made_night.row(21, 2)["reason"]
    assert made_night.row(21, 1)["state"] == "done"
    path.write_bytes(made_night.content(21, "Crab,W1,84.4,21.9"))
    assert warm(made_night).wait() == 0
    assert made_night.row(21, 2)["state"] == "done"


def test_a_file_that_arrives_while_the_night_runs_is_reduced_in_the_same_call(made_night, warm):
    made_night.add(21, 1)
    command = warm(made_night)
    deadline = time.monotonic() + 60
    while not made_night.layout.manifest.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    made_night.add(21, 2)
    start = time.monotonic()
    assert command.wait() == 0, command.text()
    assert time.monotonic() - start < 9, "luigi does not wait before it runs the manifest a second time"
    assert made_night.row(21, 2)["state"] == "done"


def test_a_file_that_changes_while_the_night_runs_is_reduced_again_in_the_same_call(made_night, warm):
    made_night.add(21, 1)
    made_night.add(21, 2)
    command = warm(made_night)
    deadline = time.monotonic() + 60
    while not made_night.products() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.utime(made_night.path(21, 1))
    assert command.wait() == 0, command.text()
    provenance = json.loads(made_night.products()[0].with_suffix(".json").read_text())
    assert provenance["run"]["mtime_ns"] == made_night.path(21, 1).stat().st_mtime_ns
    assert warm(made_night).wait() == 0


def test_a_missing_calibration_file_fails_one_telescope_and_is_no_property_of_the_raw_file(
    made_night, warm, tmp_path
):
    made_night.add(21, 1)
    made_night.add(22, 1)
    complete = made_night.calibration
    made_night.calibration = tmp_path / "partial"
    shutil.copytree(complete, made_night.calibration)
    missing = made_night.calibration / "averaged_calib_param_v2_2023_2024_tel2.h5"
    missing.unlink()
    command = warm(made_night)
    assert command.wait() == 30
    assert_explained(command.text(), missing.name)
    assert made_night.row(21, 1)["state"] == "done"
    assert made_night.row(22, 1)["state"] == "waiting"
    assert missing.name in made_night.row(22, 1)["reason"]
    assert "attempts/" in made_night.row(22, 1)["log"]
    shutil.copy(complete / missing.name, missing)
    assert warm(made_night).wait() == 0
    assert not list((made_night.layout.root / "attempts").iterdir())


@pytest.fixture
def mounted(tmp_path):
    """Mount file systems for the time of a test, where that is permitted."""
    places = []

    def mount(place, *options: str):
        place.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["mount", *options, str(place)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"mounting is not permitted here: {done.stderr.strip()}")
        places.append(place)

    yield mount
    for place in reversed(places):
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_is_named_and_a_later_call_goes_on(made_night, warm, mounted, differing_tables):
    made_night.add(21, 1)
    made_night.add(22, 1)
    mounted(made_night.ana, "-t", "tmpfs", "-o", "size=1000k", "tmpfs")
    ballast = made_night.ana / "ballast"
    ballast.write_bytes(b"\0" * 700_000)
    command = warm(made_night)
    assert command.wait() == 30
    assert_explained(command.text(), "the disk is full")
    assert made_night.products() == []
    for tel_id in (21, 22):
        assert made_night.row(tel_id, 1)["state"] == "waiting"
        assert "the disk is full" in made_night.row(tel_id, 1)["reason"]
    assert not [path for path in made_night.ana.rglob("*") if ".part" in path.name]
    subprocess.run(["mount", "-o", "remount,size=100M", str(made_night.ana)], check=True)
    command = warm(made_night)
    assert command.wait() == 0, command.text()
    assert states(made_night) == dict.fromkeys(states(made_night), "done")


def test_a_read_only_target_directory_is_named_and_the_other_target_done(made_night, warm, mounted):
    made_night.add(21, 1)
    made_night.add(22, 1, "Mrk421,W1,166.1,38.2")
    closed = made_night.layout.root / "Mrk421"
    mounted(closed, "-t", "tmpfs", "-o", "ro", "tmpfs")
    command = warm(made_night)
    assert command.wait() == 30
    assert_explained(command.text(), "read-only")
    assert made_night.row(21, 1)["state"] == "done"
    assert made_night.row(22, 1)["state"] == "waiting"
    assert "read-only" in made_night.row(22, 1)["reason"]


def test_a_read_only_analysis_root_is_one_line_and_no_success(made_night, warm, mounted):
    made_night.add(21, 1)
    mounted(made_night.ana, "-t", "tmpfs", "-o", "ro", "tmpfs")
    command = warm(made_night)
    assert command.wait() == 30
    assert_explained(command.text(), "read-only", str(made_night.ana))


def test_a_night_without_raw_files_is_no_success(made_night, warm):
    command = warm(made_night)
    assert command.wait() == 30
    assert_explained(command.text(), "no raw files of the night 2024-03-04", "root_dir")


def test_a_telescope_without_raw_files_does_not_hold_up_the_other(made_night, warm):
    made_night.add(22, 1)
    command = warm(made_night)
    assert command.wait() == 0
    assert_explained(command.text(), "tel 21: no raw files in")
    record = json.loads(made_night.layout.record.read_text())
    assert record["telescopes"]["21"]["files"] == 0
    assert record["telescopes"]["22"]["done"] == 1


def test_an_error_of_the_program_quarantines_one_run_and_its_traceback_is_in_the_log(made_night, warm):
    made_night.add(21, 1)
    made_night.add(22, 1)

    def break_the_reduction() -> None:
        import sst1m.reduction

        reduce = sst1m.reduction.reduce_raw_run

        def broken(raw_path, *args, **kwargs):
            if kwargs["tel_id"] == 22:
                raise KeyError("a key that nobody expected")
            return reduce(raw_path, *args, **kwargs)

        sst1m.reduction.reduce_raw_run = broken

    command = warm(made_night, before=break_the_reduction)
    assert command.wait() == 30
    assert_explained(command.text(), "unexpected KeyError", "quarantine")
    row = made_night.row(22, 1)
    assert row["state"] == "quarantined"
    assert "Traceback" in (made_night.layout.root / row["log"]).read_text()
    assert made_night.row(21, 1)["state"] == "done"


@pytest.mark.parametrize(
    ("how", "state", "word"), [("crash", "quarantined", "SIGSEGV"), ("kill", "waiting", "SIGKILL")]
)
def test_a_crash_is_the_fault_of_the_file_and_a_kill_is_not(made_night, warm, how, state, word):
    made_night.add(21, 1)
    made_night.add(22, 1)

    def end_the_reader() -> None:
        import signal

        import sst1m.reduction

        reduce = sst1m.reduction.reduce_raw_run

        def ended(raw_path, *args, **kwargs):
            if kwargs["tel_id"] == 22:
                os.kill(os.getpid(), signal.SIGSEGV if how == "crash" else signal.SIGKILL)
            return reduce(raw_path, *args, **kwargs)

        sst1m.reduction.reduce_raw_run = ended

    command = warm(made_night, before=end_the_reader)
    assert command.wait() == 30
    assert_explained(command.text(), word)
    assert made_night.row(22, 1)["state"] == state
    assert word in made_night.row(22, 1)["reason"]
    assert made_night.row(21, 1)["state"] == "done"
