"""Responses between nodes, and averages over an observation."""

from collections.abc import Sequence
from dataclasses import replace

import astropy.units as u
import numpy as np
from numpy.typing import NDArray
from pyirf.interpolation import (
    DiscretePDFComponentEstimator,
    ParametrizedComponentEstimator,
    PDFNormalization,
    QuantileInterpolator,
)
from pyirf.interpolation.moment_morph_interpolator import moment_morph_estimation
from pyirf.utils import cone_solid_angle

from ..nodes import Node
from .bins import IrfBins
from .cuts import GammanessCuts
from .responses import IrfSet
from .threshold import aligned_areas

__all__ = ["average_irfs", "combine_irfs"]

Array = NDArray[np.float64]

#: Parts that bins are split into before their densities are moved.
_FINER = 10


def combine_irfs(irfs: Sequence[IrfSet], weights: Sequence[float], node: Node) -> IrfSet:
    """
    Return the response at a point that is the weighted mean of nodes.

    Effective areas are moved along the energy until their thresholds coincide (`aligned_areas`) and then
    averaged; beyond the nodes their logarithms are. The background follows linearly in its logarithm where
    all nodes have any, linearly in itself where some have none. The energy dispersion follows by moment
    morphing (Baak et al. 2015, NIM A 771, 39), the PSF by its quantiles (Hollister & Pang 2013,
    UCSC-SOE-13-13), outside of the nodes by moment morphing as well; all as pyirf does it. Rows that are
    empty at some node are left to the others; they stay empty where all are.

    Parameters
    ----------
    irfs : sequence of IrfSet
        With the same axes; their arrays are left as they are.
    weights : sequence of float
        Barycentric weight of each; sum 1, negative ones extrapolate.
    node : Node
        The point.
    """
    first = irfs[0]
    if len(irfs) == 1:
        return replace(first, node=node)
    w = np.asarray(weights, dtype=np.float64)
    bins = first.bins
    dispersion = np.stack([np.moveaxis(irf.energy_dispersion, 1, -1) for irf in irfs])
    dispersion = _morphed(_fill_empty(dispersion, w), w, bins.migration)
    return replace(
        first,
        effective_area=_area([irf.effective_area for irf in irfs], w, bins),
        energy_dispersion=np.moveaxis(dispersion, -1, 1),
        psf=None if first.psf is None else _psf(np.stack([_present(irf.psf) for irf in irfs]), w, bins),
        background=_positive(np.stack([irf.background for irf in irfs]), w),
        cuts=_cuts([irf.cuts for irf in irfs], w),
        node=node,
        making=_shared(irfs),
    )


def _present(psf: Array | None) -> Array:
    if psf is None:
        raise ValueError("one of the responses is point-like, the others are not")
    return psf


def _shared(irfs: Sequence[IrfSet]) -> dict[str, object]:
    """Return what was the same in the making of all; counts of single nodes say nothing about the mean."""
    first = irfs[0].making
    return {name: value for name, value in first.items() if all(o.making.get(name) == value for o in irfs)}


def _grid(weights: Array) -> tuple[Array, Array]:
    """
    Return nodes and target in coordinates of their simplex: the weights of all nodes but the last.

    Interpolation within a simplex is the same in all coordinates that depend linearly on each other; in these
    no axis is degenerate and none is longer than another.
    """
    n_nodes = len(weights)
    return np.eye(n_nodes)[:, :-1], weights[np.newaxis, :-1]


def _is_inside(weights: Array) -> bool:
    return bool(np.all(weights >= 0))


def _parameters(values: Array, weights: Array) -> Array:
    """Return parameters at the target, linear in the coordinates; values shape=(n_nodes, ...)."""
    if not _is_inside(weights):
        # The same sum as pyirf's extrapolator, which ends at two axes.
        return np.tensordot(weights, values, axes=1)
    points, target = _grid(weights)
    return ParametrizedComponentEstimator(points, values)(target)[0]


def _area(areas: Sequence[Array], weights: Array, bins: IrfBins) -> Array:
    solid_angle = np.diff(cone_solid_angle(bins.fov_offset)).to_value(u.sr)
    aligned = aligned_areas(np.stack(areas), weights, bins.energy_true.to_value(u.TeV), solid_angle)
    # Beyond the nodes a sum with negative weights could leave nothing of a small area: logarithms cannot.
    return _parameters(aligned, weights) if _is_inside(weights) else _positive(aligned, weights)


