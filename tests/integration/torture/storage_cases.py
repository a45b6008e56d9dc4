"""Nights to DL1 on a disk that fails; runs below ``test_storage_faults.py`` only, with what that preloads."""

import json
import os
import shutil

import numpy as np
import pytest
from storage import ERRORS, Campaign, Fault, check_words, obey_rights, under

from sst1m.io.dl1 import check_dl1

if "faulty_io" not in os.environ.get("LD_PRELOAD", ""):
    pytest.skip("runs below test_storage_faults.py", allow_module_level=True)

#: What loses its rights, below the site.
RIGHTS = (
    *(
        "raw/cs1/data/raw/2024/03/04/SST1M1",
        "raw/cs1/data/raw/2024/03/04/SST1M1/SST1M1_20240304_0001.fits.fz",
    ),
    *("raw", "ana", "ana/20240304", "ana/20240304/Crab", "ana/20240304/Crab/cs1/dl1", "ana/20240304/.locks"),
    *("ana/20240304/manifest.ecsv", "ana/analysis.json", "config.json"),
    "ana/20240304/Crab/cs1/dl1/SST1M1_20240304_0001_W1_dl1.h5",
    "ana/20240304/Crab/cs1/dl1/SST1M1_20240304_0001_W1_dl1.json",
)


def filled(night):
    night.add(21, 1)
    night.add(22, 1, "Mrk421,W2,166.1,38.2")
    return night


def changed(night, reference):
    """Return a night that was done, and of which a raw file has changed since: in its time only."""
    filled(night)
    shutil.copytree(reference.ana, night.ana)
    raw = night.path(21, 1)
    later = raw.stat().st_mtime_ns + 10**12
    os.utime(raw, ns=(later, later))
    return night


def start(warm, night):
    def run(before):
        command = warm(night, before=before)
        return command.wait(), command.text()

    return run


def check_visible(night, what: str) -> None:
    """Check that what is visible is complete, and that no good file is in quarantine."""
    for product in night.products():
        check_dl1(product)
        assert product.with_suffix(".json").exists() and product.with_suffix(".log").exists(), what
    assert not list(night.layout.root.glob("quarantine/*")), what
    if night.layout.manifest.exists():
        assert {row["state"] for row in night.manifest().values()} <= {"done", "waiting"}, what


def heal(warm, night, reference, differing_tables, what: str) -> None:
    """Process the night on a good disk, and compare."""
    command = warm(night)
    assert command.wait() == 0, f"{what}\n--- healed:\n{command.text()}"
    assert not [path for path in night.ana.rglob("*") if ".part" in path.name], what
    assert len(night.products()) == 2, what
    assert json.loads(night.layout.record.read_text())["complete"] is True, what
    check_visible(night, what)
    for product in night.products():
        assert differing_tables(product, reference.ana / product.relative_to(night.ana)) == [], what
        run = json.loads(product.with_suffix(".json").read_text())["run"]
        raw = next(night.raw.rglob(run["file"]))
        assert run["mtime_ns"] == raw.stat().st_mtime_ns, what


@pytest.fixture(scope="module")
def undisturbed(make_night, warm):
    """Return a finished night, and how many operations it takes on either directory."""
    night, other = filled(make_night()), filled(make_night())
    done = {
        "ana": under(Fault(night.ana, 0, "count"), night.base, start(warm, night)),
        "raw": under(Fault(other.raw, 0, "count"), other.base, start(warm, other)),
    }
    assert all(outcome.status == 0 for outcome in done.values()), done
    return night, {name: outcome.n_counted for name, outcome in done.items()}


def test_any_operation_fails(undisturbed, make_night, warm, dose, differing_tables):
    reference, n_operations = undisturbed
    assert n_operations["ana"] > 100 and n_operations["raw"] > 20, n_operations
    rng, campaign = np.random.default_rng(20240304), Campaign()
    for case in range(dose(8, 300)):
        where = ("ana", "ana", "raw")[case % 3]
        number = int(rng.integers(1, n_operations[where] + 1))
        error, mode = int(rng.choice(ERRORS)), ("once", "rest")[case % 2]
        old = case % 4 == 3

        def one_case(where=where, number=number, error=error, mode=mode, old=old) -> str:
            night = changed(make_night(), reference) if old else filled(make_night())
            fault = Fault(getattr(night, where), number, mode, error)
            outcome = under(fault, night.base, start(warm, night))
            check_words(outcome, met=outcome.n_counted >= number)
            check_visible(night, outcome.what)
            assert outcome.status != 0 or len(night.products()) == 2, outcome.what
            heal(warm, night, reference, differing_tables, outcome.what)
            return f"{where} {mode}: status {outcome.status}"

        campaign.case(one_case)
    campaign.close()


def test_rights_are_lost(undisturbed, make_night, warm, dose, differing_tables):
    reference, n_operations = undisturbed
    rng, campaign = np.random.default_rng(4), Campaign()
    for case in range(dose(3, 60)):
        number = int(rng.integers(1, sum(n_operations.values()) // 2))
        span = (0, int(rng.integers(1, 200)))[case % 2]
        place = RIGHTS[(case * 3) % len(RIGHTS)]

        def one_case(number=number, span=span, place=place) -> str:
            night = changed(make_night(), reference)
            lost = night.base / place
            mode = lost.stat().st_mode
            fault = Fault(night.base, number, f"rights={lost}", span)
            try:
                outcome = under(fault, night.base, start(warm, night), also=obey_rights)
            finally:
                if lost.exists():
                    lost.chmod(mode)
            check_words(outcome, met=outcome.n_counted >= number)
            check_visible(night, outcome.what)
            assert outcome.status != 0 or len(night.products()) == 2, outcome.what
            heal(warm, night, reference, differing_tables, outcome.what)
            return f"rights {'for a while' if span else 'for good'}: status {outcome.status}"

        campaign.case(one_case)
    campaign.close()
