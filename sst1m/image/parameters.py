"""All parameters of a block of cleaned images, as columns."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrival_times import arrival_time_block
from .columns import PARAMETER_COLUMNS
from .hillas import hillas_block
from .light_sharing import concentration_block, leakage_block
from .morphology import morphology_block
from .selection import SelectedPixels, select_pixels
from .statistics import statistics_block
from .tables import CameraTables, require_shape
from .timing import timing_block

__all__ = ["parametrize_block"]

_ANGLES = ("phi", "psi", "psi_uncertainty")


def _prefixed(prefix: str, group: dict[str, NDArray]) -> dict[str, NDArray]:
    return {f"{prefix}_{name}": values for name, values in group.items()}


def _compute_groups(
    selected: SelectedPixels, tables: CameraTables, seed: int, event_ids: NDArray[np.int64]
) -> dict[str, NDArray]:
    events = selected.parametrizable()
    hillas = hillas_block(selected, events, tables)
    in_degrees = hillas | {name: np.rad2deg(hillas[name]) for name in _ANGLES}
    return {
        **_prefixed("camera_frame_hillas", in_degrees),
        **_prefixed("camera_frame_timing", timing_block(selected, events, hillas, seed, event_ids)),
        **_prefixed("leakage", leakage_block(selected, events, tables)),
        **_prefixed("concentration", concentration_block(selected, events, hillas, tables)),
        **_prefixed("morphology", morphology_block(selected, events, tables)),
        **_prefixed("intensity", statistics_block(events, selected.first, selected.charge)),
        **_prefixed("peak_time", statistics_block(events, selected.first, selected.time)),
        "core_psi": np.full(selected.n_events, np.nan),
        **arrival_time_block(selected),
    }


def parametrize_block(
    image: NDArray[np.float32],
    peak_time: NDArray[np.float32],
    mask: NDArray[np.bool_],
    tables: CameraTables,
    *,
    seed: int,
    event_ids: ArrayLike | None = None,
) -> dict[str, NDArray]:
    """
    Return the image parameters of a block of events in the camera frame.

    Parameters
    ----------
    image : ndarray of float32, shape=(n_events, n_pixels)
        Charges [p.e.].
    peak_time : ndarray of float32, shape=(n_events, n_pixels)
        Arrival times [ns].
    mask : ndarray of bool, shape=(n_events, n_pixels)
        Pixels that survived cleaning; all others are ignored.
    tables : CameraTables
        The camera.
    seed : int
        Seed of the timing fit.
    event_ids : array-like of int64, shape=(n_events,), optional
        Identities of the events, which together with the seed fix the starts of the timing fit. Without them
        all events share the same starts. In both cases the result does not depend on how events are grouped
        into blocks.

    Returns
    -------
    dict of ndarray, shape=(n_events,)
        The columns of `PARAMETER_COLUMNS`, in that order, type and unit.

    Notes
    -----
    Definition: ``ctapipe.image.ImageProcessor`` with ``use_telescope_frame=False`` and its default quality
    criteria. An event with fewer than two surviving pixels, without a positive sum of charges, or with a
    negative charge among the survivors (where ctapipe raises an exception) has NaN, and -1 for counts, in
    ctapipe's columns.
    """
    n_events = len(image)
    ids = np.zeros(n_events) if event_ids is None else event_ids
    ids = np.ascontiguousarray(ids, dtype=np.int64)
    require_shape((n_events, tables.n_pixels), image=image, peak_time=peak_time, mask=mask)
    require_shape((n_events,), event_ids=ids)
    groups = _compute_groups(select_pixels(image, peak_time, mask, tables), tables, seed, ids)
    return {name: groups[name].astype(column.dtype) for name, column in PARAMETER_COLUMNS.items()}
