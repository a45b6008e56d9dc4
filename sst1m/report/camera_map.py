"""Maps of the camera as SVG: one dot for each pixel."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from .html import Html, joined, missing, number, tag
from .scale import finite

__all__ = ["camera_map", "grid_map"]

#: Colours from low to high (viridis), readable on light and on dark ground.
_COLOURS = (
    *("#440154", "#481d6f", "#453581", "#3d4d8a", "#34618d", "#2b748e", "#24878e", "#1f998a"),
    *("#25ac82", "#40bd72", "#67cc5c", "#98d83e", "#cde11d", "#fde725"),
)
#: Fractions of the pixels below and above the range of colours: a hot pixel must not hide all others.
_OUTSIDE = 0.01
_SIZE = 300.0
_MARGIN = 12.0


def camera_map(
    title: str,
    x_mm: Sequence[int],
    y_mm: Sequence[int],
    values: Sequence[float | None],
    *,
    unit: str,
    marked: Mapping[int, str] | None = None,
    caption: str = "",
) -> Html:
    """
    Return a figure of one quantity of all pixels.

    Parameters
    ----------
    title, caption : str
        What is shown.
    x_mm, y_mm : sequence of int
        Positions of the pixels [mm].
    values : sequence of float or None
        Of each pixel; None has no dot.
    unit : str
        Of the values.
    marked : mapping of int to str, optional
        Pixels with a ring around them, and what they are: ``quiet``, ``noisy`` or ``replaced``.
    """
    ordered = sorted(finite(values))
    if not ordered:
        return tag("figure", tag("p", title, class_="title"), missing("no pixel has a number"))
    skip = int(_OUTSIDE * len(ordered))
    low, high = ordered[skip], ordered[-1 - skip]
    reach = max(*map(abs, x_mm), *map(abs, y_mm), 1)
    factor = (_SIZE / 2 - _MARGIN) / reach
    at = [
        (_SIZE / 2 + factor * x, _SIZE / 2 - factor * y) for x, y in zip(x_mm, y_mm, strict=True)
    ]  # up is up
    width = 1.9 * factor * _half_distance(x_mm, y_mm)
    by_colour: dict[int, list[str]] = defaultdict(list)
    for (across, up), value in zip(at, values, strict=True):
        if value is not None and math.isfinite(value):
            by_colour[_class(value, low, high)].append(f"M{across:.1f},{up:.1f}h0")
    dots = [
        tag("path", d="".join(paths), stroke=_COLOURS[colour], stroke_width=f"{width:.2f}")
        for colour, paths in sorted(by_colour.items())
    ]
    rings = [
        tag("circle", tag("title", f"pixel {p}: {kind}"), class_=kind, **_ring(at[p]))
        for p, kind in sorted((marked or {}).items())
    ]
    drawing = [tag("g", *dots, class_="pixels"), tag("g", *rings, class_="rings")]
    return _figure(title, drawing, low, high, unit, caption)


def _ring(at: tuple[float, float]) -> dict[str, str]:
    return {"cx": f"{at[0]:.1f}", "cy": f"{at[1]:.1f}", "r": "5"}


def grid_map(title: str, counts: Sequence[Sequence[int]], *, reach_mm: float, caption: str = "") -> Html:
    """
    Return a figure of counts in squares over the camera.

    Parameters
    ----------
    title, caption : str
        What is shown.
    counts : sequence of sequence of int
        Rows from below, each from left to right.
    reach_mm : float
        The squares reach so far from the middle [mm].
    """
    highest = max((max(row, default=0) for row in counts), default=0)
    if not highest:
        return tag("figure", tag("p", title, class_="title"), missing("no events"))
    side = (_SIZE - 2 * _MARGIN) / len(counts)
    by_colour: dict[int, list[str]] = defaultdict(list)
    for row, line in enumerate(counts):
        for column, count in enumerate(line):
            if count:
                x, y = _MARGIN + column * side, _SIZE - _MARGIN - (row + 1) * side
                square = f"M{x:.1f},{y:.1f}h{side:.2f}v{side:.2f}h-{side:.2f}z"
                by_colour[_class(count, 0, highest)].append(square)
    squares = [tag("path", d="".join(d), fill=_COLOURS[colour]) for colour, d in sorted(by_colour.items())]
    frame = tag("circle", cx="150", cy="150", r=f"{_SIZE / 2 - _MARGIN:g}", class_="frame")
    text = f"{caption} The circle has a radius of {reach_mm:g} mm.".strip()
    return _figure(title, [*squares, frame], 0, highest, "events", text)


def _class(value: float, low: float, high: float) -> int:
    if high <= low:
        return len(_COLOURS) // 2
    return min(max(int((value - low) / (high - low) * len(_COLOURS)), 0), len(_COLOURS) - 1)


def _half_distance(x_mm: Sequence[int], y_mm: Sequence[int]) -> float:
    """Return half of the distance from the first pixel to its nearest neighbour [mm]."""
    first = (x_mm[0], y_mm[0])
    others = list(zip(x_mm, y_mm, strict=True))[1:]
    return min((math.dist(first, other) for other in others), default=20.0) / 2


def _figure(title: str, parts: list[Html], low: float, high: float, unit: str, caption: str) -> Html:
    drawing = tag(
        "svg", *parts, viewBox=f"0 0 {_SIZE:g} {_SIZE:g}", role="img", aria_label=title, class_="camera"
    )
    colours = f"linear-gradient(to right, {', '.join(_COLOURS)})"
    scale = tag(
        "p",
        *(tag("span", number(low, 4)), tag("i", style=f"background: {colours}")),
        tag("span", number(high, 4, unit)),
        class_="colours",
    )
    head = [tag("p", title, class_="title"), tag("div", drawing, class_="drawing"), scale]
    return tag("figure", joined(head), *([tag("figcaption", caption)] if caption else []))
