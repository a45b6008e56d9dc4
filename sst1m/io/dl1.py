"""DL1 files: ctapipe's data model, written in blocks, plus what only SST-1M knows under ``/sst1m``."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import tables
from astropy.time import Time
from ctapipe.containers import EventType
from ctapipe.image.image_processor import ImageQualityQuery
from ctapipe.instrument import SubarrayDescription
from ctapipe.io import metadata, write_table
from ctapipe.io.datalevels import DataLevel
from ctapipe.io.datawriter import DATA_MODEL_VERSION
from ctapipe.io.hdf5dataformat import DL1_IMAGE_STATISTICS_TABLE
from numpy.typing import NDArray

from .. import __version__
from ..times import ns_to_ctao_high_res
from .damage import explained_damage
from .dl1_tables import (
    IMAGE_SCALE,
    PEAK_TIME_SCALE,
    SUBARRAY_TRIGGER,
    TELESCOPE_TRIGGER,
    create_event_tables,
    create_pointing_table,
    create_table,
    images_table,
    open_table_writer,
    parameters_table,
    write_subarray,
)
from .hdf5_objects import count_rows, flush_all
from .json_node import read_json_node, write_json_node

__all__ = ["SST1M_DATA_MODEL_VERSION", "Dl1Block", "Dl1Writer", "check_dl1", "extras_table"]

#: Version of everything under ``/sst1m``; the rest of the file carries ctapipe's own version.
#: 1.0.0: first.
SST1M_DATA_MODEL_VERSION = "1.0.0"

INFO_NODE = "/sst1m/info"


def extras_table(tel_id: int) -> str:
    """Return the path of our own per-event columns, row by row beside the image parameters."""
    return f"/sst1m/dl1/event/telescope/parameters/tel_{tel_id:03d}"


@dataclass(frozen=True)
class Dl1Block:
    """
    Events of one telescope that are ready to be written.

    Parameters
    ----------
    event_id, time_ns : ndarray of int64, shape=(n_events,)
        Identity and time [ns TAI since 1970].
    parameters : mapping of str to ndarray, shape=(n_events,)
        Image parameters under the column names of the data model; columns left out stay undefined (NaN).
    extras : mapping of str to ndarray
        Columns of the table `extras_table`.
    image, peak_time : ndarray of float32, shape=(n_events, n_pixels)
        [p.e.] and [ns].
    mask : ndarray of bool, shape=(n_events, n_pixels)
        Pixels that survived cleaning.
    """

    event_id: NDArray[np.int64]
    time_ns: NDArray[np.int64]
    parameters: Mapping[str, NDArray[Any]]
    extras: Mapping[str, NDArray[Any]]
    image: NDArray[np.float32]
    peak_time: NDArray[np.float32]
    mask: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.event_id)


class Dl1Writer:
    """
    Writer of one DL1 file; a context manager that leaves a closed file behind.

    Parameters
    ----------
    path : Path
        Made anew.
    subarray : SubarrayDescription
        Stored in the file.
    tel_ids : tuple of int
        Telescopes whose events will come.
    obs_id : int
        Of all events.
    images : {"none", "cleaned", "all"}
        Whose images and peak times to store: of no event, of those that survive cleaning (the
        others become zeros that are not valid, which take no space), of all.
    extra_columns : mapping of str to (dtype, unit, description)
        Of `extras_table`, after the key columns.
    simulated : bool
        Marks the file as simulation.
    """

    def __init__(
        self,
        path: Path,
        *,
        subarray: SubarrayDescription,
        tel_ids: tuple[int, ...],
        obs_id: int,
        images: str,
        extra_columns: Mapping[str, tuple[str, str, str]],
        simulated: bool = False,
    ) -> None:
        self._writer = open_table_writer(path)
        self.h5file: tables.File = self._writer.h5file
        self._subarray = subarray
        self._obs_id = obs_id
        self._images = images
        self._simulated = simulated
        self._start = Time.now()
        write_subarray(self.h5file, subarray)
        self._tables = create_event_tables(self._writer, subarray, tel_ids, images=images != "none")
        self._extra_dtype = _extras_dtype(extra_columns)
        self._make_extras(tel_ids, extra_columns)
        self._criteria = np.zeros((3, 2), dtype=np.int64)
        self._n_images = {str(tel_id): 0 for tel_id in tel_ids} if images != "none" else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._write_reference_metadata()
                flush_all(self.h5file)
        finally:
            self._writer.close()

    @property
    def table_writer(self) -> Any:
        """ctapipe's table writer of the open file, for tables of its own containers."""
        return self._writer

    def _make_extras(self, tel_ids: tuple[int, ...], columns: Mapping[str, tuple[str, str, str]]) -> None:
        described = {name: (unit, text) for name, (_, unit, text) in columns.items()}
        keys = {"obs_id": ("", "observation"), "event_id": ("", "event"), "tel_id": ("", "telescope")}
        for tel_id in tel_ids:
            path = extras_table(tel_id)
            self._tables[path] = create_table(self.h5file, path, self._extra_dtype, keys | described)

    def write_block(self, tel_id: int, block: Dl1Block) -> None:
        """Append the events of a telescope to its tables; `write_triggers` adds the array events."""
        if len(block) == 0:
            return
        self._write_telescope_triggers(tel_id, block)
        self._append(
            parameters_table(tel_id), self._rows(parameters_table(tel_id), tel_id, block, block.parameters)
        )
        self._append(extras_table(tel_id), self._rows(extras_table(tel_id), tel_id, block, block.extras))
        self._count_criteria(block)
        if self._images != "none":
            self._write_images(tel_id, block)

    def write_pointing(
        self,
        tel_id: int,
        time_ns: NDArray[np.int64],
        azimuth: NDArray[np.float64],
        altitude: NDArray[np.float64],
    ) -> None:
        """Write where the telescope looked, azimuth and altitude [rad] against time."""
        table = create_pointing_table(self._writer, tel_id)
        rows = np.zeros(len(time_ns), dtype=table.dtype)
        rows["time"] = ns_to_ctao_high_res(time_ns)
        rows["azimuth"] = azimuth
        rows["altitude"] = altitude
        table.append(rows)

    def write_table(self, path: str, rows: NDArray[Any], columns: Mapping[str, tuple[str, str]]) -> None:
        """Write one complete table of our own; `columns` gives unit and description of each."""
        create_table(self.h5file, path, rows.dtype, columns).append(rows)

    def write_info(self, info: Mapping[str, Any]) -> None:
        """
        Write what happened to the run, in ``/sst1m/info``, the last thing that a complete file gets.

        Parameters
        ----------
        info : mapping
            Counts, sources and versions; anything that JSON can hold. ``n_events_written`` (array events)
            and ``n_telescope_events`` (by telescope) are what `check_dl1` compares the tables with;
            the number of images by telescope is added for the same purpose.
        """
        self._write_image_statistics()
        write_json_node(self.h5file, INFO_NODE, dict(info) | {"n_images": self._n_images})
        headers = {"SST1M DATA MODEL VERSION": SST1M_DATA_MODEL_VERSION, "SST1M SIMULATED": self._simulated}
        metadata.write_to_hdf5(headers, self.h5file)

    def _count_criteria(self, block: Dl1Block) -> None:
        """Count the images that meet the criteria of `ImageQualityQuery`: each one, and up to each one."""
        size = np.where(block.mask, block.image, 0).sum(axis=1)
        met = np.stack([np.ones(len(block), dtype=bool), size > 0, block.mask.sum(axis=1) > 1])
        self._criteria[:, 0] += met.sum(axis=1)
        self._criteria[:, 1] += np.logical_and.accumulate(met).sum(axis=1)

    def _write_image_statistics(self) -> None:
        """Write the counts that ctapipe keeps of its image criteria; ``ctapipe-merge`` adds them up."""
        table = ImageQualityQuery().to_table(functions=True)
        table["counts"], table["cumulative_counts"] = self._criteria.T
        write_table(table, self.h5file, DL1_IMAGE_STATISTICS_TABLE)

    def _append(self, path: str, rows: NDArray[Any]) -> None:
        self._tables[path].append(rows)

    def _rows(
        self, path: str, tel_id: int, block: Dl1Block, columns: Mapping[str, NDArray[Any]]
    ) -> NDArray[Any]:
        """Return rows of a table with the keys and the given columns filled, the rest undefined."""
        rows = np.empty(len(block), dtype=self._tables[path].dtype)
        for name in rows.dtype.names or ():
            if name in columns:
                rows[name] = columns[name]
            elif rows.dtype[name].kind == "f":
                rows[name] = np.nan
            else:
                rows[name] = 0
        self._fill_keys(rows, tel_id, block)
        return rows

    def _fill_keys(self, rows: NDArray[Any], tel_id: int, block: Dl1Block) -> None:
        rows["obs_id"] = self._obs_id
        rows["event_id"] = block.event_id
        if "tel_id" in (rows.dtype.names or ()):
            rows["tel_id"] = tel_id

    def write_triggers(
        self, event_id: NDArray[np.int64], time_ns: NDArray[np.int64], triggered: NDArray[np.bool_]
    ) -> None:
        """
        Append array events.

        Parameters
        ----------
        event_id, time_ns : ndarray of int64, shape=(n_events,)
            Identity and time [ns TAI since 1970].
        triggered : ndarray of bool, shape=(n_events, n_telescopes)
            Which telescopes took part, in the order of the subarray.
        """
        table = self._tables[SUBARRAY_TRIGGER]
        rows = np.zeros(len(event_id), dtype=table.dtype)
        rows["obs_id"] = self._obs_id
        rows["event_id"] = event_id
        rows["time"] = ns_to_ctao_high_res(time_ns)
        rows["tels_with_trigger"] = triggered
        rows["event_type"] = EventType.SUBARRAY.value
        table.append(rows)

    def _write_telescope_triggers(self, tel_id: int, block: Dl1Block) -> None:
        table = self._tables[TELESCOPE_TRIGGER]
        rows = np.zeros(len(block), dtype=table.dtype)
        self._fill_keys(rows, tel_id, block)
        rows["time"] = ns_to_ctao_high_res(block.time_ns)
        rows["event_type"] = EventType.SUBARRAY.value
        rows["n_trigger_pixels"] = -1
        table.append(rows)

    def _write_images(self, tel_id: int, block: Dl1Block) -> None:
        """Write one row per event: ctapipe's event source takes them in turn, whatever event they name."""
        table = self._tables[images_table(tel_id)]
        rows = np.zeros(len(block), dtype=table.dtype)
        self._fill_keys(rows, tel_id, block)
        chosen = block.mask.any(axis=1) if self._images == "cleaned" else slice(None)
        rows["image"][chosen] = np.rint(block.image[chosen] * IMAGE_SCALE)
        rows["peak_time"][chosen] = np.rint(block.peak_time[chosen] * PEAK_TIME_SCALE)
        rows["image_mask"] = block.mask
        rows["is_valid"][chosen] = True
        table.append(rows)
        self._n_images[str(tel_id)] += len(rows)

    def _write_reference_metadata(self) -> None:
        """Write the reference headers by which ctapipe recognises its files."""
        levels = [DataLevel.DL1_PARAMETERS] + ([DataLevel.DL1_IMAGES] if self._images != "none" else [])
        product = metadata.Product(
            description="SST-1M DL1",
            data_category="Sim" if self._simulated else "Other",
            data_levels=levels,
            data_association="Subarray",
            data_model_name="ASWG",
            data_model_version=DATA_MODEL_VERSION,
            data_model_url="",
            format="hdf5",
        )
        activity = metadata.Activity(
            name="sst1m r0-dl1",
            id_=product.id_,
            start_time=self._start.utc.iso,
            stop_time=Time.now().utc.iso,
            software_name="sst1m",
            software_version=__version__,
        )
        reference = metadata.Reference(
            contact=metadata.Contact(name="SST-1M Collaboration"),
            product=product,
            process=metadata.Process(
                type_="Simulation" if self._simulated else "Observation", id_=str(self._obs_id)
            ),
            activity=activity,
            instrument=metadata.Instrument(class_="Subarray", id_=self._subarray.name),
        )
        metadata.write_to_hdf5(reference.to_dict(), self.h5file)


