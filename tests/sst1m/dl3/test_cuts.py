"""Gammaness cuts by energy, and responses that do not fit the data."""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from ogadf_schema.irfs import AEFF_2D

from sst1m.checkpoint import write_json
from sst1m.config import config_from_dict
from sst1m.dl3.cuts import CutTables, GlobalCut
from sst1m.errors import ModelMismatchError
from sst1m.irf.cuts import GammanessCuts
from sst1m.layout_mc import irf_path
from sst1m.nodes import Node


def cut_table(level: float) -> GammanessCuts:
    """Return a cut that falls with energy; nothing passes above 40 TeV."""
    edges = np.geomspace(0.1, 40, 6) * u.TeV
    table = QTable({"low": edges[:-1], "high": edges[1:], "center": edges[:-1]})
    table["cut"] = level - 0.02 * np.arange(5)
    return GammanessCuts("efficiency", table=table, efficiency=0.7)


@pytest.fixture(scope="module")
def cut_dir(tmp_path_factory):
    """Return cut tables of three nodes, looser for larger zenith angles."""
    root = tmp_path_factory.mktemp("cuts")
    for zenith, level in ((20, 0.94), (30, 0.92), (40, 0.90)):
        directory = root / str(Node(zenith, 220, 100))
        directory.mkdir()
        cut_table(level).write(directory / "gammaness_cuts_efficiency_tel_001.h5")
    return root


@pytest.fixture(scope="module")
def irfs(cut_dir, write_irf_tree):
    return write_irf_tree(CutTables(cut_dir, "cs1"), (20, 30, 40))


@pytest.mark.filterwarnings("ignore:Unexpected header card")
def test_events_pass_the_cut_that_the_responses_were_made_with(
    cut_dir, irfs, export, tmp_path, make_dl2, new_run
):
    run = new_run()
    dl2 = make_dl2(tmp_path / "dl2", run)
    tables = CutTables(cut_dir, "cs1")
    for method in ("nearest", "interpolate"):
        path = export([dl2], tmp_path / method, cuts=tables, irfs=irfs, irf_method=method).files[0]
        with fits.open(path) as hdus:
            events, header = hdus["EVENTS"].data, hdus["EVENTS"].header
            cut = QTable.read(hdus["GH_CUTS"])
            AEFF_2D.validate_hdu(hdus["EFFECTIVE AREA"], onerror="raise")
        assert header["GHTAG"] == "energydep" and header["IRFMETH"] == method
        place = np.searchsorted(cut["low"].to_value(u.TeV), events["ENERGY"], side="right") - 1
        assert len(events) and np.all(events["GAMMANESS"] >= np.asarray(cut["cut"])[place])
        removed = {header[f"CUT{i}"]: header[f"NCUT{i}"] for i in range(1, 10) if f"CUT{i}" in header}
        assert removed["gammaness energydep"] > 0
        assert header["N_DL2"] == len(events) + sum(removed.values()) == run.n_events
    # nearest: the table of the node; between nodes: between their tables
    assert 0.90 < cut["cut"][0] < 0.94


def test_other_cuts_than_those_of_the_responses_are_refused(
    cut_dir, irfs, export, tmp_path, make_dl2, new_run
):
    dl2 = make_dl2(tmp_path / "dl2", new_run())
    other = tmp_path / "cuts"
    for zenith in (20, 30, 40):
        directory = other / str(Node(zenith, 220, 100))
        directory.mkdir(parents=True)
        cut_table(0.8).write(directory / "gammaness_cuts_efficiency_tel_001.h5")
    with pytest.raises(ModelMismatchError, match="other energy-dependent gammaness cuts"):
        export([dl2], tmp_path / "dl3", cuts=CutTables(other, "cs1"), irfs=irfs)
    with pytest.raises(ModelMismatchError, match="no energy-dependent cuts for the node"):
        export([dl2], tmp_path / "dl3", cuts=CutTables(tmp_path / "absent", "cs1"), irfs=irfs)
    assert not (tmp_path / "dl3").exists()


def test_another_global_cut_is_refused(
    config_document, write_irf_tree, export, tmp_path, make_dl2, new_run, cuts
):
    """The directory says 0.75, and so does the tag; the file inside was made with another value."""
    dl2 = make_dl2(tmp_path / "dl2", new_run())
    strict = GlobalCut(GammanessCuts("global", value=0.8))
    tree = write_irf_tree(strict, (20, 30, 40))
    for zenith in (20, 30, 40):
        path = irf_path(tree, "tel_021", "0_1", Node(zenith, 220, 100), "0.8")
        renamed = irf_path(tree, "tel_021", "0_1", Node(zenith, 220, 100), "0.75")
        renamed.parent.mkdir()
        path.rename(renamed)
    with pytest.raises(ModelMismatchError):
        export([dl2], tmp_path / "dl3", irfs=tree)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("event_selection.camera_frame_hillas_intensity", [70, 1000000]),
        ("analysis.stereo_delta_disp_cut_deg", 0.5),
        ("disp_method", "disp_vector"),
    ],
)
def test_responses_with_another_selection_are_refused(
    config_document, write_irf_tree, export, tmp_path, make_dl2, new_run, cuts, key, value
):
    dl2 = make_dl2(tmp_path / "dl2", new_run())
    tree = write_irf_tree(cuts, (20, 30, 40))
    same, other = (config_from_dict(config_document(changes)) for changes in ({}, {key: value}))
    for config, problem in ((same, ""), (other, key.removeprefix("event_selection.").split(".")[0])):
        for path in tree.rglob("*_irfs.fits"):
            write_json(path.with_suffix(".json"), {"config": {"values": config.canonical()}})
        if problem:
            with pytest.raises(ModelMismatchError, match="made with another (event_selection|analysis|disp)"):
                export([dl2], tmp_path / "dl3", irfs=tree)
        else:
            path = export([dl2], tmp_path / "dl3", irfs=tree).files[0]
            assert fits.getheader(path, "EVENTS")["IRFCHECK"] is True


def test_responses_without_a_record_are_marked(export, tmp_path, make_dl2, new_run):
    dl2 = make_dl2(tmp_path / "dl2", new_run())
    header = fits.getheader(export([dl2], tmp_path / "dl3").files[0], "EVENTS")
    assert header["IRFCHECK"] is False
