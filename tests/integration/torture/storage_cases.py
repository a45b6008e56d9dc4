"""Nights on a disk that fails; runs below ``test_storage_faults.py`` only, with the library preloaded."""

import errno
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sst1m.io.dl1 import check_dl1

if "faulty_io" not in os.environ.get("LD_PRELOAD", ""):
    pytest.skip("runs below test_storage_faults.py", allow_module_level=True)

ERRORS = (errno.EIO, errno.ENOSPC, errno.ESTALE, errno.EDQUOT, errno.EACCES)
#: Words by which an observer knows what to look at.
WORDS = ("disk", "Input/output", "space", "Stale", "quota", "denied", "cannot be", "read-only", "missing")


def filled(night):
    night.add(21, 1)
    night.add(22, 1, "Mrk421,W2,166.1,38.2")
    return night


def faulty(warm, night, where, number, error, mode):
    """Process the night on a failing disk; return the command and how many operations there were."""
    count = night.base / "operations"
    count.write_bytes(bytes(8))

    def switch_on():
        os.environ["FAULTY_IO"] = f"{where}|{count}|{number}|{error}|{mode}"

    command = warm(night, before=switch_on)
    status = command.wait()
    return status, command.text(), int.from_bytes(count.read_bytes(), "little")


def check_visible(night):
    for product in night.products():
        check_dl1(product)
        assert product.with_suffix(".json").exists() and product.with_suffix(".log").exists()


@pytest.fixture(scope="module")
def undisturbed(make_night, warm):
    """Return a finished night, and how many operations it takes on either directory."""
    night = filled(make_night())
    n_written = faulty(warm, night, night.ana, 0, 0, "count")
    other = filled(make_night())
    n_read = faulty(warm, other, other.raw, 0, 0, "count")
    assert n_written[0] == n_read[0] == 0, n_written[1] + n_read[1]
    return night, {"ana": n_written[2], "raw": n_read[2]}


def one_case(warm, make_night, where, number, error, mode):
    """Return a night after one fault, what was said, and whether the fault was met at all."""
    night = filled(make_night())
    status, text, n_done = faulty(warm, night, getattr(night, where), number, error, mode)
    what = f"{where}, operation {number}, {errno.errorcode[error]}, {mode}: status {status}\n{text}"
    assert "Traceback" not in text, what
    assert status in (0, 20, 30, 35), what
    check_visible(night)
    if status == 0:
        assert len(night.products()) == 2, what
    elif n_done >= number:
        assert any(word in text for word in WORDS), what
    return night, status, what


def heal(warm, night, reference, differing_tables, what):
    """Process the night on a good disk, and compare."""
    command = warm(night)
    assert command.wait() == 0, f"{what}\n--- healed:\n{command.text()}"
    assert not [path for path in night.ana.rglob("*") if ".part" in path.name], what
    assert len(night.products()) == 2, what
    for product in night.products():
        assert differing_tables(product, reference.ana / product.relative_to(night.ana)) == [], what


def test_any_operation_fails(undisturbed, make_night, warm, dose, differing_tables):
    reference, n_operations = undisturbed
    assert n_operations["ana"] > 100 and n_operations["raw"] > 20, n_operations
    rng, ended, failed = np.random.default_rng(20240304), Counter(), []
    for case in range(dose(12, 300)):
        where = ("ana", "ana", "raw")[case % 3]
        number = int(rng.integers(1, n_operations[where] + 1))
        error, mode = int(rng.choice(ERRORS)), ("once", "rest")[case % 2]
        try:
            night, status, what = one_case(warm, make_night, where, number, error, mode)
            heal(warm, night, reference, differing_tables, what)
        except AssertionError as problem:
            failed.append(str(problem))
            continue
        ended[f"{where} {mode}: status {status}"] += 1
    assert not failed, "\n\n=====\n".join([f"{len(failed)} cases failed", *failed[:8]])
    Path(os.environ["SST1M_FAULTS_REPORT"]).write_text(json.dumps(dict(sorted(ended.items()))))
