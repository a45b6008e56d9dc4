"""From coincidences to signals: what the products after DL1 say, target by target."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..sources import SourceCatalogue
from .memory import Memory, file_basis
from .night_view import NightView, attempt

__all__ = ["coincidence_facts", "response_facts", "signal_facts"]

Facts = dict[str, Any]

_LOOKS = "looks"
#: Of the numbers of a first look, what the page shows.
_SHOWN = (
    *("simulated", "status", "n_on", "n_off", "alpha", "background", "excess", "excess_error"),
    *("significance", "significance_binomial", "livetime_h", "n_observations", "left_out", "flux", "theta2"),
)


def coincidence_facts(view: NightView, memory: Memory) -> list[Facts]:
    """Return time differences, matched events and clock offsets of each target that both telescopes saw."""
    found = []
    for path in sorted(view.night.root.glob("*/stereo/coincidences/*_coincidences.h5")):
        name, basis = str(path.relative_to(view.night.root)), file_basis(path)
        known = memory.recall(name, basis)
        if known is None:
            known = attempt(name, _coincidences, path)
            memory.keep(name, basis, known)
        found.append({"target": path.parts[-4], "path": view.link(path)} | known)
    return found


def _coincidences(path: Path) -> Facts:
    from ..coincidence import read_coincidences

    pairs = read_coincidences(path)
    info = pairs.info
    because: dict[str, Facts] = {}
    for tel_id, runs in sorted(pairs.files.items()):
        total: Facts = {}
        for run in runs:
            for reason, count in (run.get("unmatched_because") or {}).items():
                total[reason] = total.get(reason, 0) + count
        because[str(tel_id)] = total
    return {
        "method": info.get("method"),
        "n_pairs": len(pairs),
        "n_accidental": info.get("n_accidental"),
        "matched_fraction": pairs.matched_fraction,
        "events": {str(tel): sum(run["n_events"] for run in runs) for tel, runs in pairs.files.items()},
        "written": sum(run["counts"]["written"] for run in pairs.files.get(21, ())),
        "unmatched_because": because,
        "clock_offset_ns": info.get("clock_offset_ns"),
        "clock": _clock(info.get("clock_offsets") or []),
        "half_width_ns": info.get("half_width_ns"),
        "histogram": info.get("histogram"),
        "notes": list(info.get("notes") or []),
    }


def _clock(offsets: list[Facts]) -> Facts:
    """Return the offset of the clocks against time; None where it is not known."""
    from ..times import ns_to_time

    middles = [(int(offset["start_ns"]) + int(offset["stop_ns"])) // 2 for offset in offsets]
    return {
        "time_utc_s": [round(float(ns_to_time(middle).utc.unix), 3) for middle in middles],
        "offset_ns": [offset.get("offset_ns") for offset in offsets],
        "n_pairs": [offset.get("n_pairs") for offset in offsets],
    }


def signal_facts(view: NightView, sources: SourceCatalogue | None, memory: Memory) -> list[Facts]:
    """
    Return a first look at each target and set-up that has photon lists.

    Its numbers stay as ``report/looks/<target>/<set-up>/<source>_quicklook.json``.
    """
    found = []
    for index in sorted(view.night.root.glob("*/*/dl3/obs-index.fits.gz")):
        target, setup = index.parts[-4:-2]
        known = attempt(f"{target} {setup}", _look, view, index, sources, memory)
        found.append({"target": target, "setup": setup} | known)
    return found


def _look(view: NightView, index: Path, sources: SourceCatalogue | None, memory: Memory) -> Facts:
    target, setup = index.parts[-4:-2]
    if sources is None:
        raise InputError(
            "[site] sources_file is not set or cannot be read, so nobody knows where the target is"
        )
    source = sources.named(target)
    basis = [file_basis(index), source.name, source.ra_deg, source.dec_deg]
    key = f"look {target}/{setup}"
    known = memory.recall(key, basis)
    if known is not None:
        return known
    from ..quicklook.look import quicklook, sentence
    from ..quicklook.options import QuicklookOptions

    others = [other for other in sources.sources.values() if other.name != source.name]
    looked = quicklook(
        index.parent,
        view.night.report / _LOOKS / target / setup,
        source=source,
        options=QuicklookOptions(),
        neighbours=others,
        pictures=(),
    )
    content = looked.content
    facts = {name: content[name] for name in _SHOWN}
    curve = content["light_curve"]
    facts["light_curve"] = {key: curve.get(key) for key in ("status", "reason", "energy_min_tev", "shape")}
    facts["light_curve"]["observations"] = _points(curve.get("observations"))
    facts["light_curve"]["nights"] = _points(curve.get("nights"))
    facts["on_radius_deg"] = content["options"]["on_radius_deg"]
    facts["energy_min_tev"] = content["options"]["energy_min_tev"]
    facts["sentence"], facts["path"] = sentence(content), view.link(looked.path)
    return memory.keep(key, basis, facts)


def _points(points: Any) -> list[Facts]:  # noqa: ANN401 - JSON
    kept = ("name", "mjd_min", "mjd_max", "status", "flux_crab", "error_low_crab", "error_high_crab")
    return [{key: point.get(key) for key in (*kept, "upper_limit_95_crab")} for point in points or ()]


def response_facts(view: NightView, memory: Memory) -> list[Facts]:
    """Return which response each photon list has, and how it follows from the nodes of the production."""
    found = []
    for path in sorted(view.night.root.glob("*/*/dl3*/SST1M_*_dl3.fits")):
        target, setup, level = path.parts[-4:-1]
        name, basis = str(path.relative_to(view.night.root)), file_basis(path)
        known = memory.recall(name, basis)
        if known is None:
            known = attempt(name, _response, path)
            memory.keep(name, basis, known)
        found.append({"target": target, "setup": setup, "level": level, "path": view.link(path)} | known)
    return found


def _response(path: Path) -> Facts:
    from astropy.io import fits

    with fits.open(path) as hdus:
        header = hdus["EVENTS"].header
        nodes = hdus["IRF_NODES"].data if "IRF_NODES" in hdus else []
        weights = [[str(row["NODE"]).strip(), round(float(row["WEIGHT"]), 5)] for row in nodes]
    keys = {"n_events": "NAXIS2", "livetime_s": "LIVETIME", "zenith_deg": "ZEN_PNT", "nsb_mhz": "NSBLEVEL"}
    facts: Facts = {name: header.get(key) for name, key in keys.items()}
    return facts | {
        "obs_id": header.get("OBS_ID"),
        "method": header.get("IRFMETH"),
        "extrapolated": bool(header.get("IRFEXTR", False)),
        "nearest": bool(header.get("IRFNEAR", False)),
        "nsb_measured": bool(header.get("NSBMEAS", True)),
        "checked": bool(header.get("IRFCHECK", True)),
        "nodes": weights,
    }


def fallbacks(responses: list[Mapping[str, Any]]) -> int:
    """Count the photon lists whose response is extrapolated, or not the one that was asked for."""
    return sum(bool(entry.get("extrapolated") or entry.get("nearest")) for entry in responses)
