"""Curves of figures from summaries of performance: of one node for its files, of many for a page."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .plots import PLOTS, Curve, draw

__all__ = ["comparison", "node_figures", "summary_curves"]

_STAGES = {
    "reconstructed": "reconstructed",
    "selected": "after quality cuts",
    "gammaness": "after gammaness",
    "on_region": "in the on-region",
}
#: Figure by table and columns: y, and its limits if it has some.
_SIMPLE: dict[str, tuple[str, str, str | None, str | None]] = {
    "energy_resolution": (
        *("energy_resolution", "energy_res"),
        *("energy_res_err_lo", "energy_res_err_hi"),
    ),
    "energy_bias": ("energy_resolution", "energy_bias", "energy_bias_err_lo", "energy_bias_err_hi"),
    "angular_resolution": (
        *("angular_resolution", "angular_res"),
        *("angular_res_err_lo", "angular_res_err_hi"),
    ),
    "auc": ("auc", "auc", None, None),
}
_CRAB = (1.0, 0.1, 0.01)


def node_figures(content: Mapping[str, Any]) -> dict[str, Figure]:
    """Return all figures of the summary of one node by name; those without a table are left out."""
    figures = {}
    for name, plot in PLOTS.items():
        if curves := summary_curves(content, name):
            figures[name] = draw(plot, curves)
    return figures


def comparison(
    summaries: Sequence[tuple[str, int, int, Mapping[str, Any]]],
    name: str,
    *,
    size: tuple[float, float] = (6.4, 4.0),
    subject: str = "",
) -> Figure | None:
    """
    Return one quantity of several nodes in one figure; None where no node has a number of it.

    Parameters
    ----------
    summaries : sequence of (label, colour, dash, content)
        One for each node.
    name : str
        A key of `PLOTS`.
    size : tuple of float
        Width and height [inch].
    subject : str
        Stands in the title.
    """
    references: list[Curve] = []
    curves: list[Curve] = []
    for label, colour, dash, content in summaries:
        found = summary_curves(content, name)
        lines = [curve for curve in found if not curve.reference]
        if lines and np.isfinite(np.asarray(lines[-1].y, dtype=float)).any():
            # The last stage of the analysis is what nodes are compared by.
            last = lines[-1]
            curves.append(Curve(label, last.x, last.y, last.low, last.high, colour, dash))
            # References span the curve that they come with: those of the longest one serve for all.
            references = max(references, [curve for curve in found if curve.reference], key=_span)
    plot = PLOTS[name]
    if subject:
        plot = replace(plot, title=f"{plot.title}, {subject}")
    # Many curves have one key for all figures, which stands beside them.
    return draw(plot, [*curves, *references], size=size, legend=False) if curves else None


def summary_curves(content: Mapping[str, Any], name: str) -> list[Curve]:
    """
    Return the curves of one figure.

    Parameters
    ----------
    content : mapping
        Of a `PerformanceSummary`.
    name : str
        A key of `PLOTS`.
    """
    tables = content["tables"]
    if name in _SIMPLE:
        table, *columns = _SIMPLE[name]
        return [_simple(tables[table]["columns"], *columns)] if table in tables else []
    if name not in tables:
        return []
    columns = tables[name]["columns"]
    if name == "effective_area":
        return _areas(columns)
    if name == "flux_sensitivity":
        return _sensitivity(columns, content["spectrum"])
    if name == "roc_curve":
        return [Curve("ROC", columns["false_positive_rate"], columns["true_positive_rate"])]
    return [
        Curve(kind, columns["center"], columns[kind], colour=i)
        for i, kind in enumerate(k for k in columns if k not in ("low", "high", "center"))
    ]


def _span(references: Sequence[Curve]) -> int:
    return max((len(np.asarray(curve.x)) for curve in references), default=0)


def _floats(values: Sequence[float | None]) -> np.ndarray:
    return np.array(values, dtype=float)


def _simple(columns: Mapping[str, Any], y: str, low: str | None, high: str | None) -> Curve:
    limits = [columns[name] if name else None for name in (low, high)]
    return Curve(y, columns["center"], columns[y], *limits)


def _areas(columns: Mapping[str, Any]) -> list[Curve]:
    curves = []
    for i, (stage, label) in enumerate(_STAGES.items()):
        if (name := f"effective_area_{stage}") in columns:
            area, error = _floats(columns[name]), _floats(columns[f"effective_area_err_{stage}"])
            curves.append(Curve(label, columns["center"], area, area - error, area + error, colour=i))
    return curves


def _sensitivity(columns: Mapping[str, Any], spectrum: str) -> list[Curve]:
    energy, flux = _floats(columns["energy"]), _floats(columns["flux_sensitivity"])
    low = flux - _floats(columns["flux_sensitivity_err_minus"])
    high = flux + _floats(columns["flux_sensitivity_err_plus"])
    source = _floats(columns["spectrum_flux"])
    seen = np.isfinite(flux)
    # Only where there is something to compare with: a line over empty decades would squeeze the rest.
    lines = [
        Curve(f"{100 * share:g} % {spectrum}", energy[seen], share * source[seen], reference=True)
        for share in _CRAB
    ]
    return [Curve("sensitivity", energy, flux, low, high), *lines]
