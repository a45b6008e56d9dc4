"""All that the page of a production shows, collected from its files into one JSON object."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tables
from astropy.io import fits

from ..errors import InputError
from ..json_object import json_object
from ..layout_mc import ProductionLayout, data_setup, parse_irf_path
from ..nodes import Node
from ..performance import SUMMARY_NAME, PerformanceSummary
from ..production.interpolation import read_interpolation_check
from ..production.model import Production
from ..provenance import software_versions, utc_now

__all__ = ["PRODUCTION_SCHEMA", "production_facts"]

#: Raise the version where a reader of the old one would go wrong.
PRODUCTION_SCHEMA = {"name": "sst1m-production-report", "version": 1}

_INFO = "/sst1m/info"
_SETUPS = {"mono": ("tel_001", "tel_002"), "stereo": ("stereo",)}

Facts = dict[str, Any]


def production_facts(
    layout: ProductionLayout, production: Production, page: Path, irf_dir: Path | None = None
) -> Facts:
    """
    Collect what is known of a production; what is not there is named with its reason.

    Parameters
    ----------
    layout : ProductionLayout
        Where its files are.
    production : Production
        What was to be made.
    page : Path
        Where the page will be; paths are relative to its directory.
    irf_dir : Path, optional
        Root of the responses.

    Returns
    -------
    dict
        JSON object of `PRODUCTION_SCHEMA`: ``name``, ``plan``, ``nodes``, ``samples``, ``forests``,
        ``performance``, ``irfs``, ``interpolation``. Parts that are missing have a text under ``missing``.
    """
    nodes = production.axes.nodes
    setups = [setup for kind in production.setups for setup in _SETUPS[kind]]
    return {
        "schema": PRODUCTION_SCHEMA,
        "name": layout.name,
        "written": utc_now(),
        "software": software_versions(),
        "plan": production.canonical(),
        "fingerprint": production.fingerprint(),
        "nodes": [str(node) for node in nodes],
        "setups": setups,
        "samples": [_sample(layout, production, setups, *key) for key in _samples(production, nodes)],
        "forests": [
            _forests(layout, node, kind == "stereo", telescope)
            for node in nodes
            for kind in production.setups
            for telescope in (1, 2)
        ],
        "performance": [_performance(layout, node, setup, page) for node in nodes for setup in setups],
        "irfs": [
            _irfs(irf_dir, production.irf_version, node, setup, page) for node in nodes for setup in setups
        ],
        "interpolation": _interpolation(layout.interpolation_check),
    }


def _samples(production: Production, nodes: tuple[Node, ...]) -> Iterator[tuple[Any, Node, Any]]:
    for node in nodes:
        for particle, beam in production.particles.given().items():
            for role in beam.roles:
                yield particle, node, role


def _sample(
    layout: ProductionLayout,
    production: Production,
    setups: list[str],
    particle: Any,
    node: Node,
    role: Any,  # noqa: ANN401
) -> Facts:
    """Return how many showers and events there are of a sample, and which of its shards failed."""
    merged = layout.merged(particle, node, role)
    wanted = production.particles.given()[particle].shards(role).shards
    facts: Facts = {"particle": particle, "node": str(node), "role": role, "shards_wanted": wanted}
    info, reason = _info(merged)
    if info is None:
        made = sum(1 for _ in layout.shards(particle, node, role).glob("[!.]*_dl1.h5"))
        return facts | {
            "missing": f"{reason}; {made} shards are made",
            "failed": _failed_shards(merged.parent / "failed"),
        }
    joined = info.get("merged", {})
    return facts | {
        "shards_used": len(joined.get("files", ())),
        "failed": [
            {
                "file": str(r.get("file", r.get("shard", ""))),
                "reason": str(r.get("reason", r.get("message", ""))),
            }
            for r in (*joined.get("failed", ()), *joined.get("skipped", ()))
        ],
        "thrown": info.get("n_thrown"),
        "triggered": info.get("n_events"),
        "by_telescope": info.get("n_telescope_events", {}),
        "reconstructed": {setup: _reconstructed(layout.dl2(particle, node, role, setup)) for setup in setups},
    }


def _failed_shards(directory: Path) -> list[Facts]:
    records = [_json(path, "") for path in sorted(directory.glob("[!.]*.json"))]
    return [{"file": str(r.get("shard", "")), "reason": str(r.get("message", ""))} for r in records]


def _reconstructed(path: Path) -> int | None:
    info, _ = _info(path)
    return None if info is None else info.get("counts", {}).get("n_written")


def _info(path: Path) -> tuple[Facts | None, str]:
    """Return ``/sst1m/info`` of an HDF5 file, or why there is none."""
    if not path.exists():
        return None, "not made"
    try:
        with tables.open_file(str(path)) as h5:
            return json.loads(bytes(h5.get_node(_INFO).read())), ""
    except (OSError, tables.HDF5ExtError, tables.NoSuchNodeError, ValueError) as error:
        return None, f"{path.name} cannot be read ({_line(error)})"


def _json(path: Path, absent: str) -> Facts:
    """Return the object in a JSON file; where there is none, the reason under ``missing``."""
    try:
        return json_object(path.read_text())
    except FileNotFoundError:
        return {"missing": absent}
    except (OSError, ValueError) as error:
        return {"missing": f"{path.name} cannot be read ({_line(error)})"}


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _forests(layout: ProductionLayout, node: Node, stereo: bool, telescope: int) -> Facts:
    """Return what the card of a telescope's forests says about them."""
    facts: Facts = {"node": str(node), "stereo": stereo, "telescope": telescope}
    card = _json(layout.models(node, stereo) / f"card_tel_{telescope:03d}.json", "not trained")
    if "missing" in card:
        return facts | card
    forests = card.get("forests")
    if not isinstance(forests, Mapping):
        return facts | {"missing": "its card names no forests"}
    known = (
        "size",
        "n_trees",
        "n_nodes",
        "max_depth",
        "n_events",
        "events_per_second",
        "features",
        "importances",
    )
    return facts | {
        "disp_method": card.get("disp_method"),
        "forests": {
            name: {key: forest[key] for key in known if key in forest} for name, forest in forests.items()
        },
    }


