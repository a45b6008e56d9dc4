"""Finds events by observation and event number, whatever order tables are in."""

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

__all__ = ["EventLookup"]


class EventLookup:
    """
    The rows of a table by the numbers of their events.

    Parameters
    ----------
    obs_id, event_id : ndarray of int, shape=(n_rows,)
        Numbers of the events of the table.

    Raises
    ------
    InputError
        Two rows have the same numbers.
    """

    def __init__(self, obs_id: NDArray[np.integer], event_id: NDArray[np.integer]) -> None:
        self._obs_ids, self._event_ids = np.unique(obs_id), np.unique(event_id)
        keys, _ = self._keys_of(obs_id, event_id)
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]
        twice = np.flatnonzero(np.diff(self._keys) == 0)
        if len(twice):
            row = self._order[twice[0]]
            raise InputError(
                f"event {event_id[row]} of observation {obs_id[row]} occurs more than once; "
                "the file was joined wrongly, make it again"
            )

    def _keys_of(
        self, obs_id: NDArray[np.integer], event_id: NDArray[np.integer]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return one number for each pair, and whether both numbers occur in the table."""
        keys, known = np.zeros(len(obs_id), dtype=np.int64), np.ones(len(obs_id), dtype=bool)
        for unique, wanted in ((self._obs_ids, obs_id), (self._event_ids, event_id)):
            place = np.minimum(np.searchsorted(unique, wanted), max(len(unique) - 1, 0))
            known &= unique[place] == wanted if len(unique) else False
            keys = keys * max(len(unique), 1) + place
        return keys, known

    def rows(self, obs_id: NDArray[np.integer], event_id: NDArray[np.integer]) -> NDArray[np.int64]:
        """
        Return the row of each wanted event, -1 where the table lacks it.

        Parameters
        ----------
        obs_id, event_id : ndarray of int, shape=(n_wanted,)
            Numbers of the wanted events.
        """
        keys, known = self._keys_of(obs_id, event_id)
        if len(self._keys) == 0:
            return np.full(len(keys), -1, dtype=np.int64)
        place = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(known & (self._keys[place] == keys), self._order[place], -1)
