"""Nodes that are left out: their counts from the responses of the others, with the chance of real samples."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table
from gammapy.irf import EffectiveAreaTable2D, EnergyDispersion2D
from gammapy.maps import MapAxis

from sst1m.irf.gadf import component_hdus
from sst1m.irf.left_out import area_uncertainty, inner_nodes, leave_out, predicted_counts
from sst1m.irf.spectra import spectrum_named
from sst1m.nodes import Node

CRAB = spectrum_named("CRAB_HEGRA")
NODES = [Node(zenith, 180, 100) for zenith in (20, 30, 40, 50, 60)]


def test_interpolation_beats_the_nearest_node_by_three_in_sum_and_bins(grid_irfs):
    results = [leave_out(grid_irfs, node) for node in inner_nodes(grid_irfs)]
    assert [left.node for left in results] == NODES[1:-1]
    for left in results:
        assert left.placement.nodes == tuple(NODES[NODES.index(left.node) + step] for step in (-1, 1))
        assert left.nearest in left.placement.nodes
    for errors in ("total_errors", "bin_errors"):
        made, near = np.abs([getattr(left, errors) for left in results]).T
        assert near.sum() > 3 * made.sum()
        assert np.all(near > 3 * made)


def test_counts_are_those_that_gammapy_folds(grid_irfs):
    irf = grid_irfs[NODES[0]]
    hdus = {hdu.name: Table.read(hdu) for hdu in component_hdus(irf)}
    area = EffectiveAreaTable2D.from_table(hdus["EFFECTIVE AREA"])
    dispersion = EnergyDispersion2D.from_table(hdus["ENERGY DISPERSION"])
    true = MapAxis.from_energy_bounds(0.5, 100, 200, unit="TeV", name="energy_true")
    reco = MapAxis.from_energy_edges(irf.bins.energy_reco, name="energy")
    offset = irf.bins.fov_offset.mean()
    flux = CRAB(true.center) * true.bin_width * 50 * u.h
    seen = (flux * area.evaluate(energy_true=true.center, offset=offset)).to_value(u.one)
    theirs = seen @ np.asarray(dispersion.to_edisp_kernel(offset, true, reco).pdf_matrix)
    ours = predicted_counts(irf, CRAB)
    # Below the centre of the first bin gammapy extrapolates the area, ours stays.
    np.testing.assert_allclose(ours[2:], theirs[2:], rtol=0.05)
    assert ours.sum() == pytest.approx(theirs.sum(), rel=0.05)


def test_the_uncertainty_is_that_of_the_simulated_events(grid_irfs, make_events, make_mc_config):
    node = NODES[0]
    events = make_events("gamma", node, n_showers=300_000, seed=0)
    chosen = events.table["gammaness"] > make_mc_config().analysis.global_gammaness_cut
    weights = events.table["true_energy"][chosen].value ** (-2.62 + 2.0)
    expected = np.sqrt((weights**2).sum()) / weights.sum()
    assert area_uncertainty(grid_irfs[node], CRAB) == pytest.approx(expected, rel=0.1)
    unknown = replace(grid_irfs[node], making={})
    assert np.isnan(area_uncertainty(unknown, CRAB))


def test_corners_lie_between_no_others():
    corners = [Node(zenith, 180, sky) for zenith in (20, 40) for sky in (100, 200)]
    assert inner_nodes(corners) == {}
    assert inner_nodes(corners[:1]) == {}
    middle = Node(30, 180, 140)
    found = inner_nodes([*corners, middle])
    assert list(found) == [middle]
    assert sum(found[middle].weights) == pytest.approx(1)
