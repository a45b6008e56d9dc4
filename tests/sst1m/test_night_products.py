"""Products after DL1: made once, again when something they depend on has changed, never in silence."""

import datetime
import json
import os

import pytest

from sst1m.checkpoint import committed
from sst1m.errors import DataQualityError, OutputError, UnreadableError
from sst1m.layout import NightLayout
from sst1m.night_products import (
    ProductJob,
    make_product,
    product_state,
    remove_orphans,
)
from sst1m.night_science import NightScience, possible_setups


@pytest.fixture
def night(tmp_path) -> NightLayout:
    return NightLayout(tmp_path, datetime.date(2024, 3, 4))


@pytest.fixture
def job(night):
    dl1 = night.root / "Crab" / "cs1" / "dl1" / "SST1M1_20240304_0001_W1_dl1.h5"
    dl1.parent.mkdir(parents=True)
    dl1.write_text("images")

    def make(**settings: object) -> ProductJob:
        return ProductJob(night, night.dl2_path(dl1), (dl1,), settings, "Crab cs1")

    return make


def write(job: ProductJob, text: str = "showers"):
    def commit(side_files):
        with committed(job.product, side_files=side_files({"n_written": 3})) as part:
            part.write_text(text)

    return commit


def fail(error: Exception):
    def commit(_side_files):
        raise error

    return commit


def test_a_product_is_made_once_with_its_side_files(job):
    made = make_product(job(), write(job()))
    assert made.state == "done" and made.counts == {"n_written": 3}
    product = job().product
    assert json.loads(product.with_suffix(".json").read_text())["counts"] == {"n_written": 3}
    assert "result: done" in product.with_suffix(".log").read_text()
    assert make_product(job(), fail(AssertionError("made twice"))).state == "done"


@pytest.mark.parametrize("change", ["input", "setting"])
def test_it_is_made_again_when_something_has_changed(job, change):
    make_product(job(models="a"), write(job()))
    settings = {"models": "b" if change == "setting" else "a"}
    if change == "input":
        job().inputs[0].write_text("other images")
    changed = job(**settings)
    assert product_state(changed) == ("waiting", "an input or a setting has changed")
    make_product(changed, write(changed, "new"))
    assert changed.product.read_text() == "new" and product_state(changed)[0] == "done"


def test_what_cannot_be_made_is_recorded_and_tried_again_after_a_change(job):
    outcome = make_product(job(models="a"), fail(DataQualityError("no good time")))
    assert (outcome.state, outcome.reason) == ("quarantined", "no good time")
    assert product_state(job(models="a")) == ("quarantined", "no good time")
    assert json.loads(job().failure.read_text())["error"] == "DataQualityError"
    assert product_state(job(models="b"))[0] == "waiting"
    make_product(job(models="b"), write(job()))
    assert not job().failure.exists()


def test_an_unexpected_error_keeps_its_traceback_in_the_log(job):
    outcome = make_product(job(), fail(ZeroDivisionError("division by zero")))
    assert "please report it" in outcome.reason
    assert "Traceback" in job().failure.with_suffix(".log").read_text()


@pytest.mark.parametrize("refusal", [OutputError("the disk is full"), UnreadableError("stale file handle")])
def test_what_the_disk_refuses_is_no_fault_of_the_inputs(job, refusal):
    with pytest.raises(type(refusal)):
        make_product(job(), fail(refusal))
    assert not job().failure.exists() and product_state(job())[0] == "waiting"


def test_products_of_images_that_are_gone_are_removed(job, night):
    make_product(job(), write(job()))
    index = night.dl3_directory("Crab", "cs1") / "obs-index.fits.gz"
    index.parent.mkdir()
    index.write_text("index")
    assert list(remove_orphans(night)) == []
    os.unlink(job().inputs[0])
    lines = list(remove_orphans(night))
    assert not job().product.exists() and not index.exists()
    assert all("is no longer there" in line for line in lines)


def test_setups_follow_from_the_telescopes_that_observed(night):
    paths = [night.root / "Crab" / "cs1" / "dl1" / "a.h5"]
    assert possible_setups(("cs1", "cs2", "stereo"), paths) == ["cs1"]
    paths.append(night.root / "Crab" / "cs2" / "dl1" / "b.h5")
    assert possible_setups(("cs1", "cs2", "stereo"), paths) == ["cs1", "cs2", "stereo"]
    assert possible_setups(("cs2",), paths) == ["cs2"]


def test_a_planned_file_that_no_listing_shows_is_part_of_the_night(night):
    """A network file system may list a file later than it opens it; the name here is never listed."""
    directory = night.root / "Crab" / "cs1" / "dl1"
    directory.mkdir(parents=True)
    listed, unlisted = directory / "SST1M1_20240304_0002_W1_dl1.h5", directory / "unlisted.h5"
    for path in (listed, unlisted):
        path.write_text("images")
    planned = (listed, unlisted, directory / "not_made.h5", night.root / "Crab" / "cs2" / "dl1" / "other.h5")
    science = NightScience(night, "Crab", planned, None, None)
    assert science.dl1_files("cs1") == [listed, unlisted]
