"""Dark-run calibration files: real ones, generated ones, damaged and hostile ones."""

import numpy as np
import pandas as pd
import pytest
import tables

from sst1m.calib.gains import load_pixel_calibration
from sst1m.errors import InputError


def frame():
    """A frame as the dark-run fit writes it."""
    rng = np.random.default_rng(1)
    flag = np.ones(1296, dtype=int)
    flag[[3, 1295]] = 0
    return pd.DataFrame({"gain": 21.0, "dc_to_pe": rng.uniform(20, 27, 1296), "calib_flag": flag})


def write(path, content, key="param"):
    content.to_hdf(path, key=key, format="fixed")
    return path


def refusal(path):
    with pytest.raises(InputError) as caught:
        load_pixel_calibration(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "n_good", "mean"),
    [
        ("averaged_calib_param_v2_2023_2024_tel1.h5", 1291, 23.508),
        ("averaged_calib_param_v2_2023_2024_tel2.h5", 1275, 26.561),
        ("20230917_0528_0529_Tel1_fitted_parameters.h5", 1259, 21.71),
    ],
)
def test_files_in_use(shared_data, name, n_good, mean):
    path = shared_data / "calibration" / name
    calibration = load_pixel_calibration(path)
    assert calibration.good.sum() == n_good
    assert calibration.dc_to_pe[calibration.good].mean() == pytest.approx(mean, abs=5e-3)
    assert np.ptp(calibration.dc_to_pe[~calibration.good]) == 0
    reference = pd.read_hdf(path)
    np.testing.assert_array_equal(
        calibration.dc_to_pe[calibration.good], reference["dc_to_pe"].to_numpy()[calibration.good]
    )


@pytest.mark.parametrize("key", ["param", "df_param"])
def test_bad_pixels_get_the_mean_of_the_good(tmp_path, key):
    content = frame()
    content.loc[[7, 8, 9], "dc_to_pe"] = [np.nan, -1.0, np.inf]
    calibration = load_pixel_calibration(write(tmp_path / "dark.h5", content, key))
    bad = [3, 7, 8, 9, 1295]
    assert np.flatnonzero(~calibration.good).tolist() == bad
    expected = content["dc_to_pe"].drop(bad).mean()
    np.testing.assert_allclose(calibration.dc_to_pe[bad], expected, rtol=1e-14)
    assert len(calibration.sha256) == 64
    with pytest.raises(ValueError, match="read-only"):
        calibration.dc_to_pe[0] = 1


def test_rows_are_found_by_their_index(tmp_path):
    content = frame()
    ordered = load_pixel_calibration(write(tmp_path / "ordered.h5", content))
    shuffled = load_pixel_calibration(write(tmp_path / "shuffled.h5", content.sample(frac=1, random_state=2)))
    np.testing.assert_array_equal(ordered.dc_to_pe, shuffled.dc_to_pe)


def test_unusable_files_say_why(tmp_path):
    assert "does not exist" in refusal(tmp_path / "none.h5")
    assert "is a directory" in refusal(tmp_path)
    assert "1295 rows are not the 1296 pixels" in refusal(write(tmp_path / "short.h5", frame()[:1295]))
    repeated = frame()
    repeated.index = [0, *range(1295)]
    assert "are not the 1296 pixels" in refusal(write(tmp_path / "repeated.h5", repeated))
    assert "no column calib_flag" in refusal(
        write(tmp_path / "columns.h5", frame().drop(columns="calib_flag"))
    )
    assert "no pixel is good" in refusal(write(tmp_path / "bad.h5", frame().assign(calib_flag=0)))
    assert "not an array of numbers" in refusal(
        write(tmp_path / "text.h5", frame().assign(dc_to_pe="23 and a bit"))
    )
    two = write(tmp_path / "two.h5", frame())
    write(two, frame(), "df_param")
    assert "exactly one pandas frame in fixed format, it holds" in refusal(two)
    (tmp_path / "noise.h5").write_bytes(b"no HDF5 at all" * 100)
    assert "is no usable pixel calibration" in refusal(tmp_path / "noise.h5")


def test_a_truncated_file_is_refused(tmp_path):
    whole = write(tmp_path / "whole.h5", frame()).read_bytes()
    for part in (0.2, 0.5, 0.95):
        cut = tmp_path / f"cut_{part}.h5"
        cut.write_bytes(whole[: int(part * len(whole))])
        assert "is no usable pixel calibration" in refusal(cut)


class Hostile:
    """An object that runs code of its own when it is restored."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return (open, (self.mark, "w"))


@pytest.mark.parametrize("where", ["/", "/param", "/param/block0_values"])
def test_a_hostile_file_runs_nothing(tmp_path, where):
    path, mark = write(tmp_path / "dark.h5", frame()), tmp_path / "mark"
    with tables.open_file(path, "a") as h5file:
        attributes = h5file.get_node(where)._v_attrs
        attributes["TITLE"] = Hostile(mark)
        attributes["pandas_version"] = Hostile(mark)
    mark.unlink(missing_ok=True)
    load_pixel_calibration(path)
    assert not mark.exists()
    # the same file does harm where nobody guards: the test would otherwise prove nothing
    with tables.open_file(path) as h5file:
        assert h5file.get_node(where)._v_attrs["pandas_version"] is not None
    assert mark.exists()


def test_hostile_objects_in_a_column_are_not_restored(tmp_path):
    path, mark = write(tmp_path / "dark.h5", frame()), tmp_path / "mark"
    with tables.open_file(path, "a") as h5file:
        h5file.remove_node("/param/block0_values")
        column = h5file.create_vlarray("/param", "block0_values", tables.ObjectAtom())
        column.append(Hostile(mark))
    mark.unlink(missing_ok=True)
    assert "not an array of numbers" in refusal(path)
    assert not mark.exists()
