"""Dead time from the times of triggers, against times of which it is known."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sst1m.monitoring import LiveTime, common_live_time, measure_live_time

START_NS = 1_709_576_137_000_000_000


def run(rate_hz, seconds, dead_ns, *, clock_hz=100.0, seed=1):
    """Return recorded times, which of them a clock gave, and the true live fraction."""
    rng = np.random.default_rng(seed)
    random = np.sort(rng.integers(0, round(seconds * 1e9), rng.poisson(rate_hz * seconds)))
    period = round(1e9 / clock_hz) if clock_hz else 0
    ticks = np.arange(rng.integers(period), round(seconds * 1e9), period) if clock_hz else random[:0]
    times = np.concatenate([random, ticks])
    clocked = np.arange(len(times)) >= len(random)
    order = np.argsort(times, kind="stable")
    times, clocked = times[order], clocked[order]
    last, recorded = -(10**12), []
    for i, moment in enumerate(times.tolist()):
        if moment - last >= dead_ns:
            recorded.append(i)
            last = moment
    times, clocked = times[recorded], clocked[recorded]
    truth = 1 - (len(times) - 1) * dead_ns / (times[-1] - times[0])
    return times + START_NS, clocked, truth


@pytest.mark.parametrize("dead_ns", [5_000, 300_000, 2_000_000])
@pytest.mark.parametrize("rate_hz", [20.0, 250.0])
@pytest.mark.parametrize("clock_hz", [0.0, 100.0])
def test_dead_time_is_found_within_its_error(dead_ns, rate_hz, clock_hz):
    pulls = []
    for seed in range(20):
        times, clocked, truth = run(rate_hz, 20.0, dead_ns, clock_hz=clock_hz, seed=seed)
        live = measure_live_time(times, clocked)
        assert live.intervals_ns == ((times[0], times[-1]),)
        assert live.deadc_error < 0.01
        pulls.append((live.deadc - truth) / live.deadc_error)
    # the shortest of many exponential gaps is itself exponential about the truth
    assert abs(np.mean(pulls)) < 1.0
    assert np.max(np.abs(pulls)) < 8


def test_live_fraction_is_that_of_lost_showers():
    """The truth that counts: which part of all showers was recorded."""
    times, clocked, _ = run(2000.0, 20.0, 200_000, clock_hz=0.0)
    thrown = np.random.default_rng(1).poisson(2000.0 * 20.0)
    live = measure_live_time(times, clocked)
    assert live.deadc == pytest.approx(len(times) / thrown, abs=4 * 0.7 / math.sqrt(thrown))
    assert live.livetime_s == pytest.approx(20 * live.deadc, rel=1e-3)


def test_pauses_end_an_interval():
    times, clocked, truth = run(250.0, 30.0, 5_000)
    paused = times + np.where(times > times[len(times) // 3], 400_000_000, 0)
    paused += np.where(times > times[len(times) // 2], 3_000_000_000, 0)
    live = measure_live_time(paused, clocked)
    assert len(live.intervals_ns) == 3
    assert live.ontime_s == pytest.approx((times[-1] - times[0]) / 1e9, abs=0.02)
    assert live.deadc == pytest.approx(truth, abs=5 * live.deadc_error)
    assert live.contains(paused).all()


def test_order_does_not_matter_and_copies_do_not_count():
    times, clocked, _ = run(250.0, 5.0, 100_000)
    shuffled = np.random.default_rng(2).permutation(len(times))
    assert measure_live_time(times[shuffled], clocked[shuffled]) == measure_live_time(times, clocked)
    twice = np.concatenate([times, times[:10]]), np.concatenate([clocked, clocked[:10]])
    assert measure_live_time(*twice) == measure_live_time(times, clocked)


def test_an_event_of_a_wrong_clock_does_not_stretch_the_run():
    times, clocked, truth = run(250.0, 5.0, 100_000)
    times = np.append(times, times[-1] + 5_000_000_000_000_000)
    live = measure_live_time(times, np.append(clocked, False))
    assert live.ontime_s == pytest.approx(5, abs=0.1)
    assert live.deadc == pytest.approx(truth, abs=5 * live.deadc_error)
    assert not live.contains(times[-1:])


def test_bursts_of_pedestals_do_not_break_a_run():
    """A second of pedestals at 1 kHz, then showers at 10 Hz: their gaps are no pauses."""
    rng = np.random.default_rng(3)
    showers = np.sort(rng.integers(0, 30 * 10**9, 300))
    ticks = np.arange(0, 10**9, 10**6)
    times = np.concatenate([showers, ticks])
    live = measure_live_time(times, np.arange(len(times)) >= len(showers))
    assert len(live.intervals_ns) == 1


def test_a_clock_alone_says_nothing_about_dead_time():
    times = START_NS + np.arange(0, 10**10, 10**7)
    live = measure_live_time(times, np.ones(len(times), dtype=bool))
    assert live.method == "unknown: no random triggers"
    assert live.deadc_error > 0.2
    assert live.ontime_s == pytest.approx(9.99)


@given(times=st.lists(st.integers(0, 10**11), max_size=12), flags=st.lists(st.booleans(), max_size=12))
@settings(deadline=None)
def test_few_events_are_no_problem(times, flags):
    size = min(len(times), len(flags))
    live = measure_live_time(
        START_NS + np.array(times[:size], dtype=np.int64), np.array(flags[:size], dtype=bool)
    )
    assert 0 <= live.deadc <= 1
    assert 0 <= live.deadc_error <= 1
    assert live.ontime_s >= live.livetime_s >= 0
    assert LiveTime.from_dict(live.to_dict()) == live


def test_time_in_common_of_two_telescopes():
    run_21 = LiveTime(((0, 100), (200, 300)), 0.9, 0.01, "toy")
    runs_22 = [
        LiveTime(((50, 220),), 0.8, 0.02, "toy"),
        LiveTime(((210, 400),), 0.6, 0.0, "toy"),  # claims 10 ns that the other has claimed before
        LiveTime(((500, 600),), 0.1, 0.0, "toy"),
    ]
    both = common_live_time(run_21, runs_22)
    assert both.intervals_ns == ((50, 100), (200, 220), (220, 300))
    assert both.ontime_s == pytest.approx(150e-9)
    assert both.deadc == pytest.approx(0.9 * (0.8 * 70 + 0.6 * 80) / 150)
    assert 0 < both.deadc_error < 0.02
    assert common_live_time(run_21, []).intervals_ns == ()
    assert common_live_time(run_21, runs_22[2:]).livetime_s == 0
