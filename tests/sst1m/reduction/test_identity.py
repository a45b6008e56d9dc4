"""Which number identifies an event."""

import numpy as np
import pytest

from sst1m.errors import DataQualityError
from sst1m.reduction.identity import check_night, choose_event_ids, identify_events, repeated_events
from sst1m.times import utc_text_to_ns

CAMERA = 21_079 + np.arange(6)
SWAT = 29_901_023 + np.arange(6)


def _with(numbers, changes):
    changed = numbers.copy()
    for place, value in changes.items():
        changed[place] = value
    return changed


def test_the_array_number_identifies_events_where_it_can():
    identity = choose_event_ids(SWAT, CAMERA)
    assert (identity.source, identity.reason) == ("swat", "")
    np.testing.assert_array_equal(identity.event_id, SWAT)


@pytest.mark.parametrize(
    ("swat", "reason"),
    [
        (np.zeros(6, dtype=np.int64), "6 of 6 events have none"),
        (_with(SWAT, {0: 0}), "1 of 6 events have none"),
        (_with(SWAT, {4: SWAT[1]}), "1 of 6 are repeated"),
        # restarted in the middle of the file: it counts from the beginning again
        (np.array([1, 2, 3, 1, 2, 3]), "3 of 6 are repeated"),
    ],
)
def test_otherwise_the_number_of_the_camera_does(swat, reason):
    """Today's pipeline looks at the first two events only."""
    identity = choose_event_ids(swat, CAMERA)
    assert identity.source == "camera"
    assert reason in identity.reason
    np.testing.assert_array_equal(identity.event_id, CAMERA)


@pytest.mark.parametrize("camera", [_with(CAMERA, {5: CAMERA[0]}), np.zeros(6, dtype=np.int64)])
def test_at_last_the_place_in_the_file(camera):
    identity = choose_event_ids(np.zeros(6, dtype=np.int64), camera)
    assert identity.source == "running"
    assert "camera event numbers" in identity.reason
    np.testing.assert_array_equal(identity.event_id, np.arange(1, 7))


def test_large_and_unordered_numbers_are_kept():
    """A restart that does not repeat a number, and numbers beyond 32 bits of sign."""
    swat = np.array([4_294_967_295, 1, 2, 3, 7, 5])
    identity = choose_event_ids(swat, CAMERA)
    assert identity.source == "swat"
    assert identity.event_id.dtype == np.int64
    assert identity.event_id.tolist() == swat.tolist()


@pytest.mark.parametrize("n_events", [0, 1])
def test_few_events(n_events):
    """Today's pipeline needs two events to decide."""
    identity = choose_event_ids(SWAT[:n_events], CAMERA[:n_events])
    assert identity.source == "swat"
    assert len(identity.event_id) == n_events


def test_copies_are_events_of_the_same_number_at_the_same_time():
    time_ns = np.array([50, 10, 50, 10, 10, 60, 50])
    number = np.array([7, 3, 7, 4, 3, 7, 7])
    assert repeated_events(time_ns, number).tolist() == [False, False, True, False, True, False, True]
    # without a number of the camera nothing says that they are copies
    assert not repeated_events(time_ns, np.zeros(7, dtype=np.int64)).any()
    assert repeated_events(time_ns[:0], number[:0]).tolist() == []


def test_copies_do_not_cost_the_others_their_numbers():
    repeated = np.array([False, True, False, False])
    identity = identify_events(np.array([900, 900, 901, 902]), np.array([5, 5, 6, 7]), repeated)
    assert identity.source == "swat"
    assert identity.event_id[~repeated].tolist() == [900, 901, 902]


@pytest.mark.parametrize(
    ("times", "good"),
    [
        (["2024-03-04T18:00:00", "2024-03-05T04:30:00"], True),
        (["2024-03-04T18:00:00", "2024-03-04T18:00:01", "1970-01-01T00:00:00"], True),
        (["2024-03-03T23:59:59"], False),
        (["2024-03-06T00:00:00"], False),
        (["1970-01-01T00:00:00", "2024-03-04T18:00:00", "1970-01-01T00:00:00"], False),
        ([], True),
    ],
)
def test_most_events_must_be_of_the_night(tmp_path, times, good):
    time_ns = np.array([utc_text_to_ns(text) for text in times], dtype=np.int64)
    if good:
        check_night(tmp_path / "raw", time_ns, 20240304)
        return
    with pytest.raises(DataQualityError, match="not of the night 2024-03-04.*correct the name"):
        check_night(tmp_path / "raw", time_ns, 20240304)
