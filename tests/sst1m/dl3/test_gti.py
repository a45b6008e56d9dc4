"""Good time intervals: the algebra of sets, on integer nanoseconds."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sst1m.dl3.gti import EDGE_NS, Intervals
from sst1m.times import gadf_seconds_to_ns, ns_to_gadf_seconds

#: A small range, so that intervals often touch, nest and repeat.
EDGE = st.integers(0, 60)
PAIRS = st.lists(st.tuples(EDGE, EDGE), max_size=8)
EVERY = np.arange(-1, 62, dtype=np.int64)


def members(pairs) -> set[int]:
    return {t for start, stop in pairs for t in range(start, stop)}


def inside(intervals: Intervals) -> set[int]:
    return set(EVERY[intervals.contains(EVERY)].tolist())


@settings(deadline=None)
@given(PAIRS)
def test_intervals_hold_exactly_the_times_of_their_parts(pairs):
    intervals = Intervals.of(pairs)
    assert inside(intervals) == members(pairs)
    assert intervals.total_ns == len(members(pairs))
    edges = intervals.edges.ravel()
    assert np.all(np.diff(edges) > 0)
    assert Intervals.of(reversed(pairs)) == intervals == Intervals.of(intervals.edges)


@settings(deadline=None)
@given(PAIRS, PAIRS)
def test_union_and_intersection_are_those_of_sets(one, other):
    a, b = Intervals.of(one), Intervals.of(other)
    assert inside(a | b) == members(one) | members(other)
    assert inside(a & b) == members(one) & members(other)
    assert (a | b).total_ns + (a & b).total_ns == a.total_ns + b.total_ns
    assert (a | b) == (b | a) and (a & b) == (b & a)


@settings(deadline=None)
@given(PAIRS, PAIRS, PAIRS)
def test_intersection_distributes_over_union(one, two, three):
    a, b, c = map(Intervals.of, (one, two, three))
    assert a & (b | c) == (a & b) | (a & c)


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**13), min_size=2, max_size=2, unique=True), st.integers(1, 10**12))
def test_samples_stand_for_all_the_time(pair, step):
    start, stop = sorted(pair)
    step = max(step, (stop - start) // 50)
    intervals = Intervals.of([(start, stop)])
    times, weights = intervals.samples(step)
    assert intervals.contains(times).all()
    assert np.isclose(weights.sum(), intervals.total_ns / 1e9, rtol=1e-12)
    assert weights.max() * 1e9 <= step * (1 + 1e-9)


@settings(deadline=None)
@given(st.lists(st.integers(1_700_000_000_000_000_000, 1_900_000_000_000_000_000), min_size=2, unique=True))
def test_triggers_at_the_ends_stay_inside_when_seconds_are_written(triggers):
    first, last = min(triggers), max(triggers)
    intervals = Intervals.between_triggers([(first, last)])
    assert intervals.contains(np.array(triggers)).all()
    start, stop = ns_to_gadf_seconds(intervals.edges[0])
    seconds = ns_to_gadf_seconds(np.array(triggers))
    assert np.all((seconds > start) & (seconds < stop))
    assert np.abs(gadf_seconds_to_ns(seconds) - triggers).max() <= 40
    assert intervals.total_ns == last - first + 2 * EDGE_NS


def test_a_single_trigger_spans_no_time():
    assert len(Intervals.between_triggers([(5, 5)])) == 0
    assert Intervals.between_triggers([]).total_ns == 0
    assert not Intervals.of([]).contains(np.array([3])).any()


def test_long_gaps_divide():
    intervals = Intervals.of([(0, 10), (15, 20), (40, 50), (53, 60)])
    parts = intervals.divided(5)
    assert [part.edges.tolist() for part in parts] == [[[0, 10], [15, 20]], [[40, 50], [53, 60]]]
    assert len(intervals.divided(2)) == 4 and intervals.divided(20) == [intervals]
    assert [len(part) for part in Intervals.of([]).divided(5)] == [0]
