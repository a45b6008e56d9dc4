"""What is done about a task that has failed: which failures are tried again, how, and when no more."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from submit.site import PlanSettings

__all__ = ["Decision", "decide"]

_MEM_FACTOR = 1.5
_TIME_FACTOR = 2.0
#: A class is tried again this often; transient failures as often as the site gives pauses.
_TRIES = {"oom": 3, "timeout": 3, "node": 5, "deterministic": 2}

Failures = Sequence[Mapping[str, object]]


@dataclass(frozen=True)
class Decision:
    """
    What becomes of a task.

    Parameters
    ----------
    attempt : int
        Number of its next attempt, from 1.
    mem_mb : int
        Memory to be asked for [MB]; never less than it asks for itself.
    time_factor : float
        Factor on its expected duration.
    alone : bool
        Whether it must not share a shard: what it does to a node hits nobody else.
    not_before : float
        Time [s, Unix] before which it is not tried again.
    quarantine : str
        Why it is not tried again; empty: it is.
    """

    attempt: int = 1
    mem_mb: int = 0
    time_factor: float = 1.0
    alone: bool = False
    not_before: float = 0.0
    quarantine: str = ""


def decide(failures: Failures, settings: PlanSettings) -> Decision:
    """
    Decide from the failures of a task what becomes of it.

    Parameters
    ----------
    failures : sequence of mapping
        Results of its failed attempts, the oldest first, with keys ``class``, ``error``, ``fingerprint``,
        ``mem_mb``, ``ended``, ``attempt``.
    settings : PlanSettings
        Limits of the site.
    """
    if not failures:
        return Decision()
    kind = str(failures[-1].get("class"))
    counts = Counter(str(failure.get("class")) for failure in failures)
    asked = max(_number(failure, "mem_mb") for failure in failures)
    mem_mb = min(int(asked * _MEM_FACTOR), settings.max_mem_mb) if kind == "oom" else int(asked)
    return Decision(
        attempt=1 + max(int(_number(failure, "attempt")) for failure in failures),
        mem_mb=mem_mb if counts["oom"] else 0,
        time_factor=_TIME_FACTOR ** counts["timeout"],
        # What takes its node or its memory down must hit nobody else.
        alone=bool(counts["oom"] or counts["timeout"] or counts["node"] > 1),
        not_before=_not_before(failures, counts, settings),
        quarantine=_quarantine(failures, counts, int(asked), settings),
    )


def _not_before(failures: Failures, counts: Counter[str], settings: PlanSettings) -> float:
    delays, number = settings.retry_delay_minutes, counts["transient-io"]
    if failures[-1].get("class") != "transient-io" or not 0 < number <= len(delays):
        return 0.0
    return _number(failures[-1], "ended") + 60 * delays[number - 1]


def _quarantine(failures: Failures, counts: Counter[str], mem_mb: int, settings: PlanSettings) -> str:
    """Say why a task is not tried again; nothing if it is."""
    kind, error = str(failures[-1].get("class")), str(failures[-1].get("error"))
    number = counts[kind]
    if kind == "corrupt-input":
        return error
    if kind == "oom" and mem_mb >= settings.max_mem_mb:
        return f"not enough with {mem_mb} MB of memory, the limit of the site (plan.max_mem_mb)"
    if kind == "transient-io":
        most = len(settings.retry_delay_minutes)
    else:
        most = _TRIES.get(kind, _TRIES["deterministic"])
    # The same failure at the same place would come for ever; a second one is not by chance.
    marks = [failure.get("fingerprint") for failure in failures if failure.get("class") == "deterministic"]
    again = kind == "deterministic" and marks.count(marks[-1]) > 1
    return f"{error} ({number} times)" if number > most or again else ""


def _number(failure: Mapping[str, object], key: str) -> float:
    return float(str(failure.get(key) or 0))
