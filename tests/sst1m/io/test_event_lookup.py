"""Events found by their numbers, in any order."""

import numpy as np
import pytest

from sst1m.errors import InputError
from sst1m.io.event_lookup import EventLookup


def test_rows_in_any_order_and_none_for_strangers():
    lookup = EventLookup(np.array([2, 1, 1, 2]), np.array([5, 7, 5, 2**60]))
    rows = lookup.rows(np.array([1, 2, 2, 1, 3, 2]), np.array([5, 2**60, 5, 7, 5, 7]))
    assert rows.tolist() == [2, 3, 0, 1, -1, -1]


def test_numbers_are_not_mixed_up():
    rng = np.random.default_rng(1)
    pairs = np.unique(rng.integers(0, 60, (1500, 2)), axis=0)
    known, strangers = np.split(rng.permutation(pairs), [len(pairs) // 2])
    lookup = EventLookup(*known.T)
    assert lookup.rows(*known.T).tolist() == list(range(len(known)))
    assert (lookup.rows(*strangers.T) == -1).all()


def test_empty_tables():
    nothing = np.empty(0, dtype=np.int64)
    assert EventLookup(nothing, nothing).rows(np.array([1]), np.array([1])).tolist() == [-1]
    assert EventLookup(np.array([1]), np.array([1])).rows(nothing, nothing).tolist() == []


def test_event_that_occurs_twice_is_refused():
    with pytest.raises(InputError, match="event 7 of observation 1 occurs more than once"):
        EventLookup(np.array([1, 1, 1]), np.array([7, 8, 7]))
