"""The page of a night, good or bad: what it says, that it stands by itself, and when it is made again."""

import importlib.util
import json
import os
import re
import shutil
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tables

from sst1m.errors import InputError
from sst1m.manifest import read_manifest
from sst1m.night_science import SciencePaths
from sst1m.report.night_page import SECTIONS, night_page, read_night_facts, render_night
from sst1m.report.night_view import NightView
from sst1m.sources import DEFAULT_SOURCES


def load(name: str, path: Path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TESTS = Path(__file__).parents[1]
pages = load("pages", TESTS / "pages.py")
EVIL = "<script>alert(1)</script>"


def page_of(night) -> Path:
    return night.layout.report / "index.html"


def facts_of(night) -> dict:
    return read_night_facts(night.layout.report / "night.json")


def text_of(page: Path) -> str:
    return " ".join("".join(pages.read(page).text).split())


def fill(night) -> None:
    night.more_site["sources_file"] = DEFAULT_SOURCES
    night.add(21, 1)
    night.add(21, 2, "Dark")
    night.add(21, 3, "Crab_W2_82.9_22.0")
    night.add(22, 1)
    night.add(22, 2, content=night.content(22, "Crab_W1_84.386_21.956")[:-5000])
    night.add(22, 3, EVIL)
    night.add(22, 4, "Unheard_W1_10.0_20.0")


@pytest.fixture(scope="module")
def troubled(make_night, warm):
    """A night with a truncated file, and one that waits for the operator."""
    night = make_night()
    fill(night)
    command = warm(night)
    night.status, night.output = command.wait(), command.text()
    return night


@pytest.fixture
def copied(troubled, tmp_path):
    """A copy of the products of the troubled night that tests may damage, and what makes its page."""
    layout = type(troubled.layout)(tmp_path / "ana", troubled.layout.date)
    shutil.copytree(troubled.layout.root, layout.root)
    shutil.rmtree(layout.report)
    paths = SciencePaths(None, None, None, None, None, DEFAULT_SOURCES, "interpolate")
    return NightView(layout, paths, list)


def test_the_command_tells_the_truth_and_names_the_page(troubled):
    assert troubled.status == 30
    assert str(page_of(troubled)) in troubled.output


def test_every_section_is_there_and_says_something(troubled):
    content = pages.read(page_of(troubled))
    assert [text for text in content.headings if text not in ("", "!")] == list(SECTIONS)
    assert content.open == [] and content.unbalanced == []
    whole = page_of(troubled).read_text()
    for section in re.findall(r"<section.*?</section>", whole, re.S):
        words = re.sub(r"<[^>]+>", " ", section).split()
        assert len(words) > 8 or "missing:" in words, section[:200]


def test_the_page_needs_nothing_else(troubled):
    content, text = pages.read(page_of(troubled)), page_of(troubled).read_text()
    assert content.references == []
    assert not re.search(r"@import|url\(|<script|https?://(?!www\.w3\.org/)", text)
    assert "prefers-color-scheme: dark" in text


def test_links_lead_somewhere(troubled):
    assert pages.broken_links(page_of(troubled)) == []
    links = Counter(Path(target).suffix for target in pages.read(page_of(troubled)).links)
    assert links[".h5"] == 4 and links[".log"] >= 4 and links[".ecsv"] == 1


def test_every_raw_file_stands_on_the_page_with_its_state_and_reason(troubled):
    rows = {(row["tel"], row["run"]): row for row in facts_of(troubled)["runs"]}
    manifest = read_manifest(troubled.layout.manifest)
    assert len(rows) == len(manifest.rows) == 7
    for known in manifest.rows:
        assert rows[known.tel, known.run]["state"] == known.state
    text = text_of(page_of(troubled))
    assert "truncated" in text and "dark run" in text
    assert EVIL in text and EVIL not in page_of(troubled).read_text()


def test_failures_are_grouped_with_message_and_log(troubled):
    facts = facts_of(troubled)
    groups = {group["class"]: group for group in facts["failures"]}
    assert set(groups) == {"damaged file", "waiting"}
    assert sum(group["count"] for group in facts["failures"]) == facts["state"]["open_runs"] == 2
    entry = next(group for name, group in groups.items() if name != "waiting")["entries"][0]
    assert entry["what"] == "tel 22 run 0002" and entry["message"].startswith("truncated")
    assert facts["state"]["complete"] is False
    assert "not complete" in text_of(page_of(troubled))


def test_numbers_are_those_of_the_dl1_files(troubled):
    facts = facts_of(troubled)
    dl1 = troubled.layout.root / "Crab/cs1/dl1/SST1M1_20240304_0001_W1_dl1.h5"
    with tables.open_file(str(dl1)) as h5file:
        times = h5file.get_node("/sst1m/dl1/event/telescope/parameters/tel_021").col("time_ns")
        size = h5file.get_node("/dl1/event/telescope/parameters/tel_021").col("camera_frame_hillas_intensity")
        std = h5file.get_node("/sst1m/monitoring/telescope/pedestal/tel_021").col("charge_std")
    rates = facts["telescopes"]["21"]["rates"]
    first = rates["run"].index(1)
    seconds = (times.max() - times.min()) / 1e9
    assert rates["trigger_hz"][first] == pytest.approx(len(times) / seconds, abs=1e-3)
    assert rates["image_hz"][first] == pytest.approx(np.isfinite(size).sum() / seconds, abs=1e-3)
    images = facts["telescopes"]["21"]["images"]["intensity"]
    assert sum(images) == 2 * np.isfinite(size).sum(), "both runs are copies of the same events"
    camera = facts["telescopes"]["21"]["camera"]
    assert camera["std_adc"][100] == pytest.approx(std[:, 100].mean(), abs=2e-3)
    assert camera["replaced"] == np.flatnonzero(std.mean(axis=0) < 2.5).tolist() == camera["quiet"]
    run = next(row for row in facts["runs"] if (row["tel"], row["run"]) == (21, 1))
    assert run["quantities"]["target_offset_deg"] == pytest.approx(0.7, abs=0.01)
    assert run["quality"]["level"] in ("good", "warning", "bad")


def test_the_sky_is_that_of_the_night(troubled):
    sky = facts_of(troubled)["sky"]
    # Last quarter was on 2024-03-03 at 15:23 UTC, new Moon on 2024-03-10 at 9:00: 29 hours of 162 after it.
    assert sky["moon_illuminated"] == pytest.approx((1 - np.sin(np.pi / 2 * 29 / 162)) / 2, abs=0.03)
    assert max(sky["sun_alt_deg"]) < 0 and all(alt < 60 for alt in sky["moon_alt_deg"])
    assert set(sky["targets"]) == {"Crab"}


def test_what_is_missing_is_named_with_its_reason(troubled):
    text = text_of(page_of(troubled))
    for reason in (
        "names no production to compare with",
        "no DL2 file is made yet",
        "there are no photon lists yet",
        "the catalogue of sources does not know it",
    ):
        assert f"missing: {reason}" in text or reason in text


def test_the_page_is_a_function_of_its_json(troubled):
    facts = json.loads((troubled.layout.report / "night.json").read_text())
    assert render_night(facts) == page_of(troubled).read_text(encoding="utf-8")
    with pytest.raises(InputError, match="schema"):
        render_night(facts | {"schema": {"name": "sst1m-night-report", "version": 99}})


def test_a_browser_shows_it_whole_on_a_telephone(troubled, tmp_path):
    opened = pages.open_page(page_of(troubled), tmp_path)
    assert set(opened.needed) == {390, 1280}
    assert all(needed <= width for width, needed in opened.needed.items())
    assert list(opened.parts) == list(SECTIONS) and min(opened.parts.values()) > 20
    assert opened.drawn and opened.messages == []


def test_nothing_is_written_again_where_nothing_has_changed(troubled, warm):
    before = {path: path.stat().st_mtime_ns for path in troubled.layout.report.rglob("*")}
    assert warm(troubled).wait() == 30
    assert {path: path.stat().st_mtime_ns for path in troubled.layout.report.rglob("*")} == before


def test_the_same_files_give_the_same_page(copied):
    first = night_page(copied)
    shutil.rmtree(copied.night.report)
    second = night_page(NightView(copied.night, copied.paths, list))
    assert first | {"written": ""} == second | {"written": ""}


def without_run_3(night):
    """Write the manifest as it was before run 3 of telescope 21 came."""
    manifest = read_manifest(night.manifest)
    rows = tuple(row for row in manifest.rows if (row.tel, row.run) != (21, 3))
    night.manifest.write_text(replace(manifest, rows=rows).text())


def test_unchanged_files_are_not_read_again_and_the_sums_stay_exact(copied):
    root = copied.night.root
    late = root / "Crab/cs1/dl1/SST1M1_20240304_0003_W2_dl1.h5"
    hidden = late.with_suffix(".hidden")
    late.rename(hidden)
    rows = copied.night.manifest.read_text()
    without_run_3(copied.night)
    night_page(copied)
    early = root / "Crab/cs1/dl1/SST1M1_20240304_0001_W1_dl1.h5"
    status = early.stat()
    early.write_bytes(b"x" * status.st_size)  # whoever reads it again notices
    os.utime(early, ns=(status.st_atime_ns, status.st_mtime_ns))
    hidden.rename(late)
    copied.night.manifest.write_text(rows)
    facts = night_page(NightView(copied.night, copied.paths, list))
    telescope = facts["telescopes"]["21"]
    assert telescope["n_files"] == 2 and telescope["unread"] == {}
    with tables.open_file(str(late)) as h5file:
        one = h5file.get_node("/sst1m/monitoring/telescope/pedestal/tel_021")
        assert telescope["camera"]["n_rows"] == 2 * one.nrows


def test_a_run_that_has_gone_leaves_the_sums(copied):
    night_page(copied)
    gone = copied.night.root / "Crab/cs1/dl1/SST1M1_20240304_0003_W2_dl1.h5"
    gone.unlink()
    without_run_3(copied.night)
    facts = night_page(NightView(copied.night, copied.paths, list))
    shutil.rmtree(copied.night.report)
    anew = night_page(NightView(copied.night, copied.paths, list))
    assert facts["telescopes"]["21"]["n_files"] == 1
    assert facts | {"written": ""} == anew | {"written": ""}


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            lambda n: _truncate(n.root / "Crab/cs1/dl1/SST1M1_20240304_0001_W1_dl1.h5"),
            "delete it and run again",
        ),
        (
            lambda n: (n.root / "Crab/cs1/dl1/SST1M1_20240304_0001_W1_dl1.json").write_text("{"),
            "telescope 21",
        ),
        (
            lambda n: (n.root / "Crab/cs1/dl1/SST1M1_20240304_0001_W1_dl1.json").write_text("[1]"),
            "telescope 21",
        ),
        (
            lambda n: (n.root / "Crab/cs1/dl1/SST1M1_20240304_0001_W1_dl1.json").write_text(
                '{"calibration": 5, "run": 7, "started": 1}'
            ),
            "SST1M1",
        ),
        (lambda n: n.manifest.unlink(), "not been looked at"),
        (lambda n: n.manifest.write_text("nonsense"), "not been looked at"),
        (lambda n: n.record.write_text("{"), "not complete"),
        (lambda n: n.record.write_text('{"states": 5, "config": []}'), "not complete"),
        (lambda n: [p.write_text("{") for p in (n.root / "quarantine").glob("*.json")], "not complete"),
        (lambda n: (n.report.mkdir(), (n.report / "night.json").write_text("{")), "not complete"),
        (
            lambda n: (n.report.mkdir(), (n.report / "night.json").write_text('{"parts": 3}')),
            "not complete",
        ),
        (lambda n: shutil.rmtree(n.root / "Crab"), "W1_dl1.h5 is not there any more"),
    ],
)
def test_broken_inputs_cost_no_more_than_their_own_part(copied, damage, words):
    damage(copied.night)
    night_page(copied)
    page = copied.night.report / "index.html"
    content = pages.read(page)
    assert [text for text in content.headings if text not in ("", "!")] == list(SECTIONS)
    assert words in text_of(page)
    assert pages.broken_links(page) == []


