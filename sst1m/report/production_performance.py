"""Sections of the page of a production that are about performance: curves of all nodes and key numbers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..nodes import Node
from ..performance.curves import comparison
from ..performance.plots import COLOURS, DASHES, inline_svg
from .html import Html, details, joined, link, missing, number, state, table, tag
from .page import Section, figure, figures
from .production_facts import Facts

__all__ = ["performance_sections"]

_SIZE = (4.6, 3.3)
#: Energies that are quoted [TeV].
_QUOTED = (1.0, 10.0)

#: Section: its figures, and the columns of its table as (head, table, column, factor).
_SECTIONS: dict[str, tuple[tuple[str, ...], tuple[tuple[str, str, str, float], ...]]] = {
    "Energy and direction": (
        ("energy_resolution", "energy_bias", "angular_resolution"),
        (
            ("Energy resolution [%]", "energy_resolution", "energy_res", 100.0),
            ("Energy bias [%]", "energy_resolution", "energy_bias", 100.0),
            ("Angular resolution [deg]", "angular_resolution", "angular_res", 1.0),
        ),
    ),
    "Gammas and protons": (("auc",), (("Area under ROC", "auc", "auc", 1.0),)),
    "Effective area": (
        ("effective_area",),
        (
            ("Before cuts [10³ m²]", "effective_area", "effective_area_reconstructed", 1e-3),
            ("After gammaness [10³ m²]", "effective_area", "effective_area_gammaness", 1e-3),
            ("In the on-region [10³ m²]", "effective_area", "effective_area_on_region", 1e-3),
        ),
    ),
    "Sensitivity": (
        ("flux_sensitivity",),
        (("% of the source", "flux_sensitivity", "relative_sensitivity", 1.0),),
    ),
}
_ABSENT = {
    "auc": "roc_curve",
    "flux_sensitivity": "flux_sensitivity",
}


def performance_sections(facts: Facts) -> list[Section]:
    """Return one section for each group of quantities."""
    return [_section(title, facts) for title in _SECTIONS]


def _section(title: str, facts: Facts) -> Section:
    """Return curves of all nodes, one figure for each set-up, and below them the numbers."""
    names, columns = _SECTIONS[title]
    measured = [entry for entry in facts["performance"] if "summary" in entry]
    reasons = _reasons(facts["performance"], names)
    parts: list[Html] = [missing(reason) for reason in reasons]
    if measured:
        parts.append(_key(facts["nodes"]))
        parts += [figures(*_drawings(name, measured, facts)) for name in names]
        parts.append(_numbers(measured, columns))
    if title == "Sensitivity" and measured:
        parts += [_background(measured), _detections(measured), _files(measured)]
    return Section(title, joined(parts), "warning" if reasons else "")


def _reasons(entries: Sequence[Facts], names: Sequence[str]) -> list[str]:
    """Say once for each reason which nodes lack something."""
    lacking: dict[str, list[str]] = {}
    for entry in entries:
        absent = entry.get("summary", {}).get("missing", {})
        reason = entry.get("missing") or next(
            (absent[key] for name in names if (key := _ABSENT.get(name)) in absent), None
        )
        if reason:
            lacking.setdefault(reason, []).append(f"{entry['node']} {entry['setup']}")
    return [
        f"{reason} ({', '.join(nodes[:4])}{' and more' if len(nodes) > 4 else ''})"
        for reason, nodes in lacking.items()
    ]


def _looks(nodes: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return colour and dash of each node: the colour is the zenith angle, the dash all else."""
    parsed = [Node.parse(name) for name in nodes]
    zeniths = sorted({node.zenith_deg for node in parsed})
    others = sorted({(node.azimuth_deg, node.nsb_mhz) for node in parsed})
    return {
        name: (zeniths.index(node.zenith_deg), others.index((node.azimuth_deg, node.nsb_mhz)))
        for name, node in zip(nodes, parsed, strict=True)
    }


def _key(nodes: Sequence[str]) -> Html:
    """Explain colours and dashes."""
    colours, dashes = {}, {}
    for name, (colour, dash) in _looks(nodes).items():
        node = Node.parse(name)
        colours[f"zenith {node.zenith_deg:g}°"] = (colour, 0)
        dashes[f"azimuth {node.azimuth_deg:g}°, {node.nsb_mhz:g} MHz"] = (-1, dash)
    items = [tag("li", _swatch(*look), text) for text, look in (*colours.items(), *dashes.items())]
    return tag("ul", *items, class_="key")


