"""Responses between nodes, on an instrument whose response is known at every zenith angle."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import permutations, product

import astropy.units as u
import numpy as np
import pytest
from pyirf.utils import cone_solid_angle

from sst1m.errors import ModelMismatchError
from sst1m.irf.bins import IrfBins
from sst1m.irf.cuts import GammanessCuts
from sst1m.irf.grid import place
from sst1m.irf.interpolate import average_irfs, combine_irfs
from sst1m.irf.responses import IrfSet
from sst1m.nodes import Node
from sst1m.thrown import ThrownShowers

THROWN = ThrownShowers(1000, 0.5, 100.0, -2.0, 500.0, 0.0, 4.0)
COMPONENTS = ("effective_area", "energy_dispersion", "psf", "background")


def sec(node: Node) -> float:
    return 1 / np.cos(np.deg2rad(node.zenith_deg))


@pytest.fixture(scope="module")
def toy(make_mc_config: Callable) -> Callable[[Node], IrfSet]:
    """Return the exact response of a toy at any node: threshold, bias, width and rate follow the air mass."""
    config = make_mc_config(
        n_energy_bins=21, nbins_fov_offset=3, n_bins_migration=51, nbins_source_offset=501
    )
    bins = IrfBins.from_config(config, THROWN)
    energy = np.sqrt(bins.energy_true[1:] * bins.energy_true[:-1]).to_value(u.TeV)
    centre = 0.5 * (bins.migration[1:] + bins.migration[:-1])
    radius = (0.5 * (bins.source_offset[1:] + bins.source_offset[:-1])).to_value(u.deg)
    solid_angle = np.diff(cone_solid_angle(bins.source_offset)).to_value(u.sr)

    def make(node: Node) -> IrfSet:
        s, sky = sec(node), (node.nsb_mhz / 100) ** 0.3
        area = 4e5 * s**2 / (1 + (1.5 * s**3 * sky / energy) ** 3)
        migration = np.exp(-0.5 * ((centre - (0.8 + 0.2 * s)) / (0.25 * s**0.5)) ** 2)
        migration /= (migration * np.diff(bins.migration)).sum()
        psf = np.exp(-0.5 * (radius / (0.15 * s)) ** 2)
        psf /= (psf * solid_angle).sum()
        n_offset = len(bins.fov_offset) - 1
        reco = np.sqrt(bins.energy_reco[1:] * bins.energy_reco[:-1]).to_value(u.TeV)
        return IrfSet(
            effective_area=np.tile(area[:, None], (1, n_offset)),
            energy_dispersion=np.tile(migration[None, :, None], (len(bins.migration) - 1, 1, n_offset)),
            psf=np.tile(psf, (len(energy), n_offset, 1)),
            background=np.tile((1e-6 * s * sky * reco**-2.7)[:, None], (1, len(bins.background_offset) - 1)),
            bins=bins,
            cuts=GammanessCuts("global", value=0.75),
            node=node,
            setup="stereo",
        )

    return make


def interpolated(toy: Callable[[Node], IrfSet], nodes: Sequence[Node], wanted: Node) -> IrfSet:
    found = place(nodes, wanted, max_distance=9)
    return combine_irfs([toy(node) for node in found.nodes], found.weights, wanted)


def counts(irf: IrfSet) -> float:
    edges = irf.bins.energy_true.to_value(u.TeV)
    return float((irf.effective_area[:, 0] * -np.diff(edges**-1.6)).sum())


def total_variation(one: np.ndarray, other: np.ndarray, width: np.ndarray) -> float:
    return float(0.5 * (np.abs(one - other) * width).sum())


@pytest.mark.parametrize(("held_out", "tolerance"), [(30, 0.05), (40, 0.09), (50, 0.15)])
def test_leaving_a_zenith_angle_out_costs_little(toy, held_out, tolerance):
    nodes = [Node(z, 180, 100) for z in (20, 30, 40, 50, 60) if z != held_out]
    wanted = Node(held_out, 180, 100)
    truth, found = toy(wanted), interpolated(toy, nodes, wanted)

    assert counts(found) / counts(truth) == pytest.approx(1, abs=tolerance)
    width = np.diff(truth.bins.migration)
    one, other = found.energy_dispersion[5, :, 0], truth.energy_dispersion[5, :, 0]
    assert total_variation(one, other, width) < 0.01
    solid_angle = np.diff(cone_solid_angle(truth.bins.source_offset)).to_value(u.sr)
    assert total_variation(found.psf[5, 0], truth.psf[5, 0], solid_angle) < 0.01
    nearest = min(abs(counts(toy(n)) / counts(truth) - 1) for n in nodes)
    assert abs(counts(found) / counts(truth) - 1) < nearest / 3


GRIDS = {
    "2x1x2": [Node(z, 180, n) for z, n in product((20, 40), (100, 200))],
    "2x1x1": [Node(z, 180, 100) for z in (20, 40)],
    "1x1x2": [Node(30, 180, n) for n in (100, 200)],
    "2x2x1": [Node(z, a, 100) for z, a in product((20, 40), (0, 180))],
    "2x2x2": [Node(z, a, n) for z, a, n in product((20, 40), (0, 180), (100, 200))],
    "3x2x3": [Node(z, a, n) for z, a, n in product((20, 30, 40), (0, 180), (100, 150, 200))],
    "1x1x1": [Node(30, 180, 150)],
}


@pytest.mark.parametrize("name", GRIDS)
def test_all_grids_give_a_valid_response_within_their_nodes(toy, name):
    wanted = Node(30, 120, 140)
    found = place(GRIDS[name], wanted)

    assert found.kind == "inside"
    assert sum(found.weights) == pytest.approx(1)
    assert len(found.nodes) <= len(found.axes) + 1
    coordinates = np.array([node.coordinates for node in found.nodes])
    for axis, text in enumerate(("sec(zenith)", "sin(angle to the field)", "ln(night sky)")):
        if text in found.axes:
            mean = coordinates[:, axis] @ np.array(found.weights)
            assert mean == pytest.approx(wanted.coordinates[axis], abs=1e-9)
    interpolated(toy, GRIDS[name], wanted).check(name)


@pytest.mark.parametrize("name", GRIDS)
def test_at_a_node_the_response_is_that_of_the_node(toy, name):
    for node in GRIDS[name]:
        truth, found = toy(node), interpolated(toy, GRIDS[name], node)
        for component in COMPONENTS:
            np.testing.assert_allclose(getattr(found, component), getattr(truth, component), rtol=1e-10)


def test_the_response_is_continuous_towards_a_node(toy):
    near = interpolated(toy, GRIDS["2x1x2"], Node(20.01, 180, 100.1))
    assert counts(near) == pytest.approx(counts(toy(Node(20, 180, 100))), rel=2e-3)


def test_the_order_of_the_nodes_does_not_matter(toy):
    wanted = Node(28, 250, 130)
    nodes = GRIDS["2x2x1"]
    first = place(nodes, wanted)
    assert all(place(order, wanted) == first for order in permutations(nodes))
    one = combine_irfs([toy(n) for n in first.nodes], first.weights, wanted)
    other = combine_irfs([toy(n) for n in first.nodes[::-1]], first.weights[::-1], wanted)
    for component in COMPONENTS:
        np.testing.assert_allclose(getattr(one, component), getattr(other, component), rtol=1e-9, atol=1e-12)


def test_azimuths_are_the_same_around_north():
    nodes = GRIDS["2x2x1"]
    wrapped = [replace(node, azimuth_deg=360.0) if node.azimuth_deg == 0 else node for node in nodes]
    east, west = place(nodes, Node(25, 1e-3, 100)), place(nodes, Node(25, 360 - 1e-3, 100))
    assert east.nodes == west.nodes
    assert np.allclose(east.weights, west.weights, atol=1e-4)
    assert east.kind == "inside"
    assert {(n.zenith_deg, n.azimuth_deg) for n in east.nodes} == {(20, 0), (40, 0)}
    full = place(wrapped, Node(25, 1e-3, 100))
    by_zenith = {node.zenith_deg: weight for node, weight in zip(full.nodes, full.weights, strict=True)}
    assert by_zenith == pytest.approx(
        {n.zenith_deg: w for n, w in zip(east.nodes, east.weights, strict=True)}
    )


def test_what_goes_in_stays_as_it_is(toy):
    irfs = [toy(node) for node in GRIDS["2x1x2"]]
    irfs[0].effective_area[0] = 0
    before = [[getattr(irf, c).copy() for c in COMPONENTS] for irf in irfs]
    for weights in ([0.25] * 4, [0.5, 0.5, 0.5, -0.5]):
        combine_irfs(irfs, weights, Node(30, 180, 140))
    for irf, arrays in zip(irfs, before, strict=True):
        assert all(np.array_equal(getattr(irf, c), a) for c, a in zip(COMPONENTS, arrays, strict=True))


def test_beyond_the_nodes_it_extrapolates_for_a_step_and_then_takes_the_nearest(toy):
    nodes = [Node(z, 180, 100) for z in (20, 30, 40)]
    outside = place(nodes, Node(44, 180, 100))
    assert outside.kind == "outside"
    assert min(outside.weights) < 0
    found = combine_irfs([toy(n) for n in outside.nodes], outside.weights, Node(44, 180, 100))
    found.check("extrapolated")
    truth = toy(Node(44, 180, 100))
    assert abs(counts(found) / counts(truth) - 1) < abs(counts(toy(nodes[-1])) / counts(truth) - 1) / 3

    far = place(nodes, Node(54, 180, 100), max_distance=9)
    assert (far.kind, far.nodes, far.weights) == ("nearest", (Node(40, 180, 100),), (1.0,))
    with pytest.raises(ModelMismatchError, match="a nearer node is needed"):
        place(nodes, Node(60, 180, 100))


def test_extrapolation_works_on_three_axes(toy):
    nodes = GRIDS["2x2x2"]
    outside = place(nodes, Node(43, 90, 220))
    assert outside.kind == "outside"
    combine_irfs([toy(n) for n in outside.nodes], outside.weights, Node(43, 90, 220)).check("extrapolated")


def test_one_zenith_angle_says_nothing_about_others():
    nodes = GRIDS["1x1x2"]
    assert place(nodes, Node(31, 180, 150)).kind == "inside"
    assert place(nodes, Node(38, 180, 150)).kind == "nearest"
    assert place(GRIDS["1x1x1"], Node(38, 180, 150)).kind == "nearest"


def test_nodes_that_span_nothing_give_the_nearest():
    diagonal = [Node(20, 180, 100), Node(40, 180, 200)]
    found = place(diagonal, Node(22, 180, 110))
    assert (found.kind, found.nodes) == ("nearest", (diagonal[0],))


def test_a_sharp_threshold_stays_sharp_between_nodes(toy):
    def sharp(node: Node) -> IrfSet:
        irf = toy(node)
        energy = np.sqrt(irf.bins.energy_true[1:] * irf.bins.energy_true[:-1]).value
        area = 3e5 * sec(node) ** 2 / (1 + (1.5 * np.exp(2 * (sec(node) - 1)) / energy) ** 6)
        return replace(irf, effective_area=np.tile(area[:, np.newaxis], (1, 2)))

    nodes, wanted = [Node(20, 180, 100), Node(40, 180, 100)], Node(30, 180, 100)
    found = place(nodes, wanted)
    made, truth = combine_irfs([sharp(n) for n in found.nodes], found.weights, wanted), sharp(wanted)
    np.testing.assert_allclose(made.effective_area, truth.effective_area, rtol=0.06)
    mean = np.tensordot(found.weights, [sharp(n).effective_area for n in found.nodes], axes=1)
    assert np.abs(mean / truth.effective_area - 1).max() > 0.5


def test_sparse_areas_keep_their_events(toy):
    rng = np.random.default_rng(5)
    nodes, wanted = [Node(20, 180, 100), Node(40, 180, 100)], Node(30, 180, 100)
    found = place(nodes, wanted)
    exact = combine_irfs([toy(n) for n in found.nodes], found.weights, wanted)
    sums = []
    for _ in range(40):
        irfs = [toy(n) for n in found.nodes]
        sparse = [replace(i, effective_area=rng.poisson(i.effective_area / 2e5) * 2e5) for i in irfs]
        sums.append(counts(combine_irfs(sparse, found.weights, wanted)))
    assert np.mean(sums) == pytest.approx(counts(exact), rel=0.15)


def test_rows_that_are_empty_at_one_node_are_left_to_the_others(toy):
    nodes = GRIDS["2x1x1"]
    low, high = (toy(node) for node in nodes)
    for array in (high.effective_area, high.psf, high.energy_dispersion, low.psf):
        array[0] = 0
    low.psf[1] = 0
    found = combine_irfs([low, high], [0.25, 0.75], Node(35, 180, 100))
    found.check("with empty rows")
    assert found.effective_area[0, 0] == pytest.approx(0.25 * low.effective_area[0, 0], rel=0.2)
    np.testing.assert_allclose(found.energy_dispersion[0], low.energy_dispersion[0], atol=0.02)
    np.testing.assert_allclose(found.psf[1], high.psf[1], rtol=0.05, atol=0.01 * high.psf.max())
    assert not found.psf[0].any()


def test_sparse_histograms_stay_normalised(toy):
    rng = np.random.default_rng(4)
    irfs = []
    for node in GRIDS["2x1x2"]:
        irf = toy(node)
        width, solid_angle = np.diff(irf.bins.migration), np.diff(cone_solid_angle(irf.bins.source_offset))
        for array, axis_width in ((np.moveaxis(irf.energy_dispersion, 1, -1), width), (irf.psf, solid_angle)):
            drawn = rng.poisson(array * np.asarray(axis_width) * 4) / np.asarray(axis_width)
            total = (drawn * np.asarray(axis_width)).sum(axis=-1, keepdims=True)
            array[...] = np.divide(drawn, total, out=np.zeros_like(drawn), where=total > 0)
        irfs.append(irf)
    for weights in ([0.1, 0.2, 0.3, 0.4], [0.7, 0.7, 0.2, -0.6]):
        found = combine_irfs(irfs, weights, Node(30, 180, 140))
        found.check("sparse")
        assert np.all((found.psf.sum(axis=-1) > 0) == np.any([i.psf.sum(axis=-1) > 0 for i in irfs], axis=0))


def test_the_average_weights_densities_with_the_events_of_a_slice(toy):
    low, high = toy(Node(20, 180, 100)), toy(Node(50, 180, 100))
    mean = average_irfs([low, high], [600, 200], Node(30, 180, 100))
    mean.check("average")
    np.testing.assert_allclose(mean.effective_area, 0.75 * low.effective_area + 0.25 * high.effective_area)
    np.testing.assert_allclose(mean.background, 0.75 * low.background + 0.25 * high.background)
    share = 3 * low.effective_area[10, 0] / (3 * low.effective_area[10, 0] + high.effective_area[10, 0])
    np.testing.assert_allclose(mean.psf[10, 0], share * low.psf[10, 0] + (1 - share) * high.psf[10, 0])
    same = average_irfs([low, low, low], [1, 2, 3], Node(20, 180, 100))
    for component in COMPONENTS:
        np.testing.assert_allclose(getattr(same, component), getattr(low, component), rtol=1e-12)
