"""The night of the real raw file: it has no TARGET, so the operator says where the telescope looked."""

import json
import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from sst1m.io.dl1 import check_dl1
from sst1m.layout import NightLayout, raw_path
from sst1m.names import RawName

NIGHT = date(2018, 8, 22)
COMMAND = [
    str(Path(sys.executable).with_name("luigi")),
    "--module",
    "tasks",
    "RunNight",
    "--date",
    "2018-08-22",
]


@pytest.fixture
def site(tmp_path, real_raw_file, shared_data, project_root):
    raw = raw_path(tmp_path / "raw", RawName(2, NIGHT, 1))
    raw.parent.mkdir(parents=True)
    shutil.copyfile(real_raw_file, raw)
    (tmp_path / "luigi.cfg").write_text(
        f"[site]\nroot_dir = {tmp_path}/raw\nana_dir = {tmp_path}/ana\n"
        f"config_file = {project_root}/config/sst1m_data_config.json\n"
        f"calibration_dir = {shared_data}/calibration\n"
    )
    return tmp_path


def run(site: Path, root: Path, *options: str) -> subprocess.CompletedProcess:
    environment = {key: value for key, value in os.environ.items() if key != "LUIGI_CONFIG_PATH"}
    return subprocess.run(
        [*COMMAND, "--until", "dl1", *options],
        cwd=site,
        env=environment | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_real_file_waits_for_its_pointing_and_is_then_reduced(site, project_root):
    night = NightLayout(site / "ana", NIGHT)
    waiting = run(site, project_root)
    assert waiting.returncode == 20, waiting.stderr
    assert "give target, ra, dec of tel 22 run 1 in corrections.ecsv" in waiting.stderr
    night.corrections.write_text("tel run target wobble ra dec\n22 1 Crab W1 84.386 21.956\n")
    done = run(site, project_root)
    assert done.returncode == 0, done.stderr
    info = check_dl1(night.root / "Crab" / "cs2" / "dl1" / "SST1M2_20180822_0001_W1_dl1.h5")
    assert (info["n_events"], info["pointing_source"]) == (32, "corrections")
    record = json.loads(night.record.read_text())
    assert record["complete"] and record["telescopes"]["22"]["n_events"] == 32
