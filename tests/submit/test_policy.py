"""What is tried again, how, and when no more."""

import time

from submit.policy import decide
from submit.site import PlanSettings

SETTINGS = PlanSettings(max_mem_mb=8000, retry_delay_minutes=(2, 10))


def _failure(kind, attempt, **more):
    base = {"class": kind, "attempt": attempt, "error": f"{kind} {attempt}", "mem_mb": 2000, "ended": 1000.0}
    return {**base, "fingerprint": "f", **more}


def test_nothing_failed():
    assert decide([], SETTINGS).attempt == 1


def test_memory_grows_until_the_limit_of_the_site():
    failures, asked = [], [2000]
    while len(failures) < 10:
        failures.append(_failure("oom", len(failures) + 1, mem_mb=asked[-1]))
        decision = decide(failures, SETTINGS)
        if decision.quarantine:
            break
        assert decision.alone
        asked.append(decision.mem_mb)
    assert asked == [2000, 3000, 4500, 6750]
    assert "8000 MB" in decide([_failure("oom", 1, mem_mb=8000)], SETTINGS).quarantine


def test_memory_stays_raised_when_something_else_fails_next():
    failures = [_failure("oom", 1), _failure("node", 2, mem_mb=3000)]
    assert decide(failures, SETTINGS).mem_mb == 3000


def test_time_doubles_and_ends():
    failures = [_failure("timeout", n) for n in (1, 2)]
    assert decide(failures, SETTINGS).time_factor == 4.0
    assert decide([_failure("timeout", n) for n in range(1, 5)], SETTINGS).quarantine


def test_a_node_may_die_five_times():
    assert not decide([_failure("node", n) for n in range(1, 6)], SETTINGS).quarantine
    assert decide([_failure("node", n) for n in range(1, 7)], SETTINGS).quarantine


def test_transient_failures_wait_longer_each_time():
    now = time.time()
    first = decide([_failure("transient-io", 1, ended=now)], SETTINGS)
    second = decide([_failure("transient-io", n, ended=now) for n in (1, 2)], SETTINGS)
    assert (first.not_before - now, second.not_before - now) == (120.0, 600.0)
    assert decide([_failure("transient-io", n, ended=now) for n in (1, 2, 3)], SETTINGS).quarantine


def test_the_same_deterministic_failure_twice_is_enough():
    assert not decide([_failure("deterministic", 1)], SETTINGS).quarantine
    assert "deterministic 2" in decide([_failure("deterministic", n) for n in (1, 2)], SETTINGS).quarantine
    other = [_failure("deterministic", 1), _failure("deterministic", 2, fingerprint="g")]
    assert not decide(other, SETTINGS).quarantine
    assert decide([*other, _failure("deterministic", 3, fingerprint="h")], SETTINGS).quarantine


def test_a_damaged_input_is_not_tried_again():
    assert decide([_failure("corrupt-input", 1)], SETTINGS).quarantine == "corrupt-input 1"


def test_attempts_are_counted_on():
    assert decide([_failure("node", 4)], SETTINGS).attempt == 5
