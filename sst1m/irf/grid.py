"""Where an observation lies among the nodes of a production: in which simplex, and with which weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.spatial import Delaunay, QhullError

from ..nodes import Node, nearest_node

__all__ = ["AXES", "Placement", "place"]

#: Coordinates in which responses are smooth, see `Node.coordinates`.
AXES = ("sec(zenith)", "sin(angle to the field)", "ln(night sky)")

_ROUNDING = 1e-9
#: Weights below this are those of nodes that do not contribute.
_NEGLIGIBLE = 1e-6
#: A production of one zenith angle says nothing about others, but near it the response is still good.
_TOLERATED_AIR_MASS = 0.075
#: The line between two nodes of one azimuth is no straight one in these coordinates [mean spacings].
_BULGE = 0.1
_HEAVY = 1e6


@dataclass(frozen=True)
class Placement:
    """
    Nodes that contribute to a point, and how much each does.

    Parameters
    ----------
    nodes : tuple of Node
        Contributing, in rising order.
    weights : tuple of float
        Of each; the sum is 1. Negative ones only where `kind` is "outside".
    kind : {"inside", "outside", "nearest"}
        Interpolated; extrapolated from the simplex that needs it least, within a step of the hull; or the
        nearest node alone, because the point lies further out or the nodes span nothing.
    axes : tuple of str
        Coordinates in which the nodes differ.
    """

    nodes: tuple[Node, ...]
    weights: tuple[float, ...]
    kind: Literal["inside", "outside", "nearest"]
    axes: tuple[str, ...]


def place(nodes: Sequence[Node], wanted: Node, *, max_distance: float = 2.0) -> Placement:
    """
    Find the nodes and weights by which a linear function of the coordinates is interpolated.

    Axes on which all nodes agree are left out. The others are measured in the mean spacing of the nodes, so
    that the triangulation does not depend on units; it does not depend on the order of the nodes either.

    Parameters
    ----------
    nodes : sequence of Node
        What there is.
    wanted : Node
        Conditions of the observation.
    max_distance : float
        Largest distance to the nearest node, in the steps of `nearest_node`.

    Raises
    ------
    ModelMismatchError
        If no node is near enough.
    """
    known = sorted(set(nodes))
    nearest = nearest_node(known, wanted, max_distance=max_distance)
    used, points, target = _scaled(known, wanted)
    axes = tuple(AXES[axis] for axis in used)
    kind: Literal["inside", "outside", "nearest"] = "inside"
    off_zenith = abs(known[0].coordinates[0] - wanted.coordinates[0])
    if 0 not in used and off_zenith > _TOLERATED_AIR_MASS:
        kind = "nearest"
    if not used:
        return Placement((nearest.node,), (1.0,), kind, axes)
    simplices = _simplices(points)
    if kind == "nearest" or len(simplices) == 0:
        return Placement((nearest.node,), (1.0,), "nearest", axes)
    weights, vertices = _mildest(points, simplices, target)
    if weights.min() < -_NEGLIGIBLE:
        border = _nearest_in_hull(points, target)
        distance = float(np.linalg.norm(border - target))
        if distance > 1:
            return Placement((nearest.node,), (1.0,), "nearest", axes)
        kind = "inside" if distance < _BULGE else "outside"
        if kind == "inside":
            weights, vertices = _mildest(points, simplices, border)
            weights = np.clip(weights, 0, None)
    kept = np.abs(weights) > _NEGLIGIBLE
    weights, vertices = weights[kept] / weights[kept].sum(), vertices[kept]
    order = np.argsort(vertices)
    chosen = tuple(known[vertex] for vertex in vertices[order])
    return Placement(chosen, tuple(weights[order].tolist()), kind, axes)


def _scaled(known: list[Node], wanted: Node) -> tuple[list[int], NDArray[np.float64], NDArray[np.float64]]:
    """Return the axes on which nodes differ, and nodes and target in units of the mean spacing."""
    values = [{n.zenith_deg for n in known}, {n.azimuth_deg % 360 for n in known}, {n.nsb_mhz for n in known}]
    used = [axis for axis in range(3) if len(values[axis]) > 1]
    points = np.array([node.coordinates for node in known])[:, used]
    counts = np.array([len(values[axis]) for axis in used], dtype=float)
    spacing = np.ptp(points, axis=0) / (counts - 1)
    # Two azimuths on both sides of the field have the same angle to it: the axis says nothing then.
    telling = spacing > _ROUNDING
    used = [axis for axis, tells in zip(used, telling, strict=True) if tells]
    target = np.array(wanted.coordinates)[used]
    return used, points[:, telling] / spacing[telling], target / spacing[telling]


def _simplices(points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the vertices of all simplices, shape=(n_simplices, n_axes + 1); none if nodes span nothing."""
    n_points, n_axes = points.shape
    if n_axes == 1:
        order = np.argsort(points[:, 0])
        distinct = order[np.append(True, np.diff(points[order, 0]) > _ROUNDING)]
        return np.array(list(pairwise(distinct)), dtype=np.intp).reshape(-1, 2)
    if n_points <= n_axes:
        return np.empty((0, n_axes + 1), dtype=np.intp)
    try:
        found = Delaunay(points).simplices.astype(np.intp)
    except QhullError:
        return np.empty((0, n_axes + 1), dtype=np.intp)
    return found[[np.linalg.cond(_barycentric(points[vertices])) < _HEAVY for vertices in found]]


def _barycentric(vertices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix that takes barycentric weights to a point and their sum."""
    return np.vstack([vertices.T, np.ones(len(vertices))])


def _mildest(
    points: NDArray[np.float64], simplices: NDArray[np.intp], target: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return barycentric weights and vertices of the simplex that contains a point or extrapolates least."""
    wanted = np.append(target, 1.0)
    weights = [np.linalg.solve(_barycentric(points[vertices]), wanted) for vertices in simplices]
    # Of equal ones the first; rounding does not decide.
    best = int(np.argmin(np.round([np.abs(w).sum() for w in weights], 9)))
    return weights[best], simplices[best]


def _nearest_in_hull(points: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the point of the convex hull of the nodes that is nearest to a point."""
    # Non-negative weights that sum to one reach exactly the points of the hull.
    system = np.vstack([points.T - target[:, np.newaxis], np.full(len(points), _HEAVY)])
    weights, _ = nnls(system, np.append(np.zeros(len(target)), _HEAVY))
    return points.T @ (weights / weights.sum())
