"""Which number identifies an event, which events are copies, and whether they are of the night at all."""

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataQualityError
from ..times import ns_to_utc_text, utc_text_to_ns

__all__ = ["EventIdentity", "check_night", "choose_event_ids", "identify_events", "repeated_events"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EventIdentity:
    """
    Unique identities of the events of one file.

    Parameters
    ----------
    event_id : ndarray of int64, shape=(n_events,)
        Unique within the file.
    source : str
        ``swat`` (array event number), ``camera`` (camera event number) or ``running`` (place in the file).
    reason : str
        Why a better source was not used; empty where the array's number was.
    """

    event_id: NDArray[np.int64]
    source: str
    reason: str


def _problem(numbers: NDArray[np.int64]) -> str:
    """Return why numbers cannot identify events, or nothing."""
    if missing := int((numbers <= 0).sum()):
        return f"{missing} of {len(numbers)} events have none"
    if repeated := len(numbers) - len(np.unique(numbers)):
        return f"{repeated} of {len(numbers)} are repeated"
    return ""


def choose_event_ids(array_event_number: NDArray[np.int64], event_number: NDArray[np.int64]) -> EventIdentity:
    """
    Return one kind of identity for all events of a file, never a mixture.

    Parameters
    ----------
    array_event_number : ndarray of int64, shape=(n_events,)
        Given by the array trigger (SWAT); 0 where there was none.
    event_number : ndarray of int64, shape=(n_events,)
        Given by the camera.

    Notes
    -----
    The array's number counts if every event has one and none is repeated, which also sees a restart of
    the SWAT in the middle of a file; otherwise the camera's number under the same condition; otherwise
    the place in the file, from 1.
    """
    swat_problem = _problem(array_event_number)
    if not swat_problem:
        return EventIdentity(array_event_number, "swat", "")
    camera_problem = _problem(event_number)
    reason = f"array event numbers: {swat_problem}"
    if not camera_problem:
        source, numbers = "camera", event_number
    else:
        source, numbers = "running", np.arange(1, len(event_number) + 1, dtype=np.int64)
        reason += f"; camera event numbers: {camera_problem}"
    log.info("Events are identified by their %s number (%s)", source, reason)
    return EventIdentity(numbers, source, reason)


def identify_events(
    array_event_number: NDArray[np.int64], event_number: NDArray[np.int64], repeated: NDArray[np.bool_]
) -> EventIdentity:
    """
    Return `choose_event_ids` of the events that are no copies; these get the place in the file.

    Parameters
    ----------
    array_event_number, event_number : ndarray of int64, shape=(n_events,)
        As there.
    repeated : ndarray of bool, shape=(n_events,)
        From `repeated_events`.
    """
    identity = choose_event_ids(array_event_number[~repeated], event_number[~repeated])
    event_id = np.arange(1, len(repeated) + 1, dtype=np.int64)
    event_id[~repeated] = identity.event_id
    return replace(identity, event_id=event_id)


def repeated_events(time_ns: NDArray[np.int64], event_number: NDArray[np.int64]) -> NDArray[np.bool_]:
    """
    Return which events are copies of an earlier one: the same camera number at the same nanosecond.

    Parameters
    ----------
    time_ns : ndarray of int64, shape=(n_events,)
        Times of the events [ns].
    event_number : ndarray of int64, shape=(n_events,)
        Given by the camera; events without a number (0) are never copies.
    """
    order = np.lexsort((time_ns, event_number))  # stable: the first of equal ones stays the first
    times, numbers = time_ns[order], event_number[order]
    same = (np.diff(times) == 0) & (np.diff(numbers) == 0) & (numbers[1:] > 0)
    repeated = np.zeros(len(time_ns), dtype=bool)
    repeated[order[1:][same]] = True
    return repeated


def check_night(path: Path, time_ns: NDArray[np.int64], date: int) -> None:
    """
    Make sure that the events are of the night in the name of their file.

    A single wrong time is outside the good time of the run later; but where most are wrong, the directions
    of all events would be wrong, too.

    Parameters
    ----------
    path : Path
        The raw file, for the message.
    time_ns : ndarray of int64, shape=(n_events,)
        Times of the events [ns TAI].
    date : int
        Evening of the night, YYYYMMDD; events of this day and the next one (UTC) are of the night.

    Raises
    ------
    DataQualityError
        If more than half of the events are not.
    """
    evening = datetime.strptime(str(date), "%Y%m%d")
    start, stop = (utc_text_to_ns(f"{evening + timedelta(days=n):%Y-%m-%dT00:00:00}") for n in (0, 2))
    n_outside = int(np.count_nonzero((time_ns < start) | (time_ns >= stop)))
    if 2 * n_outside > len(time_ns):
        raise DataQualityError(
            f"{path}: {n_outside} of {len(time_ns)} events are not of the night {evening:%Y-%m-%d} "
            f"(the first is of {ns_to_utc_text(int(time_ns[0]))} UTC); correct the name of the file, or have "
            "its clock corrected"
        )
