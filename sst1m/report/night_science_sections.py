"""Sections of the page of a night about what follows from the images: pairs, energies, signals, responses."""

from collections.abc import Sequence
from typing import Any

from .chart import Axis, Series, chart
from .html import Html, joined, link, missing, number, state, table, tag
from .night_charts import TIME
from .night_sections import SETUP_NAMES, folded, not_made
from .page import Section, figures

__all__ = [
    "coincidences_section",
    "reconstruction_section",
    "responses_section",
    "seen",
    "signals_section",
]

Facts = dict[str, Any]

_SETUP_COLOURS = {"cs1": 0, "cs2": 1, "stereo": 2}
_REASONS = {
    "no_partner": "no event of the other telescope near in time",
    "partner_closer_to_another": "partner belongs to another event",
    "pair_isolated": "pair stood alone",
    "clock_unknown": "clock offset not known",
    "other_telescope_off": "other telescope was not observing",
    "array_numbers_differ": "array event numbers differ",
}


def coincidences_section(facts: Facts) -> Section:
    """Show time differences, matched events and clocks."""
    title, entries = "Coincidences and clocks", facts["coincidences"]
    parts = not_made(facts, "dl1", "stereo")
    if not entries:
        return Section(title, joined(parts or [missing(_no_pairs(facts))]), "warning" if parts else "")
    flag = "warning" if parts or any("missing" in entry or entry["notes"] for entry in entries) else ""
    for entry in entries:
        parts.append(tag("h3", entry["target"]))
        if "missing" in entry:
            parts.append(missing(entry["missing"]))
        else:
            parts += _pairs(entry)
    return Section(title, joined(parts), flag)


def _no_pairs(facts: Facts) -> str:
    done = {tel for tel, counts in facts["state"]["runs"].items() if counts["done"]}
    if len(done) < 2:
        return "runs of both telescopes are needed, and only " + (
            f"telescope {done.pop()} has some" if done else "none are there"
        )
    return "no search for coincidences is done yet"


def _pairs(entry: Facts) -> list[Html]:
    rows = [
        (
            "Pairs",
            joined(
                [number(entry["n_pairs"]), ", of them by chance about ", number(entry["n_accidental"], 2)]
            ),
        ),
        ("Matched, of the telescope with fewer events", number(100 * entry["matched_fraction"], 3, "%")),
        ("With images in both telescopes", number(entry["written"])),
        ("Clock of telescope 2 minus that of telescope 1", number(entry["clock_offset_ns"], 4, "ns")),
        ("Method", entry["method"]),
    ]
    for tel, reasons in entry["unmatched_because"].items():
        words = ", ".join(f"{_REASONS.get(reason, reason)} ({count})" for reason, count in reasons.items())
        rows.append((f"Telescope {tel}: events without a partner", words or "none"))
    notes = [tag("p", state("warning", "note"), f" {note}") for note in entry["notes"]]
    histogram = entry["histogram"] or {"edges_ns": [], "counts": []}
    drawn = figures(
        chart(
            "Time differences of pairs",
            Axis("from the offset of the clocks [ns]"),
            Axis("pairs", low=0.0),
            [Series("steps", histogram["edges_ns"], histogram["counts"], "", 2)],
            nothing="there are no pairs",
        ),
        chart(
            "Offset of the clocks",
            TIME,
            Axis("telescope 2 minus telescope 1 [ns]"),
            [Series("points", entry["clock"]["time_utc_s"], entry["clock"]["offset_ns"], "", 2)],
            nothing="no offset stands out from chance",
        ),
    )
    return [*notes, table(("", ""), rows, text_columns=2), drawn]


def reconstruction_section(facts: Facts) -> Section:
    """Show reconstructed energies and gammaness."""
    entries = facts["reconstruction"]
    parts = not_made(facts, "dl2")
    if not entries:
        parts = parts or [missing("no DL2 file is made yet")]
        return Section("Reconstruction", joined(parts), "warning")
    flag = "warning" if parts or any(entry.get("unread") or "missing" in entry for entry in entries) else ""
    parts += [missing(entry["missing"]) for entry in entries if "missing" in entry]
    entries = [entry for entry in entries if "missing" not in entry]
    for target in dict.fromkeys(entry["target"] for entry in entries):
        own = [entry for entry in entries if entry["target"] == target]
        parts += [tag("h3", target), *_unread(own), figures(*_distributions(own)), _events_table(own)]
    return Section("Reconstruction", joined(parts), flag)


