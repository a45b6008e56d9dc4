"""Voltage drop: golden numbers, limits, flags."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sst1m.calib.vdrop import (
    DropFlag,
    baseline_shift,
    baseline_shift_of_nsb_rate,
    gain_drop,
    intensity_drop,
    largest_variance,
    nsb_rate,
    photon_rate,
    voltage_drop,
)


@pytest.mark.parametrize(
    ("tel_id", "variance", "shift", "drop", "rate"),
    [
        (21, 20, 10.22, 0.918, 128),
        (21, 40, 25.98, 0.791, 354.1),
        (21, 60, 48.2, 0.612, 750),
        (21, 70, 70.8, 0.431, 1287),
        (22, 20, 8.95, 0.984, 96),
        (22, 50, 25.01, 0.954, 274),
        (22, 100, 52.2, 0.904, 592),
        (22, 200, 120, 0.779, 1490),
        (22, 300, 220, 0.594, 3164),
    ],
)
def test_golden_numbers(tel_id, variance, shift, drop, rate):
    assert baseline_shift(variance, tel_id) == pytest.approx(shift, rel=2e-3)
    factor, flag = intensity_drop(variance, tel_id)
    assert factor == pytest.approx(drop, abs=6e-4) and flag == DropFlag.GOOD
    assert nsb_rate(variance, tel_id) == pytest.approx(rate, rel=4e-3)


def test_golden_rates_of_telescope_21():
    assert baseline_shift(40, 21) == pytest.approx(25.98, abs=5e-3)
    assert baseline_shift(50, 22) == pytest.approx(25.01, abs=5e-3)
    assert nsb_rate(40, 21) == pytest.approx(354.1, abs=0.05)
    assert photon_rate(40, 21) == pytest.approx(1117, abs=0.5)


@pytest.mark.parametrize(("tel_id", "lowest", "zero"), [(21, 0.161, 1.06), (22, 0.506, 3.27)])
def test_outside_the_measured_range_the_factor_stays_and_is_flagged(tel_id, lowest, zero):
    last = largest_variance(tel_id)
    factor, flag = intensity_drop(
        [0, 0.99 * zero, 1.01 * zero, last, last + 1e-6, 80, 1e6, np.nan, np.inf], tel_id
    )
    high = DropFlag.GOOD if last > 80 else DropFlag.ABOVE_RANGE
    assert flag.tolist() == [1, 1, 0, 0, 2, high, 2, 4, 4]
    assert factor[:2].tolist() == [1.0, 1.0] and factor[2] < 1
    assert factor[3] == pytest.approx(lowest, abs=6e-4)
    assert factor[4] == factor[6] == factor[3]
    assert np.isnan(factor[7:]).all()


@given(st.sampled_from([21, 22]), st.lists(st.floats(0, 1e9), min_size=2, max_size=30))
def test_the_factor_falls_with_the_variance_and_stays_physical(tel_id, variances):
    factor, _ = intensity_drop(np.sort(variances), tel_id)
    lowest, _ = intensity_drop(largest_variance(tel_id), tel_id)
    assert (np.diff(factor) <= 1e-12).all() and (factor <= 1).all() and (factor >= lowest).all()
    gain = gain_drop(np.sort(variances), tel_id)
    assert (gain >= factor).all()


@pytest.mark.parametrize("tel_id", [21, 22])
def test_rate_and_shift_undo_each_other(tel_id):
    variance = np.linspace(5, largest_variance(tel_id), 200)
    np.testing.assert_allclose(
        baseline_shift_of_nsb_rate(nsb_rate(variance, tel_id), tel_id),
        baseline_shift(variance, tel_id),
        rtol=1e-12,
    )


def test_modes():
    std = np.tile(np.linspace(4, 8, 1296), (3, 1))
    bad = np.zeros(1296, dtype=bool)
    pixelwise = voltage_drop(std, 21, "pixelwise", bad)
    np.testing.assert_array_equal(pixelwise.factor, intensity_drop(std**2, 21)[0])
    whole = voltage_drop(std, 21, "global", bad)
    assert whole.factor.shape == (3, 1)
    np.testing.assert_array_equal(whole.factor[:, 0], intensity_drop(np.median(std**2, axis=1), 21)[0])
    assert (voltage_drop(std, 21, "none", bad).factor == 1).all()


def test_bad_and_absent_pixels_do_not_enter_the_median():
    std = np.full((3, 1296), 6.0)
    std[:, :700] = 0
    std[1, 700:720] = np.nan
    std[2] = np.nan
    bad = np.arange(1296) < 700
    drop = voltage_drop(std, 22, "global", bad)
    assert drop.factor[0, 0] == drop.factor[1, 0] == intensity_drop(36, 22)[0]
    assert np.isnan(drop.factor[2, 0]) and drop.flag[2, 0] == DropFlag.UNKNOWN
