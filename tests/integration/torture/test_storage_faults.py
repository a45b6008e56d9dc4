"""A disk that fails, and one that tells old news: runs ``*_cases.py`` with libraries that make it so."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CASES = ["storage_cases", "stale_cases"]
if os.environ.get("SST1M_TORTURE") == "long":
    # It takes a production and a night first.
    CASES += ["storage_science_cases"]


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    """Return the libraries that let operations on files fail and what is told of them be old."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler here: apt-get install gcc libc6-dev")
    directory, made = tmp_path_factory.mktemp("library"), []
    for name in ("faulty_io", "stale_view"):
        made.append(directory / f"{name}.so")
        source = HERE / f"{name}.c"
        command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(made[-1]), str(source), "-ldl"]
        subprocess.run(command, check=True)
    return " ".join(map(str, made))


@pytest.mark.slow
@pytest.mark.torture
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("cases", CASES)
def test_a_disk_that_fails_costs_time_only(libraries, cases, tmp_path, record_property):
    report = tmp_path / "report.json"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
         "--timeout=7000", f"--basetemp={tmp_path / 'cases'}", str(HERE / f"{cases}.py")],
        env={**os.environ, "LD_PRELOAD": libraries, "SST1M_FAULTS_REPORT": str(report)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-30000:] + done.stderr[-2000:]
    for key, number in json.loads(report.read_text()).items():
        record_property(key, number)
