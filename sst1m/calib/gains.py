"""Dark-run calibration: the ADC sum of one photo-electron in every pixel."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import tables
from numpy.typing import NDArray

from ..errors import InputError
from ..instrument import N_PIXELS
from .calibration_file import existing_file, sha256_of

__all__ = ["PixelCalibration", "load_pixel_calibration"]

_UNREADABLE = (
    *(tables.HDF5ExtError, tables.NodeError, OSError),
    *(ValueError, TypeError, AttributeError, IndexError),
)


@dataclass(frozen=True)
class PixelCalibration:
    """
    Calibration of the pixels of one camera.

    Attributes
    ----------
    dc_to_pe : ndarray of float64, shape=(n_pixels,)
        ADC sum of one photo-electron, cross-talk included; the mean of the good pixels where not ``good``.
    good : ndarray of bool, shape=(n_pixels,)
        Whether the fit of this pixel can be trusted.
    path, sha256 : Path, str
        The file it was read from.
    """

    dc_to_pe: NDArray[np.float64]
    good: NDArray[np.bool_]
    path: Path
    sha256: str


class _PlainUnpickler(pickle.Unpickler):
    """Restores numbers, texts and None, never an object: building an object may run foreign code."""

    def find_class(self, module_name: str, global_name: str) -> Any:  # noqa: ANN401 - never returns
        raise pickle.UnpicklingError(f"refused to restore {module_name}.{global_name}")


class _PlainPickle:
    @staticmethod
    def loads(data: bytes, **options: str) -> Any:  # noqa: ANN401 - whatever was pickled
        return _PlainUnpickler(BytesIO(data), **options).load()


_unpickling = Lock()


@contextmanager
def _without_foreign_objects() -> Iterator[None]:
    """
    Keep PyTables from restoring pickled objects while a file from outside is open.

    PyTables unpickles every attribute that looks like a pickle, such as the title of the root group, as
    soon as a file is opened; ``pandas.read_hdf`` goes through the same code. A calibration file could so
    run any program.
    """
    with _unpickling:
        original = tables.attributeset.pickle
        tables.attributeset.pickle = _PlainPickle
        try:
            yield
        finally:
            tables.attributeset.pickle = original


def _the_frame(h5file: tables.File) -> tables.Group:
    """Return the one pandas frame of a file."""
    groups = [node for node in h5file.root if isinstance(node, tables.Group)]
    frames = [group for group in groups if str(getattr(group._v_attrs, "pandas_type", "")) == "frame"]
    if len(frames) != 1:
        names = ", ".join(frame._v_name for frame in frames) or "none"
        raise ValueError(f"it must hold exactly one pandas frame in fixed format, it holds {names}")
    return frames[0]


def _array(frame: tables.Group, name: str) -> NDArray[Any]:
    """Return a plain array of the frame; one of pickled objects is refused unread."""
    node = frame._f_get_child(name)
    if not isinstance(node, tables.Array):
        raise ValueError(f"{name} is a {type(node).__name__}, not an array of numbers")
    return np.asarray(node[:])


def _columns(
    frame: tables.Group, names: tuple[str, ...]
) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
    """Return the row index and the wanted columns of a frame, from the blocks pandas stores them in."""
    found: dict[str, NDArray[Any]] = {}
    for block in range(int(frame._v_attrs.nblocks)):
        items = [bytes(name).decode() for name in _array(frame, f"block{block}_items")]
        values = _array(frame, f"block{block}_values")
        found |= {name: values[:, items.index(name)] for name in names if name in items}
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(f"it has no column {' and no column '.join(missing)}")
    return _array(frame, "axis1"), found


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """Return ``dc_to_pe`` and ``calib_flag`` in the order of the pixels."""
    with _without_foreign_objects(), tables.open_file(str(path), "r") as h5file:
        index, columns = _columns(_the_frame(h5file), ("dc_to_pe", "calib_flag"))
    if len(index) != N_PIXELS or not np.array_equal(np.sort(index), np.arange(N_PIXELS)):
        raise ValueError(f"its {len(index)} rows are not the {N_PIXELS} pixels of a camera")
    order = np.argsort(index)
    return {name: values[order] for name, values in columns.items()}


def load_pixel_calibration(path: str | Path) -> PixelCalibration:
    """
    Read a dark-run calibration file.

    Parameters
    ----------
    path : str or Path
        HDF5 with one pandas frame in fixed format (``param`` or ``df_param``), 1296 rows, columns
        ``dc_to_pe`` [ADC per p.e.] and ``calib_flag`` (1: good).

    Returns
    -------
    PixelCalibration
        Pixels without a valid figure carry the mean of the good ones.

    Raises
    ------
    InputError
        If the file is missing, damaged, short, holds no or several frames, or has no good pixel.
    """
    path = existing_file(path, "the calibration file of the pixels")
    try:
        columns = _read(path)
        dc_to_pe = np.asarray(columns["dc_to_pe"], dtype=np.float64)
        flag = np.asarray(columns["calib_flag"], dtype=np.float64)
    except _UNREADABLE as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{path}: is no usable pixel calibration: {reason}; choose another file in telescope_calibration"
        ) from error
    good = (flag == 1) & np.isfinite(dc_to_pe) & (dc_to_pe > 0)
    if not good.any():
        raise InputError(
            f"{path}: no pixel is good (calib_flag 1); choose another file in telescope_calibration"
        )
    filled = np.where(good, dc_to_pe, dc_to_pe[good].mean())
    for array in (filled, good):
        array.setflags(write=False)
    return PixelCalibration(dc_to_pe=filled, good=good, path=path, sha256=sha256_of(path))
