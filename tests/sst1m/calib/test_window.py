"""Window transmission files."""

import numpy as np
import pytest

from sst1m.calib.window import load_window_transmission
from sst1m.errors import InputError


def content(factors):
    return "pixel_id\t correction_factor\n" + "".join(f"{i}\t {f}\n" for i, f in enumerate(factors))


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("corr_factor_1st_wdw.txt", 0.917, 1.020), ("corr_factor_2nd_wdw.txt", 0.950, 1.052)],
)
def test_files_in_use(shared_data, name, low, high):
    window = load_window_transmission(shared_data / "calibration" / name)
    assert window.shape == (1296,)
    assert window.min() == pytest.approx(low, abs=1e-3) and window.max() == pytest.approx(high, abs=1e-3)
    assert window.mean() == pytest.approx(1.0, abs=1e-4)


def test_rows_are_found_by_their_pixel(tmp_path):
    path = tmp_path / "window.txt"
    factors = np.linspace(0.9, 1.1, 1296)
    lines = content(factors).splitlines()
    path.write_text("\n".join([lines[0], *reversed(lines[1:])]))
    np.testing.assert_array_equal(load_window_transmission(path), factors)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not enough values|first line"),
        (content([1.0] * 1295), "its 1295 rows are not the 1296 pixels"),
        (content([1.0] * 1297), "its 1297 rows"),
        (content([1.0] * 1295 + ["nan"]), "not between 0.5 and 1.5"),
        (content([1.0] * 1295 + [0]), "not between 0.5 and 1.5"),
        (content([1.0] * 1295 + ["x"]), "could not convert"),
        (content([1.0] * 1295 + ["1 1"]), "does not hold a pixel and a factor"),
        (content([1.0] * 1296).split("\n", 1)[1], "its first line is"),
        ("pixel_id correction_factor\n" + "5 1.0\n" * 1296, "are not the 1296 pixels"),
    ],
)
def test_unusable_files_say_why(tmp_path, text, words):
    path = tmp_path / "window.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        load_window_transmission(path)
    assert str(path) in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_window_transmission(tmp_path / "none.txt")
