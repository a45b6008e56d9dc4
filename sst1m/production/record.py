"""The closing record of a production: what was reached, with which settings, and where the products are."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..checkpoint import held_lock, sweep_parts, write_json
from ..json_object import json_object
from ..layout import side_paths
from ..provenance import read_provenance, software_versions, utc_now

if TYPE_CHECKING:
    from .plan import PlannedProduction, Sample

__all__ = ["STAGES", "close_production", "is_closed"]

STAGES = ("dl1", "models", "dl2", "irfs", "report")
"""How far a production can be taken, in their order."""


def close_production(
    planned: "PlannedProduction",
    *,
    until: str,
    digests: Mapping[str, str],
    fingerprint: str,
    products: Iterable[Path],
) -> None:
    """
    Write the closing record of a production that is complete.

    Parameters
    ----------
    planned : PlannedProduction
        The production.
    until : str
        The last stage that was asked for.
    digests : mapping
        sha256 of the files that say what is to be made: ``production``, ``config``.
    fingerprint : str
        Of the analysis configuration.
    products : iterable of Path
        All products but the shards, which may be removed.
    """
    layout = planned.layout
    content: dict[str, object] = {
        "production": planned.name,
        "until": until,
        "complete": True,
        "closed": utc_now(),
        "digests": dict(digests),
        "fingerprints": {"production": planned.production.fingerprint(), "config": fingerprint},
        "nodes": [str(node) for node in planned.nodes],
        "samples": {str(sample): _counts(planned, sample) for sample in planned.samples},
        "products": [str(path) for path in products],
        "software": software_versions(),
    }
    with held_lock(layout.locks / "production.lock"):
        sweep_parts(layout.record)
        write_json(layout.record, content)


def _counts(planned: "PlannedProduction", sample: "Sample") -> dict[str, object]:
    product = planned.layout.merged(sample.particle, sample.node, sample.role)
    record = read_provenance(side_paths(product)["json"]) or {}
    run, counts = record.get("run"), record.get("counts")
    numbers = dict(counts) if isinstance(counts, Mapping) else {}
    return {
        "shards": sample.n_shards,
        "failed": run.get("n_failed") if isinstance(run, Mapping) else None,
        "thrown": numbers.get("n_thrown"),
        "events": numbers.get("n_events"),
    }


def is_closed(record: Path, *, until: str, digests: Mapping[str, str]) -> bool:
    """
    Whether a production was closed as complete and nothing has changed since; imports nothing heavy.

    Parameters
    ----------
    record : Path
        The closing record.
    until : str
        The stage that is asked for.
    digests : mapping
        As in `close_production`, of the files as they are now.
    """
    try:
        known = json_object(record.read_text())
        return (
            known["complete"] is True
            and STAGES.index(known["until"]) >= STAGES.index(until)
            and known["digests"] == dict(digests)
            and all(Path(product).exists() for product in known["products"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        # Whatever is wrong with the record comes to light when the production is done anew.
        return False
