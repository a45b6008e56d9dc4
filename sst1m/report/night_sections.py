"""Sections of the page of a night that are tables: state, checks, runs, failures, resources."""

from collections.abc import Iterable, Sequence
from typing import Any

from .html import Html, details, joined, link, missing, number, state, table, tag
from .page import Section

__all__ = [
    "SETUP_NAMES",
    "checks_section",
    "failures_section",
    "folded",
    "light",
    "moment",
    "not_made",
    "resources_section",
    "runs_section",
    "state_section",
    "verdict",
]

Facts = dict[str, Any]

SETUP_NAMES = {"cs1": "telescope 1", "cs2": "telescope 2", "stereo": "both telescopes"}
_STATE_KIND = {"done": "good", "skipped": "neutral", "quarantined": "bad", "waiting": "warning"}
_LIGHTS = {"good": "good", "warning": "doubtful", "bad": "bad", "unknown": "not known"}
#: More rows than this are behind a click.
_MANY_ROWS = 60
#: Quantities of a run that have a column, with digits and factor.
_COLUMNS = {
    "zenith_deg": ("Zenith [deg]", 3),
    "nsb_mhz": ("NSB [MHz]", 3),
    "trigger_rate_hz": ("Rate [Hz]", 3),
    "cleaned_fraction": ("With image", 2),
    "bad_pixels": ("Bad pixels", 3),
}
_GIGA = 1e9


def light(level: str) -> Html:
    """Return a traffic light: a word, so that nobody needs to tell red from green."""
    kind = {"good": "good", "warning": "warning", "bad": "bad"}.get(level, "neutral")
    return state(kind, _LIGHTS.get(level, level or "–"))


def verdict(facts: Facts) -> Html:
    """Say in a few words whether the night is done."""
    now = facts["state"]
    if now["complete"]:
        return state("good", "complete")
    if not now["manifest"]:
        return state("bad", "no manifest")
    if now["open_runs"] or now["open_products"] or now["products_unknown"]:
        return state("bad", "not complete")
    return state("warning", "not closed")


def state_section(facts: Facts) -> Section:
    """Say how far the night is, what failed and why."""
    now = facts["state"]
    parts = [tag("p", verdict(facts), " ", _sentence(facts)), *_first_problems(facts)]
    header = ("Telescope", "Done", "Skipped", "Quarantined", "Waiting", "Live time [s]")
    rows = [
        (tel, *(number(count) for count in counts.values()), number(now["livetime_s"].get(tel), 5))
        for tel, counts in now["runs"].items()
    ]
    if sum(now["products"].values()):
        rows.append(("products after DL1", *(number(count) for count in now["products"].values()), None))
    parts.append(table(header, rows, caption="Raw files and products by state"))
    for skipped in (product for product in now["not_made"] if product["state"] == "skipped"):
        what = f"{skipped['target']}, {SETUP_NAMES.get(skipped['setup'], skipped['setup'])}"
        parts.append(tag("p", f"Skipped: {what}: {skipped['reason']}."))
    links = [link(name, path) for name, path in now["links"].items() if name != "calendar"]
    parts.append(tag("p", "Files: ", *_separated(links), "."))
    flag = "" if now["complete"] else "warning" if not facts["failures"] else "bad"
    return Section("State of the night", joined(parts), flag)


def _separated(pieces: Sequence[Html]) -> Iterable[object]:
    for position, piece in enumerate(pieces):
        yield from (", ", piece) if position else (piece,)


def _sentence(facts: Facts) -> str:
    now = facts["state"]
    if not now["manifest"]:
        return "The raw files of this night have not been looked at yet, or its manifest cannot be read."
    if now["complete"]:
        return f"Everything up to {now['until']} is done or rightly skipped; closed {moment(now['closed'])}."
    found = [f"{now['open_runs']} raw files are in quarantine or waiting"] if now["open_runs"] else []
    if now["open_products"]:
        found.append(f"{now['open_products']} products after DL1 are not made")
    if now["products_unknown"]:
        found.append(f"the state of the products is not known: {now['products_unknown']}")
    if not found:
        found.append("nothing is wrong, but the night has not been closed; run RunNight")
    text = "; ".join(found)
    return f"{text[0].upper()}{text[1:]}."


