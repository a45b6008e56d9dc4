"""How wide the window becomes on piles of which everything is known, and which pairs stand alone."""

import math

import numpy as np
import pytest

from sst1m.coincidence.window import clear_half_width, in_company, measured_half_width

REACH_NS = 1_000_000
LEAST_NS = 300


def pile(n_pairs: int, sigma: float, n_chance: int, seed: int = 1) -> tuple[np.ndarray, float]:
    """Return differences of showers and chance up to `REACH_NS`, and the pairs by chance per ns."""
    rng = np.random.default_rng(seed)
    showers, chance = rng.normal(0, sigma, n_pairs), rng.uniform(-REACH_NS, REACH_NS, n_chance)
    residual = np.rint(np.concatenate([showers, chance])).astype(np.int64)
    return residual[np.abs(residual) <= REACH_NS], n_chance / (2.0 * REACH_NS)


@pytest.mark.parametrize("sigma", [1000.0, 8000.0, 50_000.0])
@pytest.mark.parametrize("n_chance", [0, 200, 4000])
def test_the_window_is_three_times_what_holds_nine_tenths(sigma, n_chance):
    residual, density = pile(3000, sigma, n_chance)
    width = measured_half_width(residual, REACH_NS // 2, density, LEAST_NS)
    # 90 % of a normal distribution are within 1.645 sigma; the clearest part of it ends before 5 sigma
    assert 2.5 * sigma < width <= 3.1 * 1.645 * sigma
    assert np.count_nonzero(np.abs(residual[:3000]) <= width) > 0.98 * 3000


def test_the_window_has_limits():
    residual, density = pile(3000, 20.0, 100)
    assert measured_half_width(residual, 10_000, density, LEAST_NS) == LEAST_NS
    assert measured_half_width(residual, 200, density, LEAST_NS) == 200
    nothing, density = pile(0, 1.0, 500)
    assert measured_half_width(nothing, 10_000, density, LEAST_NS) == 10_000
    assert measured_half_width(nothing[:0], 10_000, 0.0, LEAST_NS) == 10_000


@pytest.mark.parametrize(("n_pairs", "sigma", "n_chance"), [(4000, 3000.0, 40_000), (900, 9000.0, 9000)])
def test_the_clear_window_ends_where_one_pair_in_five_is_by_chance(n_pairs, sigma, n_chance):
    """Counted in thin slices at the edge, over many piles: four showers for each pair of lone events."""
    n_events, widths, n_showers, n_lone = (3 * n_pairs, 4 * n_pairs), [], 0, 0.0
    lone = (2 / 3) * (3 / 4)
    for seed in range(30):
        residual, density = pile(n_pairs, sigma, n_chance, seed)
        half_width = round(5 * sigma)
        near = residual[np.abs(residual) <= half_width]
        width = clear_half_width(near, half_width, density, LEAST_NS, n_events)
        widths.append(width)
        slice_ns = 0.1 * sigma
        size = np.abs(residual[:n_pairs])
        n_showers += np.count_nonzero(np.abs(size - width) < slice_ns / 2)
        n_lone += 2 * slice_ns * density * lone
    assert np.std(widths) < 0.1 * np.mean(widths)
    assert n_showers / n_lone == pytest.approx(4, rel=0.25)
    odds = n_pairs / (math.sqrt(2 * math.pi) * sigma) / (density * lone)
    assert np.mean(widths) == pytest.approx(sigma * math.sqrt(2 * math.log(odds / 4)), rel=0.03)


def test_the_clear_window_has_limits():
    many = (10_000, 10_000)
    residual, density = pile(3000, 20.0, 100)
    assert clear_half_width(residual, REACH_NS, density, LEAST_NS, many) == LEAST_NS
    # every event is in a pair: nothing is by chance
    assert clear_half_width(residual[:3000], 200, 0.0, LEAST_NS // 2, (3000, 3000)) == 200
    # too few to measure
    assert clear_half_width(residual[:4], 5000, 0.0, LEAST_NS, many) == 5000
    # a pile that nowhere rises above chance
    flat, density = pile(200, 100_000.0, 20_000)
    assert clear_half_width(flat, REACH_NS, density, LEAST_NS, many) == LEAST_NS


def test_pairs_in_a_desert_are_dropped_and_those_among_pairs_stay():
    rng = np.random.default_rng(3)
    dense = np.flatnonzero(rng.random(4000) < 0.3)
    desert = np.array([5000, 6500, 9000, 11_000])
    again = 14_000 + np.flatnonzero(rng.random(2000) < 0.3)
    rows = np.concatenate([dense, desert, again])
    kept = in_company(rows, by_chance=4 / 10_000, n_first=16_000)
    assert not kept[np.isin(rows, desert)].any()
    assert kept[~np.isin(rows, desert)].mean() > 0.99


def test_few_events_are_believed():
    """Among thirty events chance makes no pair, so that one by itself is right."""
    assert in_company(np.array([3, 20]), by_chance=1e-4, n_first=30).all()
    assert in_company(np.zeros(0, dtype=np.int64), by_chance=1e-4, n_first=30).tolist() == []
