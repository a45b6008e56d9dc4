"""
Nights to DL1 on a network file system whose answers are late or old.

Runs below ``test_storage_faults.py`` only, with the libraries preloaded.
"""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from storage import Campaign, View, check_words, load_neighbour, under

if "stale_view" not in os.environ.get("LD_PRELOAD", ""):
    pytest.skip("runs below test_storage_faults.py", allow_module_level=True)

cases = load_neighbour(Path(__file__).with_name("storage_cases.py"))
undisturbed = cases.undisturbed

RAW = "SST1M1_20240304_0001.fits.fz"
DL1 = "SST1M1_20240304_0001_W1_dl1"
#: Files of the night by parts of their names; the empty one is any file.
FILES = (f"{DL1}.h5", f"{DL1}.json", "manifest.ecsv", "closing.json", "analysis.json", "_dl1.h5", ".lock", "")
ABSENCES = (errno.ENOENT, errno.ENOENT, errno.ESTALE, errno.EACCES, errno.EIO)


def a_few(rng) -> int:
    """Return how often a wrong answer is given: mostly once or twice, sometimes always."""
    return int(rng.choice([1, 1, 2, 3, 5, 8, 20, 100_000]))


def slow_listing(night, rng) -> View:
    return View(night.base, int(rng.integers(500, 5000)), "slow")


def raw_file_not_listed_yet(night, rng) -> View:
    return View(night.path(21, 1).parent, a_few(rng), "hidden", RAW)


def raw_file_listed_and_gone(night, rng) -> View:
    return View(night.raw, a_few(rng), "absent", RAW, int(rng.choice(ABSENCES)))


def raw_file_removed_after_its_listing(night, rng) -> View:
    return View(night.path(21, 1).parent, int(rng.integers(1, 6)), "vanish", RAW)


def old_status_of_a_growing_raw_file(night, rng) -> View:
    os.utime(night.path(21, 1), (time.time() - 1, time.time() - 1))
    return View(night.raw, a_few(rng), "old", RAW)


def product_not_listed_yet(night, rng) -> View:
    return View(night.layout.root / "Crab" / "cs1" / "dl1", a_few(rng), "hidden", DL1)


def target_not_listed_yet(night, rng) -> View:
    return View(night.layout.root, a_few(rng), "hidden", "Crab")


def file_listed_and_gone(night, rng) -> View:
    return View(night.ana, a_few(rng), "absent", str(rng.choice(FILES)), int(rng.choice(ABSENCES)))


def product_removed_after_its_listing(night, rng) -> View:
    # What lies beside a product is looked for once, when the raw file has changed.
    number, kind = int(rng.integers(1, 4)), str(rng.choice(["h5", "json"]))
    directory = night.layout.root / "Crab" / "cs1" / "dl1"
    return View(directory, 1 if kind == "json" else number, "vanish", f"{DL1}.{kind}")


VIEWS: tuple[Callable, ...] = (
    raw_file_removed_after_its_listing,
    product_not_listed_yet,
    raw_file_listed_and_gone,
    file_listed_and_gone,
    raw_file_not_listed_yet,
    old_status_of_a_growing_raw_file,
    product_removed_after_its_listing,
    target_not_listed_yet,
    slow_listing,
)
#: With these a run is rightly not in the night as this call sees it.
MAY_LACK_A_RUN = (raw_file_not_listed_yet, raw_file_removed_after_its_listing)


def put_back(night, view: View) -> None:
    """Put back what was taken away, under its own name and with its own time."""
    away = night.base / "operations.away"
    if away.exists() and view.where == night.path(21, 1).parent:
        away.rename(night.path(21, 1))


def test_old_news_cost_time_only(undisturbed, make_night, warm, dose, differing_tables):
    reference, _ = undisturbed
    rng, campaign = np.random.default_rng(20240305), Campaign()
    for case in range(dose(9, 180)):
        make = VIEWS[case % len(VIEWS)]
        again = bool(case // len(VIEWS) % 2) or "product" in make.__name__ or "target" in make.__name__

        def one_case(make=make, again=again) -> str:
            night = cases.changed(make_night(), reference) if again else cases.filled(make_night())
            view = make(night, rng)
            outcome = under(view, night.base, cases.start(warm, night))
            check_words(outcome, met=outcome.n_counted > 0)
            cases.check_visible(night, outcome.what)
            if outcome.status == 0 and make not in MAY_LACK_A_RUN:
                assert len(night.products()) == 2, outcome.what
            put_back(night, view)
            cases.heal(warm, night, reference, differing_tables, outcome.what)
            return f"{make.__name__.replace('_', ' ')}: status {outcome.status}"

        campaign.case(one_case)
    campaign.close()


def test_a_raw_file_that_cannot_be_read_now_keeps_its_product(
    undisturbed, make_night, warm, differing_tables
):
    """The night is looked at anew because another run has changed; what was made of this one still stands."""
    reference, _ = undisturbed
    night = cases.changed(make_night(), reference)
    (kept,) = [path for path in night.products() if path.name.startswith("SST1M2")]
    inode = kept.stat().st_ino
    view = View(night.raw, 100_000, "absent", "SST1M2", errno.EIO)
    outcome = under(view, night.base, cases.start(warm, night))
    check_words(outcome, met=True)
    assert outcome.status == 20, outcome.what
    assert night.row(21, 1)["state"] == "done" and night.row(22, 1)["state"] == "waiting"
    assert "Input/output error" in night.row(22, 1)["reason"]
    cases.heal(warm, night, reference, differing_tables, outcome.what)
    assert kept.stat().st_ino == inode
