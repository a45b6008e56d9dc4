"""Runs of a night and what their DL1 and DL2 files say, added up by telescope and set-up."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..layout import side_paths
from ..layout_mc import ProductionLayout
from ..manifest import ManifestRow
from ..monitoring.quality import (
    QualityLimits,
    check_run,
    is_accepted,
    run_quantities,
    target_offset_deg,
    worst,
)
from ..nodes import Node
from ..sources import SourceCatalogue
from .failure_facts import brief
from .memory import Memory, file_basis, files_basis
from .night_view import NightView, attempt
from .telescope_facts import added

__all__ = ["expected_facts", "reconstruction_facts", "run_rows"]

Facts = dict[str, Any]


def run_rows(view: NightView, limits: QualityLimits | None, sources: SourceCatalogue | None) -> list[Facts]:
    """
    Return all raw files of the night, and runs of which only the DL1 file is left.

    Parameters
    ----------
    view : NightView
        The night.
    limits : QualityLimits or None
        Limits of the quality checks; without them no run is judged.
    sources : SourceCatalogue or None
        Where the targets are.
    """
    rows = [vars(row) for row in view.manifest.rows] if view.manifest else []
    known = {row["product"] for row in rows}
    rows += [row for row in _orphans(view) if row["product"] not in known]
    lists = _photon_lists(view)
    return [_guarded(view, row, limits, sources, lists) for row in rows]


def _orphans(view: NightView) -> Iterable[Facts]:
    """Yield DL1 files of which no raw file is left."""
    for path in sorted(view.night.root.glob("*/cs[12]/dl1/*_dl1.h5")):
        try:
            name = view.night.parse_dl1_path(path)
        except OutputError:
            continue
        yield vars(
            ManifestRow(
                tel=name.raw.tel_id,
                run=name.raw.run,
                file=str(name.raw),
                state="done",
                reason="the raw file is no longer there",
                kind="science",
                target=name.target,
                wobble=name.wobble,
                product=str(path.relative_to(view.night.root)),
                log=str(side_paths(path)["log"].relative_to(view.night.root)),
            )
        )


def _guarded(view: NightView, row: Facts, *others: Any) -> Facts:  # noqa: ANN401 - passed on
    """Return a row; where something beside the product is broken, with what the manifest knows."""
    facts = attempt(str(row["file"]), _row, view, row, *others)
    if "missing" not in facts:
        return facts
    reason = f"{row['reason']} {facts['missing']}".strip()
    return {key: row[key] for key in _KEPT} | {"reason": reason, "files": {}, "log": None}


def _row(
    view: NightView,
    row: Facts,
    limits: QualityLimits | None,
    sources: SourceCatalogue | None,
    lists: dict[str, list[Facts]],
) -> Facts:
    facts: Facts = {key: row[key] for key in _KEPT} | {"reason": brief(row["reason"], row["file"])}
    facts["log"] = view.link(view.night.root / row["log"]) if row["log"] else None
    facts["files"] = _files(view, row, lists)
    if row["state"] != "done":
        return facts
    product = view.night.root / row["product"]
    record = view.provenance(product)
    facts["product"] = row["product"]
    target = sources.named(row["target"]) if sources and row["target"] in sources else None
    offset = target_offset_deg(record, target)
    facts["quantities"] = attempt("quantities", run_quantities, record, offset)
    info, live = record.get("calibration") or {}, (record.get("calibration") or {}).get("live_time") or {}
    facts["pointing"] = info.get("mean_pointing")
    facts["livetime_s"] = live.get("livetime_s")
    facts["bad_pixels"] = info.get("bad_pixels")
    facts["simulated"] = bool(info.get("simulated"))
    facts["notes"] = [info[key] for key in ("nsb_note", "pedestal_fallback") if info.get(key)]
    facts["quality"] = attempt("quality", _quality, view, record, limits, offset)
    return facts


_KEPT = (
    *("tel", "run", "file", "kind", "target", "wobble", "state", "reason", "n_events", "size"),
    *("t_start", "t_stop", "ra", "dec", "pointing_source"),
)


def _quality(view: NightView, record: Facts, limits: QualityLimits | None, offset: float | None) -> Facts:
    if limits is None:
        return {"missing": "the limits cannot be read"}
    checks = check_run(record, limits.run, offset)
    level = worst(checks)
    accepted = is_accepted(level, view.paths.quality)
    return {"level": level, "accepted": accepted, "checks": [check.to_dict() for check in checks]}


def _files(view: NightView, row: Facts, lists: dict[str, list[Facts]]) -> Facts:
    """Return paths of the products of a run, relative to the page, by level."""
    if not row["product"]:
        return {}
    dl1 = view.night.root / row["product"]
    paths = {"dl1": dl1, "dl2": view.night.dl2_path(dl1)}
    if row["tel"] == 21:
        stereo = view.night.stereo_path(dl1)
        paths |= {"stereo dl1": stereo, "stereo dl2": view.night.dl2_path(stereo)}
    found: Facts = {level: link for level, path in paths.items() if (link := view.link(path))}
    for level in ("dl2", "stereo dl2"):
        if level in paths:
            found |= {entry["setup"]: entry["path"] for entry in lists.get(paths[level].name, ())}
    return found


def _photon_lists(view: NightView) -> dict[str, list[Facts]]:
    """Return in which photon lists a DL2 file is, by its name."""
    found: dict[str, list[Facts]] = {}
    for index in sorted(view.night.root.glob("*/*/dl3*/obs-index.fits.gz")):
        counts = view.provenance(index).get("counts") or {}
        setup, level = index.parts[-3:-1]
        for observation in counts.get("observations", ()):
            path = view.link(index.with_name(str(observation.get("file"))))
            for name in observation.get("runs", ()) if path else ():
                found.setdefault(name, []).append({"setup": f"{setup} {level}", "path": path})
    return found


def expected_facts(view: NightView, rows: Sequence[Facts], tel_id: int, memory: Memory) -> Facts:
    """Return the distributions of simulated protons at the conditions of the runs; see `expected_images`."""
    if view.paths.mono_model_dir is None:
        return {"missing": "[site] mono_model_dir names no production to compare with"}
    production = ProductionLayout(*_production_of(view.paths.mono_model_dir))
    conditions = sorted({node for row in rows if row["tel"] == tel_id and (node := _conditions(row))})
    if not conditions:
        return {"missing": "no run says under which conditions it was taken"}
    from .image_facts import expected_images

    files = sorted((production.root / "dl2" / "proton_diffuse").glob("ze*/test/*_dl2.h5"))
    basis = [[str(node) for node in conditions], files_basis(files)]
    key = f"expected images {tel_id}"
    known = memory.recall(key, basis)
    if known is None:
        known = memory.keep(key, basis, expected_images(production, tel_id, conditions))
    return known


def _production_of(model_dir: Path) -> tuple[Path, str]:
    return model_dir.parent.parent, model_dir.parent.name


def _conditions(row: Facts) -> Node | None:
    """Return the conditions of a run, rounded: runs that hardly differ share simulations."""
    pointing, quantities = row.get("pointing"), row.get("quantities") or {}
    nsb = quantities.get("nsb_mhz")
    if not pointing or not nsb:
        return None
    zenith = 5 * round((90 - pointing["alt_deg"]) / 5)
    return Node(
        float(zenith), float(30 * round(pointing["az_deg"] / 30) % 360), float(25 * max(1, round(nsb / 25)))
    )


def reconstruction_facts(view: NightView, memory: Memory) -> list[Facts]:
    """Return energies and gammaness of each target and set-up, from its DL2 files."""
    from .dl2_facts import ENERGY_EDGES, GAMMANESS_EDGES, read_dl2_facts

    found = []
    for directory in sorted(view.night.root.glob("*/*/dl2")):
        target, setup = directory.parts[-3:-1]
        files = sorted(directory.glob("*_dl2.h5"))
        if setup not in ("cs1", "cs2", "stereo") or not files:
            continue
        facts: Facts = {"target": target, "setup": setup, "n_files": 0, "n_events": 0, "unread": {}}
        facts |= {"energy_edges_tev": ENERGY_EDGES, "gammaness_edges": GAMMANESS_EDGES, "nodes": {}}
        parts = []
        for path in files:
            name, basis = str(path.relative_to(view.night.root)), file_basis(path)
            known = memory.recall(name, basis) or attempt(name, read_dl2_facts, path, setup)
            if "missing" in known:
                facts["unread"][name] = known["missing"]
                continue
            parts.append(memory.keep(name, basis, known))
        _sum_up(facts, parts)
        found.append(facts)
    return found


def _sum_up(facts: Facts, parts: Sequence[Facts]) -> None:
    facts["n_files"] = len(parts)
    facts["n_events"] = sum(int(part["counts"].get("n_written") or 0) for part in parts)
    facts |= added({name: part[name] for name in ("energy", "gammaness")} for part in parts)
    for part in parts:
        node = str(part["models"].get("node") or "none, no events")
        facts["nodes"][node] = facts["nodes"].get(node, 0) + 1