def moment(text: str | None) -> str:
    """Return a time as people write it."""
    return f"{text[:10]} {text[11:16]} UTC" if text else "at an unknown time"


def _first_problems(facts: Facts) -> list[Html]:
    """Name the kinds of failure; details stand in their own section."""
    groups = facts["failures"]
    if not groups:
        return []
    items = [
        tag(
            "li",
            tag("strong", f"{group['count']} × {group['class']}"),
            f": {group['entries'][0]['what']}: {group['entries'][0]['message']}",
        )
        for group in groups[:6]
    ]
    return [tag("ul", *items, class_="problems"), tag("p", tag("a", "All failures", href="#failures"))]


def not_made(facts: Facts, level: str, setup: str = "") -> list[Html]:
    """Say what is missing of a data level, and why; the same reason once."""
    found: dict[str, list[str]] = {}
    for product in facts["state"]["not_made"]:
        if product["level"] == level and product["state"] != "skipped" and setup in ("", product["setup"]):
            what = f"{product['target']}, {SETUP_NAMES.get(product['setup'], product['setup'])}"
            found.setdefault(f"{what}: {product['reason']}", []).append(product["product"])
    return [
        missing(reason if len(names) == 1 else f"{reason} ({len(names)} files)")
        for reason, names in found.items()
    ]


def checks_section(facts: Facts) -> Section:
    """Show all traffic lights that are not green, and those of the night in full."""
    quality = facts["quality"]
    parts: list[Html] = []
    if "missing" in quality:
        parts.append(missing(quality["missing"]))
    header = ("Light", "Quantity", "Value", "Good", "Usable")
    rows = [
        (light(check["level"]), _what(check), number(check["value"], 4), *_ranges(check))
        for check in quality["checks"]
    ]
    parts.append(table(header, rows, caption="The night", text_columns=2))
    counts = quality["runs"]
    words = ", ".join(f"{counts[level]} {_LIGHTS[level]}" for level in counts if counts[level]) or "none done"
    strictness = {
        "all": "all runs go into the photon lists",
        "usable": "bad runs are left out of the photon lists",
        "good": "runs that are not good are left out of the photon lists",
    }[quality["strictness"]]
    parts.append(tag("p", f"Runs: {words}; {strictness} (", tag("code", "[night] quality"), ")."))
    parts += _runs_with_lights(facts["runs"])
    parts.append(tag("p", f"Limits: {quality['limits_file']}.", class_="note"))
    bad = quality["level"] == "bad" or counts["bad"]
    doubtful = "missing" in quality or quality["level"] == "warning" or counts["warning"]
    return Section("Quality checks", joined(parts), "bad" if bad else "warning" if doubtful else "")


def _what(check: Facts) -> Html:
    return tag("div", check["what"], class_="reason")


def _ranges(check: Facts) -> list[object]:
    return [
        f"{limits[0]:g} to {limits[1]:g}" if (limits := check[name]) else None for name in ("good", "usable")
    ]


def _runs_with_lights(runs: Sequence[Facts]) -> list[Html]:
    rows = [
        (
            f"tel {run['tel']} run {run['run']}",
            light(check["level"]),
            _what(check),
            number(check["value"], 4),
        )
        for run in runs
        for check in (run.get("quality") or {}).get("checks", ())
        if check["level"] in ("warning", "bad")
    ]
    if not rows:
        return []
    return [folded(table(("Run", "Light", "Quantity", "Value"), rows, text_columns=3), len(rows), "checks")]


def folded(content: Html, n_rows: int, what: str) -> Html:
    """Put a long table behind a click."""
    return content if n_rows <= _MANY_ROWS else details(f"{n_rows} {what}", content)


