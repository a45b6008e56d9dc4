"""Why events have no partner: each has one reason, and it is the right one."""

import numpy as np
import pytest

from sst1m.coincidence import match_night, read_coincidences, write_coincidences
from sst1m.coincidence.fate import Fate, fates, unmatched_by_run, while_other_is_off
from sst1m.monitoring import LiveTime

SECOND = 1_000_000_000
START_NS = 1_709_576_137_000_000_000


def live(*spans: tuple[float, float]) -> LiveTime:
    return LiveTime(tuple((round(a * SECOND), round(b * SECOND)) for a, b in spans), 0.9, 0.01, "gaps")


def test_the_strongest_statement_about_an_event_holds():
    known = np.array([True, True, True, True, False, False])
    found = fates(
        6, near=np.array([1, 2, 3, 3]), isolated=np.array([2]), paired=np.array([3]), clock_known=known
    )
    expected = [Fate.ALONE, Fate.PARTNER_TAKEN, Fate.ISOLATED, Fate.PAIRED, Fate.NO_CLOCK, Fate.NO_CLOCK]
    assert found.tolist() == expected
    assert len({fate.key for fate in Fate}) == len(Fate)


def test_only_runs_of_the_same_pointing_count_as_observing():
    """Brute force: an event is explained by a run at its time that points to the same place."""
    rng = np.random.default_rng(5)
    time_ns = rng.integers(1, 100 * SECOND, 3000)
    run = rng.integers(0, 3, 3000)
    fate = rng.choice([Fate.PAIRED, Fate.ALONE, Fate.PARTNER_TAKEN, Fate.NO_CLOCK], 3000).astype(np.int8)
    others = [live((5, 30), (40, 50)), live((25, 60)), live()]
    allowed = np.array([[True, False, True], [True, True, False], [False, False, True]])
    changed = while_other_is_off(fate, time_ns, run, others, allowed)
    margin = 20_000_000
    for event in range(3000):
        observed = any(
            start - margin <= time_ns[event] <= stop + margin
            for other, same in zip(others, allowed[run[event]], strict=True)
            for start, stop in (other.intervals_ns if same else ())
        )
        lone = fate[event] in (Fate.ALONE, Fate.NO_CLOCK)
        assert changed[event] == (Fate.OTHER_OFF if lone and not observed else fate[event])


def test_an_event_without_time_is_not_blamed_on_the_other_telescope():
    fate = np.array([Fate.NO_CLOCK], dtype=np.int8)
    zero = np.zeros(1, dtype=np.int64)
    assert while_other_is_off(fate, zero, zero, [], np.ones((1, 0), dtype=bool)).tolist() == [Fate.NO_CLOCK]


def test_reasons_are_counted_run_by_run():
    fate = np.array([Fate.PAIRED, Fate.ALONE, Fate.ALONE, Fate.OTHER_OFF], dtype=np.int8)
    found = unmatched_by_run(fate, np.array([0, 0, 2, 2]), 3)
    assert found == [{"no_partner": 1}, {}, {"no_partner": 1, "other_telescope_off": 1}]


#: How long before and after its triggers a telescope counts as observing [ns].
MARGINS = (-20_000_000, 0, 20_000_000)
METHODS = ("WhiteRabbitClosest", "SWATEventIDs", "SlidingWindow")


@pytest.mark.parametrize("method", METHODS)
def test_every_event_of_a_simulated_night_is_in_a_pair_or_has_the_true_reason(
    night, method_config, method, tmp_path
):
    """The truth knows which telescopes triggered; each begins and ends a little earlier than the other."""
    write_coincidences(
        match_night(night.files[21], night.files[22], method_config(method)), tmp_path / "pairs.h5"
    )
    found = read_coincidences(tmp_path / "pairs.h5")
    number = night.truth["array_event_number"]
    seen = dict(zip(number.tolist(), night.truth["time_ns"].tolist(), strict=True))
    for tel_id in (21, 22):
        own, other = night.truth[f"event_{tel_id}"] > 0, night.truth[f"event_{43 - tel_id}"] > 0
        paired = set(found.pairs[f"event_id_{tel_id}"].tolist())
        assert paired == set(number[own & other].tolist())
        unmatched = found.unmatched[tel_id]
        assert set(unmatched["event_id"].tolist()) == set(number[own & ~other].tolist())
        assert len(unmatched) + len(paired) == found.info["counts"][f"n_events_{tel_id}"]
        spans = [LiveTime.from_dict(run["live_time"]) for run in found.files[43 - tel_id]]
        observed = {
            event: any(
                live.contains(np.array([seen[event] + shift])).any() for live in spans for shift in MARGINS
            )
            for event in unmatched["event_id"].tolist()
        }
        reasons = dict(zip(unmatched["event_id"].tolist(), unmatched["reason"].tolist(), strict=True))
        assert reasons == {
            e: Fate.ALONE if seen_then else Fate.OTHER_OFF for e, seen_then in observed.items()
        }
        assert Fate.ALONE in reasons.values()


def test_each_reason_is_told_apart(make_dl1, method_config, tmp_path):
    """Telescope 22 stops after 10 s, has one event twice, one clock reading of zero, and another number."""
    rng = np.random.default_rng(2)
    times = START_NS + np.sort(rng.choice(np.arange(4000), 800, replace=False)) * 5_000_000
    early = times < START_NS + 10 * SECOND
    first = make_dl1(tmp_path, 21, 1, np.concatenate([times, times[5:6] + 200]))
    other = np.concatenate([times[early][1:] + 60, [0]])
    second = make_dl1(
        tmp_path, 22, 1, other, live=LiveTime(((times[1], times[early][-1]),), 0.9, 0.01, "gaps")
    )
    config = method_config("WhiteRabbitClosest", correct_light_travel=False)
    found = match_night([first], [second], config)
    reason = dict(
        zip(found.unmatched[21]["event_id"].tolist(), found.unmatched[21]["reason"].tolist(), strict=True)
    )
    late = np.flatnonzero(~early) + 1
    far = [event for event in late.tolist() if times[event - 1] > times[early][-1] + 20_000_000]
    assert len(far) > 300 and all(reason[event] == Fate.OTHER_OFF for event in far)
    # the first event of 21 has no partner, or the telescope did not observe yet
    assert reason[1] in (Fate.ALONE, Fate.OTHER_OFF)
    # 60 ns are closer than 140 ns
    assert reason[801] == Fate.PARTNER_TAKEN
    assert found.unmatched[22]["reason"].tolist() == [Fate.NO_CLOCK]
    counts = found.files[21][0]["unmatched_because"]
    assert sum(counts.values()) == found.files[21][0]["counts"]["unmatched"] == len(reason)


def test_numbers_that_differ_are_no_pair_and_say_so(make_dl1, method_config, tmp_path):
    """Half of the events of telescope 22 lost their number; one of the others was given a wrong one."""
    times = START_NS + np.arange(400) * 7_000_000
    number = np.arange(1, 401)
    theirs = np.where(number % 2 == 0, 0, number)
    theirs[10] = 9999
    ours = np.where(number == 21, 0, number)
    first = make_dl1(tmp_path, 21, 1, times, number=ours)
    second = make_dl1(tmp_path, 22, 1, times + 50, number=theirs)
    found = match_night([first], [second], method_config("SWATEventIDs"))
    for tel_id in (21, 22):
        assert found.unmatched[tel_id]["event_id"].tolist() == [11]
        assert found.unmatched[tel_id]["reason"].tolist() == [Fate.NUMBERS_DIFFER]
    assert len(found) == 399
