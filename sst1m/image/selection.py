"""The surviving pixels of a block of images as one list, so that kernels never touch the others."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .tables import CameraTables

__all__ = ["SelectedPixels", "select_pixels"]


class SelectedPixels(NamedTuple):
    """
    The surviving pixels of all events, one after the other.

    Attributes
    ----------
    first : ndarray of int64, shape=(n_events + 1,)
        Pixels of event ``i`` are the entries ``first[i]`` to ``first[i + 1]``.
    pixel : ndarray of int64, shape=(n_selected,)
        Pixel ids, ascending within an event.
    x, y : ndarray of float64, shape=(n_selected,)
        Positions in the camera frame [m].
    charge, time : ndarray of float64, shape=(n_selected,)
        Charge [p.e.] and arrival time [ns].
    """

    first: NDArray[np.int64]
    pixel: NDArray[np.int64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    charge: NDArray[np.float64]
    time: NDArray[np.float64]

    @property
    def n_events(self) -> int:
        """Number of events, those without pixels included."""
        return len(self.first) - 1

    def parametrizable(self) -> NDArray[np.int64]:
        """
        Return the events that get parameters: at least two pixels, a positive sum and no negative charge.

        Notes
        -----
        The first two are the default quality criteria of ctapipe's ``ImageProcessor``; its moments and its
        timing fit refuse images with a negative charge by an exception.
        """
        counts = np.diff(self.first)
        event = np.repeat(np.arange(self.n_events), counts)
        size = np.bincount(event, weights=self.charge, minlength=self.n_events)
        n_negative = np.bincount(event, weights=self.charge < 0, minlength=self.n_events)
        return np.flatnonzero((counts > 1) & (size > 0) & (n_negative == 0))


def select_pixels(
    image: NDArray[np.float32], peak_time: NDArray[np.float32], mask: NDArray[np.bool_], tables: CameraTables
) -> SelectedPixels:
    """
    Return the pixels of a block that survived cleaning.

    Parameters
    ----------
    image, peak_time : ndarray of float32, shape=(n_events, n_pixels)
        Charges [p.e.] and arrival times [ns].
    mask : ndarray of bool, shape=(n_events, n_pixels)
        True for surviving pixels.
    tables : CameraTables
        The camera.
    """
    n_events, n_pixels = mask.shape
    # flat, because numpy has a fast path for one-dimensional masks
    flat = np.flatnonzero(mask)
    pixel = flat % n_pixels
    return SelectedPixels(
        first=np.searchsorted(flat, np.arange(n_events + 1) * n_pixels),
        pixel=pixel,
        x=tables.x[pixel],
        y=tables.y[pixel],
        charge=np.ravel(image)[flat].astype(np.float64),
        time=np.ravel(peak_time)[flat].astype(np.float64),
    )
