"""Distributions of image parameters of a night, and what simulated protons look like in the same bins."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tables
from numpy.typing import NDArray

from ..errors import InputError, ModelMismatchError
from ..io.damage import explained_damage
from ..io.dl2 import events_table
from ..io.thrown import read_thrown
from ..layout_mc import ProductionLayout
from ..nodes import Node, nearest_node

__all__ = [
    "COG_REACH_MM",
    "COLUMNS",
    "QUANTITIES",
    "bin_edges",
    "bin_facts",
    "cog_map",
    "expected_images",
    "histograms",
    "median_of",
]

Facts = dict[str, Any]

#: Quantity: name, unit, lowest and highest edge, number of bins, logarithmic bins.
QUANTITIES: dict[str, tuple[str, str, float, float, int, bool]] = {
    "intensity": ("intensity", "p.e.", 10.0, 1e5, 32, True),
    "length": ("length", "mm", 0.0, 250.0, 25, False),
    "width": ("width", "mm", 0.0, 120.0, 24, False),
    "cog_r": ("distance from the middle", "mm", 0.0, 480.0, 24, False),
}
_HILLAS = "camera_frame_hillas_"
COLUMNS = tuple(_HILLAS + name for name in ("intensity", "length", "width", "r", "x", "y"))
_FACTOR = {"intensity": 1.0, "length": 1e3, "width": 1e3, "cog_r": 1e3}
#: Squares of the map of centres of gravity reach so far from the middle.
COG_REACH_MM, _COG_BINS = 480.0, 24
#: So many events of a simulation show how its distributions look.
_ENOUGH = 200_000
_PROTON_ROLE = ("proton_diffuse", "test")


def bin_edges(quantity: str) -> NDArray[np.float64]:
    """Return the edges of the bins of a quantity."""
    _, _, low, high, number, log = QUANTITIES[quantity]
    return np.geomspace(low, high, number + 1) if log else np.linspace(low, high, number + 1)


def bin_facts() -> Facts:
    """Return names, units and edges of the bins of all quantities, as JSON values."""
    return {
        quantity: {
            "name": name,
            "unit": unit,
            "log": log,
            "edges": [float(f"{e:.6g}") for e in bin_edges(quantity)],
        }
        for quantity, (name, unit, _, _, _, log) in QUANTITIES.items()
    }


def histograms(
    columns: Mapping[str, NDArray[Any]], weights: NDArray[np.float64] | None = None
) -> dict[str, list[float]]:
    """
    Return counts in the bins of all quantities; what lies outside of them is not counted.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape=(n_events,)
        `COLUMNS`, without events that have no parameters.
    weights : ndarray, shape=(n_events,), optional
        Of each event.
    """
    counts = {}
    for quantity in QUANTITIES:
        column = _HILLAS + ("r" if quantity == "cog_r" else quantity)
        values = np.asarray(columns[column], dtype=float) * _FACTOR[quantity]
        found, _ = np.histogram(values, bins=bin_edges(quantity), weights=weights)
        counts[quantity] = found.tolist()
    return counts


def cog_map(columns: Mapping[str, NDArray[Any]]) -> list[list[int]]:
    """Return counts of centres of gravity in squares over the camera: rows from below, left to right."""
    x, y = (np.asarray(columns[_HILLAS + name], dtype=float) * 1e3 for name in ("x", "y"))
    edges = np.linspace(-COG_REACH_MM, COG_REACH_MM, _COG_BINS + 1)
    return np.histogram2d(y, x, bins=(edges, edges))[0].astype(int).tolist()


def median_of(quantity: str, counts: Sequence[float]) -> float | None:
    """Return the median of a histogram, with straight lines within bins; None where it is empty."""
    total = float(sum(counts))
    if total <= 0:
        return None
    edges, log = bin_edges(quantity), QUANTITIES[quantity][5]
    places = np.log(edges) if log else edges
    found = float(np.interp(total / 2, np.concatenate([[0.0], np.cumsum(counts)]), places))
    return math.exp(found) if log else found


def expected_images(production: ProductionLayout, tel_id: int, conditions: Sequence[Node]) -> Facts:
    """
    Return how images of cosmic-ray protons and helium are distributed in the simulations nearest to a night.

    Parameters
    ----------
    production : ProductionLayout
        The simulations that the forests were trained with.
    tel_id : int
        21 or 22.
    conditions : sequence of Node
        Zenith angle, azimuth and night sky of the runs.

    Returns
    -------
    dict
        ``nodes``, ``n_events``, and for each quantity the lowest and the highest ``fraction`` per bin among
        the nodes, with its statistical error on either side.

    Raises
    ------
    InputError
        There are no simulated protons, or none near enough.
    """
    setup = f"tel_{tel_id % 20:03d}"
    files = {
        node: path
        for node in _nodes(production)
        if (path := production.dl2(_PROTON_ROLE[0], node, _PROTON_ROLE[1], setup)).is_file()
    }
    if not files:
        raise InputError(f"{production.root}: has no simulated protons of {setup} to compare with")
    try:
        chosen = sorted({nearest_node(files, wanted).node for wanted in conditions})
    except ModelMismatchError as error:
        raise InputError(str(error)) from error
    parts = [_distribution(files[node], setup) for node in chosen]
    facts: Facts = {
        "nodes": [str(node) for node in chosen],
        "files": [str(files[node]) for node in chosen],
        "n_events": sum(number for _, _, number in parts),
        "spectrum": "DAMPE_P_He_SPECTRUM",
        "quantities": {},
    }
    for quantity in QUANTITIES:
        values = np.array([fraction[quantity] for fraction, _, _ in parts])
        errors = np.array([error[quantity] for _, error, _ in parts])
        facts["quantities"][quantity] = {
            "low": np.clip(values - errors, 0, None).min(axis=0).tolist(),
            "high": (values + errors).max(axis=0).tolist(),
            "mean": values.mean(axis=0).tolist(),
        }
    return facts


def _nodes(production: ProductionLayout) -> list[Node]:
    found = []
    for path in sorted((production.root / "dl2" / _PROTON_ROLE[0]).glob("ze*")):
        try:
            found.append(Node.parse(path.name))
        except InputError:
            continue
    return found


def _distribution(path: Path, setup: str) -> tuple[dict[str, Any], dict[str, Any], int]:
    """Return fractions per bin with their errors, weighted to the spectrum of cosmic rays."""
    with explained_damage(path, "DL2 file"), tables.open_file(str(path)) as h5file:
        table = h5file.get_node(events_table(setup))
        step = max(1, -(-table.nrows // _ENOUGH))
        columns = {name: table.read(step=step, field=name) for name in (*COLUMNS, "true_energy")}
    weights = _weights(columns.pop("true_energy"), read_thrown(path).spectral_index)
    total = float(weights.sum()) or 1.0
    sums, squares = histograms(columns, weights), histograms(columns, weights**2)
    fractions = {name: np.array(values) / total for name, values in sums.items()}
    errors = {name: np.sqrt(values) / total for name, values in squares.items()}
    return fractions, errors, len(weights)


def _weights(energy_tev: NDArray[np.float64], index: float) -> NDArray[np.float64]:
    """Return weights in proportion to the flux of cosmic rays over that of the simulation."""
    import astropy.units as u
    from pyirf.spectral import DAMPE_P_He_SPECTRUM

    energy = np.asarray(energy_tev, dtype=float)
    flux = DAMPE_P_He_SPECTRUM(energy * u.TeV).to_value("TeV-1 cm-2 s-1 sr-1")
    return flux / energy**index
