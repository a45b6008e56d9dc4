"""The tree of responses: found by names, read when needed, and never mixed."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable

from sst1m.errors import InputError, ModelMismatchError
from sst1m.irf.catalogue import IrfCatalogue
from sst1m.irf.cuts import GammanessCuts
from sst1m.irf.gadf import COMPONENTS, read_irfs, write_irfs
from sst1m.irf.maker import build_irfs, make_irfs
from sst1m.irf.optimise import make_cut_table
from sst1m.layout_mc import irf_path
from sst1m.nodes import Node

NODES = [Node(z, 180, n) for z in (20, 40) for n in (100, 200)]


@pytest.fixture(scope="module")
def config(make_mc_config: Callable):
    return make_mc_config(nbins_source_offset=21, n_energy_bins=9, n_bins_migration=21, nbins_fov_offset=3)


@pytest.fixture(scope="module")
def tree(make_events: Callable, config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("irfs")
    for i, node in enumerate(NODES):
        gamma = make_events("gamma", node, n_showers=300_000, seed=i)
        proton = make_events("proton", node, n_showers=300_000, seed=i)
        tables = (GammanessCuts.from_config(config), make_cut_table("efficiency", gamma, None, config))
        for cuts in tables:
            path = irf_path(root, "stereo", "0_1", node, cuts.tag)
            make_irfs(path, gamma, proton, cuts=cuts, config=config, node=node, setup="stereo")
    return root


@pytest.fixture
def own_tree(tree: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tree, tmp_path / "irfs"))


def test_the_tree_is_known_by_its_names(tree):
    catalogue = IrfCatalogue(tree, "stereo", "0.75")
    assert catalogue.nodes == tuple(sorted(NODES))
    assert catalogue.version == "0_1"
    expected = "data/sst1m_stereo/0_1/bcf/ze20_az180_nsb100_gc0.75/SST1M_stereo_Zen20deg_gcut0.75_irfs.fits"
    assert catalogue.path(NODES[0]) == tree / expected


def test_only_what_is_needed_is_opened(own_tree):
    for node in NODES[1:]:
        irf_path(own_tree, "stereo", "0_1", node, "0.75").write_bytes(b"broken")
    choice = IrfCatalogue(own_tree, "stereo", "0.75").for_observation(NODES[0])
    assert choice.nodes == (NODES[0],)
    with pytest.raises(InputError, match="its 6 bytes are not the .* damaged"):
        IrfCatalogue(own_tree, "stereo", "0.75").for_observation(Node(30, 180, 140))


def test_foreign_names_are_left_alone(own_tree):
    bcf = own_tree / "data/sst1m_stereo/0_1/bcf"
    for name in ("ze30_az180_gc0.75", "ze30.0_az180_nsb100_gc0.75", "ze30_az180_nsb100_gc0.750"):
        (bcf / name).mkdir()
        (bcf / name / "SST1M_stereo_Zen30deg_gcut0.75_irfs.fits").touch()
    (bcf / "ze20_az180_nsb100_gc0.75" / ".SST1M_stereo_Zen20deg_gcut0.75_irfs.x.part.fits").touch()
    (bcf / "ze40_az180_nsb100_gc0.75" / "SST1M_stereo_Zen20deg_gcut0.75_irfs.fits").touch()
    assert IrfCatalogue(own_tree, "stereo", "0.75").nodes == tuple(sorted(NODES))


def test_what_is_not_there_is_said(tree, tmp_path):
    with pytest.raises(InputError, match="gammaness tag 0.6; make them with sst1m make-irfs"):
        IrfCatalogue(tree, "stereo", "0.6")
    with pytest.raises(InputError, match="version 0_9; there are versions 0_1"):
        IrfCatalogue(tree, "stereo", "0.75", version="0_9")
    with pytest.raises(InputError, match="tel_021"):
        IrfCatalogue(tmp_path, "tel_001", "0.75")


def test_the_newest_version_counts(own_tree):
    shutil.copytree(own_tree / "data/sst1m_stereo/0_1", own_tree / "data/sst1m_stereo/0_10")
    shutil.copytree(own_tree / "data/sst1m_stereo/0_1", own_tree / "data/sst1m_stereo/0_9")
    assert IrfCatalogue(own_tree, "stereo", "0.75").version == "0_10"


def test_a_node_gives_its_own_response(tree):
    choice = IrfCatalogue(tree, "stereo", "0.75").for_observation(NODES[2])
    truth = read_irfs(irf_path(tree, "stereo", "0_1", NODES[2], "0.75"))
    assert np.array_equal(choice.irf.psf, truth.psf)
    assert (choice.nodes, choice.weights) == ((NODES[2],), (1.0,))
    assert choice.flags == {"IRFEXTR": False, "IRFNEAR": False}


def test_between_nodes_the_choice_is_in_the_header(tree):
    wanted = Node(30, 150, 140)
    choice = IrfCatalogue(tree, "stereo", "0.75").for_observation(wanted)
    assert [hdu.name for hdu in choice.hdus] == [*COMPONENTS, "IRF_NODES"]
    assert len(choice.nodes) == 3
    assert sum(choice.weights) == pytest.approx(1)
    for hdu in choice.hdus:
        header = hdu.header
        assert (header["IRFMETH"], header["IRFEXTR"], header["IRFNEAR"]) == ("interpolate", False, False)
        for i, (node, weight) in enumerate(zip(choice.nodes, choice.weights, strict=True), start=1):
            assert header[f"IRFNODE{i}"] == str(node)
            assert header[f"IRFWGT{i}"] == pytest.approx(weight)
        values = [header[f"IRFX{i}"] for i in (1, 2, 3)]
        assert values == pytest.approx(list(wanted.coordinates))
    assert choice.header["IRFMETH"][0] == "interpolate"
    table = QTable.read(choice.hdus[-1])
    assert table["NODE"].tolist() == [str(node) for node in choice.nodes]
    assert table["WEIGHT"].tolist() == pytest.approx(list(choice.weights))
    choice.irf.check("choice")
    # Counts of single nodes would be a lie here, what they share is not.
    assert "NTHRGAM" in choice.irf.making
    assert "NSELGAM" not in choice.irf.making
    assert choice.hdus[0].header["LO_THRES"] > 0.5


def test_the_interpolated_response_is_between_those_of_the_nodes(tree):
    catalogue = IrfCatalogue(tree, "stereo", "0.75")
    choice = catalogue.for_observation(Node(30, 180, 140))
    areas = np.stack([catalogue.read(node).effective_area for node in choice.nodes])
    assert np.all(choice.irf.effective_area <= areas.max(axis=0) * (1 + 1e-9))
    assert np.all(choice.irf.effective_area >= areas.min(axis=0) * (1 - 1e-9))


def test_the_nearest_node_is_an_option(tree):
    catalogue = IrfCatalogue(tree, "stereo", "0.75")
    choice = catalogue.for_observation(Node(28, 150, 110), method="nearest")
    assert (choice.nodes, choice.header["IRFMETH"][0]) == ((NODES[0],), "nearest")
    assert choice.flags == {"IRFEXTR": False, "IRFNEAR": True}
    assert np.array_equal(choice.irf.effective_area, catalogue.read(NODES[0]).effective_area)


def test_beyond_the_nodes_the_choice_is_flagged(tree):
    catalogue = IrfCatalogue(tree, "stereo", "0.75")
    outside = catalogue.for_observation(Node(44, 180, 150))
    assert outside.flags == {"IRFEXTR": True, "IRFNEAR": False}
    assert outside.hdus[0].header["IRFEXTR"]
    far = catalogue.for_observation(Node(20, 180, 480))
    assert far.flags == {"IRFEXTR": False, "IRFNEAR": True}
    assert far.nodes == (NODES[1],)
    with pytest.raises(ModelMismatchError, match="lie out of the nodes"):
        catalogue.for_observation(Node(20, 180, 480), strict=True)
    with pytest.raises(ModelMismatchError, match="a nearer node is needed"):
        catalogue.for_observation(Node(60, 180, 100))


def test_an_observation_averages_over_its_slices(tree):
    catalogue = IrfCatalogue(tree, "stereo", "0.75")
    slices = [(60.0, Node(z, 180, 130)) for z in np.linspace(25, 32, 8)]
    choice = catalogue.average_over(slices)
    single = [catalogue.for_observation(node).irf.effective_area for _, node in slices]
    np.testing.assert_allclose(choice.irf.effective_area, np.mean(single, axis=0), rtol=5e-3)
    assert sum(choice.weights) == pytest.approx(1)
    assert choice.header["IRFX1"][0] == pytest.approx(1 / np.cos(np.deg2rad(28.5)), rel=1e-3)
    steady = catalogue.average_over([(60.0, Node(30, 180, 150))] * 20)
    alone = catalogue.for_observation(Node(30, 180, 150))
    np.testing.assert_allclose(steady.irf.psf, alone.irf.psf, rtol=1e-9)
    with pytest.raises(InputError, match="without live time"):
        catalogue.average_over([(0.0, NODES[0])])


def test_slices_around_north_do_not_turn_to_the_south(tree):
    slices = [(60.0, Node(30, azimuth, 130)) for azimuth in (359, 1)]
    choice = IrfCatalogue(tree, "stereo", "0.75").average_over(slices)
    assert choice.irf.node.azimuth_deg % 360 == pytest.approx(0, abs=1e-6)
    assert choice.irf.node.zenith_deg == pytest.approx(30, abs=0.01)


def test_energy_dependent_cuts_follow_the_response(tree):
    catalogue = IrfCatalogue(tree, "stereo", "energydep")
    choice = catalogue.for_observation(Node(30, 180, 140))
    values = np.stack([catalogue.read(node).cuts.table["cut"] for node in choice.nodes])
    mean = np.array(choice.weights) @ values
    np.testing.assert_allclose(choice.irf.cuts.table["cut"], mean)
    assert [hdu.name for hdu in choice.hdus][-2:] == ["GH_CUTS", "IRF_NODES"]


def _spoil(tree: Path, make: Callable, config, **changes) -> None:
    """Replace the response of the last node by one that was made in another way."""
    node = NODES[-1]
    events = [make(kind, node, n_showers=200_000) for kind in ("gamma", "proton")]
    request = {"cuts": GammanessCuts.from_config(config), "config": config, "node": node, "setup": "stereo"}
    irf = replace(build_irfs(*events, **request), **changes)
    write_irfs(irf, irf_path(tree, "stereo", "0_1", node, "0.75"))


def test_nodes_of_different_kind_are_never_mixed(own_tree, make_events, make_mc_config, config):
    def choose() -> None:
        IrfCatalogue(own_tree, "stereo", "0.75").for_observation(Node(35, 180, 180))

    choose()
    _spoil(own_tree, make_events, make_mc_config(nbins_source_offset=31, n_energy_bins=9))
    with pytest.raises(ModelMismatchError, match=r"has other bins \(.*source_offset"):
        choose()
    _spoil(own_tree, make_events, config, making={"ANALYSIS": "another"})
    with pytest.raises(ModelMismatchError, match="ANALYSIS is another"):
        choose()
    _spoil(own_tree, make_events, config, node=Node(20, 180, 100))
    with pytest.raises(ModelMismatchError, match="it has been renamed"):
        choose()
    _spoil(own_tree, make_events, config, cuts=GammanessCuts("global", value=0.6))
    with pytest.raises(ModelMismatchError, match="gammaness cut 0.6"):
        choose()


def test_the_products_of_the_tree_are_fits_with_provenance(tree):
    for path in sorted(tree.rglob("*.fits")):
        assert path.with_suffix(".json").is_file()
        with fits.open(path, checksum=True) as hdus:
            assert [hdu.name for hdu in hdus][1:5] == list(COMPONENTS)
        assert sorted(p.suffix for p in path.parent.iterdir()) == [".fits", ".json"]