def _unread(entries: Sequence[Facts]) -> list[Html]:
    return [missing(reason) for entry in entries for reason in dict.fromkeys(entry["unread"].values())]


def _distributions(entries: Sequence[Facts]) -> list[Html]:
    read = [entry for entry in entries if entry["n_files"]]
    energies, gammaness = (
        [
            Series(
                "steps",
                entry[edges],
                entry[name],
                SETUP_NAMES[entry["setup"]],
                _SETUP_COLOURS[entry["setup"]],
            )
            for entry in read
        ]
        for name, edges in (("energy", "energy_edges_tev"), ("gammaness", "gammaness_edges"))
    )
    return [
        chart("Energy", Axis("reconstructed energy [TeV]", "log"), Axis("events", low=0.0), energies),
        chart("Gammaness", Axis("gammaness", low=0.0, high=1.0), Axis("events", low=0.0), gammaness),
    ]


def _events_table(entries: Sequence[Facts]) -> Html:
    rows = [
        (
            SETUP_NAMES[entry["setup"]],
            ", ".join(f"{node} ({count})" for node, count in sorted(entry["nodes"].items())),
            number(entry["n_files"]),
            number(entry["n_events"]),
        )
        for entry in entries
    ]
    return table(("Set-up", "Forests of node (files)", "Files", "Events"), rows, text_columns=2)


def signals_section(facts: Facts) -> Section:
    """Show what was seen of each source."""
    entries = facts["signals"]
    parts = not_made(facts, "dl3")
    if not entries:
        return Section("Signals", joined(parts or [missing("there are no photon lists yet")]), "warning")
    flag = "warning" if parts or any("missing" in entry for entry in entries) else ""
    if any(entry.get("simulated") for entry in entries):
        parts.append(tag("p", state("neutral", "simulated"), " These are events of a simulation."))
    header = (
        "Source",
        "Set-up",
        "Significance",
        "On",
        "Off",
        "Alpha",
        "Excess",
        "Live time [s]",
        "Flux [Crab]",
    )
    parts.append(table(header, [_signal_row(entry) for entry in entries], text_columns=2))
    for entry in entries:
        if "missing" in entry:
            name = f"{entry['target']}, {SETUP_NAMES.get(entry['setup'], entry['setup'])}"
            parts.append(missing(f"{name}: {entry['missing']}"))
    drawn = [_theta2(entry) for entry in entries if "missing" not in entry]
    curves = [_light_curve(facts, target) for target in dict.fromkeys(entry["target"] for entry in entries)]
    parts.append(figures(*drawn, *curves))
    known = [entry for entry in entries if "missing" not in entry]
    if known:
        radius, energy = known[0]["on_radius_deg"], known[0]["energy_min_tev"]
        text = f"On-region: {radius:g}° around the source; energies above {energy:g} TeV. "
        text += "Significance: Li & Ma, or for few counts the exact binomial one."
        parts.append(tag("p", text, class_="note"))
    return Section("Signals", joined(parts), flag)


def sigma(entry: Facts) -> float | None:
    """Return the significance that can be trusted: by Li & Ma, for few counts the binomial one."""
    value = entry["significance"] if entry["status"] == "ok" else entry["significance_binomial"]
    return None if value is None else float(value)


def _signal_row(entry: Facts) -> tuple[object, ...]:
    head = (entry["target"], SETUP_NAMES.get(entry["setup"], entry["setup"]))
    if "missing" in entry:
        return (*head, state("warning", "missing"), *[number(None)] * 6)
    value = sigma(entry)
    flux = entry["flux"]
    size = _with_error(flux.get("flux_crab"), flux.get("error_high_crab"), 3)
    if flux.get("upper_limit_95_crab") is not None:
        size = joined(["< ", number(flux["upper_limit_95_crab"], 3)])
    return (
        *head,
        number(value, 3, "σ") if value is not None else tag("span", entry["status"], class_="none"),
        number(entry["n_on"]),
        number(entry["n_off"]),
        number(entry["alpha"], 3),
        _with_error(entry["excess"], entry["excess_error"], 3),
        number(3600 * entry["livetime_h"], 5),
        size,
    )


def _with_error(value: float | None, error: float | None, digits: int) -> Html:
    if value is None:
        return number(None)
    return joined([number(value, digits), f" ± {error or 0:.2g}"])


