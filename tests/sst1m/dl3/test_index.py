"""The index: everything is found, over many nights and set-ups, and nothing twice."""

import gzip
import shutil

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from click.testing import CliRunner
from gammapy.data import DataStore

from sst1m.cli.index import index
from sst1m.dl3.index import HDU_INDEX, OBS_INDEX, write_index
from sst1m.errors import InputError

W2 = (82.87789, 22.0122)


@pytest.fixture(scope="module")
def night(tmp_path_factory, make_dl2, new_run, export):
    """Photon lists of telescope 1 (two wobbles) and of both telescopes (one), as a night has them."""
    root = tmp_path_factory.mktemp("nights") / "20240304" / "Crab"
    files = [
        make_dl2(root / "cs1" / "dl2", new_run(number=1)),
        make_dl2(root / "cs1" / "dl2", new_run(number=2, start_s=3600, axis=W2, nsb_mhz=110.0)),
    ]
    export(files, root / "cs1" / "dl3")
    stereo = make_dl2(root / "stereo" / "dl2", new_run(number=1, setup="stereo"))
    export([stereo], root / "stereo" / "dl3", setup="stereo")
    return root


@pytest.fixture
def lists(night):
    return sorted(night.glob("*/dl3/*.fits"))


def test_a_data_store_finds_all_components_of_every_observation(night):
    store = DataStore.from_dir(night / "cs1" / "dl3")
    assert store.obs_ids.tolist() == [2024030400011, 2024030400021]
    for observation in store.get_observations(required_irf="full-enclosure"):
        for name in ("events", "gti", "aeff", "edisp", "psf", "bkg"):
            assert getattr(observation, name) is not None
        assert observation.target_radec.ra.deg == pytest.approx(83.63308)
    assert sorted(store.hdu_table.hdu_class_unique) == sorted(
        ["aeff_2d", "bkg_2d", "edisp_2d", "events", "gti", "pointing", "psf_table"]
    )


def test_observations_are_chosen_by_target_zenith_and_time(night):
    table = DataStore.from_dir(night / "cs1" / "dl3").obs_table
    circle = {"type": "sky_circle", "frame": "icrs", "lon": "83.6 deg", "lat": "22 deg", "radius": "1 deg"}
    assert len(table.select_observations(circle)) == 2
    assert len(table.select_observations(circle | {"lon": "90 deg"})) == 0
    assert set(table["OBJECT"]) == {"Crab"}
    zenith = np.sort(table["ZEN_PNT"].quantity.to_value("deg"))
    assert zenith[1] - zenith[0] > 3
    low = {"type": "par_box", "variable": "ZEN_PNT", "value_range": [0, zenith.mean()] * u.deg}
    assert table.select_observations(low)["OBS_ID"].tolist() == [2024030400011]
    times = Time(["2024-03-04T18:59:00", "2024-03-04T19:05:00"], scale="utc")
    early = {"type": "time_box", "time_range": times}
    assert table.select_observations(early)["OBS_ID"].tolist() == [2024030400011]
    dark = {"type": "par_box", "variable": "NSBLEVEL", "value_range": [0, 100]}
    assert table.select_observations(dark)["OBS_ID"].tolist() == [2024030400011]
    assert table.time_start[0].utc.isot.startswith("2024-03-04T19:00:00.000")


def test_many_nights_and_set_ups_in_one_store(night, lists, tmp_path):
    arguments = [
        "--input-files",
        f"{night}/cs1/dl3/*_dl3.fits {night}/stereo/dl3/*_dl3.fits",
        "-o",
        str(tmp_path / "all"),
    ]
    result = CliRunner().invoke(index, arguments, catch_exceptions=False)
    assert result.exit_code == 0 and "3 photon lists" in result.output
    store = DataStore.from_dir(tmp_path / "all")
    assert store.obs_ids.tolist() == [2024030400011, 2024030400013, 2024030400021]
    assert all(observation.psf is not None for observation in store.get_observations())
    assert not any(str(name).startswith("/") for name in store.hdu_table["FILE_DIR"])


def test_a_tree_can_be_moved_with_its_index(night, tmp_path):
    shutil.copytree(night, tmp_path / "moved" / "Crab")
    store = DataStore.from_dir(tmp_path / "moved" / "Crab" / "cs1" / "dl3")
    assert len(store.get_observations()) == 2


def test_directories_behind_links_are_found(lists, tmp_path):
    (tmp_path / "deep" / "down").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "down")
    write_index(lists[:1], tmp_path / "link")
    assert len(DataStore.from_dir(tmp_path / "link").get_observations()) == 1


def test_an_index_depends_on_the_files_alone(night, lists, tmp_path):
    write_index(lists, tmp_path / "a" / "index")
    (tmp_path / "b").mkdir()
    write_index([*reversed(lists), lists[0]], tmp_path / "b" / "index")
    for name in (HDU_INDEX, OBS_INDEX):
        one, two = (tmp_path / d / "index" / name for d in "ab")
        assert one.read_bytes() == two.read_bytes() and one.read_bytes()[4:8] == bytes(4)
        assert gzip.decompress(one.read_bytes())[:6] == b"SIMPLE"
    header = fits.getheader(tmp_path / "a" / "index" / OBS_INDEX, 1)
    assert (header["HDUCLAS1"], header["HDUCLAS2"], header["MJDREFI"]) == ("INDEX", "OBS", 58849)


def test_an_observation_twice_is_an_error_that_names_both(lists, tmp_path):
    copy = tmp_path / "copy_dl3.fits"
    shutil.copy(lists[0], copy)
    with pytest.raises(InputError, match="same OBS_ID 2024030400011") as error:
        write_index([lists[0], copy], tmp_path / "index")
    assert str(copy) in str(error.value) and str(lists[0]) in str(error.value)
    assert not (tmp_path / "index").exists()


def test_patterns_that_match_nothing_are_an_error(tmp_path):
    for patterns in (f"{tmp_path}/*.fits", " "):
        result = CliRunner().invoke(index, ["-d", patterns, "-o", str(tmp_path)])
        assert isinstance(result.exception, InputError), result.output
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:File may have been truncated")
@pytest.mark.parametrize("damage", ["cut", "flip", "other", "foreign"])
def test_a_damaged_list_is_refused(lists, tmp_path, damage):
    path = tmp_path / "x_dl3.fits"
    content = bytearray(lists[0].read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flip":
        with fits.open(lists[0]) as hdus:
            content[hdus["EVENTS"].fileinfo()["datLoc"] + 100] ^= 0x55
    elif damage == "other":
        content = bytearray(b"SIMPLE  = nonsense")
    path.write_bytes(content)
    if damage == "foreign":
        with fits.open(lists[0]) as hdus:
            fits.HDUList([hdu for hdu in hdus if hdu.name != "BACKGROUND"]).writeto(path, overwrite=True)
    with pytest.raises(InputError, match="is not a complete photon list"):
        write_index([path], tmp_path / "index")
