"""The page of all nights: state of each night and telescope, and what was seen of each source."""

import calendar
import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..checkpoint import committed, held_lock, sweep_parts, write_atomically
from ..errors import InputError
from ..json_object import json_object
from .calendar_facts import CALENDAR_SCHEMA, calendar_basis, calendar_facts
from .chart import Axis, Series, chart
from .html import Html, joined, link, missing, number, state, table, tag
from .night_page import facts_text, finite_values
from .night_sections import SETUP_NAMES, light, moment
from .night_view import calendar_page
from .page import Section, figures, render_page

__all__ = ["calendar_is_current", "render_calendar", "write_calendar"]

Facts = dict[str, Any]

_SETUP_COLOURS = {"cs1": 0, "cs2": 1, "stereo": 2}
_TIME = Axis("night", "date")
_DAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")


def write_calendar(ana_dir: Path) -> Facts:
    """
    Write the page of all nights, and beside it ``calendar.json`` with all that it shows.

    Parameters
    ----------
    ana_dir : Path
        Root of the analysis.

    Returns
    -------
    dict
        Content of ``calendar.json``.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    page = calendar_page(ana_dir)
    numbers = page.with_name("calendar.json")
    with held_lock(page.parent / ".calendar.lock"):
        sweep_parts(page, numbers)
        facts = json.loads(json.dumps(finite_values(calendar_facts(ana_dir)), default=str))
        text = render_calendar(facts)
        with committed(page) as part:
            part.write_text(text, encoding="utf-8")
        write_atomically(numbers, facts_text(facts).encode())
    return facts


def calendar_is_current(ana_dir: Path) -> bool:
    """Whether the page is there and shows all nights as they are."""
    page = calendar_page(ana_dir)
    try:
        facts = json_object(page.with_name("calendar.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    known = facts.get("schema") == CALENDAR_SCHEMA
    return known and page.is_file() and facts.get("basis") == calendar_basis(ana_dir)


def render_calendar(facts: Facts) -> str:
    """
    Return the page as text.

    Parameters
    ----------
    facts : dict
        Content of ``calendar.json``.

    Raises
    ------
    InputError
        If it is of another schema.
    """
    if facts.get("schema") != CALENDAR_SCHEMA:
        raise InputError(
            f"the facts of the calendar have the schema {facts.get('schema')}, this version reads "
            f"{CALENDAR_SCHEMA}; make the page anew"
        )
    nights = facts["nights"]
    complete = sum(bool(night.get("complete")) for night in nights)
    head: list[tuple[str, object]] = [
        ("Nights", number(len(nights))),
        ("Complete", number(complete)),
        ("Not complete", number(len(nights) - complete)),
    ]
    head += [(f"{s['target']} ({_name(s)})", _total(s)) for s in facts["sources"] if s["nights"]]
    sections = [_months_section(nights), _nights_section(nights), *_source_sections(facts["sources"])]
    subtitle = f"Written {moment(facts['written'])} by sst1m {facts['software'].get('sst1m', '')}"
    return render_page("All nights", subtitle, sections, facts=head)


def _name(source: Facts) -> str:
    words = SETUP_NAMES.get(source["setup"], source["setup"])
    return f"{words}, simulated" if source["simulated"] else words


def _total(source: Facts) -> Html:
    value = source["significance"][-1]
    return number(value, 3, "σ") if value is not None else Html(source["status"][-1])


def _kind(counts: Facts | None) -> str:
    """Return the kind of light for the runs of a telescope in a night."""
    if not counts or not sum(counts.values()):
        return "neutral"
    if counts["quarantined"]:
        return "bad"
    return "warning" if counts["waiting"] else "good"


def _overall(night: Facts) -> tuple[str, str]:
    """Return kind and word of the state of a night."""
    if "missing" in night:
        return "bad", "not readable"
    if night["page"] is None:
        return "warning", "no page"
    return ("good", "complete") if night["complete"] else ("bad", "not complete")


def _months_section(nights: Sequence[Facts]) -> Section:
    if not nights:
        return Section("Calendar", missing("there are no nights yet; begin one with RunNight"), "warning")
    by_date = {datetime.date.fromisoformat(night["night"]): night for night in nights}
    months = sorted({(date.year, date.month) for date in by_date}, reverse=True)
    text = "The dots of a night are telescopes 21 and 22: green all done, yellow waiting, red in quarantine."
    grids = [_month(year, month, by_date) for year, month in months]
    return Section("Calendar", joined([tag("p", text, class_="note"), tag("div", *grids, class_="months")]))


def _month(year: int, month: int, nights: dict[datetime.date, Facts]) -> Html:
    head = tag("tr", *(tag("th", day, scope="col") for day in _DAYS))
    weeks = [
        tag("tr", *(_day(date, month, nights.get(date)) for date in week))
        for week in calendar.Calendar().monthdatescalendar(year, month)
    ]
    title = f"{calendar.month_name[month]} {year}"
    return tag("table", tag("caption", title), tag("thead", head), tag("tbody", *weeks), class_="month")


def _day(date: datetime.date, month: int, night: Facts | None) -> Html:
    if date.month != month:
        return tag("td")
    if night is None:
        return tag("td", tag("span", date.day, class_="none"))
    kind, word = _overall(night)
    runs = night.get("runs") or {}
    dots = [tag("i", class_=f"dot {_kind(runs.get(tel))}", title=f"telescope {tel}") for tel in ("21", "22")]
    day = link(date.day, night["page"]) if night.get("page") else tag("span", date.day)
    return tag("td", day, tag("div", *dots), class_=f"night {kind}", title=f"{date}: {word}")


def _nights_section(nights: Sequence[Facts]) -> Section:
    header = ("Night", "State", "Tel. 21", "Tel. 22", "Quality", "Seen", "Failures", "Live time 21 [s]")
    rows = [_night_row(night) for night in reversed(nights)]
    whole = table((*header, "Live time 22 [s]", "Moon [%]"), rows, text_columns=6)
    bad = any(_overall(night)[0] == "bad" for night in nights)
    return Section("Nights", whole if rows else missing("there are no nights yet"), "bad" if bad else "")


def _night_row(night: Facts) -> tuple[object, ...]:
    name = link(night["night"], night["page"]) if night.get("page") else night["night"]
    kind, word = _overall(night)
    note = night.get("missing") or night.get("note")
    lamp = joined([state(kind, word), *([tag("div", note, class_="reason")] if note else [])])
    runs = night.get("runs") or {}
    live, moon = night.get("livetime_s") or {}, night.get("moon_illuminated")
    return (
        name,
        lamp,
        *(_runs(runs.get(tel)) for tel in ("21", "22")),
        light(_worst(night)) if night.get("page") else None,
        ", ".join(sorted({signal["target"] for signal in night.get("signals", ())})),
        number(night.get("failures")),
        *(number(live.get(tel), 5) for tel in ("21", "22")),
        number(None if moon is None else round(100 * moon)),
    )


def _runs(counts: Facts | None) -> Html:
    if not counts:
        return tag("span", "–", class_="none")
    wanted = sum(counts.values()) - counts["skipped"]
    return state(_kind(counts), f"{counts['done']} of {wanted}")


def _worst(night: Facts) -> str:
    order = ("unknown", "good", "warning", "bad")
    levels = [night["level"], *(level for level, count in night["quality"].items() if count)]
    return max(levels, key=order.index)


def _source_sections(sources: Sequence[Facts]) -> list[Section]:
    names = dict.fromkeys((source["target"], source["simulated"]) for source in sources)
    return [_source_section(name, simulated, sources) for name, simulated in names]


def _source_section(name: str, simulated: bool, sources: Sequence[Facts]) -> Section:
    """Show significance and flux of a source against time."""
    own = [s for s in sources if (s["target"], s["simulated"]) == (name, simulated)]
    title = f"{name} (simulated)" if simulated else name
    drawn = figures(
        chart(
            "Cumulative significance",
            _TIME,
            Axis("standard deviations"),
            [_growth(source) for source in own],
            caption="Li & Ma; for few counts the exact binomial one.",
            nothing="no night has counts on and off the source",
        ),
        chart(
            "Light curve",
            _TIME,
            Axis("flux [Crab]", low=0.0),
            [series for source in own for series in _flux(source)],
            nothing="no flux could be measured",
        ),
    )
    header = ("Set-up", "Nights", "Live time [h]", "On", "Off", "Alpha", "Excess", "Significance")
    rows = [_source_row(source) for source in own if source["nights"]]
    return Section(title, joined([drawn, table(header, rows)]))


def _seconds(night: str) -> float:
    date = datetime.datetime.fromisoformat(f"{night}T00:00:00+00:00")
    return date.timestamp()


def _growth(source: Facts) -> Series:
    times = [_seconds(night) for night in source["nights"]]
    label, colour = SETUP_NAMES.get(source["setup"], source["setup"]), _SETUP_COLOURS.get(source["setup"], 3)
    return Series("line" if len(times) > 1 else "points", times, source["significance"], label, colour)


def _flux(source: Facts) -> list[Series]:
    points = [p for p in source["flux"] if p.get("flux_crab") is not None]
    label, colour = SETUP_NAMES.get(source["setup"], source["setup"]), _SETUP_COLOURS.get(source["setup"], 3)
    flux = [p["flux_crab"] for p in points]
    low = [p["flux_crab"] - (p["error_low_crab"] or 0.0) for p in points]
    high = [p["flux_crab"] + (p["error_high_crab"] or 0.0) for p in points]
    times = [_seconds(p["night"]) for p in points]
    titles = [p["night"] for p in points]
    return [Series("points", times, flux, label, colour, low=low, high=high, titles=titles)] if points else []


def _source_row(source: Facts) -> tuple[object, ...]:
    last = {key: source[key][-1] for key in ("livetime_h", "n_on", "n_off", "alpha", "excess")}
    return (
        SETUP_NAMES.get(source["setup"], source["setup"]),
        number(len(source["nights"])),
        number(last["livetime_h"], 3),
        number(last["n_on"]),
        number(last["n_off"]),
        number(last["alpha"], 3),
        number(last["excess"], 4),
        _total(source),
    )
