"""The check of a production's responses: each node between others is left out and interpolated again."""

import json
import logging
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..checkpoint import committed
from ..errors import InputError
from ..json_object import json_object, sealed
from .plan import PlannedProduction

if TYPE_CHECKING:
    from ..irf.left_out import LeftOutNode

__all__ = ["INTERPOLATION_SCHEMA", "interpolation_check", "read_interpolation_check", "write_check"]

log = logging.getLogger(__name__)

#: Raise the version where a reader of the old one would go wrong.
INTERPOLATION_SCHEMA = {"name": "sst1m-interpolation-check", "version": 1}


def interpolation_check(planned: PlannedProduction, irf_dir: Path, tags: Iterable[str]) -> dict[str, Any]:
    """
    Leave out each node that lies between others, and compare what the others predict with its response.

    Parameters
    ----------
    planned : PlannedProduction
        The production; all of its responses are there.
    irf_dir : Path
        Root of the responses.
    tags : iterable of str
        Gammaness tags of its responses.

    Returns
    -------
    dict
        JSON object of `INTERPOLATION_SCHEMA`: ``spectrum``, ``inner_nodes``, ``rows``. A row is a node,
        set-up and tag: relative errors of the sum of the counts (with sign) and of their bins (mean, relative
        to all counts) by interpolation and by the nearest node, ``chance`` (statistical error of the own
        sum), and the counts in ``bins``. Without inner nodes there are no rows.

    Raises
    ------
    InputError, DataQualityError
        If a response is missing or broken.
    ModelMismatchError
        If responses do not belong together.
    """
    from ..irf.catalogue import IrfCatalogue
    from ..irf.left_out import inner_nodes, leave_out
    from ..irf.spectra import GAMMA_SPECTRUM

    inner = list(inner_nodes(planned.nodes))
    rows = []
    for setup in planned.telescope_setups if inner else ():
        for tag in tags:
            catalogue = IrfCatalogue(irf_dir, setup, tag, planned.production.irf_version)
            irfs = {node: catalogue.read(node) for node in planned.nodes}
            rows += [_row(leave_out(irfs, node), catalogue.setup, tag) for node in inner]
    return {
        "schema": INTERPOLATION_SCHEMA,
        "production": planned.name,
        "spectrum": GAMMA_SPECTRUM,
        "inner_nodes": [str(node) for node in inner],
        "rows": rows,
    }


def _row(left: "LeftOutNode", setup: str, tag: str) -> dict[str, Any]:
    (made, near), (made_bins, near_bins) = left.total_errors, left.bin_errors
    values = {
        "counts": float(left.own.sum()),
        "error_interpolated": made,
        "error_nearest": near,
        "bin_error_interpolated": made_bins,
        "bin_error_nearest": near_bins,
        "chance": left.chance,
    }
    bins = {"low": left.energy_edges[:-1], "high": left.energy_edges[1:], "own": left.own}
    bins |= {"interpolated": left.interpolated, "nearest": left.from_nearest}
    return {
        "node": str(left.node),
        "setup": setup,
        "tag": tag,
        "nodes": [str(node) for node in left.placement.nodes],
        "weights": list(left.placement.weights),
        "nearest": str(left.nearest),
        **{name: value if math.isfinite(value) else None for name, value in values.items()},
        "bins": {name: column.tolist() for name, column in bins.items()},
    }


def write_check(path: Path, content: Mapping[str, Any]) -> None:
    """
    Write the check; it appears when it is complete.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with committed(path, validate=read_interpolation_check) as part:
        part.write_text(json.dumps(sealed(content), indent=1, allow_nan=False) + "\n")
    for row in content["rows"]:
        better = [
            row[f"{what}_nearest"] / (row[f"{what}_interpolated"] or math.nan)
            for what in ("error", "bin_error")
        ]
        log.info(
            "%s %s %s: interpolation better than the nearest node by %.1f, per bin %.1f",
            *(row["node"], row["setup"], row["tag"]),
            *map(abs, better),
        )


def read_interpolation_check(path: Path) -> dict[str, Any]:
    """
    Read the check of a production.

    Raises
    ------
    InputError
        If it is missing, broken, or of another schema.
    """
    try:
        content = json_object(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: not checked; MakeProduction writes it after the responses") from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: check of the interpolation cannot be read ({error}); make it anew"
        ) from error
    found = content.get("schema")
    if found != INTERPOLATION_SCHEMA:
        raise InputError(
            f"{path}: its schema is {found}, this version reads {INTERPOLATION_SCHEMA}; make it anew"
        )
    return content
