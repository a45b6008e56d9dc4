"""Which number identifies an event: the array's, the camera's or its place in the file."""

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["EventIdentity", "choose_event_ids"]

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
