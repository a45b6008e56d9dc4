"""Calibration files of simulated cameras, in the layout of the files in use today."""

from pathlib import Path

import numpy as np
import tables
from numpy.typing import NDArray

from ..calib.telescope import DEFAULT_FILES
from ..checkpoint import committed, write_atomically
from ..instrument import N_PIXELS
from .camera import CameraModel

__all__ = ["write_calibration"]


def write_calibration(model: CameraModel, directory: Path) -> tuple[Path, Path]:
    """
    Write what dark runs and flat-field runs would have found about a camera, exactly.

    Parameters
    ----------
    model : CameraModel
        In the order of the channels.
    directory : Path
        Made if it does not exist.

    Returns
    -------
    gains, window : Path
        HDF5 with one pandas frame of 1296 rows (``dc_to_pe``, ``calib_flag`` and more), and text with the
        transmission of the window, both under the names in use today.

    Raises
    ------
    OutputError
        The directory cannot be written.
    """
    gains = directory / DEFAULT_FILES["telescope_calibration"][model.tel_id]
    window = directory / DEFAULT_FILES["window_transmittance"][model.tel_id]
    rows = [f"{pixel}\t{factor:.6f}" for pixel, factor in enumerate(model.window)]
    with committed(gains) as part:
        _write_frame(part, _columns(model))
    write_atomically(window, "\n".join(["pixel_id\t correction_factor", *rows, ""]).encode())
    return gains, window


def _columns(model: CameraModel) -> dict[str, NDArray]:
    """Return the columns of a dark-run fit; pixels that are not calibrated have none of its figures."""
    known = np.where(model.calibrated, 1.0, np.nan)
    floats = {
        "pixel_id": np.arange(N_PIXELS, dtype=np.float64),
        "dcr": model.dark_mhz / 5 * known,
        "X_talk": model.crosstalk * known,
        "gain": model.gain * known,
        "sigma_pe": model.cell_spread * model.gain * known,
        "sigma_el": model.noise * np.sqrt(5) * known,
        "dc_to_pe": model.dc_to_pe * known,
        "true_Xtalk": model.crosstalk * known,
    }
    return floats | {"calib_flag": model.calibrated.astype(np.int64)}


def _write_frame(path: Path, columns: dict[str, NDArray]) -> None:
    """Write a frame in pandas' fixed format, one block for each type of column."""
    blocks: dict[np.dtype, list[str]] = {}
    for name, values in columns.items():
        blocks.setdefault(values.dtype, []).append(name)
    # no times in the file, so that the same camera gives the same bytes
    with tables.open_file(str(path), "w", title="simulated", track_times=False) as file:
        frame = file.create_group("/", "param")
        for key, value in _frame_attributes(len(blocks)).items():
            frame._v_attrs[key] = value
        _write_axis(file, frame, "axis0", _texts(list(columns)), "string")
        _write_axis(file, frame, "axis1", np.arange(N_PIXELS), "integer")
        for number, names in enumerate(blocks.values()):
            values = np.column_stack([columns[name] for name in names])
            _write_axis(file, frame, f"block{number}_items", _texts(names), "string")
            file.create_array(
                frame, f"block{number}_values", values, track_times=False
            ).attrs.transposed = True


def _texts(names: list[str]) -> NDArray[np.bytes_]:
    return np.array([name.encode() for name in names])


def _frame_attributes(n_blocks: int) -> dict[str, object]:
    return {
        "pandas_type": "frame",
        "pandas_version": "0.15.2",
        "encoding": "UTF-8",
        "errors": "strict",
        "ndim": 2,
        "axis0_variety": "regular",
        "axis1_variety": "regular",
        "nblocks": n_blocks,
        **{f"block{number}_items_variety": "regular" for number in range(n_blocks)},
    }


def _write_axis(file: tables.File, frame: tables.Group, name: str, values: NDArray, kind: str) -> None:
    array = file.create_array(frame, name, values, track_times=False)
    array.attrs.kind, array.attrs.name, array.attrs.transposed = kind, "N.", True
