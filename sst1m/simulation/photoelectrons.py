"""Photo-electrons of the events of one telescope: what showers give and cameras digitise."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PhotoElectrons"]


@dataclass(frozen=True)
class PhotoElectrons:
    """
    Photo-electrons of Cherenkov light of a row of events, in one telescope.

    Attributes
    ----------
    first : ndarray of int64, shape=(n_events + 1,)
        Those of event i are the rows ``first[i]:first[i + 1]``.
    pixel : ndarray of int16, shape=(n_pe,)
        Pixel id.
    time : ndarray of float32, shape=(n_pe,)
        Arrival [ns] relative to the event's own reference: the mean arrival of the image is at 0.
    """

    first: NDArray[np.int64]
    pixel: NDArray[np.int16]
    time: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.first) - 1

    @property
    def counts(self) -> NDArray[np.int64]:
        """Photo-electrons of each event."""
        return np.diff(self.first)

    @classmethod
    def empty(cls, n_events: int = 0) -> "PhotoElectrons":
        """Return events without any light."""
        return cls(np.zeros(n_events + 1, np.int64), np.zeros(0, np.int16), np.zeros(0, np.float32))

    def take(self, events: NDArray[np.integer]) -> "PhotoElectrons":
        """Return the chosen events in the given order; an event may be chosen again."""
        events = np.asarray(events, dtype=np.int64)
        counts = self.counts[events]
        first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        rows = np.arange(first[-1]) + np.repeat(self.first[events] - first[:-1], counts)
        return PhotoElectrons(first, self.pixel[rows], self.time[rows])

    def with_darkness(self) -> "PhotoElectrons":
        """Return the events and one more, the last, without any light."""
        return PhotoElectrons(np.append(self.first, self.first[-1]), self.pixel, self.time)

    @classmethod
    def concatenate(cls, parts: "list[PhotoElectrons]") -> "PhotoElectrons":
        """Return the events of all parts, one after the other."""
        counts = np.concatenate([part.counts for part in parts] or [np.zeros(0, np.int64)])
        return cls(
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            np.concatenate([part.pixel for part in parts] or [np.zeros(0, np.int16)]),
            np.concatenate([part.time for part in parts] or [np.zeros(0, np.float32)]),
        )
