"""The tables in which ctapipe looks for reconstructed showers, filled from our own table of events."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tables
from astropy.table import QTable
from astropy.units import Quantity
from ctapipe.containers import (
    Container,
    DispContainer,
    ParticleClassificationContainer,
    ReconstructedEnergyContainer,
    ReconstructedGeometryContainer,
    TelescopeImpactParameterContainer,
)
from numpy.typing import NDArray

from .dl1_tables import create_table
from .dl2_columns import SIGN_COMBINATIONS, impact_column, tel_column
from .event_lookup import EventLookup
from .hdf5_objects import copy_object, memory_file

__all__ = ["CLASSIFIER", "DISP", "HILLAS", "REGRESSOR", "Triggers", "write_ctapipe_tables", "write_table"]

#: Names under which ctapipe's users look for the results.
REGRESSOR, CLASSIFIER, DISP, HILLAS = (
    "RandomForestRegressor",
    "RandomForestClassifier",
    "disp",
    "HillasReconstructor",
)
_SUBARRAY = "/dl2/event/subarray"
_TELESCOPE = "/dl2/event/telescope"

Columns = Mapping[str, NDArray[Any] | Quantity]
Meaning = Mapping[str, tuple[str, str]]

#: Tables in memory, by what is the same for all that they are filled with; see `write_table`.
_moulds: dict[tuple[object, ...], tables.Table] = {}


@dataclass(frozen=True)
class Triggers:
    """
    Who triggered, as it stands in DL1.

    Parameters
    ----------
    subarray, telescope : structured ndarray
        Rows of the tables of triggers.
    tel_ids : tuple of int
        Telescopes of the array.
    """

    subarray: NDArray[Any]
    telescope: NDArray[Any]
    tel_ids: tuple[int, ...]


@dataclass(frozen=True)
class _Table:
    """One table to write: where, for which container, under which prefix, and its known columns."""

    path: str
    container: type[Container]
    prefix: str
    columns: Columns


def write_ctapipe_tables(
    h5file: tables.File, events: QTable, tel_ids: tuple[int, ...], triggers: Triggers
) -> None:
    """
    Write energy, classification and geometry of array events and of telescope events.

    Every trigger gets a row, in the order of the triggers, as `ctapipe.io.TableLoader` expects; what was
    not reconstructed is NaN and not valid.

    Parameters
    ----------
    h5file : tables.File
        Open for writing.
    events : QTable
        Our own table of reconstructed events, of one telescope or of both.
    tel_ids : tuple of int
        Telescopes that were used.
    triggers : Triggers
        Whose rows the tables follow.
    """
    order = EventLookup(np.asarray(events["obs_id"]), np.asarray(events["event_id"]))
    keys = {name: triggers.subarray[name] for name in ("obs_id", "event_id")}
    rows = order.rows(**keys)
    used = np.isin(triggers.tel_ids, tel_ids)
    for table in _subarray_tables(events, stereo=len(tel_ids) > 1):
        columns = dict(table.columns) | {"telescopes": np.tile(used, (len(events), 1))}
        _write(h5file, table, keys, rows, columns)
    for number, tel_id in enumerate(tel_ids):
        mine = triggers.telescope[triggers.telescope["tel_id"] == tel_id]
        keys = {name: mine[name] for name in ("obs_id", "event_id", "tel_id")}
        rows = order.rows(mine["obs_id"], mine["event_id"])
        for table in _telescope_tables(events, tel_id, number, stereo=len(tel_ids) > 1):
            _write(h5file, table, keys, rows, table.columns)


def _subarray_tables(events: QTable, *, stereo: bool) -> Iterator[_Table]:
    energy = {"energy": events["reco_energy"]}
    if stereo:
        energy["energy_uncert"] = np.sqrt(events["var_reco_energy"])
    yield _Table(f"{_SUBARRAY}/energy/{REGRESSOR}", ReconstructedEnergyContainer, REGRESSOR, energy)
    yield _Table(
        f"{_SUBARRAY}/classification/{CLASSIFIER}",
        ParticleClassificationContainer,
        CLASSIFIER,
        {"prediction": events["gammaness"]},
    )
    direction = {"alt": events["reco_alt"], "az": events["reco_az"]}
    if stereo:
        direction["ang_distance_uncert"] = events["min_distance"] / 2
        hillas = {name: events[f"{HILLAS}_{name}"] for name in ("alt", "az", "core_x", "core_y", "h_max")}
        yield _Table(f"{_SUBARRAY}/geometry/{HILLAS}", ReconstructedGeometryContainer, HILLAS, hillas)
    yield _Table(f"{_SUBARRAY}/geometry/{DISP}", ReconstructedGeometryContainer, DISP, direction)


def _telescope_tables(events: QTable, tel_id: int, number: int, *, stereo: bool) -> Iterator[_Table]:
    def of(name: str) -> NDArray[Any] | Quantity:
        return events[tel_column(name, tel_id) if stereo else name]

    def table(kind: str, name: str, container: type[Container], columns: Columns) -> _Table:
        return _Table(f"{_TELESCOPE}/{kind}/{name}/tel_{tel_id:03d}", container, f"{name}_tel", columns)

    energy = Quantity(10.0 ** np.asarray(of("log_reco_energy")), events["reco_energy"].unit)
    yield table("energy", REGRESSOR, ReconstructedEnergyContainer, {"energy": energy})
    gammaness = {"prediction": of("gammaness")}
    yield table("classification", CLASSIFIER, ParticleClassificationContainer, gammaness)
    direction = {"alt": of("reco_alt"), "az": of("reco_az")}
    yield table("geometry", DISP, ReconstructedGeometryContainer, direction)
    sign = _signs(events)[:, number] if stereo else events["reco_disp_sign"]
    angle = Quantity((of("reco_disp_norm") / of("effective_focal_length")).to_value(""), "rad")
    yield table("disp", DISP, DispContainer, {"parameter": (sign * angle).to("deg")})
    if stereo:
        distance = {"distance": events[impact_column(tel_id)]}
        yield _Table(
            f"{_TELESCOPE}/impact/{HILLAS}/tel_{tel_id:03d}",
            TelescopeImpactParameterContainer,
            f"{HILLAS}_tel_impact",
            distance,
        )


def _signs(events: QTable) -> NDArray[np.int64]:
    """Return the signs of disp, shape=(n_events, 2), that the column ``best_sign_combination`` stands for."""
    return np.array(SIGN_COMBINATIONS)[np.asarray(events["best_sign_combination"], dtype=np.int64)]


def _write(
    h5file: tables.File,
    table: _Table,
    keys: Mapping[str, NDArray[Any]],
    rows: NDArray[np.int64],
    columns: Columns,
) -> None:
    """Write one table; all fields of its container that a number can fill, the unknown ones as NaN."""
    found = rows >= 0
    fields = _numeric_fields(table.container, columns)
    dtype = [(name, values.dtype) for name, values in keys.items()]
    meaning = {name: ("", "") for name in keys}
    for name, (field_type, unit, description) in fields.items():
        dtype.append((f"{table.prefix}_{name}", *field_type))
        meaning[f"{table.prefix}_{name}"] = (unit, description)
    content = np.zeros(len(rows), dtype=dtype)
    for name, values in keys.items():
        content[name] = values
    for name, (field_type, unit, _) in fields.items():
        column = content[f"{table.prefix}_{name}"]
        if field_type == (np.float64,):
            column[...] = np.nan
        if name == "is_valid":
            column[...] = found
        elif name in columns:
            known = columns[name]
            plain = known.to_value(unit) if unit and isinstance(known, Quantity) else np.asarray(known)
            column[found] = plain[rows[found]]
    write_table(h5file, table.path, content, meaning, prefix=f"{table.prefix}_")


def _numeric_fields(container: type[Container], columns: Columns) -> dict[str, tuple[tuple, str, str]]:
    """Return type, unit and description of the fields of a container."""
    fields: dict[str, tuple[tuple, str, str]] = {}
    for name, field in container.fields.items():
        unit = str(field.unit) if field.unit is not None else ""
        if name == "is_valid":
            fields[name] = ((np.bool_,), "", field.description)
        elif name == "telescopes":
            if "telescopes" in columns:
                fields[name] = ((np.bool_, columns["telescopes"].shape[1:]), "", field.description)
        else:
            fields[name] = ((np.float64,), unit, field.description)
    return fields


def write_table(
    h5file: tables.File, path: str, rows: NDArray[Any], meaning: Meaning, *, prefix: str = ""
) -> None:
    """
    Write a table with units and descriptions that ctapipe's reader understands.

    PyTables makes each kind of table once in a process, in memory. It is filled there and copied into the
    file: to make one with its hundreds of attributes takes a hundred times as long.

    Parameters
    ----------
    h5file : tables.File
        Open for writing; it knows the table when it is opened again.
    path : str
        Where the table stands.
    rows : structured ndarray
        Its content.
    meaning : mapping of str to (unit, description)
        Of each column.
    prefix : str
        What ctapipe's readers of containers, who know a column by the name of its field, leave out.
    """
    key = (prefix, str(rows.dtype.descr), *meaning.items())
    if key not in _moulds:
        mould = create_table(memory_file(), f"/moulds/table{len(_moulds)}", rows.dtype, meaning)
        for position, name in enumerate(rows.dtype.names or ()):
            mould.attrs[f"CTAFIELD_{position}_NAME"] = name.removeprefix(prefix)
        _moulds[key] = mould
    mould = _moulds[key]
    mould.truncate(0)
    mould.append(rows)
    mould.flush()
    # PyTables leaves the number as it was if no row follows
    mould.attrs.NROWS = mould.nrows
    copy_object(memory_file(), mould._v_pathname, h5file, path)