def test_states_that_cannot_be_found_are_named(copied):
    def states():
        raise InputError("irf_dir is not there; correct it")

    facts = night_page(NightView(copied.night, copied.paths, states))
    assert facts["state"]["products_unknown"] == "irf_dir is not there; correct it"
    assert "irf_dir is not there" in text_of(copied.night.report / "index.html")


def test_limits_that_cannot_be_read_are_named(copied, tmp_path):
    (tmp_path / "quality.toml").write_text("[run]\nnsb = 5\n")
    paths = SciencePaths(None, None, None, None, None, None, "interpolate", "all", tmp_path / "quality.toml")
    facts = night_page(NightView(copied.night, paths, list))
    assert "run.nsb is unknown" in facts["quality"]["missing"]
    assert "run.nsb is unknown" in text_of(copied.night.report / "index.html")


def test_signals_of_photon_lists_stand_on_the_page(copied, tmp_path):
    stores = load("stores", TESTS / "sst1m" / "quicklook" / "conftest.py")
    directory = copied.night.root / "Crab/stereo/dl3"
    stores.write_store(directory, stores.Observed(simulated=True, crab=3.0))
    stores.write_store(copied.night.root / "Nowhere/cs1/dl3", stores.Observed())
    facts = night_page(copied)
    signal = next(entry for entry in facts["signals"] if entry["target"] == "Crab")
    assert signal["n_on"] - signal["alpha"] * signal["n_off"] == pytest.approx(signal["excess"])
    assert signal["significance"] > 5
    text = text_of(copied.night.report / "index.html")
    assert f"{signal['significance']:.3g} σ" in text
    assert "no source named 'Nowhere'" in text
    numbers = json.loads((copied.night.report / signal["path"]).read_text())
    assert numbers["n_on"] == signal["n_on"]