def _positive(values: Array, weights: Array) -> Array:
    everywhere = np.all(values > 0, axis=0)
    logarithmic = np.exp(_parameters(np.log(np.where(everywhere, values, 1)), weights))
    return np.where(everywhere, logarithmic, np.clip(_parameters(values, weights), 0, None))


def _psf(psf: Array, weights: Array, bins: IrfBins) -> Array:
    """Return the PSF at the target: its shape in the configured bins, and what the wide bins hold."""
    solid_angle = np.diff(cone_solid_angle(bins.source_offset)).to_value(u.sr)
    n = bins.n_source_offset
    probability = _fill_empty(psf * solid_angle, weights)
    # Quantiles and moments need bins of equal width, which only the configured ones are.
    edges = bins.source_offset[: n + 1].to_value(u.rad)
    core = _fill_empty(_normalised(probability[..., :n], np.ones(n)), weights)
    shape = (_quantiles if _is_inside(weights) else _morphed_radii)(core, weights, edges)
    outer = np.clip(_parameters(probability[..., n:], weights), 0, None)
    contained = np.clip(1 - outer.sum(axis=-1, keepdims=True), 0, 1)
    result = np.concatenate([shape * contained, outer], axis=-1)
    present = probability.sum(axis=(0, -1))[..., np.newaxis] > 0
    return _normalised(np.where(present, result, 0) / solid_angle, solid_angle)


def _quantiles(probability: Array, weights: Array, edges: Array) -> Array:
    """Return probabilities per bin of radius [rad] at a target within the nodes."""
    solid_angle = np.diff(cone_solid_angle(edges * u.rad)).to_value(u.sr)
    points, target = _grid(weights)
    kwargs = {"normalization": PDFNormalization.CONE_SOLID_ANGLE}
    with np.errstate(invalid="ignore", divide="ignore"):
        estimator = DiscretePDFComponentEstimator(
            points, edges, probability / solid_angle, QuantileInterpolator, interpolator_kwargs=kwargs
        )
        result = np.nan_to_num(estimator(target)[0]) * solid_angle
    result = _else_mixed(result, probability, weights, np.ones(len(solid_angle)))
    return _normalised(_without_hole(result / solid_angle, probability, weights) * solid_angle, np.ones(1))


def _without_hole(densities: Array, probability: Array, weights: Array) -> Array:
    """Return the densities with the core filled, which narrow bins have below the first quantile."""
    first = np.argmax(densities > 0, axis=-1)[..., np.newaxis]
    core = np.take_along_axis(densities, first, axis=-1)
    in_hole = (np.arange(densities.shape[-1]) < first) & (np.tensordot(weights, probability, axes=1) > 0)
    return np.where(in_hole, core, densities)


def _morphed_radii(probability: Array, weights: Array, edges: Array) -> Array:
    """Return probabilities per bin of radius [rad] at a target beyond the nodes."""
    # A density in radius may be moved and stretched, one in solid angle would get a hole in its middle.
    return _morphed(probability / np.diff(edges), weights, edges) * np.diff(edges)


