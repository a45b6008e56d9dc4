"""All nights of an analysis root, and what they add up to for each source."""

import datetime
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..layout import NightLayout
from ..manifest import read_manifest
from ..provenance import software_versions, utc_now
from .memory import Memory, files_basis
from .night_page import read_night_facts
from .night_view import attempt, calendar_page

__all__ = ["CALENDAR_SCHEMA", "calendar_basis", "calendar_facts", "nights_of"]

Facts = dict[str, Any]

#: Raise the version where a reader of the old one would go wrong.
CALENDAR_SCHEMA = {"name": "sst1m-calendar", "version": 1}
_NIGHT = re.compile(r"[0-9]{8}", re.ASCII)


def nights_of(ana_dir: Path) -> Iterator[NightLayout]:
    """Yield the nights of an analysis root that have a manifest, a page or a closing record, by date."""
    for path in sorted(ana_dir.iterdir()) if ana_dir.is_dir() else ():
        if not _NIGHT.fullmatch(path.name):
            continue
        try:
            date = datetime.datetime.strptime(path.name, "%Y%m%d").date()
        except ValueError:
            continue
        night = NightLayout(ana_dir, date)
        if any(file.exists() for file in _files(night)):
            yield night


def _files(night: NightLayout) -> tuple[Path, ...]:
    return night.report / "night.json", night.manifest, night.record


def calendar_basis(ana_dir: Path) -> list[list[Any]]:
    """Return names, sizes and times of all files that the calendar is made from."""
    return [entry for night in nights_of(ana_dir) for entry in files_basis(list(_files(night)))]


def calendar_facts(ana_dir: Path) -> Facts:
    """
    Collect the states of all nights and the signals of all sources.

    Parameters
    ----------
    ana_dir : Path
        Root of the analysis.

    Returns
    -------
    dict
        JSON object of `CALENDAR_SCHEMA`: ``nights`` in the order of time, ``sources`` with cumulative
        significance and flux by night.
    """
    page = calendar_page(ana_dir)
    memory = Memory(page.with_name("calendar.json"), CALENDAR_SCHEMA)
    nights = []
    for night in nights_of(ana_dir):
        key, basis = f"{night.date:%Y-%m-%d}", files_basis(list(_files(night)))
        known = memory.recall(key, basis)
        if known is None:
            known = memory.keep(key, basis, attempt(key, _night, night, page))
        nights.append({"night": key} | known)
    return {
        "schema": CALENDAR_SCHEMA,
        "written": utc_now(),
        "basis": calendar_basis(ana_dir),
        "software": software_versions(),
        "nights": nights,
        "sources": _sources(nights),
        "parts": memory.kept,
    }


def _night(night: NightLayout, page: Path) -> Facts:
    """Return what the calendar says of a night."""
    numbers = night.report / "night.json"
    try:
        facts = read_night_facts(numbers)
    except InputError as error:
        note = f"run NightReport --date {night.date:%Y-%m-%d}"
        reason = (
            "" if not numbers.exists() else " ".join(str(error.__cause__ or "of another version").split())
        )
        return {"page": None, "note": f"{note} ({reason})" if reason else note, "runs": _counts(night)}
    state = facts["state"]
    return {
        "page": os.path.relpath(night.report / "index.html", page.parent),
        "complete": state["complete"],
        "simulated": state["simulated"],
        "runs": state["runs"],
        "livetime_s": state["livetime_s"],
        "quality": facts["quality"]["runs"],
        "level": facts["quality"]["level"],
        "failures": sum(group["count"] for group in facts["failures"]),
        "moon_illuminated": facts["sky"].get("moon_illuminated"),
        "signals": [_signal(entry) for entry in facts["signals"] if "missing" not in entry],
    }


def _counts(night: NightLayout) -> Facts:
    manifest = read_manifest(night.manifest)
    counts = manifest.counts() if manifest else {}
    states = ("done", "skipped", "quarantined", "waiting")
    return {str(tel): {state: found[state] for state in states} for tel, found in sorted(counts.items())}


def _signal(entry: Facts) -> Facts:
    kept = ("target", "setup", "simulated", "n_on", "n_off", "alpha", "livetime_h")
    nights = entry["light_curve"]["nights"]
    return {key: entry[key] for key in kept} | {"flux": nights[0] if len(nights) == 1 else None}


def _sources(nights: Sequence[Facts]) -> list[Facts]:
    """Return what all nights together say about each source and set-up; simulations stay apart from data."""
    found: dict[tuple[str, str, bool], list[tuple[str, Facts]]] = {}
    for night in nights:
        for signal in night.get("signals", ()):
            key = (signal["target"], signal["setup"], bool(signal["simulated"]))
            found.setdefault(key, []).append((night["night"], signal))
    return [
        {"target": target, "setup": setup, "simulated": simulated} | _cumulated(signals)
        for (target, setup, simulated), signals in sorted(found.items())
    ]


def _cumulated(signals: Sequence[tuple[str, Facts]]) -> Facts:
    """Add up counts night by night."""
    from ..quicklook.counts import OnOffCounts, combined

    counted = [(night, signal) for night, signal in signals if signal["n_on"] is not None]
    parts = [OnOffCounts(s["n_on"], s["n_off"], s["alpha"]) for _, s in counted]
    hours = [signal["livetime_h"] for _, signal in counted]
    sums = [combined(parts[:n], hours[:n]) for n in range(1, len(parts) + 1)]
    return {
        "nights": [night for night, _ in counted],
        "livetime_h": _running(hours),
        "n_on": [total.n_on for total in sums],
        "n_off": [total.n_off for total in sums],
        "alpha": [total.alpha for total in sums],
        "excess": [total.excess for total in sums],
        "significance": [_significance(total) for total in sums],
        "status": [total.status for total in sums],
        "flux": [{"night": night} | (signal["flux"] or {}) for night, signal in signals],
    }


def _significance(total: Any) -> float | None:  # noqa: ANN401 - OnOffCounts, imported late
    """Return the significance that can be trusted: by Li & Ma, for few counts the binomial one."""
    value = total.significance if total.status == "ok" else total.binomial_significance
    return None if value is None else float(value)


def _running(values: Iterable[float]) -> list[float]:
    total, sums = 0.0, []
    for value in values:
        total += value
        sums.append(round(total, 9))
    return sums
