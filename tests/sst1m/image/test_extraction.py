"""Charges and times against ctapipe's LocalPeakWindowSum."""

import numpy as np
import pytest
from ctapipe.image import LocalPeakWindowSum

from sst1m.image import extract_block

TEL_ID = 21
N_EVENTS, N_PIXELS, N_SAMPLES = 20, 1296, 50


@pytest.fixture(scope="module")
def waveforms():
    """Return samples and baselines: noise, pulses anywhere and at the edges, saturated, flat, negative."""
    rng = np.random.default_rng(1)
    baseline = rng.uniform(200, 400, (N_EVENTS, N_PIXELS)).astype(np.float32)
    samples = baseline[..., np.newaxis] + rng.normal(0, 4, (N_EVENTS, N_PIXELS, N_SAMPLES))
    time = np.arange(N_SAMPLES)
    pulse = np.exp(-0.5 * ((time - rng.uniform(-2, 52, (N_EVENTS, N_PIXELS, 1))) / 2) ** 2)
    samples[:8] += rng.choice([20, 500, 3000, 9000], (8, N_PIXELS, 1)) * pulse[:8]
    samples[8] -= 800
    samples[9] = 300
    samples[10] = rng.integers(300, 302, (N_PIXELS, N_SAMPLES))
    samples[11, :, 0] = samples[12, :, -1] = 1000
    baseline[13, ::7] = np.nan
    samples[14] = rng.choice([-32768, 32767, 0], (N_PIXELS, N_SAMPLES))
    return np.clip(np.round(samples), -32768, 32767).clip(None, 32767).astype(np.int16), baseline


def by_ctapipe(subarray, waveforms, *, correct=False, width=7, shift=3):
    extractor = LocalPeakWindowSum(
        subarray, apply_integration_correction=correct, window_width=width, window_shift=shift
    )
    gain = np.zeros(waveforms.shape[1], dtype=int)
    broken = np.zeros((1, waveforms.shape[1]), dtype=bool)
    with np.errstate(invalid="ignore"):
        events = [extractor(w[np.newaxis], TEL_ID, gain, broken) for w in waveforms]
    return np.array([e.image for e in events]), np.array([e.peak_time for e in events])


def assert_same(block, charge, peak_time):
    np.testing.assert_array_equal(block.charge, charge)
    np.testing.assert_array_equal(block.peak_time, peak_time)


def test_counts_give_what_ctapipe_gives(subarray, waveforms):
    samples, baseline = waveforms
    above = samples.astype(np.float32) - baseline[..., np.newaxis]
    block = extract_block(samples, baseline)
    assert_same(block, *by_ctapipe(subarray, above))
    np.testing.assert_array_equal(block.maximum, above.max(axis=-1))
    assert np.isnan(block.charge).sum() == np.isnan(baseline).sum() > 0


@pytest.mark.parametrize(("width", "shift"), [(1, 0), (5, 2), (12, 3), (7, 0), (3, 5), (60, 20)])
def test_any_window(subarray, waveforms, width, shift):
    samples, baseline = waveforms[0][:15:2], waveforms[1][:15:2]
    above = samples.astype(np.float32) - baseline[..., np.newaxis]
    block = extract_block(samples, baseline, window_width=width, window_shift=shift)
    assert_same(block, *by_ctapipe(subarray, above, width=width, shift=shift))


def test_integration_correction_is_a_factor(subarray, waveforms):
    samples, baseline = waveforms[0][:8], waveforms[1][:8]
    above = samples.astype(np.float32) - baseline[..., np.newaxis]
    extractor = LocalPeakWindowSum(subarray)
    correction = extractor._calculate_correction(TEL_ID)[0]
    assert correction == pytest.approx(1.0183, abs=2e-4)
    charge, peak_time = by_ctapipe(subarray, above, correct=True)
    block = extract_block(samples, baseline)
    np.testing.assert_allclose(block.charge * correction, charge, rtol=1e-6)
    np.testing.assert_array_equal(block.peak_time, peak_time)


@pytest.mark.parametrize("level", [-32768, 0, 32767])
def test_of_equal_samples_the_first_is_the_peak(level):
    samples = np.full((1, 50, 50), level, dtype=np.int16)
    samples[0, np.arange(50), np.arange(50)] = samples[0, :, -1] = min(level + 1, 32767)
    block = extract_block(samples, np.full((1, 50), level - 1), window_shift=0, window_width=1)
    np.testing.assert_array_equal(block.peak_time[0], 4 * samples[0].argmax(axis=-1))
    np.testing.assert_array_equal(block.maximum[0], samples[0].max(axis=-1).astype(float) - (level - 1))


def test_readouts_of_other_lengths(subarray):
    rng = np.random.default_rng(3)
    for n_samples in (1, 2, 37, 65, 300):
        samples = rng.integers(0, 8, (2, 20, n_samples)).astype(np.int16)
        expected = samples.argmax(axis=-1)
        block = extract_block(samples, np.zeros((2, 20)), window_shift=0, window_width=1)
        np.testing.assert_array_equal(block.maximum, samples.max(axis=-1))
        np.testing.assert_array_equal(block.peak_time, 4 * expected)


def test_real_events(subarray, real_events):
    samples, baseline = real_events
    above = samples.astype(np.float32) - baseline[..., np.newaxis]
    assert_same(extract_block(samples, baseline), *by_ctapipe(subarray, above))


def test_result_does_not_depend_on_blocks(waveforms):
    samples, baseline = waveforms
    whole = extract_block(samples, baseline)
    for i in (0, 7, 14):
        part = extract_block(samples[i : i + 3], baseline[i : i + 3])
        assert_same(part, whole.charge[i : i + 3], whole.peak_time[i : i + 3])


def test_no_events():
    block = extract_block(np.zeros((0, 1296, 50), dtype=np.int16), np.zeros((0, 1296)))
    assert block.charge.shape == block.peak_time.shape == (0, 1296)
