"""The section of a production's page about responses between nodes: what the left-out ones show."""

from collections.abc import Iterator, Sequence

import numpy as np

from ..performance.plots import Curve, Plot, draw, inline_svg
from .html import Html, joined, missing, number, table, tag
from .page import Section, figure, figures
from .production_facts import Facts

__all__ = ["interpolation_section"]

_TITLE = "Interpolation between nodes"
_SIZE = (4.6, 3.3)
_HEADER = (
    *("Node", "Set-up", "Cut", "Nearest", "Counts", "Chance [%]"),
    *("Interpolated: sum [%]", "bins [%]", "Nearest: sum [%]", "bins [%]", "Better by: sum", "bins"),
)
_ERRORS = ("error_interpolated", "bin_error_interpolated", "error_nearest", "bin_error_nearest")
#: Bins that hold less than this part of the counts are not drawn.
_LEAST = 0.005


def interpolation_section(facts: Facts) -> Section:
    """Show how well a node is predicted by the others."""
    check = facts["interpolation"]
    if "missing" in check:
        return Section(_TITLE, missing(check["missing"]))
    if not check["rows"]:
        nothing = "No node of this production lies between others, so none could be left out as a check."
        return Section(_TITLE, tag("p", nothing))
    text = (
        "Each node that lies between others is left out. Errors of the counts of "
        f"{check['spectrum']} in 50 h, as the other nodes predict them, against those by the node's own "
        "response: of their sum, and the mean of the bins of energy. Chance is the statistical error of the "
        "own sum."
    )
    rows = [_cells(row) for row in check["rows"]]
    parts = [tag("p", text), figures(*_drawings(check["rows"])), table(_HEADER, rows, text_columns=4)]
    return Section(_TITLE, joined(parts))


def _cells(row: Facts) -> tuple[object, ...]:
    errors = [row[name] for name in _ERRORS]
    better = [
        abs(near / made) if made and near is not None else None
        for made, near in zip(errors[:2], errors[2:], strict=True)
    ]
    return (
        *(row[name] for name in ("node", "setup", "tag", "nearest")),
        number(round(row["counts"])),
        *(number(None if value is None else 100 * value) for value in (row["chance"], *errors)),
        *(number(ratio, 2) for ratio in better),
    )


def _drawings(rows: Sequence[Facts]) -> Iterator[Html]:
    """Draw predicted over own counts by energy: one figure for each set-up and cut."""
    for setup, cut in dict.fromkeys((row["setup"], row["tag"]) for row in rows):
        shown = [row for row in rows if (row["setup"], row["tag"]) == (setup, cut)]
        plot = Plot(f"Predicted / own counts, {setup}, {cut}", "reconstructed energy [TeV]", "ratio")
        curves = [curve for i, row in enumerate(shown) for curve in _curves(row, i)]
        name = f"interpolation-{setup}-{cut}".replace("_", "-").replace(".", "-")
        yield figure(inline_svg(draw(plot, curves, size=_SIZE), name), plot.title)


def _curves(row: Facts, colour: int) -> Iterator[Curve]:
    bins = {name: np.asarray(values, dtype=float) for name, values in row["bins"].items()}
    energy, own = np.sqrt(bins["low"] * bins["high"]), bins["own"]
    filled = own > _LEAST * own.sum()
    for dash, (name, what) in enumerate({"interpolated": "interpolated", "nearest": row["nearest"]}.items()):
        ratio = np.divide(bins[name], own, out=np.full_like(own, np.nan), where=filled)
        yield Curve(f"{row['node']}: {what}", energy, ratio, colour=colour, dash=dash)
