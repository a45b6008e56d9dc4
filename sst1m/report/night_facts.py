"""All that the page of a night shows, collected from its files into one JSON object."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..errors import ConfigError, Sst1mError
from ..manifest import STATES
from ..monitoring.quality import QualityLimits, check, read_limits, worst
from ..night_record import ScienceState
from ..provenance import software_versions, utc_now
from ..sources import SourceCatalogue, read_sources
from .closing import record_digest
from .failure_facts import failure_facts, resource_facts
from .image_facts import COG_REACH_MM, bin_facts, median_of
from .memory import Memory
from .night_view import NIGHT_SCHEMA, NightView, attempt, attempt_all
from .run_facts import expected_facts, reconstruction_facts, run_rows
from .science_facts import coincidence_facts, fallbacks, response_facts, signal_facts
from .telescope_facts import telescope_facts

__all__ = ["night_facts"]

Facts = dict[str, Any]

_TEL_IDS = (21, 22)


def night_facts(view: NightView) -> Facts:
    """
    Collect what is known of a night; what is not there, or broken, is named with its reason.

    Parameters
    ----------
    view : NightView
        The night.

    Returns
    -------
    dict
        JSON object of `NIGHT_SCHEMA`, see docs/report.md. Parts that are missing have a text under
        ``missing``; the same files give the same object, apart from ``written`` and the times of products.
    """
    memory = Memory(view.facts_file, NIGHT_SCHEMA)
    states, states_missing = view.products
    limits, limits_missing = _limits(view)
    sources = _sources(view)
    rows = run_rows(view, limits, sources)
    facts: Facts = {
        "schema": NIGHT_SCHEMA,
        "night": f"{view.night.date:%Y-%m-%d}",
        "written": utc_now(),
        "basis": view.basis(),
        "record": record_digest(view.record),
        "software": software_versions(),
        "state": _state(view, rows, states, states_missing),
        "targets": _targets(rows, sources),
        "runs": rows,
        "bins": bin_facts(),
        "cog_reach_mm": COG_REACH_MM,
        "telescopes": {
            str(tel): attempt(f"telescope {tel}", telescope_facts, view, rows, tel, memory)
            for tel in _TEL_IDS
        },
        "expected": {
            str(tel): attempt(f"expected {tel}", expected_facts, view, rows, tel, memory) for tel in _TEL_IDS
        },
        "coincidences": attempt_all("coincidences", coincidence_facts, view, memory),
        "reconstruction": attempt_all("reconstruction", reconstruction_facts, view, memory),
        "signals": attempt_all("signals", signal_facts, view, sources, memory),
        "responses": attempt_all("responses", response_facts, view, memory),
        "failures": failure_facts(view, states),
        "resources": attempt("resources", resource_facts, view),
    }
    facts["sky"] = attempt("sky", _sky, facts, memory)
    facts["quality"] = _quality(view, facts, states, limits, limits_missing)
    return facts | {"parts": dict(sorted(memory.kept.items()))}


def _limits(view: NightView) -> tuple[QualityLimits | None, str]:
    try:
        return read_limits(view.paths.quality_file), ""
    except ConfigError as error:
        return None, str(error)


def _sources(view: NightView) -> SourceCatalogue | None:
    try:
        return read_sources(view.paths.sources_file) if view.paths.sources_file else None
    except Sst1mError:
        return None


def _targets(rows: Sequence[Facts], sources: SourceCatalogue | None) -> Facts:
    """Return the position of each target; None where the catalogue does not know it."""
    names = sorted({row["target"] for row in rows if row["target"] and row["kind"] == "science"})
    known = {name: sources.named(name) for name in names if sources and name in sources}
    return {
        name: {"ra_deg": known[name].ra_deg, "dec_deg": known[name].dec_deg} if name in known else None
        for name in names
    }


def _state(view: NightView, rows: Sequence[Facts], states: Sequence[ScienceState], missing: str) -> Facts:
    """Return how far the night is."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        counts.setdefault(str(row["tel"]), Counter())[row["state"]] += 1
    products = Counter(state.state for state in states)
    open_runs = sum(of_tel[state] for of_tel in counts.values() for state in ("quarantined", "waiting"))
    open_products = products["quarantined"] + products["waiting"]
    record = view.record
    closed = record.get("complete") is True
    current = view.manifest is not None and record.get("signature") == view.manifest.signature
    return {
        "complete": closed and current and not (open_runs or open_products or missing),
        "closed": record.get("closed"),
        "until": record.get("until"),
        "manifest": view.manifest is not None,
        "open_runs": open_runs,
        "open_products": open_products,
        "products_unknown": missing,
        "runs": {tel: {state: of_tel[state] for state in STATES} for tel, of_tel in sorted(counts.items())},
        "products": {state: products[state] for state in STATES},
        "not_made": [vars(state) for state in states if state.state != "done"],
        "targets": sorted({row["target"] for row in rows if row["state"] == "done"}),
        "simulated": any(row.get("simulated") for row in rows),
        "livetime_s": {
            tel: round(sum(row.get("livetime_s") or 0 for row in rows if str(row["tel"]) == tel), 3)
            for tel in sorted(counts)
        },
        "fingerprint": (record.get("config") or {}).get("fingerprint"),
        "links": {
            name: link
            for name, path in (
                ("manifest", view.night.manifest),
                ("corrections", view.night.corrections),
                ("closing record", view.night.record),
                ("log", view.night.log),
                ("calendar", view.calendar),
            )
            if (link := view.link(path))
        },
    }


