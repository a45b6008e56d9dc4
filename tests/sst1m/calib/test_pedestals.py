"""Sliding pedestals: the definition, independence of blocks, no drift, absent pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sst1m.calib.pedestals import (
    PedestalSamples,
    PedestalTracker,
    is_pedestal,
    pedestal_samples,
    state_of_events,
)

N_PIXELS = 6
RINGS = {"sample_ring": 10, "image_ring": 25, "n_pixels": N_PIXELS}


def some_pedestals(n, seed=0, n_pixels=N_PIXELS, absent=0.1):
    rng = np.random.default_rng(seed)
    mean = rng.normal(400, 5, (n, n_pixels))
    std = rng.uniform(1, 9, (n, n_pixels))
    gone = rng.random((n, n_pixels)) < absent
    mean[gone] = std[gone] = np.nan
    images = rng.normal(2, 1, (n, n_pixels)).astype(np.float32)
    images[gone] = np.nan
    times = 1_700_000_037_000_000_000 + 1_000_000 * np.arange(n, dtype=np.int64)
    return PedestalSamples(mean, std, times), images


def tracker_for(samples, images, **rings):
    tracker = PedestalTracker(**(rings or RINGS))
    tracker.prefill_samples(samples[: tracker._stds.length])
    tracker.prefill_images(images[: tracker._images.length])
    return tracker


def run(samples, images, cuts):
    """Return the states after each pedestal of the file, whatever the blocks."""
    tracker = tracker_for(samples, images)
    std, mean, sigma, level = [], [], [], []
    edges = [0, *cuts, len(samples)]
    for block, (start, stop) in enumerate(zip(edges[:-1], edges[1:], strict=True), start=2):
        states = tracker.add_samples(samples[start:stop])
        charges = tracker.add_images(images[start:stop])
        keep = slice(0, stop - start + (block == len(edges)))
        std.append(states.std[keep])
        for store, values in ((mean, charges.mean), (sigma, charges.std), (level, charges.level)):
            store.append(values[keep])
    return [np.concatenate(part) for part in (std, mean, sigma, level)] + [tracker.monitoring]


def window(values, k, length):
    """The definition, word by word."""
    return values[max(k - length, 0) : k] if k >= length else values[:length]


@pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:Degrees of freedom:RuntimeWarning")
@pytest.mark.parametrize("n", [0, 1, 7, 10, 11, 60, 137])
def test_states_are_those_of_the_definition(n):
    samples, images = some_pedestals(n)
    std, mean, sigma, level, _ = run(samples, images, [n // 3, n // 2])
    assert len(std) == len(mean) == n + 1
    for k in range(n + 1):
        np.testing.assert_allclose(std[k], np.nanmean(window(samples.std, k, 10), axis=0), rtol=1e-12)
        charges = window(images.astype(np.float64), k, 25)
        np.testing.assert_allclose(mean[k], np.nanmean(charges, axis=0), rtol=1e-12)
        np.testing.assert_allclose(sigma[k], np.nanstd(charges, axis=0), rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(level[k], np.nanmean(np.nanmean(charges, axis=0)), rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 130), st.lists(st.integers(0, 130), max_size=8))
def test_blocks_change_nothing_at_all(n, cuts):
    samples, images = some_pedestals(n, seed=n)
    whole = run(samples, images, [])
    parts = run(samples, images, sorted(min(cut, n) for cut in cuts))
    for one, other in zip(whole[:4], parts[:4], strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(whole[4]) == len(parts[4]) == n // 20
    for one, other in zip(whole[4], parts[4], strict=True):
        np.testing.assert_array_equal(one.charge_median, other.charge_median)
        assert one.sample_time_ns == other.sample_time_ns


def test_rounding_never_accumulates():
    n = 20_000
    images = np.random.default_rng(3).normal(2, 1, (n, N_PIXELS)).astype(np.float32)
    images[::7] += np.float32(1e6)
    tracker = PedestalTracker(**RINGS)
    tracker.prefill_images(images[:25])
    for start in range(0, n, 500):
        charges = tracker.add_images(images[start : start + 500])
    last = images[-25:].astype(np.float64)
    np.testing.assert_allclose(charges.mean[-1], last.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(charges.std[-1], last.std(axis=0), rtol=1e-9)


def test_a_constant_image_has_no_fluctuation():
    tracker = PedestalTracker(**RINGS)
    images = np.full((80, N_PIXELS), 0.1, dtype=np.float32) * np.arange(1, N_PIXELS + 1, dtype=np.float32)
    tracker.prefill_images(images[:25])
    charges = tracker.add_images(images)
    assert np.isfinite(charges.std).all() and (charges.std >= 0).all() and (charges.std < 1e-6).all()


def test_a_pixel_without_pedestals_has_no_number_and_comes_back():
    samples, images = some_pedestals(60, absent=0)
    samples.std[:30, 2] = samples.mean[:30, 2] = np.nan
    images[:30, 2] = np.nan
    std, mean, sigma, level, monitoring = run(samples, images, [20])
    assert np.isnan(std[:31, 2]).all() and np.isfinite(std[31:, 2]).all()
    assert np.isnan(mean[30, 2]) and np.isnan(sigma[30, 2]) and np.isfinite(level).all()
    assert level[30] == pytest.approx(np.delete(mean[30], 2).mean())
    assert np.isnan(monitoring[0].charge_median[2]) and np.isfinite(monitoring[1].charge_median[2])


def test_dead_pixels():
    samples, images = some_pedestals(30, absent=0)
    samples.std[:] = 6.0
    samples.std[:, 1] = 2.4
    samples.std[15:, 3] = 0.0
    samples.std[:, 4] = np.nan
    tracker = tracker_for(samples, images)
    dead = tracker.add_samples(samples).dead
    assert dead[:, 1].all() and not dead[:, [0, 2, 4, 5]].any()
    assert not dead[:16, 3].any() and dead[-1, 3]


def test_monitoring_rows():
    samples, images = some_pedestals(130, absent=0.02)
    *_, rows = run(samples, images, [3, 50, 51])
    assert [row.n_events for row in rows] == [10] * 6
    tracker = PedestalTracker(n_pixels=N_PIXELS)
    tracker.prefill_samples(samples[:100])
    tracker.add_samples(samples)
    assert [row.n_events for row in tracker.monitoring] == [20, 40, 60, 80, 100, 100]
    for count, row in zip(range(20, 140, 20), tracker.monitoring, strict=True):
        ring = samples[max(count - 100, 0) : count]
        assert (row.sample_time_min_ns, row.sample_time_max_ns) == (ring.time_ns[0], ring.time_ns[-1])
        assert row.sample_time_ns == (int(ring.time_ns[0]) + int(ring.time_ns[-1])) // 2
        np.testing.assert_allclose(row.charge_mean, np.nanmean(ring.mean, axis=0), rtol=1e-12)
        np.testing.assert_allclose(row.charge_median, np.nanmedian(ring.mean, axis=0), rtol=1e-6)
        np.testing.assert_allclose(row.charge_std, np.nanmean(ring.std, axis=0), rtol=1e-12)


def test_a_run_without_pedestals():
    samples, images = some_pedestals(0)
    tracker = tracker_for(samples, images)
    states = tracker.add_samples(samples)
    assert not tracker.has_pedestals and states.std.shape == (1, N_PIXELS)
    assert np.isnan(states.std).all() and not states.dead.any()
    charges = tracker.add_images(images)
    assert np.isnan(charges.level).all() and tracker.monitoring == []


def test_blocks_before_the_first_pedestals_are_an_error():
    samples, images = some_pedestals(5)
    tracker = PedestalTracker(**RINGS)
    with pytest.raises(ValueError, match="prefill"):
        tracker.add_samples(samples)
    tracker.prefill_samples(samples)
    tracker.add_samples(samples)
    with pytest.raises(ValueError, match="before any other"):
        tracker.prefill_samples(samples)


def test_pedestals_are_events_of_type_8_exactly():
    kinds = np.array([8, 1, 8 | 0x20000, 0, 8, 9], dtype=np.int64)
    assert is_pedestal(kinds).tolist() == [True, False, False, False, True, False]
    assert state_of_events(is_pedestal(kinds)).tolist() == [0, 1, 1, 1, 1, 2]


def test_samples_of_pedestals():
    rng = np.random.default_rng(5)
    samples = rng.integers(0, 4096, (4, 7, 50)).astype(np.int16)
    samples[0, 0] = 4095
    present = np.ones((4, 7), dtype=bool)
    present[2, 3] = False
    found = pedestal_samples(samples, present, np.arange(4))
    wanted_mean, wanted_std = samples.mean(axis=2), samples.std(axis=2)
    wanted_mean[2, 3] = wanted_std[2, 3] = np.nan
    np.testing.assert_allclose(found.mean, wanted_mean, rtol=1e-14)
    np.testing.assert_allclose(found.std, wanted_std, rtol=1e-12)
    assert found.std[0, 0] == 0.0
