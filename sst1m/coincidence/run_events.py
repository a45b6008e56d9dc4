"""Events of the DL1 files of one telescope, as the search for coincidences needs them."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tables
from numpy.typing import NDArray

from ..errors import InputError
from ..io.damage import explained_damage
from ..io.dl1 import INFO_NODE, extras_table
from ..io.dl1_tables import parameters_table
from ..io.json_node import read_json_node

__all__ = ["RunFile", "TelescopeEvents", "opened_dl1", "read_info", "read_run_file", "read_telescope"]

_FACTS = ("live_time", "nsb_mhz", "mean_pointing", "ra_deg", "dec_deg")
_COLUMNS = ("event_id", "time_ns", "swat_event_id", "true_az_tel", "true_alt_tel")


@dataclass(frozen=True)
class RunFile:
    """
    One DL1 file of one telescope.

    Parameters
    ----------
    path : Path
        The file.
    tel_id, obs_id : int
        Telescope and run.
    info : dict
        Content of ``/sst1m/info``.
    columns : dict of str to ndarray, shape=(n_events,)
        ``event_id``, ``time_ns``, ``swat_event_id``, pointing [deg], and ``has_image``: whether the image
        survived the cleaning.
    """

    path: Path
    tel_id: int
    obs_id: int
    info: dict[str, Any]
    columns: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.columns["event_id"])

    @property
    def axis(self) -> NDArray[np.float64]:
        """Optical axis as a unit vector in ICRS, shape=(3,)."""
        ra, dec = np.deg2rad([float(self.info["ra_deg"]), float(self.info["dec_deg"])])
        return np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])


@dataclass(frozen=True)
class TelescopeEvents:
    """
    All events of one telescope, sorted by time, then run and number.

    Parameters
    ----------
    files : tuple of RunFile
        In the order of the runs.
    file, row : ndarray of int64, shape=(n_events,)
        Where each event stands: number of the file and row in it.
    columns : dict of str to ndarray, shape=(n_events,)
        As in `RunFile`, and ``obs_id``.
    """

    files: tuple[RunFile, ...]
    file: NDArray[np.int64]
    row: NDArray[np.int64]
    columns: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.row)


@contextlib.contextmanager
def opened_dl1(path: Path) -> Iterator[tables.File]:
    """
    Open a DL1 file; what goes wrong while it is read names it.

    Raises
    ------
    InputError
        The file is not complete.
    """
    with explained_damage(path, "DL1 file"), tables.open_file(str(path), "r") as h5file:
        yield h5file


def read_info(h5file: tables.File) -> dict[str, Any]:
    """Return ``/sst1m/info`` of an open DL1 file."""
    return read_json_node(h5file, INFO_NODE)


def read_run_file(path: Path, tel_id: int) -> RunFile:
    """
    Read the events of a DL1 file.

    Parameters
    ----------
    path : Path
        DL1 file of one telescope.
    tel_id : int
        21 or 22.

    Raises
    ------
    InputError
        The file is not complete, or of another telescope.
    """
    with opened_dl1(path) as h5file:
        info = read_info(h5file)
        if info["tel_ids"] != [tel_id]:
            raise InputError(
                f"{path}: has events of telescope {info['tel_ids']}, expected {tel_id} alone; "
                "give DL1 files of single telescopes"
            )
        missing = [name for name in _FACTS if name not in info]
        if missing:
            raise ValueError(f"its info lacks {', '.join(missing)}")
        extras = h5file.get_node(extras_table(tel_id)).read()
        intensity = h5file.get_node(parameters_table(tel_id)).col("camera_frame_hillas_intensity")
        if not len(extras) == len(intensity) == info["n_telescope_events"][str(tel_id)]:
            raise ValueError(
                f"{len(intensity)} and {len(extras)} events instead of {info['n_events_written']}"
            )
        columns = {name: np.ascontiguousarray(extras[name]) for name in _COLUMNS}
    # NaN fails the comparison
    columns["has_image"] = intensity > 0
    return RunFile(path, tel_id, int(info["obs_id"]), info, columns)


def read_telescope(paths: Sequence[Path], tel_id: int) -> TelescopeEvents:
    """
    Read all DL1 files of one telescope; their order does not matter.

    Raises
    ------
    InputError
        A file cannot be read, or two files are of the same run.
    """
    files = sorted((read_run_file(path, tel_id) for path in paths), key=lambda run: (run.obs_id, run.path))
    for before, after in zip(files, files[1:], strict=False):
        if before.obs_id == after.obs_id:
            raise InputError(
                f"{after.path}: is of the same run {after.obs_id} as {before.path}; give one file of each run"
            )
    return _in_order(tuple(files))


def _in_order(files: tuple[RunFile, ...]) -> TelescopeEvents:
    sizes = [len(run) for run in files]
    names = (*_COLUMNS, "has_image")
    columns = {
        name: np.concatenate([run.columns[name] for run in files]) if files else np.zeros(0, dtype=np.int64)
        for name in names
    }
    columns["obs_id"] = np.repeat(np.array([run.obs_id for run in files], dtype=np.int64), sizes)
    file = np.repeat(np.arange(len(files)), sizes)
    row = np.concatenate([np.arange(size) for size in sizes]) if files else np.zeros(0, dtype=np.int64)
    order = np.lexsort((columns["event_id"], columns["obs_id"], columns["time_ns"]))
    return TelescopeEvents(
        files, file[order], row[order], {name: values[order] for name, values in columns.items()}
    )
