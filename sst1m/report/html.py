"""HTML from values: whatever is not already HTML is escaped."""

import html
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from urllib.parse import quote

__all__ = ["Html", "details", "joined", "link", "missing", "number", "state", "table", "tag"]

_VOID = {"br", "hr", "meta"}


class Html(str):
    """Text that is HTML already; any other text is escaped before it comes onto a page."""

    __slots__ = ()


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """
    Return an element.

    Parameters
    ----------
    name : str
        Of the element.
    *children
        Its content; what is no `Html` is escaped.
    **attributes
        With ``_`` for ``-`` and at the end of Python's own words; those that are None or False are left out.
    """
    text = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Html(f"<{name}{text}>")
    return Html(f"<{name}{text}>{joined(children)}</{name}>")


def joined(children: Iterable[object]) -> Html:
    """Return several pieces as one."""
    return Html("".join(child if isinstance(child, Html) else html.escape(str(child)) for child in children))


def link(text: object, path: PurePosixPath | str) -> Html:
    """Return a link to a file by its path relative to the page."""
    return tag("a", text, href=quote(str(path)))


def missing(reason: str) -> Html:
    """Return what stands in the place of something that is not there."""
    return tag("p", tag("strong", "missing: "), reason, class_="missing")


def state(kind: str, text: object) -> Html:
    """Return a coloured word; `kind` is ``good``, ``warning``, ``bad`` or ``neutral``."""
    return tag("span", text, class_=f"state {kind}")


def details(summary: object, *children: object) -> Html:
    """Return something that opens on a click."""
    return tag("details", tag("summary", summary), *children)


def table(
    header: Sequence[object], rows: Iterable[Sequence[object]], *, caption: str = "", text_columns: int = 1
) -> Html:
    """
    Return a table that scrolls by itself where the screen is narrow.

    Parameters
    ----------
    header : sequence
        Cells of the head; where all are empty there is none.
    rows : iterable of sequence
        Cells of the body; None is an empty cell.
    caption : str
        What it shows.
    text_columns : int
        So many columns at the left hold words, the others numbers.
    """
    head = tag(
        "tr", *(tag("th", cell, scope="col", class_=_align(i, text_columns)) for i, cell in enumerate(header))
    )
    body = [tag("tr", *(_cell(cell, i, text_columns) for i, cell in enumerate(row))) for row in rows]
    parts = [tag("caption", caption)] if caption else []
    parts += [tag("thead", head)] if any(header) else []
    whole = tag("table", *parts, tag("tbody", *body))
    return tag("div", whole, class_="scroll", tabindex=0)


def _cell(cell: object, i: int, text_columns: int) -> Html:
    content = "" if cell is None else cell
    if i == 0:
        return tag("th", content, scope="row")
    return tag("td", content, class_=_align(i, text_columns))


def _align(i: int, text_columns: int) -> str | None:
    return "number" if i >= text_columns else None


def number(value: float | int | None, digits: int = 3, unit: str = "") -> Html:
    """Return a number with so many significant digits, whole ones in full; a dash where there is none."""
    if value is None:
        return tag("span", "–", class_="none", title="no number")
    if isinstance(value, int) and not isinstance(value, bool):
        text = f"{value:,}".replace(",", "\u202f")
    else:
        text = f"{value:.{digits}g}"
    return Html(html.escape(f"{text}\u00a0{unit}" if unit else text))
