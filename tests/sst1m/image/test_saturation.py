"""Saturated pulses against the definition written out sample by sample."""

import numpy as np
import pytest

from sst1m.image import extract_block, find_saturated_pulses


def by_definition(trace):
    """Return charge and time of a saturated trace above its baseline, or None."""
    largest = max(trace)
    if not largest > 3000:
        return None
    high = [i for i, w in enumerate(trace) if w > 2500]
    if not len(high) > 5:
        return None
    start = next(i for i, w in enumerate(trace) if 5 * w >= largest)
    peak = list(trace).index(largest)
    after = [i for i, w in enumerate(trace) if i > peak and 5 * w < largest]
    stop = after[0] if after else len(trace) - 1
    return sum(trace[start : stop + 1]), (len(high) / 2 + high[0]) * 4


def find(traces, baseline=300.25):
    """Return the found pulses of traces above baseline, one pixel each."""
    samples = (np.asarray(traces, dtype=float) + baseline).round().astype(np.int16)[np.newaxis]
    level = np.full(samples.shape[:2], baseline, dtype=np.float32)
    block = extract_block(samples, level)
    return samples[0] - baseline, find_saturated_pulses(samples, level, block.maximum)


def flat_top(first, n_high, height=3400, n_samples=50):
    trace = np.zeros(n_samples)
    trace[first : first + n_high] = height
    return trace


def test_random_pulses_follow_the_definition():
    rng = np.random.default_rng(5)
    time = np.arange(50)
    shape = np.exp(-0.5 * ((time - rng.uniform(-5, 55, (800, 1))) / rng.uniform(1, 8, (800, 1))) ** 2)
    traces = rng.normal(0, 5, (800, 50)) + rng.choice([200, 2900, 3050, 4500, 9000], (800, 1)) * shape
    traces += np.roll(shape, 25, axis=1) * rng.choice([0, 1200, 4000], (800, 1))
    traces, found = find(traces.clip(-300, 3794))
    expected = {i: r for i, r in enumerate(map(by_definition, traces)) if r}
    assert len(expected) > 100
    assert found.pixel.tolist() == list(expected)
    assert (found.event == 0).all()
    np.testing.assert_allclose(found.charge, [r[0] for r in expected.values()], rtol=1e-6)
    np.testing.assert_allclose(found.peak_time, [r[1] for r in expected.values()], rtol=1e-6)


@pytest.mark.parametrize(("n_high", "found"), [(5, 0), (6, 1)])
def test_more_than_five_high_samples(n_high, found):
    assert len(find([flat_top(20, n_high)])[1].pixel) == found


@pytest.mark.parametrize(("height", "found"), [(3000, 0), (3001, 1)])
def test_maximum_above_3000(height, found):
    assert len(find([flat_top(20, 8, height)], baseline=300)[1].pixel) == found


def test_both_ends_of_the_integral():
    trace = flat_top(20, 8, 3500)
    trace[19], trace[18], trace[28], trace[29], trace[30] = 700, 699, 700, 650, 5000 / 10
    _, found = find([trace], baseline=300)
    assert found.charge[0] == 700 + 8 * 3500 + 700 + 650
    assert found.peak_time[0] == (8 / 2 + 20) * 4


def test_pulse_that_never_ends_and_pulse_that_began_before():
    late, early = flat_top(42, 8), flat_top(0, 8)
    _, found = find([late, early], baseline=300)
    assert found.charge.tolist() == [8 * 3400, 8 * 3400]
    assert found.peak_time.tolist() == [(4 + 42) * 4, (4 + 0) * 4]


def test_second_pulse_after_the_first_is_not_added():
    trace = flat_top(10, 8) + flat_top(30, 4, 2600)
    _, found = find([trace], baseline=300)
    assert found.charge[0] == 8 * 3400
    assert found.peak_time[0] == (12 / 2 + 10) * 4


def test_without_saturated_pulses_nothing_is_returned():
    assert all(len(column) == 0 for column in find(np.zeros((3, 50)))[1])


def test_pixels_without_baseline_are_not_saturated():
    samples = np.full((1, 2, 50), 4000, dtype=np.int16)
    level = np.array([[np.nan, 300.0]], dtype=np.float32)
    found = find_saturated_pulses(samples, level, extract_block(samples, level).maximum)
    assert found.pixel.tolist() == [1]
