"""Mean and fluctuation over the last pedestals, updated pedestal by pedestal without drift."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["PedestalRing"]


@njit(cache=True)
def _replace(ring: np.ndarray, slot: int, new: np.ndarray, sums: np.ndarray) -> None:
    """Put one row in a slot; sums holds count, sum and sum of squares of the finite values per pixel."""
    for pixel in range(ring.shape[1]):
        old, value = ring[slot, pixel], new[pixel]
        if np.isfinite(old):
            sums[0, pixel] -= 1
            sums[1, pixel] -= old
            sums[2, pixel] -= old * old
        if np.isfinite(value):
            sums[0, pixel] += 1
            sums[1, pixel] += value
            sums[2, pixel] += value * value
        ring[slot, pixel] = value


@njit(cache=True)
def _add_up(ring: np.ndarray, sums: np.ndarray) -> None:
    sums[:] = 0
    for slot in range(ring.shape[0]):
        for pixel in range(ring.shape[1]):
            value = ring[slot, pixel]
            if np.isfinite(value):
                sums[0, pixel] += 1
                sums[1, pixel] += value
                sums[2, pixel] += value * value


@njit(cache=True)
def _moments(sums: np.ndarray, mean: np.ndarray, std: np.ndarray) -> None:
    for pixel in range(sums.shape[1]):
        count = sums[0, pixel]
        if count > 0:
            mean[pixel] = sums[1, pixel] / count
            std[pixel] = np.sqrt(max(sums[2, pixel] / count - mean[pixel] ** 2, 0.0))
        else:
            mean[pixel] = np.nan
            std[pixel] = np.nan


@njit(cache=True)
def _advance(
    ring: np.ndarray, sums: np.ndarray, first: np.ndarray, n_seen: int, new: np.ndarray, states: np.ndarray
) -> None:
    """
    Push rows through the ring and write the mean and std of every state, before and after each of them.

    The sums are added up anew whenever the ring has turned once, so that rounding never accumulates; when
    that happens depends on the number of pedestals seen alone, not on blocks.
    """
    length = ring.shape[0]
    for row in range(len(new) + 1):
        if row > 0:
            slot = (n_seen + row - 1) % length
            _replace(ring, slot, new[row - 1], sums)
            if slot == length - 1:
                _add_up(ring, sums)
        if n_seen + row < length:
            states[:, row] = first
        else:
            _moments(sums, states[0, row], states[1, row])


class PedestalRing:
    """
    The last pedestals, and the mean and std of each pixel over them.

    Parameters
    ----------
    length : int
        Pedestals that are kept.
    n_pixels : int
        Values per pedestal; NaN does not count.
    """

    def __init__(self, length: int, n_pixels: int) -> None:
        self.rows = np.full((length, n_pixels), np.nan)
        self.n_seen = 0
        self._sums = np.zeros((3, n_pixels))
        self._first: NDArray[np.float64] | None = None

    @property
    def length(self) -> int:
        """Pedestals that are kept."""
        return len(self.rows)

    def prefill(self, first: NDArray[np.floating]) -> None:
        """Take the first rows of the file, which stand in until the ring is full."""
        if self.n_seen:
            raise ValueError("the first pedestals of a file must be given before any other")
        sums, moments = np.zeros_like(self._sums), np.empty((2, self.rows.shape[1]))
        _add_up(np.asarray(first[: self.length], dtype=np.float64), sums)
        _moments(sums, moments[0], moments[1])
        self._first = moments

    def advance(self, new: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and std, shape=(n_new + 1, n_pixels), of the states before and after each new row."""
        if self._first is None:
            raise ValueError("give the first pedestals of the file (prefill) before the blocks")
        states = np.empty((2, len(new) + 1, self.rows.shape[1]))
        rows = np.ascontiguousarray(new, dtype=np.float64)
        _advance(self.rows, self._sums, self._first, self.n_seen, rows, states)
        self.n_seen += len(new)
        return states[0], states[1]
