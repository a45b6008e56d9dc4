"""The page of a night: is it done, what failed and why, was the data good, was something seen."""

import json
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..checkpoint import committed, held_lock, sweep_parts, write_atomically
from ..errors import InputError
from ..json_object import json_object, sealed
from .html import Html, joined, link, missing, number, state
from .night_charts import (
    cameras_section,
    images_section,
    pointing_section,
    rates_section,
    sky_section,
)
from .night_facts import night_facts
from .night_science_sections import (
    coincidences_section,
    reconstruction_section,
    responses_section,
    seen,
    signals_section,
)
from .night_sections import (
    checks_section,
    failures_section,
    light,
    moment,
    resources_section,
    runs_section,
    state_section,
    verdict,
)
from .night_view import NIGHT_SCHEMA, NightView, reason_of
from .page import Section, render_page

__all__ = [
    "SECTIONS",
    "facts_text",
    "finite_values",
    "night_page",
    "page_is_current",
    "read_night_facts",
    "render_night",
]

log = logging.getLogger(__name__)

Facts = dict[str, Any]


def night_page(view: NightView) -> Facts:
    """
    Write the page of a night, and beside it ``night.json`` with all that it shows.

    Nothing is written where nothing has changed. What is not there yet, or broken, is named on the page with
    its reason.

    Parameters
    ----------
    view : NightView
        The night.

    Returns
    -------
    dict
        Content of ``night.json``.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with held_lock(view.night.locks / "report.lock"):
        if page_is_current(view):
            return read_night_facts(view.facts_file)
        sweep_parts(view.page, view.facts_file)
        # What the page shows is what a reader of the JSON gets: no value takes another way.
        facts = json.loads(json.dumps(finite_values(night_facts(view)), default=str))
        text = render_night(facts)
        # The page first: facts without a page are not current.
        with committed(view.page) as part:
            part.write_text(text, encoding="utf-8")
        write_atomically(view.facts_file, facts_text(facts).encode())
    return facts


def facts_text(facts: Facts) -> str:
    """Return facts as JSON text, a line for each part: a number on each line would be three times as long."""
    lines = [f"{json.dumps(name)}: {json.dumps(part)}" for name, part in sealed(facts).items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def page_is_current(view: NightView) -> bool:
    """Whether the page is there and shows the night as it is."""
    try:
        facts = read_night_facts(view.facts_file)
    except InputError:
        return False
    return view.page.is_file() and facts.get("basis") == view.basis()


def read_night_facts(path: Path) -> Facts:
    """
    Read ``night.json``.

    Raises
    ------
    InputError
        It cannot be read, or is of another schema.
    """
    try:
        facts = json_object(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}; run NightReport again") from error
    if facts.get("schema") != NIGHT_SCHEMA:
        raise InputError(f"{path}: its schema is not {NIGHT_SCHEMA}; run NightReport again")
    return facts


def finite_values(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return JSON values in which what is no finite number is null."""
    if isinstance(value, Mapping):
        return {key: finite_values(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite_values(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def render_night(facts: Facts) -> str:
    """
    Return the page as text.

    Parameters
    ----------
    facts : dict
        Content of ``night.json``.

    Raises
    ------
    InputError
        If it is of another schema.
    """
    if facts.get("schema") != NIGHT_SCHEMA:
        raise InputError(
            f"the facts of the night have the schema {facts.get('schema')}, this version reads "
            f"{NIGHT_SCHEMA}; make the page anew"
        )
    sections = [_section(title, make, facts) for title, make in SECTIONS.items()]
    version = facts["software"].get("sst1m", "")
    calendar = facts["state"]["links"].get("calendar")
    others = [" · ", link("all nights", calendar)] if calendar else []
    subtitle = joined([f"Written {moment(facts['written'])} by sst1m {version}", *others])
    return render_page(f"Night of {facts['night']}", subtitle, sections, facts=_head(facts))


SECTIONS: dict[str, Callable[[Facts], Section]] = {
    "State of the night": state_section,
    "Quality checks": checks_section,
    "Runs": runs_section,
    "Rates": rates_section,
    "Night sky, Moon and Sun": sky_section,
    "Cameras": cameras_section,
    "Pointing": pointing_section,
    "Image parameters": images_section,
    "Coincidences and clocks": coincidences_section,
    "Reconstruction": reconstruction_section,
    "Signals": signals_section,
    "Responses used": responses_section,
    "Failures": failures_section,
    "Resources used": resources_section,
}
"""Sections of the page in the order in which an operator reads, by their titles."""


def _section(title: str, make: Callable[[Facts], Section], facts: Facts) -> Section:
    """Return a section; one that cannot be drawn must not cost the others."""
    try:
        return make(facts)
    except Exception as error:  # noqa: BLE001 - named on the page and in the log
        log.exception("section %s", title)
        return Section(title, missing(reason_of(error)), "bad")


def _head(facts: Facts) -> list[tuple[str, object]]:
    """Return what is shown above everything else."""
    now, sky = facts["state"], facts["sky"]
    done = sum(counts["done"] for counts in now["runs"].values())
    wanted = sum(sum(counts.values()) - counts["skipped"] for counts in now["runs"].values())
    head: list[tuple[str, object]] = [
        ("State", verdict(facts)),
        ("Quality", _quality(facts)),
        ("Runs done", joined([number(done), " of ", number(wanted)])),
    ]
    if now["simulated"]:
        head.append(("Data", state("neutral", "simulated")))
    head += [(f"Live time, tel {tel}", _duration(seconds)) for tel, seconds in now["livetime_s"].items()]
    if "missing" not in sky:
        head.append(
            ("Moon", f"{100 * sky['moon_illuminated']:.0f} %, highest {max(sky['moon_alt_deg']):.0f}°")
        )
    return head + [(name, text) for name, text in seen(facts)]


def _quality(facts: Facts) -> Html:
    """Return the worst light of the night and its runs."""
    levels = [facts["quality"]["level"], *(level for level, n in facts["quality"]["runs"].items() if n)]
    order = ("unknown", "good", "warning", "bad")
    return light(max(levels, key=order.index))


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 600 else f"{seconds / 3600:.2f} h"
