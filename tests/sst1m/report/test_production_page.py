"""The page of a production, complete or not: what it says, and that it stands by itself."""

import importlib.util
import re
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pytest

from sst1m.errors import InputError
from sst1m.json_object import json_object
from sst1m.layout_mc import ProductionLayout
from sst1m.performance.summary import PerformanceSummary
from sst1m.report.production_page import production_page, render_production

SECTIONS = [
    *("Problems", "What it is", "Samples", "Forests", "Energy and direction", "Gammas and protons"),
    *("Effective area", "Sensitivity", "Instrument responses", "Interpolation between nodes"),
]


_SPEC = importlib.util.spec_from_file_location("pages", Path(__file__).parents[2] / "pages.py")
_pages = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_pages)
read = _pages.read


@pytest.fixture(scope="module")
def page(partial, production):
    production_page(partial, production, partial.report, irf_dir=partial.root / "irf")
    return partial.report


@pytest.fixture(scope="module")
def content(page):
    return read(page)


def test_every_section_is_there_and_every_tag_is_closed(content):
    assert [text for text in content.headings if text] == SECTIONS
    assert content.open == [] and content.unbalanced == []


def test_the_page_needs_nothing_else(page, content):
    assert all(reference.startswith("#") for reference in content.references)
    text = page.read_text()
    assert not re.search(r"@import|url\((?!#)|<script|https?://(?!www\.w3\.org/)", text)


def test_parts_of_graphics_have_names_of_their_own(content):
    double = [name for name, count in Counter(content.ids).items() if count > 1]
    assert double == []
    inside = {reference[1:] for reference in content.references}
    assert inside <= set(content.ids)


def test_links_lead_somewhere(page, content):
    for target in content.links:
        if target.startswith("#"):
            assert target[1:] in content.ids
        else:
            assert (page.parent / unquote(target)).is_file(), target
    assert sum(not target.startswith("#") for target in content.links) > 10


def test_numbers_are_those_of_the_files(partial, production, content):
    text = " ".join(content.text)
    summary = PerformanceSummary.read(
        partial.performance(production.axes.nodes[0], "stereo") / "summary.json"
    )
    columns = summary.content["tables"]["energy_resolution"]["columns"]
    bin_of_1_tev = next(i for i, high in enumerate(columns["high"]) if high > 1.0001)
    assert f"{100 * columns['energy_res'][bin_of_1_tev]:.3g}" in text
    assert "98\u202f765" in text and "1\u202f234 gamma" in text
    assert f"{summary.content['detection'][0]['hours']:.3g}" in text


def test_what_is_missing_is_named_with_its_reason(content):
    text = " ".join("".join(content.text).split())
    for reason in (
        "not made; 0 shards are made",
        "not trained",
        "not measured",
        "no protons were given",
        "card_tel_002.json cannot be read",
        "its schema is {'name': 'other', 'version': 7}",
        "no node was left out and interpolated again",
    ):
        assert reason in text


def test_foreign_text_is_shown_and_not_run(page, content):
    assert any("ended with <script>alert(1)</script>" in text for text in content.text)
    assert "<script" not in page.read_text()


def test_a_production_of_which_nothing_is_there(tmp_path, production):
    layout = ProductionLayout(tmp_path, "nothing")
    facts = production_page(layout, production, layout.report)
    content = read(layout.report)
    assert [text for text in content.headings if text] == SECTIONS
    assert all(
        "missing" in entry for part in ("samples", "forests", "performance", "irfs") for entry in facts[part]
    )
    assert "not made" in "".join(content.text)


def test_the_page_is_a_function_of_its_json(page):
    facts = json_object(page.with_name("report.json").read_text())
    assert render_production(facts) == page.read_text(encoding="utf-8")
    with pytest.raises(InputError, match="schema"):
        render_production(facts | {"schema": {"name": "sst1m-production-report", "version": 99}})


def test_no_horizontal_scroll_in_a_real_browser(page, tmp_path):
    opened = _pages.open_page(page, tmp_path)
    assert set(opened.needed) == {390, 1280}
    assert all(needed <= width for width, needed in opened.needed.items())
    assert opened.messages == []


def test_pages_do_not_depend_on_the_working_directory(page, partial, production, monkeypatch, tmp_path):
    before = json_object(page.with_name("report.json").read_text())
    monkeypatch.chdir(tmp_path)
    after = production_page(partial, production, Path(partial.report), irf_dir=partial.root / "irf")
    assert {**after, "written": ""} == {**before, "written": ""}
