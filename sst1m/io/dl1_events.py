"""Reads the events of DL1 files as columns: image parameters, our own columns, and truth of simulations."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import astropy.units as u
import numpy as np
import tables
from astropy.coordinates import EarthLocation
from numpy.typing import NDArray

from ..errors import InputError
from ..instrument import camera_geometry
from ..reco.geometry import ArrayLayout
from ..thrown import ThrownShowers
from .damage import explained_damage
from .dl1 import extras_table
from .dl1_tables import SUBARRAY_TRIGGER, parameters_table
from .event_lookup import EventLookup
from .hdf5_objects import count_rows, is_in, open_to_copy, read_rows
from .json_node import read_json_node
from .thrown import thrown_of

__all__ = ["Dl1Events", "TelescopeEvents", "read_dl1_events"]

_INFO = "/sst1m/info"
_RUN = "/configuration/simulation/run"
_SHOWER = "/simulation/event/subarray/shower"
_KEYS = ("obs_id", "event_id", "tel_id")


@dataclass(frozen=True, eq=False)
class TelescopeEvents:
    """
    Events of one telescope.

    Parameters
    ----------
    tel_id : int
        The telescope.
    columns : mapping of str to ndarray, shape=(n_events,)
        Under the names and in the units of DL1.
    """

    tel_id: int
    columns: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.columns["event_id"])

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    def select(self, rows: NDArray[Any]) -> Self:
        """Return some events, by a mask or by numbers of rows."""
        return type(self)(self.tel_id, {name: values[rows] for name, values in self.columns.items()})

    def adding(self, more: Mapping[str, NDArray[Any]]) -> Self:
        """Return the same events with further columns."""
        return type(self)(self.tel_id, {**self.columns, **more})


@dataclass(frozen=True, eq=False)
class Dl1Events:
    """
    What a DL1 file holds.

    Parameters
    ----------
    path : Path
        The file.
    telescopes : mapping of int to TelescopeEvents
        Those that were asked for.
    n_array_events : int
        Triggers of the array.
    layout : ArrayLayout
        Of the two telescopes.
    info : mapping
        ``/sst1m/info``.
    thrown : ThrownShowers or None
        What was simulated; None for data.
    primary_id : int or None
        Of the simulated showers; None for data, and where there is no event.
    """

    path: Path
    telescopes: Mapping[int, TelescopeEvents]
    n_array_events: int
    layout: ArrayLayout
    info: Mapping[str, Any]
    thrown: ThrownShowers | None
    primary_id: int | None


def read_dl1_events(path: Path, tel_ids: tuple[int, ...]) -> Dl1Events:
    """
    Read the events of some telescopes from a DL1 file.

    Parameters
    ----------
    path : Path
        Of data or of simulations, of one telescope or of both.
    tel_ids : tuple of int
        Wanted telescopes, 21 and 22 of data, 1 and 2 of simulations.

    Raises
    ------
    InputError
        It is not a DL1 file, or a telescope is not in it.
    """
    with explained_damage(path, "DL1 file"), open_to_copy(path) as h5file:
        simulated = is_in(h5file, _RUN)
        layout, all_tel_ids = _layout(h5file)
        telescopes = {}
        for tel_id in tel_ids:
            events = _telescope(path, h5file, tel_id)
            focal_length = layout.focal_length_m[all_tel_ids.index(tel_id)]
            scale = {"effective_focal_length": np.full(len(events), focal_length)}
            telescopes[tel_id] = events.adding(scale)
        return Dl1Events(
            path=path,
            telescopes=telescopes,
            n_array_events=count_rows(h5file, SUBARRAY_TRIGGER),
            layout=layout,
            info=read_json_node(h5file, _INFO),
            thrown=thrown_of(h5file) if simulated else None,
            primary_id=_primary(path, h5file) if simulated else None,
        )


def _telescope(path: Path, h5file: tables.File, tel_id: int) -> TelescopeEvents:
    if not is_in(h5file, parameters_table(tel_id)):
        raise InputError(
            f"{path} has no telescope {tel_id}; data have the telescopes 21 and 22, simulations 1 and 2"
        )
    columns = _columns(read_rows(h5file, parameters_table(tel_id)))
    extras = _columns(read_rows(h5file, extras_table(tel_id)))
    if not np.array_equal(columns["event_id"], extras["event_id"]):
        raise InputError(f"{path}: the tables of telescope {tel_id} are not row by row of the same events")
    columns |= {name: values for name, values in extras.items() if name not in _KEYS}
    if is_in(h5file, _SHOWER):
        columns |= _truth(path, h5file, columns)
    return TelescopeEvents(tel_id, columns)


def _primary(path: Path, h5file: tables.File) -> int | None:
    found = np.unique(read_rows(h5file, _SHOWER)["true_shower_primary_id"]).tolist()
    if len(found) > 1:
        raise InputError(f"{path} holds showers of the primaries {found}; join only files of one particle")
    return int(found[0]) if found else None


def _columns(rows: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {name: np.ascontiguousarray(rows[name]) for name in rows.dtype.names or ()}


def _truth(path: Path, h5file: tables.File, columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    showers = read_rows(h5file, _SHOWER)
    rows = EventLookup(showers["obs_id"], showers["event_id"]).rows(columns["obs_id"], columns["event_id"])
    if np.any(rows < 0):
        raise InputError(f"{path}: {np.count_nonzero(rows < 0)} events have no simulated shower")
    names = [name for name in showers.dtype.names or () if name not in _KEYS]
    return {name: showers[name][rows] for name in names}


def _layout(h5file: tables.File) -> tuple[ArrayLayout, list[int]]:
    """
    Return the array as the file describes it, and its telescopes.

    ctapipe's own reader takes a hundred times as long.
    """
    layout = h5file.get_node("/configuration/instrument/subarray/layout")
    rows = np.sort(layout.read(), order="tel_id")
    optics = read_rows(h5file, "/configuration/instrument/telescope/optics")[rows["optics_index"]]
    effective = optics["effective_focal_length"]
    center = EarthLocation.from_geocentric(
        *(float(layout.attrs[f"reference_itrs_{axis}"]) for axis in "xyz"), unit=u.m
    )
    array = ArrayLayout(
        positions=np.stack([rows[f"pos_{axis}"] for axis in "xyz"], axis=1).astype(np.float64),
        height_m=float(center.geodetic.height.to_value(u.m)),
        focal_length_m=np.where(np.isfinite(effective), effective, optics["equivalent_focal_length"]),
        camera_radius_m=_camera_radius(),
    )
    return array, rows["tel_id"].tolist()


@cache
def _camera_radius() -> float:
    return float(camera_geometry().guess_radius().to_value(u.m))
