"""Tables of performance in the layout that astropy writes with h5py."""

import astropy.units as u
import numpy as np
import pytest
import tables
from astropy.table import QTable

from sst1m.errors import InputError
from sst1m.io.astropy_tables import read_table, write_tables
from sst1m.performance.tables import write_known_tables


@pytest.fixture
def content():
    return {
        "bins": QTable({"energy_bins": [0.1, 1.0] * u.TeV}),
        "res": QTable({"energy_res": [0.2, np.nan], "n_events": [3, 0]}),
    }


def test_tables_come_back_with_their_units(tmp_path, content):
    path = tmp_path / "energy_resolution_stereo.h5"
    write_tables(path, content)
    for name, table in content.items():
        found = read_table(path, name)
        assert found.colnames == table.colnames
        for column in table.colnames:
            np.testing.assert_array_equal(found[column], table[column])
            assert found[column].unit == table[column].unit


def test_the_layout_is_the_one_that_astropy_looks_for(tmp_path, content):
    path = tmp_path / "x.h5"
    write_tables(path, content)
    with tables.open_file(str(path)) as h5:
        lines = h5.get_node("/bins.__table_column_meta__").read()
        assert h5.get_node("/bins").dtype.names == ("energy_bins",)
    assert any(b"unit: TeV" in line for line in lines)


@pytest.mark.parametrize("damage", ["no_table", "no_hdf5"])
def test_what_cannot_be_read_is_said(tmp_path, content, damage):
    path = tmp_path / "x.h5"
    with pytest.raises(InputError, match=r"x\.h5: cannot be read \(No such file"):
        read_table(path, "res")
    if damage == "no_table":
        write_tables(path, {"bins": content["bins"]})
    elif damage == "no_hdf5":
        path.write_text("energies")
    with pytest.raises(InputError, match=r"x\.h5: its table 'res' cannot be read"):
        read_table(path, "res")


def test_known_names_and_layouts(tmp_path, content):
    found = {
        "energy_resolution": QTable({"low": [1.0] * u.TeV, "energy_res": [0.2]}),
        "roc_curve": QTable({"threshold": [0.5]}),
        "something_else": QTable({"x": [1]}),
    }
    names = write_known_tables(tmp_path, "tel_001", [1.0, 2.0] * u.TeV, found)
    assert names == ["energy_resolution_tel_001.h5", "roc_curve_tel_001.h5"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert read_table(tmp_path / names[0], "bins")["energy_bins"].unit == u.TeV
    assert read_table(tmp_path / names[0], "res").colnames == ["energy_res"]
    assert read_table(tmp_path / names[1], "roc").colnames == ["threshold"]