def _performance(layout: ProductionLayout, node: Node, setup: Any, page: Path) -> Facts:  # noqa: ANN401
    directory = layout.performance(node, setup)
    facts: Facts = {"node": str(node), "setup": setup, "directory": _relative(directory, page)}
    path = directory / SUMMARY_NAME
    if not path.exists():
        return facts | {"missing": "not measured"}
    try:
        return facts | {"summary": PerformanceSummary.read(path).content}
    except InputError as error:
        return facts | {"missing": str(error)}


def _interpolation(path: Path) -> Facts:
    if not path.exists():
        return {"missing": "no node was left out and interpolated again"}
    try:
        return read_interpolation_check(path)
    except InputError as error:
        return {"missing": str(error)}


def _irfs(irf_dir: Path | None, version: str, node: Node, setup: Any, page: Path) -> Facts:  # noqa: ANN401
    facts: Facts = {"node": str(node), "setup": data_setup(setup)}
    if irf_dir is None:
        return facts | {"missing": "no directory of responses was named"}
    bcf = Path(irf_dir, "data", f"sst1m_{data_setup(setup)}", version, "bcf")
    found = [_irf(path, page) for path in sorted(bcf.glob(f"{node}_gc*/[!.]*_irfs.fits"))]
    return facts | ({"files": found} if found else {"missing": "not made"})


def _irf(path: Path, page: Path) -> Facts:
    facts: Facts = {"path": _relative(path, page), "size": path.stat().st_size}
    try:
        header = fits.getheader(path, "EFFECTIVE AREA")
        thresholds = {
            name: float(header[key])
            for name, key in (("energy_min_tev", "LO_THRES"), ("energy_max_tev", "HI_THRES"))
            if key in header
        }
        return facts | {"tag": parse_irf_path(path)[3]} | thresholds
    except (OSError, KeyError, ValueError, InputError) as error:
        return facts | {"missing": f"it cannot be read ({_line(error)})"}


def _relative(path: Path, page: Path) -> str:
    return Path(os.path.relpath(path, page.parent)).as_posix()
