"""Pieces of HTML: nothing from outside gets onto a page as HTML."""

import pytest

from sst1m.report.html import Html, details, joined, link, missing, number, state, table, tag
from sst1m.report.page import Section, render_page

EVIL = "<script>alert('x')</script> & \"y\""


@pytest.mark.parametrize(
    "piece",
    [
        tag("p", EVIL),
        tag("p", "x", title=EVIL),
        missing(EVIL),
        state("bad", EVIL),
        details(EVIL, EVIL),
        joined([EVIL]),
        link(EVIL, EVIL),
        table([EVIL], [[EVIL]], caption=EVIL),
        Html(render_page(EVIL, EVIL, [Section(EVIL, tag("p", EVIL))], facts=[(EVIL, EVIL)])),
    ],
)
def test_foreign_text_is_escaped(piece):
    assert "<script" not in piece and "'x'" not in piece
    assert "&lt;script&gt;" in piece or "%3Cscript%3E" in piece or "&quot;" in piece


def test_html_stays_html():
    assert tag("p", tag("b", "x")) == "<p><b>x</b></p>"
    assert joined([tag("i", "a"), "<"]) == "<i>a</i>&lt;"


def test_links_cannot_leave_for_another_scheme():
    assert 'href="javascript%3Aalert%281%29"' in link("x", "javascript:alert(1)")


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (12345, "12\u202f345"), (0, "0"), (0.123456, "0.123"), (2.0, "2"), (1e-13, "1e-13")],
)
def test_numbers(value, text):
    assert text in number(value)


def test_a_table_without_heads_has_none():
    assert "<thead>" not in table(("", ""), [("a", "b")])
    assert table(("a",), []).count("<tr>") == 1