def seen(facts: Facts) -> list[tuple[str, str]]:
    """Return the best significance of each source, for the head of the page."""
    best: dict[str, tuple[float, str]] = {}
    for entry in facts["signals"]:
        value = None if "missing" in entry else sigma(entry)
        if value is not None and value > best.get(entry["target"], (-99.0, ""))[0]:
            best[entry["target"]] = (value, SETUP_NAMES.get(entry["setup"], entry["setup"]))
    return [(name, f"{value:.1f} σ ({setup})") for name, (value, setup) in best.items()]


def _theta2(entry: Facts) -> Html:
    title = f"θ² of {entry['target']}, {SETUP_NAMES.get(entry['setup'], entry['setup'])}"
    found = entry["theta2"]
    if found.get("status") != "made":
        return tag("figure", tag("p", title, class_="title"), missing(str(found.get("reason", "not made"))))
    edges = found["edges_deg2"]
    middle = [(a + b) / 2 for a, b in zip(edges, edges[1:], strict=False)]
    low, high = (
        [max(b + sign * e, 0.0) for b, e in zip(found["background"], found["background_error"], strict=True)]
        for sign in (-1, 1)
    )
    bars = [[n + sign * n**0.5 for n in found["n_on"]] for sign in (-1, 1)]
    series = [
        Series("band", edges, (), "background", 1, low=low, high=high),
        Series("steps", edges, found["background"], "background", 1),
        Series("points", middle, found["n_on"], "at the source", 0, low=bars[0], high=bars[1]),
        Series("rule", [found["cut_deg2"]], [], "on-region", 3),
    ]
    return chart(title, Axis("θ² [deg²]", low=0.0), Axis("events", low=0.0), series)


def _light_curve(facts: Facts, target: str) -> Html:
    """Return the flux of a source by photon list."""
    series = []
    for entry in facts["signals"]:
        if entry["target"] != target or "missing" in entry:
            continue
        points = [p for p in entry["light_curve"]["observations"] if p["flux_crab"] is not None]
        errors = [(p["error_low_crab"] or 0.0, p["error_high_crab"] or 0.0) for p in points]
        flux = [p["flux_crab"] for p in points]
        series.append(
            Series(
                "points",
                [(p["mjd_min"] + p["mjd_max"]) / 2 * 86400 - 40587 * 86400 for p in points],
                flux,
                SETUP_NAMES.get(entry["setup"], entry["setup"]),
                _SETUP_COLOURS.get(entry["setup"], 3),
                low=[f - e for f, (e, _) in zip(flux, errors, strict=True)],
                high=[f + e for f, (_, e) in zip(flux, errors, strict=True)],
                titles=[p["name"] for p in points],
            )
        )
    flux_axis = Axis("flux [Crab]", low=0.0)
    return chart(f"Light curve of {target}", TIME, flux_axis, series, nothing="no flux could be measured")


def responses_section(facts: Facts) -> Section:
    """List which response each photon list has."""
    entries = facts["responses"]
    if not entries:
        return Section("Responses used", missing("there are no photon lists yet"), "warning")
    header = (
        "Photon list",
        "Set-up",
        "Nodes and weights",
        "Method",
        "Flags",
        "Zenith [deg]",
        "NSB [MHz]",
        "Events",
    )
    rows = [_response_row(entry) for entry in entries]
    doubtful = any("missing" in e or e["extrapolated"] or e["nearest"] for e in entries)
    whole = folded(table(header, rows, text_columns=5), len(rows), "photon lists")
    return Section("Responses used", whole, "warning" if doubtful else "")


def _response_row(entry: Facts) -> tuple[object, ...]:
    name = entry["path"].rsplit("/", 1)[-1] if entry["path"] else entry["target"]
    head = (link(name, entry["path"]) if entry["path"] else name, f"{entry['setup']} {entry['level']}")
    if "missing" in entry:
        return (
            *head,
            tag("div", f"missing: {entry['missing']}", class_="reason"),
            *[None] * 2,
            *[number(None)] * 3,
        )
    nodes = tag(
        "div",
        ", ".join(f"{node} ({weight:.3g})" for node, weight in entry["nodes"]) or "one node",
        class_="reason",
    )
    words = {
        "extrapolated": entry["extrapolated"],
        "nearest node": entry["nearest"],
        "night sky not measured": not entry["nsb_measured"],
        "not checked": not entry["checked"],
    }
    flags = [state("warning", word) for word, on in words.items() if on] or [state("good", "none")]
    return (
        *head,
        nodes,
        entry["method"] or "",
        joined(flags),
        number(entry["zenith_deg"], 3),
        number(entry["nsb_mhz"], 3),
        number(entry["n_events"]),
    )
