"""Paths of the standard layout, both ways."""

import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sst1m.errors import OutputError, RawFileError
from sst1m.layout import NightLayout, parse_raw_path, raw_path, side_paths
from sst1m.names import RawName, target_name_problem

ROOT, ANA = Path("/net"), Path("/analysis")
NIGHT = NightLayout(ANA, datetime.date(2024, 3, 4))
RUN = RawName(1, NIGHT.date, 12)


def test_raw_files_lie_where_the_telescopes_put_them():
    path = raw_path(ROOT, RUN)
    assert str(path) == "/net/cs1/data/raw/2024/03/04/SST1M1/SST1M1_20240304_0012.fits.fz"
    assert parse_raw_path(ROOT, path) == RUN


@pytest.mark.parametrize(
    "path",
    [
        "/net/cs2/data/raw/2024/03/04/SST1M2/SST1M1_20240304_0012.fits.fz",
        "/net/cs1/data/raw/2024/03/05/SST1M1/SST1M1_20240304_0012.fits.fz",
        "/net/SST1M1_20240304_0012.fits.fz",
    ],
)
def test_a_raw_file_in_another_directory_is_refused_with_the_right_one(path):
    with pytest.raises(RawFileError, match="/net/cs1/data/raw/2024/03/04/SST1M1.*renamed or misplaced"):
        parse_raw_path(ROOT, Path(path))


def test_products_have_the_names_in_use_today():
    path = NIGHT.dl1_path(RUN, "Crab", "W1")
    assert str(path) == "/analysis/20240304/Crab/cs1/dl1/SST1M1_20240304_0012_W1_dl1.h5"
    assert side_paths(path) == {
        "log": path.with_name("SST1M1_20240304_0012_W1_dl1.log"),
        "json": path.with_name("SST1M1_20240304_0012_W1_dl1.json"),
    }
    assert NIGHT.dl1_path(RUN, "Crab").name == "SST1M1_20240304_0012_dl1.h5"
    assert NIGHT.dl1_path(RUN, "Crab", "UNDEF").name == "SST1M1_20240304_0012_UNDEF_dl1.h5"


@given(
    st.sampled_from([1, 2]),
    st.integers(0, 9999),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,63}", fullmatch=True).filter(
        lambda n: not target_name_problem(n)
    ),
    st.sampled_from(["", "UNDEF", "W1", "W20", "W999"]),
)
def test_product_paths_survive_the_way_back(tel, run, target, wobble):
    name = RawName(tel, NIGHT.date, run)
    parsed = NIGHT.parse_dl1_path(NIGHT.dl1_path(name, target, wobble))
    assert (parsed.raw, parsed.target, parsed.wobble) == (name, target, wobble)


@pytest.mark.parametrize(
    "path",
    [
        "/analysis/20240305/Crab/cs1/dl1/SST1M1_20240304_0012_W1_dl1.h5",
        "/analysis/20240304/Crab/cs2/dl1/SST1M1_20240304_0012_W1_dl1.h5",
        "/analysis/20240304/Crab/cs1/dl2/SST1M1_20240304_0012_W1_dl1.h5",
        "/analysis/20240304/../cs1/dl1/SST1M1_20240304_0012_W1_dl1.h5",
        "/analysis/20240304/Crab/cs1/dl1/.SST1M1_20240304_0012_W1_dl1.77-ab.part.h5",
    ],
)
def test_other_paths_are_no_products_of_the_night(path):
    with pytest.raises(OutputError, match="not the path of a DL1 product"):
        NIGHT.parse_dl1_path(Path(path))


def test_a_link_out_of_the_night_is_refused(tmp_path):
    night = NightLayout(tmp_path / "ana", NIGHT.date)
    night.root.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (night.root / "Crab").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="leaves the night directory"):
        night.checked_inside(night.dl1_path(RUN, "Crab"))
    assert night.checked_inside(night.dl1_path(RUN, "Mrk421"))