def _morphed(densities: Array, weights: Array, edges: Array) -> Array:
    """
    Return densities at the target, normalised over the last axis; empty where all nodes are.

    Parameters
    ----------
    densities : ndarray, shape=(n_nodes, ..., n_bins)
        At the nodes.
    weights : ndarray, shape=(n_nodes,)
        Barycentric.
    edges : ndarray, shape=(n_bins + 1,)
        Of the last axis.
    """
    n_bins = len(edges) - 1
    # pyirf looks densities up by whole bins. Moves are much smaller than ours, so it gets finer ones: a copy,
    # as it also writes into the array that it gets.
    fine = np.interp(np.arange(n_bins * _FINER + 1) / _FINER, np.arange(n_bins + 1), edges)
    repeated = np.repeat(densities, _FINER, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        # The function behind pyirf's interpolator class, which itself ends at two axes.
        result = moment_morph_estimation(fine, repeated, weights, PDFNormalization.AREA)[0]
    result = np.nan_to_num(result).reshape(*result.shape[:-1], n_bins, _FINER).mean(axis=-1)
    return _else_mixed(result, densities, weights, np.diff(edges))


def _else_mixed(result: Array, densities: Array, weights: Array, width: Array) -> Array:
    """Return the result clipped and normalised; where nothing is left of it, the mean of the nodes."""
    result = _normalised(np.clip(result, 0, None), width)
    mixed = np.tensordot(np.clip(weights, 0, None), densities, axes=1)
    lost = result.sum(axis=-1, keepdims=True) == 0
    return np.where(lost, _normalised(mixed, width), result)


def _fill_empty(densities: Array, weights: Array) -> Array:
    """Return a copy in which rows that are empty at a node hold the mean of the other nodes."""
    filled = densities.copy()
    present = densities.sum(axis=-1, keepdims=True) > 0
    share = present * np.abs(weights).reshape(-1, *[1] * (densities.ndim - 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nan_to_num((share * densities).sum(axis=0) / share.sum(axis=0))
    return np.where(present, filled, mean)


def _normalised(densities: Array, width: Array) -> Array:
    integral = (densities * width).sum(axis=-1, keepdims=True)
    return np.divide(densities, integral, out=np.zeros_like(densities), where=integral > 0)


def _cuts(cuts: Sequence[GammanessCuts], weights: Array) -> GammanessCuts:
    """Return the cut at the target, so that data can be selected as the response says."""
    tables = [cut.table for cut in cuts if cut.table is not None]
    if not tables:
        return cuts[0]
    table = tables[0].copy()
    values = np.stack([np.asarray(one["cut"], dtype=np.float64) for one in tables])
    table["cut"] = np.clip(np.tensordot(weights, values, axes=1), values.min(axis=0), values.max(axis=0))
    return replace(cuts[0], table=table)


def average_irfs(irfs: Sequence[IrfSet], live_times: Sequence[float], node: Node) -> IrfSet:
    """
    Return the response of an observation from those of its slices.

    The effective area is the mean over live time, the background as well. Energy dispersion and PSF are means
    over the events that a slice contributes: over live time times effective area.

    Parameters
    ----------
    irfs : sequence of IrfSet
        Of the slices.
    live_times : sequence of float
        Of the slices [s].
    node : Node
        Mean conditions.
    """
    if len(irfs) == 1:
        return replace(irfs[0], node=node)
    time = np.asarray(live_times, dtype=np.float64) / np.sum(live_times)
    areas = np.stack([irf.effective_area for irf in irfs])
    bins = irfs[0].bins
    exposure = time[:, np.newaxis, np.newaxis] * areas
    rows = _nearest_rows(bins.energy_true, bins.energy_dispersion)
    dispersion = _mean_density(
        [np.moveaxis(irf.energy_dispersion, 1, -1) for irf in irfs], exposure[:, rows], time
    )
    psf = None
    if irfs[0].psf is not None:
        psf = _mean_density([_present(irf.psf) for irf in irfs], exposure, time)
    return replace(
        irfs[0],
        effective_area=np.tensordot(time, areas, axes=1),
        energy_dispersion=np.moveaxis(dispersion, -1, 1),
        psf=psf,
        background=np.tensordot(time, np.stack([irf.background for irf in irfs]), axes=1),
        cuts=_cuts([irf.cuts for irf in irfs], time),
        node=node,
        making=_shared(irfs),
    )


def _nearest_rows(coarse: u.Quantity, fine: u.Quantity) -> NDArray[np.intp]:
    """Return for each bin of the fine axis the bin of the coarse one that its centre lies in."""
    centres = np.sqrt(fine[:-1] * fine[1:])
    return np.clip(np.searchsorted(coarse, centres) - 1, 0, len(coarse) - 2)


def _mean_density(densities: Sequence[Array], exposure: Array, time: Array) -> Array:
    """Return mean densities; where no slice has any area, the mean over live time."""
    stacked = np.stack(densities)
    share = np.where(exposure.sum(axis=0) > 0, exposure, time[:, np.newaxis, np.newaxis])
    present = stacked.sum(axis=-1) > 0
    share = np.where(present, share, 0)
    total = share.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.nan_to_num(share / total)
    return (share[..., np.newaxis] * stacked).sum(axis=0)
