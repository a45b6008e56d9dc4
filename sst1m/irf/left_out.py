"""How well the responses of other nodes predict the counts of one: interpolated, and from the nearest."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from pyirf.utils import cone_solid_angle

from ..nodes import Node, nearest_node
from .grid import Placement, place
from .interpolate import combine_irfs
from .responses import IrfSet
from .spectra import GAMMA_SPECTRUM, Spectrum, spectrum_named

__all__ = ["LeftOutNode", "area_uncertainty", "inner_nodes", "leave_out", "predicted_counts"]

Array = NDArray[np.float64]

#: Exposure of the predicted counts.
_TIME = 50 * u.h


@dataclass(frozen=True, eq=False)
class LeftOutNode:
    """
    Counts of a source at a node, from its own response and from those of the others.

    Parameters
    ----------
    node : Node
        That was left out.
    placement : Placement
        Nodes and weights of the interpolation.
    nearest : Node
        Of the others, the one nearest to it.
    energy_edges : ndarray, shape=(n_bins + 1,)
        Reconstructed energy [TeV].
    own, interpolated, from_nearest : ndarray, shape=(n_bins,)
        Counts by the three responses.
    chance : float
        Relative statistical error of the sum of the own counts, from the number of simulated events.
    """

    node: Node
    placement: Placement
    nearest: Node
    energy_edges: Array
    own: Array
    interpolated: Array
    from_nearest: Array
    chance: float

    @cached_property
    def total_errors(self) -> tuple[float, float]:
        """Relative errors of the sum of the counts, with their signs: interpolated, nearest."""
        sums = [values.sum() / self.own.sum() - 1 for values in (self.interpolated, self.from_nearest)]
        return float(sums[0]), float(sums[1])

    @cached_property
    def bin_errors(self) -> tuple[float, float]:
        """Mean errors of the bins of energy, relative to the counts of all: interpolated, nearest."""
        sums = [np.abs(v - self.own).sum() / self.own.sum() for v in (self.interpolated, self.from_nearest)]
        return float(sums[0]), float(sums[1])


def inner_nodes(nodes: Iterable[Node]) -> dict[Node, Placement]:
    """Return the nodes that lie between others, and which those are with their weights."""
    known = sorted(set(nodes))
    if len(known) < 3:
        return {}
    placed = {node: _placed(known, node) for node in known}
    return {node: placement for node, placement in placed.items() if placement.kind == "inside"}


def _placed(known: list[Node], node: Node) -> Placement:
    return place([other for other in known if other != node], node, max_distance=math.inf)


def leave_out(irfs: Mapping[Node, IrfSet], node: Node) -> LeftOutNode:
    """
    Predict the counts of the Crab nebula at a node without its own response.

    Parameters
    ----------
    irfs : mapping of Node to IrfSet
        Responses of all nodes, made alike.
    node : Node
        One of `inner_nodes`.
    """
    others = [other for other in sorted(irfs) if other != node]
    placement = _placed(sorted(irfs), node)
    nearest = nearest_node(others, node, max_distance=math.inf).node
    made = combine_irfs([irfs[n] for n in placement.nodes], placement.weights, node)
    spectrum, own = spectrum_named(GAMMA_SPECTRUM), irfs[node]
    return LeftOutNode(
        node=node,
        placement=placement,
        nearest=nearest,
        energy_edges=own.bins.energy_reco.to_value(u.TeV),
        own=predicted_counts(own, spectrum),
        interpolated=predicted_counts(made, spectrum),
        from_nearest=predicted_counts(irfs[nearest], spectrum),
        chance=area_uncertainty(own, spectrum),
    )


def predicted_counts(irf: IrfSet, spectrum: Spectrum) -> Array:
    """
    Return the counts of a source in 50 h by bin of reconstructed energy; the mean over the field of view.

    Parameters
    ----------
    irf : IrfSet
        Response; of a point-like one the counts within its direction cut.
    spectrum : callable
        Flux of the source [TeV-1 cm-2 s-1].

    Returns
    -------
    ndarray, shape=(n_bins,)
        In the bins of the background.
    """
    bins = irf.bins
    edges, reco = bins.energy_dispersion, bins.energy_reco.to_value(u.TeV)
    centres = _centres(edges)
    # As gammapy reads an area between the centres of its bins.
    points = [np.log(energies.to_value(u.TeV)) for energies in (centres, _centres(bins.energy_true))]
    area = np.stack([np.interp(*points, curve) for curve in irf.effective_area.T], axis=1) * _share(irf)
    seen = (spectrum(centres) * np.diff(edges) * _TIME * u.m**2).to_value(u.one)[:, np.newaxis] * area
    steps = irf.energy_dispersion * np.diff(bins.migration)[:, np.newaxis]
    below = np.pad(np.cumsum(steps, axis=1), ((0, 0), (1, 0), (0, 0)))
    counts = np.zeros(len(reco) - 1)
    for energy, row, cumulated in zip(centres.to_value(u.TeV), seen, below, strict=True):
        for n, curve in zip(row, cumulated.T, strict=True):
            counts += n * np.diff(np.interp(reco / energy, bins.migration, curve))
    return counts


def _centres(edges: u.Quantity) -> u.Quantity:
    return np.sqrt(edges[:-1] * edges[1:])


def _share(irf: IrfSet) -> Array:
    """Return the part of the field of view that each bin of offset is."""
    solid_angle = np.diff(cone_solid_angle(irf.bins.fov_offset)).to_value(u.sr)
    return solid_angle / solid_angle.sum()


def area_uncertainty(irf: IrfSet, spectrum: Spectrum) -> float:
    """
    Return the relative statistical error of all counts of a source that a response predicts.

    The number of events behind an effective area follows from the showers that were thrown, which the
    response knows; NaN where it does not.
    """
    needed = ("NTHRGAM", "EMIN", "EMAX", "SPINDEX", "IMPACT", "VIEWCONE")
    if not all(name in irf.making for name in needed):
        return math.nan
    n_thrown, low, high, index, radius, cone = (float(irf.making[name]) for name in needed)
    edges = irf.bins.energy_true
    inside = np.clip(edges.to_value(u.TeV), low, high) ** (index + 1)
    share = np.diff(inside) / (high ** (index + 1) - low ** (index + 1))
    solid_angle = np.diff(cone_solid_angle(irf.bins.fov_offset)).to_value(u.sr)
    part = solid_angle / cone_solid_angle(cone * u.deg).to_value(u.sr) if cone > 0 else np.ones(1)
    n_events = irf.effective_area / (math.pi * radius**2) * n_thrown * share[:, np.newaxis] * part
    flux = (spectrum(_centres(edges)) * np.diff(edges)).to_value("cm-2 s-1")
    counts = flux[:, np.newaxis] * irf.effective_area * _share(irf)
    squares = np.divide(counts**2, n_events, out=np.zeros_like(counts), where=n_events > 0)
    return float(np.sqrt(squares.sum()) / counts.sum()) if counts.sum() > 0 else math.nan
