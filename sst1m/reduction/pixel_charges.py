"""Charges of the pedestal events: the product of ``--px-charges`` and the input of ``--reclean``."""

from pathlib import Path

import numpy as np
import tables
from numpy.typing import NDArray

from ..errors import DataQualityError, InputError
from ..instrument import N_PIXELS
from ..io.dl1_tables import create_table
from .cleaning import PedestalImages

__all__ = ["PixelCharges", "read_pedestal_images"]

_EDGES = np.linspace(-10.0, 40.0, 1001)
_NS = 1_000_000_000

_BINS = np.dtype([("pe_bins", np.float64)])
_CHARGE = np.dtype([("pixel_charge", np.int64)])
_IMAGES = np.dtype(
    [
        ("start_time", np.int64),
        ("n", np.int64),
        ("average_q", np.float64, (N_PIXELS,)),
        ("stdev_q", np.float64, (N_PIXELS,)),
    ]
)


class PixelCharges:
    """
    Histogram of the pedestal charges, and their mean image in blocks of time.

    Parameters
    ----------
    window_s : float
        Length of a block [s].
    """

    def __init__(self, window_s: float) -> None:
        self._window_ns = round(window_s * _NS)
        self._histogram = np.zeros(len(_EDGES) - 1, dtype=np.int64)
        self._blocks: dict[int, tuple[int, NDArray[np.float64], NDArray[np.float64]]] = {}
        self._start: int | None = None

    def add(self, images: NDArray[np.float32], time_ns: NDArray[np.int64]) -> None:
        """Take the images [p.e.], shape=(n_events, n_pixels), of pedestal events with their times."""
        if len(images) == 0:
            return
        if self._start is None:
            self._start = int(time_ns[0])
        self._histogram += np.histogram(images, bins=_EDGES)[0]
        block = (time_ns - self._start) // self._window_ns
        for number in np.unique(block):
            chosen = images[block == number].astype(np.float64)
            n, total, squares = self._blocks.get(int(number), (0, np.zeros(N_PIXELS), np.zeros(N_PIXELS)))
            self._blocks[int(number)] = (
                n + len(chosen),
                total + chosen.sum(axis=0),
                squares + (chosen**2).sum(axis=0),
            )

    def write(self, path: Path) -> None:
        """Write the tables ``bins``, ``charge`` and ``charge_images`` into a new HDF5 file."""
        with tables.open_file(str(path), "w") as h5file:
            pe, no_unit = "edges of the histogram, p.e.", ""
            rows = np.array([(edge,) for edge in _EDGES], dtype=_BINS)
            create_table(h5file, "/bins", _BINS, {"pe_bins": (no_unit, pe)}).append(rows)
            rows = np.array([(count,) for count in self._histogram], dtype=_CHARGE)
            described = {"pixel_charge": (no_unit, "entries of all pixels in the bins of /bins")}
            create_table(h5file, "/charge", _CHARGE, described).append(rows)
            self._write_images(h5file)

    def _write_images(self, h5file: tables.File) -> None:
        rows = np.zeros(len(self._blocks), dtype=_IMAGES)
        for row, number in zip(rows, sorted(self._blocks), strict=True):
            n, total, squares = self._blocks[number]
            mean = total / n
            row["start_time"] = (self._start or 0) + number * self._window_ns
            row["n"] = n
            row["average_q"] = mean
            row["stdev_q"] = np.sqrt(np.maximum(squares / n - mean**2, 0))
        described = {
            "start_time": ("ns", "start of the block, TAI since 1970"),
            "n": ("", "pedestal events in the block"),
            "average_q": ("", "mean charge of each pixel, p.e."),
            "stdev_q": ("", "standard deviation of the charge of each pixel, p.e."),
        }
        create_table(h5file, "/charge_images", _IMAGES, described).append(rows)


def read_pedestal_images(
    path: Path, least: int, time_ns: NDArray[np.int64]
) -> tuple[PedestalImages, NDArray[np.int64]]:
    """
    Return the pedestal charges of an earlier pass and which of them describe each event.

    Parameters
    ----------
    path : Path
        Written by `PixelCharges`.
    least : int
        Blocks need more pedestal events than this.
    time_ns : ndarray of int64, shape=(n_events,)
        Times of the events; the latest block that begins before an event describes it, for events
        before the first block that one.

    Raises
    ------
    InputError
        The file is missing or is none of these.
    DataQualityError
        No block has enough pedestals.
    """
    try:
        with tables.open_file(str(path), "r") as h5file:
            rows = h5file.get_node("/charge_images").read()
    except (OSError, tables.HDF5ExtError, tables.NoSuchNodeError) as error:
        raise InputError(
            f"{path}: the pedestal charges of a first pass cannot be read ({error}); "
            "run the first pass with --px-charges"
        ) from error
    rows = np.sort(rows[rows["n"] > least], order="start_time")
    if len(rows) == 0:
        raise DataQualityError(
            f"{path}: no block has more than {least} pedestal events (min_number_pedestals); "
            "the run cannot be cleaned a second time"
        )
    states = PedestalImages(rows["average_q"], rows["stdev_q"], np.nanmean(rows["average_q"], axis=1))
    row = np.maximum(np.searchsorted(rows["start_time"], time_ns, side="right") - 1, 0)
    return states, row
