"""The frame of a page: head, style, table of contents and sections, in one file without references."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from .html import Html, joined, tag

__all__ = ["Section", "figure", "figures", "render_page"]


@dataclass(frozen=True)
class Section:
    """
    One part of a page.

    Parameters
    ----------
    title : str
        Its heading, also in the table of contents.
    body : Html
        Its content.
    flag : {"", "good", "warning", "bad"}
        Shown at the heading and in the table of contents.
    """

    title: str
    body: Html
    flag: str = ""

    @property
    def anchor(self) -> str:
        """Name that links lead to."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@cache
def _style() -> Html:
    return Html(files("sst1m").joinpath("resources", "page.css").read_text(encoding="utf-8"))


def render_page(
    title: str, subtitle: object, sections: Sequence[Section], *, facts: Sequence[tuple[str, object]] = ()
) -> str:
    """
    Return a page as the text of one HTML file.

    Parameters
    ----------
    title : str
        Of the window and of the page.
    subtitle : str or Html
        One line below it.
    sections : sequence of Section
        In the order in which people read.
    facts : sequence of (str, value)
        What is shown above all sections.
    """
    contents = tag(
        "nav",
        tag("ul", *(tag("li", tag("a", _flagged(s), href=f"#{s.anchor}")) for s in sections)),
        aria_label="Sections",
    )
    head = tag(
        "header",
        tag("h1", title),
        tag("p", subtitle, class_="subtitle"),
        tag("dl", *(tag("div", tag("dt", key), tag("dd", value)) for key, value in facts), class_="facts"),
    )
    body = [
        tag("section", tag("h2", _flagged(s)), s.body, id=s.anchor, class_=f"part {s.flag}".strip())
        for s in sections
    ]
    page = tag(
        "html",
        tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="color-scheme", content="light dark"),
            tag("title", title),
            tag("style", _style()),
        ),
        tag("body", head, contents, tag("main", *body)),
        lang="en",
    )
    return f"<!doctype html>\n{page}\n"


def _flagged(section: Section) -> Html:
    if section.flag not in ("warning", "bad"):
        return joined([section.title])
    mark = tag("span", "!", class_=f"mark {section.flag}", title="something is missing or wrong here")
    return joined([section.title, " ", mark])


def figure(svg: str, title: str, caption: str = "") -> Html:
    """Return an inline graphic, its title for those who cannot see it, and its caption."""
    drawing = tag("div", Html(svg), class_="drawing", role="img", aria_label=title)
    return tag("figure", drawing, *([tag("figcaption", caption)] if caption else []))


def figures(*items: Html, small: bool = False) -> Html:
    """Return graphics side by side, as many as fit; small ones are maps without text in them."""
    return tag("div", *items, class_="figures small" if small else "figures")