def test_a_night_that_did_not_reach_its_end_has_a_page_all_the_same(made_night, warm, tmp_path):
    made_night.add(21, 1)
    made_night.add(22, 1)
    complete = made_night.calibration
    made_night.calibration = tmp_path / "partial"
    shutil.copytree(complete, made_night.calibration)
    lost = made_night.calibration / "averaged_calib_param_v2_2023_2024_tel2.h5"
    lost.unlink()
    command = warm(made_night)
    assert command.wait() == 30
    assert not made_night.layout.record.exists(), "RunNight itself was never run"
    text = text_of(page_of(made_night))
    assert "not complete" in text and lost.name in text
    assert facts_of(made_night)["failures"][0]["entries"][0]["log"].startswith("../attempts/")


def test_a_page_that_was_lost_is_written_again(make_night, warm):
    night = make_night()
    night.add(21, 1)
    assert warm(night).wait() == 0
    facts = facts_of(night)
    assert facts["state"]["complete"] is True
    shutil.rmtree(night.layout.report)
    assert warm(night).wait() == 0
    again = facts_of(night)
    for one in (facts, again):
        one["written"] = one["state"]["closed"] = ""
    assert again == facts


def test_a_tree_that_was_copied_or_lost_its_manifest_stays_closed(make_night, warm):
    night = make_night()
    night.add(21, 1)
    assert warm(night).wait() == 0
    page = page_of(night).stat().st_mtime_ns
    later = time.time() + 10
    os.utime(night.layout.record, (later, later))
    assert warm(night).wait() == 0
    night.layout.manifest.unlink()
    command = warm(night)
    assert command.wait() == 0, command.text()
    assert page_of(night).stat().st_mtime_ns == page
    (night.layout.report / "night.json").unlink()
    assert warm(night).wait() == 0
    assert facts_of(night)["state"]["complete"] is True


def as_task(family: str):
    """Return what turns the command of a fork into that of another task."""

    def change() -> None:
        sys.argv[1] = family
        for option in ("--until", "dl1", *(("--date", sys.argv[3]) if family == "Calendar" else ())):
            sys.argv.remove(option)

    return change


def test_the_task_alone_makes_the_page_of_any_night(troubled, make_night, warm):
    shutil.rmtree(troubled.layout.report)
    alone = warm(troubled, before=as_task("NightReport"))
    assert alone.wait() == 0 and "Traceback" not in alone.text()
    written = page_of(troubled).stat().st_mtime_ns
    assert warm(troubled, before=as_task("NightReport")).wait() == 0
    assert page_of(troubled).stat().st_mtime_ns == written
    nothing = warm(make_night(), before=as_task("NightReport"))
    assert nothing.wait() == 35 and "there is no such night yet" in nothing.text()


def test_the_calendar_leads_to_the_night(troubled, warm):
    command = warm(troubled, before=as_task("Calendar"))
    assert command.wait() == 0, command.text()
    page = troubled.ana / "calendar" / "index.html"
    assert pages.broken_links(page) == []
    assert "../20240304/report/index.html" in pages.read(page).links
    assert "not complete" in text_of(page)
