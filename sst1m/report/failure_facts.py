"""What failed in a night and why, and what its products cost."""

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import RawFileError
from ..layout import side_paths
from ..names import RawName
from ..night_record import ScienceState
from ..provenance import read_provenance
from .night_view import NightView

__all__ = ["brief", "failure_facts", "resource_facts"]

Facts = dict[str, Any]

_SLOWEST = 10
_STAGES = {
    "raw to DL1": ("*/cs[12]/dl1/*_dl1.h5",),
    "both telescopes": ("*/stereo/coincidences/*.h5", "*/stereo/dl1/*_stereo.h5"),
    "DL1 to DL2": ("*/*/dl2/*_dl2.h5",),
    "photon lists": ("*/*/dl3*/obs-index.fits.gz",),
}


def failure_facts(view: NightView, states: Sequence[ScienceState]) -> list[Facts]:
    """
    Return what is not done and should be, by class of error: the most frequent first, what waits last.

    Parameters
    ----------
    view : NightView
        The night.
    states : sequence of ScienceState
        Products after DL1.
    """
    records = _records(view)
    entries = list(_of_runs(view, records)) + list(_of_products(view, states, records))
    if view.manifest is None:
        entries += [_entry(view, record, "quarantined", name) for name, record in sorted(records.items())]
    classes: dict[str, list[Facts]] = {}
    for entry in entries:
        classes.setdefault(entry.pop("class"), []).append(entry)
    groups = [{"class": name, "count": len(found), "entries": found} for name, found in classes.items()]
    # What waits for something else comes last: the causes are what people look for.
    return sorted(groups, key=lambda group: (group["class"] == "waiting", -group["count"], group["class"]))


def _records(view: NightView) -> dict[str, Facts]:
    """Return the records of failures by what they are about: a raw file, or a product below the night."""
    found: dict[str, Facts] = {}
    for kind in ("attempts", "quarantine"):
        for path in sorted((view.night.root / kind).glob("*.json")):
            record = read_provenance(path)
            if record is not None:
                found[str(record.get("file") or record.get("product") or path.stem)] = record
            else:
                found[path.stem] = {"error": "broken record", "message": f"{path}: is no JSON; delete it"}
    return found


def _of_runs(view: NightView, records: Mapping[str, Facts]) -> Iterable[Facts]:
    rows = view.manifest.in_state("quarantined", "waiting") if view.manifest else []
    for row in rows:
        record = records.get(row.file, {})
        kind = str(record.get("error") or ("damaged file" if row.state == "quarantined" else "waiting"))
        yield {
            "class": kind,
            "what": f"tel {row.tel} {_short(row.file)}",
            "state": row.state,
            "message": brief(row.reason, row.file),
            "time": str(record.get("time", "")),
            "log": _link(view, row.log),
        }


def _short(file: str) -> str:
    try:
        return f"run {RawName.parse(file).run:04d}"
    except RawFileError:
        return file


def brief(reason: str, file: str) -> str:
    """Return a reason without the path of the raw file that it is about, which stands beside it anyway."""
    return re.sub(rf"(?:/[^\s/]+)+/{re.escape(file)}: ", "", reason)


def _of_products(
    view: NightView, states: Sequence[ScienceState], records: Mapping[str, Facts]
) -> Iterable[Facts]:
    for state in states:
        if state.state not in ("quarantined", "waiting"):
            continue
        record = records.get(state.product, {}) if state.state == "quarantined" else {}
        kind = str(record.get("error") or state.state)
        yield {
            "class": kind,
            "what": state.product,
            "state": state.state,
            "message": state.reason,
            "time": str(record.get("time", "")),
            "log": _link(view, str(record.get("log", ""))),
        }


def _entry(view: NightView, record: Facts, state: str, name: str) -> Facts:
    return {
        "class": str(record.get("error", "unknown")),
        "what": name,
        "state": state,
        "message": str(record.get("message", "")),
        "time": str(record.get("time", "")),
        "log": _link(view, str(record.get("log", ""))),
    }


def _link(view: NightView, log: str) -> str | None:
    return view.link(view.night.root / log) if log else None


def resource_facts(view: NightView) -> Facts:
    """Return how long products took and how much time on processors, by stage, and the slowest of them."""
    stages, products = [], []
    for stage, patterns in _STAGES.items():
        own = [
            _cost(view, path, stage) for pattern in patterns for path in sorted(view.night.root.glob(pattern))
        ]
        own = [cost for cost in own if cost is not None]
        known = [cost["cpu_s"] for cost in own if cost["cpu_s"] is not None]
        stages.append(
            {
                "stage": stage,
                "products": len(own),
                "wall_s": round(sum(cost["wall_s"] for cost in own), 2),
                "cpu_s": round(sum(known), 2) if len(known) == len(own) and own else None,
            }
        )
        products += own
    if not products:
        return {"missing": "no product is made yet"}
    slowest = sorted(products, key=lambda cost: (-cost["wall_s"], cost["product"]))[:_SLOWEST]
    return {"stages": stages, "slowest": slowest}


def _cost(view: NightView, product: Path, stage: str) -> Facts | None:
    record = view.provenance(product)
    try:
        started, stopped = (
            datetime.datetime.fromisoformat(str(record[key])) for key in ("started", "stopped")
        )
    except (KeyError, ValueError):
        return None
    cpu = record.get("cpu_s")
    return {
        "product": str(product.relative_to(view.night.root)),
        "stage": stage,
        "wall_s": round((stopped - started).total_seconds(), 3),
        "cpu_s": float(cpu) if isinstance(cpu, int | float) else None,
        "log": view.link(side_paths(product)["log"]),
    }