def _extras_dtype(columns: Mapping[str, tuple[str, str, str]]) -> np.dtype:
    keys = [("obs_id", np.int64), ("event_id", np.int64), ("tel_id", np.int16)]
    return np.dtype(keys + [(name, np.dtype(kind)) for name, (kind, _, _) in columns.items()])


def check_dl1(path: Path) -> dict[str, Any]:
    """
    Return ``/sst1m/info`` of a DL1 file that is complete.

    Raises
    ------
    InputError
        The file does not open, lacks a table, or its tables disagree in length.
    """
    with explained_damage(path, "DL1 file"), tables.open_file(str(path), "r") as h5file:
        info = read_json_node(h5file, INFO_NODE)
        _check_lengths(h5file, info)
    return info


def _check_lengths(h5file: tables.File, info: Mapping[str, Any]) -> None:
    expected = {SUBARRAY_TRIGGER: int(info["n_events_written"]), TELESCOPE_TRIGGER: 0}
    for tel_id, n_events in info["n_telescope_events"].items():
        expected[TELESCOPE_TRIGGER] += n_events
        expected[parameters_table(int(tel_id))] = n_events
        expected[extras_table(int(tel_id))] = n_events
    for tel_id, n_images in info["n_images"].items():
        expected[images_table(int(tel_id))] = n_images
    for path, n_rows in expected.items():
        if (found := count_rows(h5file, path)) != n_rows:
            raise ValueError(f"table {path} has {found} rows instead of {n_rows}")
