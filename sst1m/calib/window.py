"""Transmission of the camera's entrance window per pixel."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..instrument import N_PIXELS
from .calibration_file import existing_file

__all__ = ["load_window_transmission"]

_LOWEST, _HIGHEST = 0.5, 1.5


def _parse(text: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return pixel ids and factors of the lines below the heading."""
    heading, *lines = text.splitlines()
    if heading.split() != ["pixel_id", "correction_factor"]:
        raise ValueError(f"its first line is {heading[:60]!r}, not 'pixel_id  correction_factor'")
    rows = [line.split() for line in lines if line.strip()]
    if any(len(row) != 2 for row in rows):
        raise ValueError("a line does not hold a pixel and a factor")
    columns = np.array(rows, dtype=np.float64).reshape(-1, 2)
    return columns[:, 0], columns[:, 1]


def load_window_transmission(path: str | Path) -> NDArray[np.float64]:
    """
    Read the relative transmission of the window.

    Parameters
    ----------
    path : str or Path
        Text: a heading line, then pixel id and factor for each of the 1296 pixels.

    Returns
    -------
    ndarray of float64, shape=(n_pixels,)
        Images are divided by it. In the order of the pixel ids.

    Raises
    ------
    InputError
        If the file is missing, incomplete, or holds what cannot be a relative transmission.
    """
    path = existing_file(path, "the file of the window's transmission")
    try:
        pixel_ids, factors = _parse(path.read_text(encoding="ascii"))
        if not np.array_equal(np.sort(pixel_ids), np.arange(N_PIXELS)):
            raise ValueError(f"its {len(pixel_ids)} rows are not the {N_PIXELS} pixels of a camera")
        if not ((factors > _LOWEST) & (factors < _HIGHEST)).all():
            raise ValueError(f"a factor is not between {_LOWEST} and {_HIGHEST}")
    except (ValueError, OSError) as error:
        raise InputError(
            f"{path}: is no usable window transmission: {error}; choose another file in window_transmittance"
        ) from error
    transmission = factors[np.argsort(pixel_ids)]
    transmission.setflags(write=False)
    return transmission
