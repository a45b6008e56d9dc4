"""Figures of performance: the same drawing for one node in a file and for many nodes on a page."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import ArrayLike

from ..checkpoint import committed

__all__ = ["COLOURS", "DASHES", "PLOTS", "Curve", "Plot", "draw", "inline_svg", "save_figure"]

#: Text and axes; an inline graphic takes the colours of its page instead.
_INK, _GRID = "#1c2430", "#c9ced6"
#: Middle tones, so that they stand out from white and from black.
COLOURS = ("#2f7fd1", "#dd7a2a", "#2f9e6e", "#c4527c", "#8a6fd6", "#a08a2e", "#3aa0ad", "#b3563f")
DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = (
    *("-", (0, (5.0, 2.0)), (0, (1.2, 1.5))),
    *((0, (6.0, 1.5, 1.2, 1.5)), (0, (9.0, 3.0))),
)
_MARKERS = ("o", "s", "D", "^")
#: More entries than this would hide the curves: then one for each colour and one for each dash.
_MAX_LEGEND = 8
#: Axes that span less than this factor get labels within the decades.
_NARROW = 30
#: On a logarithmic scale a bar ends at this fraction of its point: it may reach below 0.
_LONGEST_BAR = 5
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "sst1m",
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


@dataclass(frozen=True, eq=False)
class Curve:
    """
    One line of a figure.

    Parameters
    ----------
    label : str
        For the legend.
    x, y : array-like, shape=(n_points,)
        Points; those with NaN or None are left out.
    low, high : array-like or None, shape=(n_points,)
        Limits of y.
    colour, dash : int
        Which of the known ones.
    reference : bool
        Thin and grey: something to compare with.
    """

    label: str
    x: ArrayLike
    y: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None
    colour: int = 0
    dash: int = 0
    reference: bool = False


@dataclass(frozen=True)
class Plot:
    """
    Axes of a figure.

    Parameters
    ----------
    title, x_label, y_label : str
        Texts.
    x_log, y_log : bool
        Scales.
    x_range, y_range : tuple of (float or None)
        Limits; None follows the curves.
    steps : bool
        Histograms instead of lines with points.
    zero_line : bool
        Mark y = 0.
    """

    title: str
    x_label: str
    y_label: str
    x_log: bool = True
    y_log: bool = False
    x_range: tuple[float | None, float | None] = (None, None)
    y_range: tuple[float | None, float | None] = (None, None)
    steps: bool = False
    zero_line: bool = False


_TRUE, _RECO = "true energy [TeV]", "reconstructed energy [TeV]"
PLOTS = {
    "energy_resolution": Plot("Energy resolution", _TRUE, "68 % of |ΔE| / E", y_range=(0, None)),
    "energy_bias": Plot("Energy bias", _TRUE, "median of ΔE / E", zero_line=True),
    "angular_resolution": Plot("Angular resolution", _TRUE, "68 % containment [deg]", y_range=(0, None)),
    "effective_area": Plot("Effective area", _TRUE, "effective area [m²]", y_log=True),
    "flux_sensitivity": Plot("Sensitivity", _RECO, "E² dN/dE [TeV cm⁻² s⁻¹]", y_log=True),
    "auc": Plot("Separation by energy", _RECO, "area under the ROC curve", y_range=(None, 1.0)),
    "roc_curve": Plot("Gammas and protons kept", "protons kept", "gammas kept", False, False, (0, 1), (0, 1)),
    "gammaness": Plot("Gammaness", "gammaness", "density", False, False, (0, 1), (0, None), steps=True),
}


def draw(
    plot: Plot, curves: Sequence[Curve], *, size: tuple[float, float] = (6.4, 4.0), legend: bool = True
) -> Figure:
    """
    Draw curves into a new figure.

    Parameters
    ----------
    plot : Plot
        Axes.
    curves : sequence of Curve
        What to draw; a figure without any says so.
    size : tuple of float
        Width and height [inch].
    legend : bool
        Explain the curves.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size)
        # Margins [inch] for labels of usual length: to measure them would take longer than all the rest.
        left, right, bottom, top = 0.85, 0.12, 0.55, 0.35
        axes = figure.add_axes(
            (
                *(left / size[0], bottom / size[1]),
                *(1 - (left + right) / size[0], 1 - (bottom + top) / size[1]),
            )
        )
        for curve in curves:
            _draw_curve(axes, plot, curve)
        _dress(axes, plot)
        if not (plot.y_log or plot.steps):
            _fit_points(axes, plot, curves)
        if not axes.has_data():
            axes.text(0.5, 0.5, "no bin has enough events", ha="center", transform=axes.transAxes)
        if legend:
            _legend(axes, curves)
    return figure


