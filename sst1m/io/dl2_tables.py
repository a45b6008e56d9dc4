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

from .dl1_tables import SUBARRAY_TRIGGER, TELESCOPE_TRIGGER, create_table
from .dl2_columns import SIGN_COMBINATIONS, impact_column, tel_column
from .event_lookup import EventLookup

__all__ = ["CLASSIFIER", "DISP", "HILLAS", "REGRESSOR", "write_ctapipe_tables"]

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


@dataclass(frozen=True)
class _Table:
    """One table to write: where, for which container, under which prefix, and its known columns."""

    path: str
    container: type[Container]
    prefix: str
    columns: Columns


def write_ctapipe_tables(
    h5file: tables.File, events: QTable, tel_ids: tuple[int, ...], all_tel_ids: tuple[int, ...]
) -> None:
    """
    Write energy, classification and geometry of array events and of telescope events.

    Every trigger gets a row, in the order of the triggers, as `ctapipe.io.TableLoader` expects; what was
    not reconstructed is NaN and not valid.

    Parameters
    ----------
    h5file : tables.File
        Open for writing, with the triggers in it.
    events : QTable
        Our own table of reconstructed events, of one telescope or of both.
    tel_ids : tuple of int
        Telescopes that were used.
    all_tel_ids : tuple of int
        Telescopes of the array.
    """
    order = EventLookup(np.asarray(events["obs_id"]), np.asarray(events["event_id"]))
    trigger = h5file.get_node(SUBARRAY_TRIGGER).read()
    used = np.isin(all_tel_ids, tel_ids)
    for table in _subarray_tables(events, stereo=len(tel_ids) > 1):
        rows = order.rows(trigger["obs_id"], trigger["event_id"])
        columns = dict(table.columns) | {"telescopes": np.tile(used, (len(events), 1))}
        _write(h5file, table, {"obs_id": trigger["obs_id"], "event_id": trigger["event_id"]}, rows, columns)
    triggers = h5file.get_node(TELESCOPE_TRIGGER).read()
    for number, tel_id in enumerate(tel_ids):
        mine = triggers[triggers["tel_id"] == tel_id]
        keys = {name: mine[name] for name in ("obs_id", "event_id", "tel_id")}
        for table in _telescope_tables(events, tel_id, number, stereo=len(tel_ids) > 1):
            _write(h5file, table, keys, order.rows(mine["obs_id"], mine["event_id"]), table.columns)


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
    _append(h5file, table, content, meaning)


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


def _append(
    h5file: tables.File, table: _Table, content: NDArray[Any], meaning: Mapping[str, tuple[str, str]]
) -> None:
    written = create_table(h5file, table.path, content.dtype, meaning)
    for position, name in enumerate(content.dtype.names or ()):
        # ctapipe's readers of containers know a column by the name of its field.
        written.attrs[f"CTAFIELD_{position}_NAME"] = name.removeprefix(f"{table.prefix}_")
    written.append(content)