def _swatch(colour: int, dash: int) -> Html:
    stroke = "currentColor" if colour < 0 else COLOURS[colour % len(COLOURS)]
    pattern = DASHES[dash % len(DASHES)]
    dashes = None if isinstance(pattern, str) else " ".join(f"{2 * length:g}" for length in pattern[1])
    line = tag("line", x1=0, y1=6, x2=34, y2=6, stroke=stroke, stroke_width=3, stroke_dasharray=dashes)
    return tag("svg", line, width=34, height=12, aria_hidden="true")


def _drawings(name: str, measured: Sequence[Facts], facts: Facts) -> Iterator[Html]:
    looks = _looks(facts["nodes"])
    for setup in facts["setups"]:
        lines = [
            (entry["node"], *looks[entry["node"]], entry["summary"])
            for entry in measured
            if entry["setup"] == setup
        ]
        drawn = comparison(lines, name, size=_SIZE, subject=setup)
        if drawn is not None:
            title = drawn.axes[0].get_title()
            yield figure(inline_svg(drawn, f"{name}-{setup}".replace("_", "-")), title)


def _numbers(measured: Sequence[Facts], columns: Sequence[tuple[str, str, str, float]]) -> Html:
    header = [
        *("Node", "Set-up"),
        *(f"{head}, {energy:g} TeV" for head, *_ in columns for energy in _QUOTED),
    ]
    rows = [
        [
            entry["node"],
            entry["setup"],
            *(
                number(_scaled(_at(entry["summary"], kind, column, energy), factor))
                for _, kind, column, factor in columns
                for energy in _QUOTED
            ),
        ]
        for entry in measured
    ]
    return table(header, rows, text_columns=2)


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _at(summary: Mapping[str, Any], kind: str, column: str, energy: float) -> float | None:
    """Return the value of the bin that begins at an energy or holds it."""
    columns = summary["tables"].get(kind, {}).get("columns", {})
    lows = columns.get("low") or columns.get("energy_min") or []
    highs = columns.get("high") or columns.get("energy_max") or []
    for i, (low, high) in enumerate(zip(lows, highs, strict=True)):
        # Edges come from logarithms: one that is meant to be the energy may be a rounding above it.
        if low <= energy * (1 + 1e-9) < high:
            return columns.get(column, [None] * len(lows))[i]
    return None


def _background(measured: Sequence[Facts]) -> Html:
    """Say what the background is made of, once for each answer."""
    sources: dict[tuple[str, float, float], list[str]] = {}
    for entry in measured:
        if background := entry["summary"].get("background"):
            hours = entry["summary"]["observation_time_h"]
            key = (
                " and ".join(f"{name}s" for name in background["particles"]),
                background["radius_deg"],
                hours,
            )
            sources.setdefault(key, []).append(f"{entry['node']} {entry['setup']}")
    return joined(
        tag(
            "p",
            f"Exposure {hours:g} h; background of {particles} within {radius:g}° of the axis",
            f" ({', '.join(where)})." if len(sources) > 1 else ".",
        )
        for (particles, radius, hours), where in sources.items()
    )


def _detections(measured: Sequence[Facts]) -> Html:
    rows = [
        (
            entry["node"],
            entry["setup"],
            found["source"],
            number(found["hours"]) if found["hours"] is not None else state("neutral", found["reason"]),
            number(found["significance_1h"]),
            number(found["signal_rate"]),
            number(found["background_rate"]),
        )
        for entry in measured
        for found in entry["summary"]["detection"]
    ]
    header = ("Node", "Set-up", "Source", "Hours to 5 σ", "σ after 1 h", "Gammas/min", "Background/min")
    return table(header, rows, text_columns=3) if rows else Html("")


def _files(measured: Sequence[Facts]) -> Html:
    """Link the files of each node."""
    rows = [
        (
            entry["node"],
            entry["setup"],
            joined(
                piece
                for name in (*entry["summary"]["files"], *entry["summary"]["figures"])
                for piece in (link(name, f"{entry['directory']}/{name}"), " ")
            ),
        )
        for entry in measured
    ]
    return details(
        "Tables and figures of each node", table(("Node", "Set-up", "Files"), rows, text_columns=3)
    )