def _draw_curve(axes: Axes, plot: Plot, curve: Curve) -> None:
    x, y = np.asarray(curve.x, dtype=float), np.asarray(curve.y, dtype=float)
    good = np.isfinite(x) & np.isfinite(y) & ((y > 0) | (not plot.y_log))
    if not good.any():
        return
    if curve.reference:
        axes.plot(x[good], y[good], color=_INK, alpha=0.45, lw=0.9, ls=(0, (4, 3)))
        # The name stands at the line, where it needs no key.
        place = {"xytext": (2, 3), "textcoords": "offset points"}
        axes.annotate(curve.label, (x[good][0], y[good][0]), fontsize=8, alpha=0.75, **place)
        return
    colour, dash = COLOURS[curve.colour % len(COLOURS)], DASHES[curve.dash % len(DASHES)]
    if plot.steps:
        axes.step(x[good], y[good], where="mid", color=colour, ls=dash, lw=1.6, label=curve.label)
        return
    marker = "" if len(x) > 60 else _MARKERS[curve.dash % len(_MARKERS)]
    axes.plot(x[good], y[good], color=colour, ls=dash, lw=1.6, marker=marker, ms=4, label=curve.label)
    if curve.low is not None and curve.high is not None:
        low, high = (np.asarray(v, dtype=float) for v in (curve.low, curve.high))
        # A limit that is not known is drawn at the value: no bar on that side.
        low, high = (np.where(np.isfinite(v), v, y)[good] for v in (low, high))
        if plot.y_log:
            low = np.maximum(low, y[good] / _LONGEST_BAR)
        axes.vlines(x[good], low, high, color=colour, lw=1, alpha=0.7)


def _dress(axes: Axes, plot: Plot) -> None:
    axes.set(title=plot.title, xlabel=plot.x_label, ylabel=plot.y_label)
    if plot.x_log and axes.has_data():
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        low, high = axes.get_xlim()
        axes.xaxis.set_minor_formatter(_minor_label if high < _NARROW * low else NullFormatter())
    if plot.y_log and axes.has_data():
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(*plot.x_range)
    axes.set_ylim(*plot.y_range)
    if plot.zero_line:
        axes.axhline(0, color=_INK, lw=0.8, alpha=0.5)
    axes.grid(visible=True)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _fit_points(axes: Axes, plot: Plot, curves: Sequence[Curve]) -> None:
    """Show all points; bars of hardly filled bins may leave the figure, else nothing is seen but them."""
    values = np.concatenate([np.asarray(curve.y, dtype=float) for curve in curves] or [np.empty(0)])
    values = values[np.isfinite(values)]
    if not len(values):
        return
    low, high = (float(values.min()), float(values.max()))
    margin = 0.2 * ((high - low) or abs(high) or 1.0)
    bottom, top = plot.y_range
    axes.set_ylim(low - margin if bottom is None else bottom, high + margin if top is None else top)


def _minor_label(value: float, _: int) -> str:
    """Return the label of a tick within a decade."""
    return f"{value:g}" if f"{value:e}"[0] in "25" else ""


def _legend(axes: Axes, curves: Sequence[Curve]) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if 1 < len(handles) <= _MAX_LEGEND or (len(handles) == 1 and any(c.reference for c in curves)):
        axes.legend(handles, labels)


def save_figure(figure: Figure, path: Path) -> None:
    """
    Write a figure in the format of its suffix (``.png``, ``.svg``); it appears when it is complete.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    # No date inside: the same figure is the same file.
    metadata = {"Date": None} if path.suffix == ".svg" else None
    with committed(path) as part, matplotlib.rc_context(_STYLE):
        figure.savefig(part, dpi=140, facecolor="white", metadata=metadata)


def inline_svg(figure: Figure, name: str) -> str:
    """
    Return a figure as an ``svg`` element that takes text and line colours from the page around it.

    Parameters
    ----------
    figure : Figure
        From `draw`.
    name : str
        Unique on the page: several graphics must not share the names of their parts. Letters, digits, '-'.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # A style sheet inside would hold for the whole page.
    text = re.sub(r"<(metadata|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = text.replace("url(#", f"url(#{name}-").replace('xlink:href="#', f'xlink:href="#{name}-')
    text = text.replace(_INK, "currentColor").replace(_GRID, "var(--grid)")
    return _without_size(text)


def _without_size(text: str) -> str:
    """Drop width and height of the element, so that it fills the column that it stands in."""
    head, rest = text.split(">", 1)
    return re.sub(r'\s(width|height)="[^"]*"', "", head) + ">" + rest