def runs_section(facts: Facts) -> Section:
    """List all raw files with state, reason, numbers and links."""
    runs = facts["runs"]
    if not runs:
        return Section("Runs", missing("no raw file of this night is known"), "bad")
    words = ("Run", "Target", "State", "Light", "Start (UTC)", "Files", "Log")
    header = (*words, "Events", *(head for head, _ in _COLUMNS.values()))
    attention = [run for run in runs if run["state"] in ("quarantined", "waiting")]
    parts = []
    if attention and len(runs) > _MANY_ROWS:
        rows = [_run_row(run) for run in attention]
        parts.append(table(header, rows, caption="Not done", text_columns=7))
    whole = table(header, [_run_row(run) for run in runs], text_columns=7)
    parts.append(folded(whole, len(runs), "raw files"))
    flag = "bad" if any(run["state"] == "quarantined" for run in runs) else "warning" if attention else ""
    return Section("Runs", joined(parts), flag)


def _run_row(run: Facts) -> tuple[object, ...]:
    name = f"{run['tel']} / {run['run']:04d}" if run["run"] is not None else f"{run['tel']} / {run['file']}"
    quantities = run.get("quantities") or {}
    quality = run.get("quality") or {}
    lamp = light(quality["level"]) if "level" in quality else None
    if quality.get("accepted") is False:
        lamp = joined([lamp or "", tag("div", "not in photon lists", class_="note")])
    reason = [tag("div", run["reason"], class_="reason")] if run["reason"] else []
    files = [link(level, path) for level, path in run["files"].items()]
    return (
        name,
        f"{run['target'] or run['kind']} {run['wobble']}".strip(),
        joined([state(_STATE_KIND[run["state"]], run["state"]), *reason]),
        lamp,
        (run["t_start"] or "")[11:19],
        tag("span", *_separated(files), class_="files") if files else None,
        link("log", run["log"]) if run["log"] else None,
        number(run["n_events"]),
        *(number(_plain(quantities.get(key)), digits) for key, (_, digits) in _COLUMNS.items()),
    )


def _plain(value: float | None) -> float | int | None:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def failures_section(facts: Facts) -> Section:
    """Group what failed by class, with messages and logs."""
    groups = facts["failures"]
    if not groups:
        return Section("Failures", tag("p", state("good", "none"), " Nothing is in quarantine or waiting."))
    parts = []
    for group in groups:
        rows = [
            (
                entry["what"],
                state(_STATE_KIND.get(entry["state"], "bad"), entry["state"]),
                tag("div", entry["message"], class_="reason"),
                link("log", entry["log"]) if entry["log"] else tag("span", "no log", class_="none"),
                entry["time"][:19].replace("T", " "),
            )
            for entry in group["entries"]
        ]
        head = ("What", "State", "Why, and the way out", "Log", "When (UTC)")
        parts.append(tag("h3", f"{group['class']} ({group['count']})"))
        parts.append(folded(table(head, rows, text_columns=5), len(rows), "failures"))
    return Section("Failures", joined(parts), "bad")


def resources_section(facts: Facts) -> Section:
    """Say how long everything took."""
    used = facts["resources"]
    if "missing" in used:
        return Section("Resources used", missing(used["missing"]))
    rows = [
        (stage["stage"], number(stage["products"]), *(number(stage[key], 4) for key in ("wall_s", "cpu_s")))
        for stage in used["stages"]
    ]
    totals = [_total(used["stages"], key) for key in ("wall_s", "cpu_s")]
    size = sum(run["size"] or 0 for run in facts["runs"]) / _GIGA
    rows.append(("all", number(sum(stage["products"] for stage in used["stages"])), *totals))
    slowest = [
        (cost["product"], number(cost["wall_s"], 3), number(cost["cpu_s"], 3), _log(cost["log"]))
        for cost in used["slowest"]
    ]
    parts = [
        tag("p", "Raw files: ", number(size, 3, "GB"), ". Time spent on each product, added up."),
        table(("Stage", "Products", "Time [s]", "Processor [s]"), rows),
        tag("h3", "Slowest products"),
        table(("Product", "Time [s]", "Processor [s]", "Log"), slowest),
    ]
    return Section("Resources used", joined(parts))


def _total(stages: Sequence[Facts], key: str) -> Html:
    known = [stage[key] for stage in stages if stage["products"]]
    return number(None if None in known else round(sum(known), 1), 5)


def _log(path: str | None) -> Html | None:
    return link("log", path) if path else None
