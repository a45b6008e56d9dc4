"""The command r0-dl1 as a user types it: products, options, and errors in one line."""

import json
from pathlib import Path

import pytest
import tables

from sst1m.cli import main
from sst1m.simulation.raw_writer import RawWriter

CONFIG = Path(__file__).parents[3] / "config" / "sst1m_data_config.json"
EXTRAS = "/sst1m/dl1/event/telescope/parameters/tel_021"


@pytest.fixture
def command(run_21, calibration_dir, tmp_path, capsys):
    """Return a function that runs the command on a raw file and returns exit code, output and errors."""

    def run(*options, raw=run_21.path, config=CONFIG):
        arguments = ["r0-dl1", "-f", str(raw), "-c", str(config), "-o", str(tmp_path / "dl1")]
        with pytest.raises(SystemExit) as end:
            main([*arguments, "--calibration-dir", str(calibration_dir), *map(str, options)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return end.value.code, captured.out, captured.err

    return run


@pytest.fixture
def raw_without_target(run_21, make_run, tmp_path):
    return make_run(tmp_path / "SST1M1_20250115_0003.fits.fz", 12, swat=False).path


def products(tmp_path):
    return sorted(path.name for path in (tmp_path / "dl1").iterdir())


def test_product_log_and_provenance_appear_together(command, tmp_path):
    code, out, _ = command()
    assert code == 0 and "48 of 60 events" in out
    stem = "SST1M1_20250115_0012_W1_dl1"
    assert products(tmp_path) == [f"{stem}.h5", f"{stem}.json", f"{stem}.log"]
    record = json.loads((tmp_path / "dl1" / f"{stem}.json").read_text())
    assert record["run"]["obs_id"] == 202501150012
    assert record["counts"] == {"n_events": 60, "n_events_written": 48}
    assert len(record["config"]["fingerprint"]) == 64
    log = (tmp_path / "dl1" / f"{stem}.log").read_text()
    assert "result: done, 60 events" in log and "ctapipe 0.28.0" in log


def test_options_add_their_products(command, tmp_path):
    assert command("--px-charges", "--precise-timestamps")[0] == 0
    with tables.open_file(tmp_path / "dl1" / "SST1M1_20250115_0012_W1_pedestal_hist.h5") as h5:
        assert h5.root.charge_images[:]["n"].sum() == 12
        assert h5.root.charge.nrows == 1000 and h5.root.bins.nrows == 1001
    with tables.open_file(tmp_path / "dl1" / "SST1M1_20250115_0012_W1_dl1.h5") as h5:
        rows = h5.get_node(EXTRAS)[:]
    exact = rows["time_wr_full_seconds"] * 10**9 + (rows["time_wr_frac_seconds"] * 1e9).round().astype(int)
    assert (exact == rows["time_ns"]).all()


def test_reclean_needs_the_first_pass_and_uses_it(command, tmp_path, config_document):
    code, _, err = command("--reclean")
    assert code == 3 and "--px-charges" in err
    assert command("--px-charges")[0] == 0
    config = tmp_path / "config.json"
    document = config_document({"ImageProcessor.ImageCleanerSST.min_number_pedestals": 1})
    config.write_text(json.dumps(document))
    assert command("--reclean", config=config)[0] == 0
    with tables.open_file(tmp_path / "dl1" / "SST1M1_20250115_0012_W1_dl1_recleaned.h5") as h5:
        assert json.loads(bytes(h5.root.sst1m.info.read()))["recleaned"] is True


def test_pointing_of_the_header_counts_unless_forced(command, tmp_path):
    code, _, err = command("--pointing-ra", 10, "--pointing-dec", 20)
    assert code == 2 and "84.386" in err and "--force-pointing" in err
    assert command("--pointing-ra", 10, "--pointing-dec", 20, "--force-pointing")[0] == 0
    with tables.open_file(tmp_path / "dl1" / "SST1M1_20250115_0012_dl1.h5") as h5:
        info = json.loads(bytes(h5.root.sst1m.info.read()))
    assert (info["ra_deg"], info["dec_deg"], info["pointing_source"]) == (10, 20, "command")


def test_a_file_without_pointing_says_what_to_give(command, raw_without_target, tmp_path):
    code, _, err = command(raw=raw_without_target)
    assert code == 3 and "--pointing-ra" in err and raw_without_target.name in err
    assert command("-r", 10, "-d", 20, raw=raw_without_target)[0] == 0
    assert "SST1M1_20250115_0003_dl1.h5" in products(tmp_path)


def test_a_dark_run_is_skipped_with_a_code_of_its_own(command, run_21, tmp_path):
    dark = tmp_path / "SST1M1_20250115_0040.fits.fz"
    with RawWriter(dark, tel_id=21, target="Dark"):
        pass
    code, _, err = command(raw=dark)
    assert code == 7 and "dark run" in err and not (tmp_path / "dl1").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pointing-ra", "400", "--pointing-dec", "0"], "400"),
        (["--pointing-ra", "40"], "both"),
        (["--force-pointing"], "--pointing-ra"),
    ],
)
def test_impossible_options(command, options, message):
    code, _, err = command(*options)
    assert code == 2 and message in err


def test_damaged_and_missing_files(command, run_21, tmp_path):
    whole = run_21.path.read_bytes()
    damaged = tmp_path / "SST1M1_20250115_0012.fits.fz"
    damaged.write_bytes(whole[: len(whole) // 2])
    code, _, err = command(raw=damaged)
    assert code == 3 and str(damaged) in err
    assert command(raw=tmp_path / "SST1M1_20250115_0099.fits.fz")[0] == 3
    assert not (tmp_path / "dl1").exists()


def test_calibration_that_is_not_there(run_21, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["r0-dl1", "-f", str(run_21.path), "-c", str(CONFIG), "-o", str(tmp_path / "dl1")])
    assert end.value.code == 2
    assert "telescope_calibration.tel_021" in capsys.readouterr().err
    assert not list((tmp_path / "dl1").iterdir())


def test_simulated_file(command, shared_data, tmp_path, project_root):
    document = json.loads((project_root / "config" / "sst1m_mc_config.json").read_text())
    document["NsbCalibrator"]["mc_correction_for_PDE"] = False
    config = tmp_path / "mc.json"
    config.write_text(json.dumps(document))
    simulated = shared_data / "simtel" / "simtel_test_file.simtel.gz"
    assert command(raw=simulated, config=config)[0] == 0
    assert "simtel_test_file_dl1.h5" in products(tmp_path)
    code, _, err = command(raw=simulated)
    assert code == 2 and "configuration of data" in err
