"""A disk that fails at any operation: runs ``storage_cases.py`` with a library that makes it fail."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def faulty_io(tmp_path_factory):
    """Return the library that lets operations on files fail."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler here: apt-get install gcc libc6-dev")
    library = tmp_path_factory.mktemp("library") / "faulty_io.so"
    source = HERE / "faulty_io.c"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return library


@pytest.mark.slow
@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_a_disk_that_fails_costs_time_only(faulty_io, tmp_path, record_property):
    report = tmp_path / "report.json"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist",
         "--timeout=7000", f"--basetemp={tmp_path / 'cases'}", str(HERE / "storage_cases.py")],
        env={**os.environ, "LD_PRELOAD": str(faulty_io), "SST1M_FAULTS_REPORT": str(report)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-30000:] + done.stderr[-2000:]
    for key, number in json.loads(report.read_text()).items():
        record_property(key, number)