def _sky(facts: Facts, memory: Memory) -> Facts:
    """Return Moon and Sun between the first and the last event."""
    times = [
        time
        for telescope in facts["telescopes"].values()
        for time in (telescope.get("rates") or {}).get("time_utc_s", ())
    ]
    if not times:
        return {"missing": "no run says when it was taken"}
    first, last = 60 * (min(times) // 60), 60 * (max(times) // 60 + 1)
    basis = [first, last, facts["targets"]]
    known = memory.recall("sky", basis)
    if known is None:
        from .sky_facts import sky_facts

        known = memory.keep("sky", basis, sky_facts(first, last, facts["targets"]))
    return known


def _quality(
    view: NightView,
    facts: Facts,
    states: Sequence[ScienceState],
    limits: QualityLimits | None,
    limits_missing: str,
) -> Facts:
    """Return the lights of the night."""
    levels = Counter((row.get("quality") or {}).get("level", "") for row in facts["runs"])
    common: Facts = {
        "limits_file": str(view.paths.quality_file or "config/quality.toml"),
        "strictness": view.paths.quality,
        "runs": {level: levels[level] for level in ("good", "warning", "bad", "unknown")},
    }
    if limits is None:
        return common | {"missing": limits_missing, "checks": [], "level": "unknown"}
    found = [check(name, value, limits.night, what) for name, value, what in _night_quantities(facts, states)]
    checks = [one for one in found if one is not None]
    return common | {"level": worst(checks), "checks": [one.to_dict() for one in checks]}


def _night_quantities(facts: Facts, states: Sequence[ScienceState]) -> list[tuple[str, float | None, str]]:
    """Return quantities of the night: name, value, and what it belongs to."""
    wanted = [row for row in facts["runs"] if row["state"] != "skipped"]
    done = sum(row["state"] == "done" for row in wanted)
    possible = [state for state in states if state.state != "skipped"]
    made = sum(state.state == "done" for state in possible)
    found: list[tuple[str, float | None, str]] = [
        ("runs_done", done / len(wanted) if wanted else None, ""),
        ("products_done", made / len(possible) if possible else None, ""),
    ]
    for entry in facts["coincidences"]:
        if "missing" not in entry:
            found.append(("matched_fraction", entry["matched_fraction"], entry["target"]))
            offsets = entry["clock"]["offset_ns"]
            share = sum(offset is not None for offset in offsets) / len(offsets) if offsets else None
            found.append(("clock_known", share, entry["target"]))
    for tel, telescope in facts["telescopes"].items():
        camera = telescope.get("camera") or {}
        for name in ("quiet", "noisy"):
            if name in camera:
                found.append((f"{name}_pixels", len(camera[name]), f"telescope {tel}"))
        found += _intensity_ratio(tel, telescope, facts["expected"][tel])
    if facts["responses"]:
        share = fallbacks(facts["responses"]) / len(facts["responses"])
        found.append(("irf_not_interpolated", share, ""))
    return found


def _intensity_ratio(tel: str, telescope: Facts, expected: Facts) -> list[tuple[str, float | None, str]]:
    if "missing" in telescope or "missing" in expected:
        return []
    seen = median_of("intensity", telescope["images"]["intensity"])
    simulated = median_of("intensity", expected["quantities"]["intensity"]["mean"])
    if not seen or not simulated:
        return []
    return [("mc_intensity_ratio", round(seen / simulated, 4), f"telescope {tel}")]
