"""Which pixels of an image hold Cherenkov light: tail cuts, time coincidence, main island."""

# ruff: noqa: ANN001 (compiled functions take the types of their arguments from the call)

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from .tables import CameraTables, require_shape

__all__ = ["CleaningOptions", "clean_block"]


@dataclass(frozen=True)
class CleaningOptions:
    """
    How images are cleaned; picture thresholds are passed apart, because they change with the sky.

    Attributes
    ----------
    boundary_threshold : float
        Charge from which a pixel beside a picture pixel is kept [p.e.].
    min_picture_neighbors : int
        Number of neighbours above the picture threshold that a picture pixel needs; no effect where isolated
        pixels are kept.
    keep_isolated : bool
        Keep picture pixels without any neighbour above the boundary threshold.
    time_limit : float or None
        Largest difference of arrival times of neighbours that belong together [ns]; None: no time cleaning.
    min_time_neighbors : int
        Number of kept neighbours within the time limit that a pixel needs.
    only_main_island : bool
        Keep only the island with most pixels.
    """

    boundary_threshold: float = 4.0
    min_picture_neighbors: int = 2
    keep_isolated: bool = False
    time_limit: float | None = 8.0
    min_time_neighbors: int = 1
    only_main_island: bool = False


@njit
def _count_above(image, threshold, around):
    count = 0
    for pixel in around:
        count += image[pixel] >= threshold[pixel]
    return count


@njit
def _any_above(image, threshold, around):
    for pixel in around:
        if image[pixel] >= threshold:
            return True
    return False


@njit
def _picture_pixels(image, threshold, min_neighbors, first, neighbors, found):
    # the first loop is over all pixels, free of branches, and ends most events
    any_above = False
    for pixel in range(len(image)):
        any_above |= image[pixel] >= threshold[pixel]
    if not any_above:
        return 0
    n_above = 0
    for pixel in range(len(image)):
        if image[pixel] >= threshold[pixel]:
            found[n_above] = pixel
            n_above += 1
    if min_neighbors == 0:
        return n_above
    n_picture = 0
    for pixel in found[:n_above]:
        around = neighbors[first[pixel] : first[pixel + 1]]
        if _count_above(image, threshold, around) >= min_neighbors:
            found[n_picture] = pixel
            n_picture += 1
    return n_picture


@njit
def _tail_cuts(image, picture, boundary, keep_isolated, first, neighbors, mask):
    for pixel in picture:
        around = neighbors[first[pixel] : first[pixel + 1]]
        if keep_isolated or _any_above(image, boundary, around):
            mask[pixel] = True
        for neighbor in around:
            if image[neighbor] >= boundary:
                mask[neighbor] = True


@njit
def _time_cuts(peak_time, selected, limit, min_neighbors, first, neighbors, mask, keep):
    for k, pixel in enumerate(selected):
        count = 0
        for neighbor in neighbors[first[pixel] : first[pixel + 1]]:
            count += mask[neighbor] and abs(peak_time[pixel] - peak_time[neighbor]) < limit
        keep[k] = count >= min_neighbors
    for k, pixel in enumerate(selected):
        mask[pixel] = keep[k]


@njit
def _keep_main_island(selected, first, neighbors, mask, stack):
    # an island is removed from the mask while it is collected; the largest is put back at the end
    largest = selected[:0]
    for seed in selected:
        if not mask[seed]:
            continue
        mask[seed] = False
        stack[0] = seed
        n_island = 1
        done = 0
        while done < n_island:
            pixel = stack[done]
            for neighbor in neighbors[first[pixel] : first[pixel + 1]]:
                if mask[neighbor]:
                    mask[neighbor] = False
                    stack[n_island] = neighbor
                    n_island += 1
            done += 1
        if n_island > len(largest):
            largest = stack[:n_island].copy()
    for pixel in largest:
        mask[pixel] = True


@njit(cache=True, nogil=True)
def _clean_events(
    image, peak_time, table, row, boundary, picture_rule, time_rule, only_main_island, first, neighbors, mask
):
    min_picture_neighbors, keep_isolated = picture_rule
    time_limit, min_time_neighbors = time_rule
    scratch = np.empty(image.shape[1], dtype=np.int64)
    keep = np.empty(image.shape[1], dtype=np.bool_)
    for event in range(image.shape[0]):
        charge, kept = image[event], mask[event]
        n_picture = _picture_pixels(
            charge, table[row[event]], min_picture_neighbors, first, neighbors, scratch
        )
        if n_picture == 0:
            continue
        _tail_cuts(charge, scratch[:n_picture], boundary, keep_isolated, first, neighbors, kept)
        if min_time_neighbors > 0:
            selected = np.flatnonzero(kept)
            _time_cuts(
                peak_time[event], selected, time_limit, min_time_neighbors, first, neighbors, kept, keep
            )
        if only_main_island:
            _keep_main_island(np.flatnonzero(kept), first, neighbors, kept, scratch)


def _threshold_rows(threshold_table: ArrayLike, row: ArrayLike | None, n_events: int, n_pixels: int):
    table = np.atleast_2d(np.asarray(threshold_table, dtype=np.float32))
    table = np.ascontiguousarray(np.broadcast_to(table, (table.shape[0], n_pixels)))
    row = np.zeros(n_events, dtype=np.int64) if row is None else np.ascontiguousarray(row, dtype=np.int64)
    if row.shape != (n_events,) or (n_events and not 0 <= row.min() <= row.max() < len(table)):
        raise ValueError("threshold_row must name one row of threshold_table for each event")
    return table, row


def clean_block(
    image: NDArray[np.float32],
    peak_time: NDArray[np.float32],
    tables: CameraTables,
    options: CleaningOptions,
    threshold_table: ArrayLike,
    threshold_row: ArrayLike | None = None,
) -> NDArray[np.bool_]:
    """
    Return the pixels of each image that hold Cherenkov light.

    Parameters
    ----------
    image : ndarray of float32, shape=(n_events, n_pixels)
        Charges [p.e.].
    peak_time : ndarray of float32, shape=(n_events, n_pixels)
        Arrival times [ns].
    tables : CameraTables
        The camera.
    options : CleaningOptions
        The cleaning.
    threshold_table : array-like of float32, shape=(n_rows, n_pixels), (n_pixels,) or ()
        Picture thresholds [p.e.].
    threshold_row : array-like of int, shape=(n_events,), optional
        The row of the table that holds for each event; by default the first for all.

    Returns
    -------
    ndarray of bool, shape=(n_events, n_pixels)

    Notes
    -----
    Definition, in this order: ``ctapipe.image.tailcuts_clean``, ``apply_time_delta_cleaning`` and
    ``largest_island``, with charges, times and thresholds compared in single precision.
    """
    image = np.ascontiguousarray(image, dtype=np.float32)
    peak_time = np.ascontiguousarray(peak_time, dtype=np.float32)
    require_shape((len(image), tables.n_pixels), image=image, peak_time=peak_time)
    table, row = _threshold_rows(threshold_table, threshold_row, *image.shape)
    picture_neighbors = 0 if options.keep_isolated else options.min_picture_neighbors
    time_neighbors = 0 if options.time_limit is None else options.min_time_neighbors
    mask = np.zeros(image.shape, dtype=np.bool_)
    _clean_events(
        image,
        peak_time,
        table,
        row,
        np.float32(options.boundary_threshold),
        (picture_neighbors, options.keep_isolated),
        (np.float32(options.time_limit or 0.0), time_neighbors),
        options.only_main_island,
        tables.first_neighbor,
        tables.neighbors,
        mask,
    )
    return mask
