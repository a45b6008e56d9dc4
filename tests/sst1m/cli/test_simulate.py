"""The commands that simulate: a night by hand, and the demo night."""

import pytest

from sst1m.cli import main
from sst1m.cli.demo import DEMO_DATE
from sst1m.config import load_config
from sst1m.errors import ConfigError, InputError, OutputError
from sst1m.io.dl1 import check_dl1

NIGHT = "simulate night --date 2024-03-04 --flux 200 --runs 1 --run-seconds 2 --scale 0.2 --background 0.1"


def run(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    captured = capsys.readouterr()
    return end.value.code, captured.out, captured.err


def test_a_night_once_and_no_second_time(tmp_path, capsys):
    arguments = [*NIGHT.split(), "-o", str(tmp_path / "raw"), "--calibration-dir", str(tmp_path / "cal")]
    code, out, err = run(arguments, capsys)
    assert code == 0
    raw = sorted((tmp_path / "raw").rglob("SST1M*.fits.fz"))
    # a dark run, a run of transition and one on the source, of each telescope
    assert len(raw) == 6 and all(f"{path}: " in out for path in raw)
    assert "recorded by both telescopes" in out and "gammas" in out
    assert not err and len(list((tmp_path / "cal").iterdir())) == 4
    before = [path.stat().st_mtime_ns for path in raw]
    code, out, err = run(arguments[:-2], capsys)
    assert code == 0 and "complete already" in out and not err
    assert [path.stat().st_mtime_ns for path in raw] == before
    code, _, err = run([*arguments, "--seed", "2"], capsys)
    assert code == OutputError.exit_code and "another night of this date" in err


def test_wrong_requests_end_in_one_line(tmp_path, capsys):
    code, _, err = run([*NIGHT.split(), "--source", "Krebs", "-o", str(tmp_path / "raw")], capsys)
    assert code == InputError.exit_code
    assert err.startswith("error: no source named 'Krebs'") and err.count("\n") == 1
    code, _, err = run([*NIGHT.split(), "--ra", "83", "-o", str(tmp_path / "raw")], capsys)
    assert code == 2 and "belong together" in err
    assert not (tmp_path / "raw").exists()


def test_the_demo_night_brings_all_that_it_needs(tmp_path, capsys):
    arguments = ["demo", "-o", str(tmp_path / "demo"), "--run-seconds", "0.3", "--flux", "50"]
    code, out, _ = run(arguments, capsys)
    assert code == 0 and "simulated" in out
    settings = (tmp_path / "demo" / "luigi.cfg").read_text()
    values = dict(line.split(" = ") for line in settings.splitlines() if " = " in line)
    assert len(list((tmp_path / "demo" / "raw").rglob(f"SST1M?_{DEMO_DATE:%Y%m%d}_*.fits.fz"))) == 11
    assert values["root_dir"] == str(tmp_path / "demo" / "raw")
    assert values["calibration_dir"] == str(tmp_path / "demo" / "calibration")
    assert load_config(values["config_file"]).kind == "data"
    code, _, err = run(arguments, capsys)
    assert code == 0 and "Simulating" not in err


def test_monte_carlo_events_as_a_product(tmp_path, capsys, project_root):
    product = tmp_path / "gamma_dl1.h5"
    arguments = "simulate mc --particle gamma --showers 60 --energy-min 2 --offset 0.5".split()
    config = project_root / "config"
    code, out, _ = run([*arguments, "-c", str(config / "sst1m_mc_config.json"), "-o", str(product)], capsys)
    assert code == 0 and "of 60 showers thrown" in out
    check_dl1(product)
    other = tmp_path / "other_dl1.h5"
    code, _, err = run([*arguments, "-c", str(config / "sst1m_data_config.json"), "-o", str(other)], capsys)
    assert code == ConfigError.exit_code and "give one of simulations" in err
    assert list(tmp_path.iterdir()) == [product]
