"""Number and size of the islands of a cleaned image."""

# ruff: noqa: ANN001 (compiled functions take the types of their arguments from the call)

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .selection import SelectedPixels
from .tables import CameraTables

__all__ = ["morphology_block"]

_LARGEST_SMALL = 2
_LARGEST_MEDIUM = 50


@njit
def _take_island(start, waiting, stack, first_neighbor, neighbors):
    waiting[start] = False
    stack[0] = start
    size, done = 1, 0
    while done < size:
        pixel = stack[done]
        for neighbor in neighbors[first_neighbor[pixel] : first_neighbor[pixel + 1]]:
            if waiting[neighbor]:
                waiting[neighbor] = False
                stack[size] = neighbor
                size += 1
        done += 1
    return size


@njit(cache=True, nogil=True)
def _island_events(events, first, pixel, first_neighbor, neighbors, out):
    waiting = np.zeros(len(first_neighbor) - 1, dtype=np.bool_)
    stack = np.empty(len(first_neighbor) - 1, dtype=np.int64)
    for event in events:
        own = pixel[first[event] : first[event + 1]]
        out[:, event] = 0
        out[0, event] = len(own)
        waiting[own] = True
        for start in own:
            if waiting[start]:
                size = _take_island(start, waiting, stack, first_neighbor, neighbors)
                kind = 2 if size <= _LARGEST_SMALL else 3 if size <= _LARGEST_MEDIUM else 4
                out[1, event] += 1
                out[kind, event] += 1


def morphology_block(
    selected: SelectedPixels, events: NDArray[np.int64], tables: CameraTables
) -> dict[str, NDArray[np.int64]]:
    """
    Return the number of pixels and of islands of a block of images.

    Parameters
    ----------
    selected : SelectedPixels
        Surviving pixels of the block.
    events : ndarray of int64, shape=(n_parametrized,)
        The events to parametrize; -1 in all others.
    tables : CameraTables
        The camera.

    Notes
    -----
    Definition: ``ctapipe.image.morphology_parameters``. Small islands have at most 2 pixels, large ones more
    than 50.
    """
    out = np.full((5, selected.n_events), -1, dtype=np.int64)
    _island_events(events, selected.first, selected.pixel, tables.first_neighbor, tables.neighbors, out)
    names = ("n_pixels", "n_islands", "n_small_islands", "n_medium_islands", "n_large_islands")
    return dict(zip(names, out, strict=True))
