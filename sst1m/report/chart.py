"""
Charts as SVG, drawn without a plotting library.

A night ends with its page, whatever became of it. matplotlib would need about as long for one figure as all
charts of a page take here, and its import as long as the whole page; colours follow the page by themselves.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .html import Html, joined, missing, tag
from .scale import Axis, Scale, finite

__all__ = ["Axis", "Series", "chart"]

_WIDTH, _HEIGHT = 420.0, 264.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 12.0, 10.0, 42.0
_X_TICKS, _Y_TICKS = 5, 5
_HALF_LETTER = 3.4
#: More points than this are drawn without titles and bars.
_TITLES = 400

Numbers = Sequence[float | None]


@dataclass(frozen=True, eq=False)
class Series:
    """
    One thing that a chart shows.

    Parameters
    ----------
    kind : {"line", "points", "steps", "band", "rule"}
        Steps and bands stand on bins: ``x`` has one number more than ``y``. A rule is a straight line across
        the chart at the number in ``x`` (upright) or in ``y`` (level).
    x, y : sequence of float or None
        Numbers; None is a gap.
    label : str
        For the key.
    colour : int
        Which of the known ones.
    low, high : sequence of float or None
        Limits of ``y``: bars of points, edges of a band.
    dashed : bool
        For lines.
    titles : sequence of str
        What each point is, shown under the pointer.
    """

    kind: str
    x: Numbers
    y: Numbers
    label: str = ""
    colour: int = 0
    low: Numbers = ()
    high: Numbers = ()
    dashed: bool = False
    titles: Sequence[str] = ()


def chart(
    title: str, x: Axis, y: Axis, series: Sequence[Series], *, caption: str = "", nothing: str = "no numbers"
) -> Html:
    """
    Return a figure with its title, its key and its caption.

    Parameters
    ----------
    title : str
        What is shown.
    x, y : Axis
        Axes.
    series : sequence of Series
        From back to front.
    caption : str
        Explains what the title cannot.
    nothing : str
        Reason that stands in the place of the chart where no series has a number.
    """
    shown = [one for one in series if one.kind != "rule"]
    if not any(finite([*one.y, *one.high]) for one in shown):
        return tag("figure", tag("p", title, class_="title"), missing(nothing))
    across = Scale(x, _values(series, "x"), _LEFT, _WIDTH - _RIGHT)
    up = Scale(y, _values(series, "y"), _HEIGHT - _BOTTOM, _TOP)
    clip = tag("svg", *(_drawn(one, across, up) for one in series), **_inner())
    drawing = tag(
        "svg",
        _grid(across, up),
        clip,
        viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}",
        role="img",
        aria_label=title,
        class_="chart",
    )
    parts = [tag("p", title, class_="title"), tag("div", drawing, class_="drawing"), _key(series)]
    return tag("figure", *parts, *([tag("figcaption", caption)] if caption else []))


def _inner() -> dict[str, str]:
    """Return the frame within which series are drawn; what lies beyond it is cut off."""
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    box = {"x": f"{_LEFT:g}", "y": f"{_TOP:g}", "width": f"{width:g}", "height": f"{height:g}"}
    return box | {"viewBox": " ".join(box.values())}


def _values(series: Iterable[Series], axis: str) -> list[float | None]:
    """Return all numbers that should be seen along an axis."""
    if axis == "x":
        return [value for one in series for value in one.x]
    return [value for one in series for value in (*one.y, *one.low, *one.high)]


def _grid(across: Scale, up: Scale) -> Html:
    """Draw ticks, their texts, and the names of the axes."""
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts, lines = [], []
    for value, text in across.ticks(_X_TICKS):
        at = across.place(value) or 0.0
        lines.append(f"M{at:.1f},{_TOP:g}V{bottom:g}")
        # A long text at the end of the axis must not leave the figure.
        middle = min(at, _WIDTH - _HALF_LETTER * len(text))
        parts.append(tag("text", text, x=f"{middle:.1f}", y=f"{bottom + 15:g}", text_anchor="middle"))
    for value, text in up.ticks(_Y_TICKS):
        at = up.place(value) or 0.0
        lines.append(f"M{_LEFT:g},{at:.1f}H{right:g}")
        parts.append(tag("text", text, x=f"{_LEFT - 6:g}", y=f"{at + 4:.1f}", text_anchor="end"))
    middle = (_LEFT + right) / 2
    parts.append(tag("text", across.axis.label, x=f"{middle:g}", y=f"{_HEIGHT - 8:g}", text_anchor="middle"))
    place = f"translate(13,{(_TOP + bottom) / 2:g}) rotate(-90)"
    parts.append(tag("text", up.axis.label, transform=place, text_anchor="middle"))
    frame = tag("path", d=f"M{_LEFT:g},{_TOP:g}V{bottom:g}H{right:g}", class_="frame")
    return joined([tag("path", d="".join(lines), class_="grid"), frame, *parts])


def _drawn(one: Series, across: Scale, up: Scale) -> Html:
    draw = {"line": _line, "points": _points, "steps": _steps, "band": _band, "rule": _rule}[one.kind]
    return tag("g", draw(one, across, up), class_=f"s{one.colour}")


def _line(one: Series, across: Scale, up: Scale) -> Html:
    return tag("path", d=_path(one.x, one.y, across, up), class_="line dashed" if one.dashed else "line")


def _path(x: Numbers, y: Numbers, across: Scale, up: Scale, *, joined_up: bool = True) -> str:
    """Return lines from point to point, interrupted where there is none; or only the points."""
    text, pen = [], "M"
    for a, b in zip(x, y, strict=True):
        at, height = across.place(a), up.place(b)
        if at is None or height is None:
            pen = "M"
            continue
        text.append(f"{pen}{at:.1f},{height:.1f}" if joined_up else f"M{at:.1f},{height:.1f}h0")
        pen = "L"
    return "".join(text)


def _points(one: Series, across: Scale, up: Scale) -> Html:
    if len(one.x) > _TITLES:
        return tag("path", d=_path(one.x, one.y, across, up, joined_up=False), class_="dots")
    dots, bars = [], []
    titles = one.titles if len(one.titles) == len(one.x) else [""] * len(one.x)
    low, high = (limits or [None] * len(one.x) for limits in (one.low, one.high))
    for a, b, bottom, top, title in zip(one.x, one.y, low, high, titles, strict=True):
        at, height = across.place(a), up.place(b)
        if at is None or height is None:
            continue
        about = [tag("title", title)] if title else []
        dots.append(tag("circle", *about, cx=f"{at:.1f}", cy=f"{height:.1f}", r="2.6"))
        ends = [up.place(end) for end in (bottom, top) if end is not None]
        if len(ends) == 2 and None not in ends:
            bars.append(f"M{at:.1f},{ends[0]:.1f}V{ends[1]:.1f}")
    return joined([tag("path", d="".join(bars), class_="line"), *dots] if bars else dots)


def _corners(edges: Numbers, values: Numbers) -> tuple[list[float | None], list[float | None]]:
    x = [edge for left, right in zip(edges, edges[1:], strict=False) for edge in (left, right)]
    return x, [value for value in values for _ in range(2)]


def _steps(one: Series, across: Scale, up: Scale) -> Html:
    # A bin without counts has no place on a logarithmic scale: its line then leaves by the bottom.
    lowest = up.low / 10 if up.axis.kind == "log" else None
    values = [lowest if value is not None and value <= 0 and lowest else value for value in one.y]
    kind = "line dashed" if one.dashed else "line"
    return tag("path", d=_path(*_corners(one.x, values), across, up), class_=kind)


def _band(one: Series, across: Scale, up: Scale) -> Html:
    binned = len(one.x) == len(one.low) + 1
    x, low = _corners(one.x, one.low) if binned else (list(one.x), list(one.low))
    high = _corners(one.x, one.high)[1] if binned else list(one.high)
    floor = up.low / 10 if up.axis.kind == "log" else up.low
    there = [
        (a, floor if up.axis.kind == "log" and b <= 0 else b, c)
        for a, b, c in zip(x, low, high, strict=True)
        if None not in (a, b, c) and not math.isnan(c) and (c > 0 or up.axis.kind != "log")
    ]
    upper = _path([a for a, _, _ in there], [c for _, _, c in there], across, up)
    lower = _path([a for a, _, _ in reversed(there)], [b for _, b, _ in reversed(there)], across, up)
    return tag("path", d=f"{upper}{lower.replace('M', 'L', 1)}Z" if there else "", class_="area")


def _rule(one: Series, across: Scale, up: Scale) -> Html:
    upright = [f"M{across.place(at):.1f},{_TOP:g}V{_HEIGHT - _BOTTOM:g}" for at in finite(one.x)]
    level = [f"M{_LEFT:g},{up.place(at):.1f}H{_WIDTH - _RIGHT:g}" for at in finite(one.y)]
    return tag("path", d="".join(upright + level), class_="rule")


def _key(series: Iterable[Series]) -> Html:
    """Explain colours; one that needs no explanation has none."""
    marks = {"band": "area", "rule": "rule", "points": "dot"}
    named = {(one.label, one.colour): one for one in series if one.label}
    items = [
        tag("li", tag("i", class_=f"s{one.colour} {marks.get(one.kind, 'stroke')}"), one.label)
        for one in named.values()
    ]
    return tag("ul", *items, class_="key") if items else Html("")
