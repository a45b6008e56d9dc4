"""DL2 files: reconstructed showers of one telescope set-up, in ctapipe's data model and as one flat table."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tables
from astropy.table import QTable
from astropy.time import Time
from astropy.units import Quantity
from numpy.typing import NDArray

from .. import __version__
from ..events import SETUPS, ReconstructedEvents, TelescopeSetup
from ..thrown import ThrownShowers
from .damage import explained_damage
from .hdf5_objects import check_rows, copy_object, count_rows, is_in, open_to_copy, open_to_write, read_rows
from .json_node import read_json_node, write_json_node

if TYPE_CHECKING:
    from ctapipe.io.metadata import Reference

    from .dl2_tables import Triggers

__all__ = ["check_dl2", "events_table", "read_dl2", "write_dl2"]

INFO_NODE = "/sst1m/info"
_RUN = "/configuration/simulation/run"
_DISTRIBUTION = "/simulation/service/shower_distribution"
_LAYOUT = "/configuration/instrument/subarray/layout"
_TRIGGER = "/dl1/event/subarray/trigger"
_PLAIN = "/dl2/event/subarray/energy/RandomForestRegressor"

#: What a DL2 file takes over from its DL1 file, where that has it.
_COPIED = (
    "/configuration",
    "/dl0/monitoring/telescope/pointing",
    _TRIGGER,
    "/dl1/event/telescope/trigger",
    "/simulation/event/subarray/shower",
    "/simulation/event/telescope/impact",
    _DISTRIBUTION,
)


def events_table(tel_setup: str) -> str:
    """Return the path of the flat table of a telescope set-up."""
    return f"/sst1m/dl2/event/parameters/{tel_setup}"


def write_dl2(path: Path, events: ReconstructedEvents, *, dl1: Path) -> None:
    """
    Write reconstructed events, with what the DL1 file says about them, as a new DL2 file.

    Parameters
    ----------
    path : Path
        Made anew; no images go into it.
    events : ReconstructedEvents
        Of one telescope set-up; may be empty. ``info`` is stored, its ``counts`` must hold ``n_dl1`` (array
        events in the DL1 file) and ``n_written`` (rows of the table).
    dl1 : Path
        Where configuration, triggers, pointing and truth come from.
    """
    from ctapipe.io import metadata

    from .dl1 import SST1M_DATA_MODEL_VERSION
    from .dl1_tables import FILTERS
    from .dl2_tables import write_ctapipe_tables

    info = dict(events.info) | {"tel_setup": events.tel_setup}
    info["thrown"] = asdict(events.thrown) if events.thrown else None
    simulated = events.simulated or bool(info.get("simulated"))
    with (
        open_to_write(path, filters=FILTERS) as h5file,
        open_to_copy(dl1) as source,
    ):
        triggers = _take_over(source, h5file, dl1)
        write_ctapipe_tables(h5file, events.table, _used_telescopes(events, triggers), triggers)
        _write_flat(h5file, events)
        headers = _reference(triggers, simulated=simulated).to_dict()
        headers["SST1M DATA MODEL VERSION"] = SST1M_DATA_MODEL_VERSION
        headers["SST1M SIMULATED"] = simulated
        metadata.write_to_hdf5(headers, h5file)
        # The counts keep their order, which is that of the cuts.
        write_json_node(h5file, INFO_NODE, info, sort_keys=False)
    if events.thrown is not None:
        _cut_thrown(path, events.thrown.energy_min_tev)


def _take_over(source: tables.File, target: tables.File, path: Path) -> "Triggers":
    """Copy what DL2 has in common with DL1, and return the triggers."""
    with explained_damage(path, "DL1 file"):
        for node in _COPIED:
            if is_in(source, node):
                copy_object(source, node, target)
                check_rows(source, node)
        return _triggers(source)


def _triggers(source: tables.File) -> "Triggers":
    from .dl1_tables import SUBARRAY_TRIGGER, TELESCOPE_TRIGGER
    from .dl2_tables import Triggers

    tel_ids = tuple(read_rows(source, _LAYOUT)["tel_id"].tolist())
    return Triggers(read_rows(source, SUBARRAY_TRIGGER), read_rows(source, TELESCOPE_TRIGGER), tel_ids)


def _used_telescopes(events: ReconstructedEvents, triggers: "Triggers") -> tuple[int, ...]:
    if events.tel_setup == "stereo":
        return triggers.tel_ids
    return (int(events.tel_setup.removeprefix("tel_")),)


def _cut_thrown(path: Path, energy_min_tev: float) -> None:
    """
    Bring the tables of what was thrown to a higher least energy, where events below it were dropped.

    Whoever takes the effective area from these tables then divides by the same showers as we do.
    """
    from .thrown import thrown_of

    with open_to_write(path, "r+") as h5file:
        if np.all(read_rows(h5file, _RUN)["energy_range_min"] >= energy_min_tev):
            return
        whole, run = thrown_of(h5file), h5file.get_node(_RUN)
        rows = run.read()
        # Rounding sums instead of single runs keeps the total right.
        sums = np.cumsum(rows["n_showers"]).tolist()
        kept = np.diff([replace(whole, n_showers=n).above(energy_min_tev).n_showers for n in sums], prepend=0)
        n_showers = dict(zip(rows["obs_id"], rows["n_showers"], strict=True))
        uses = _cut_distribution(h5file, energy_min_tev, n_showers)
        distribution = h5file.get_node(_DISTRIBUTION)
        n_kept = dict(zip(rows["obs_id"], kept, strict=True))
        entries = [n_kept[obs_id] * uses[obs_id] for obs_id in distribution.col("obs_id")]
        distribution.modify_column(column=np.array(entries), colname="n_entries")
        rows["n_showers"], rows["energy_range_min"] = kept, energy_min_tev
        run.modify_rows(0, rows=rows)


def _cut_distribution(
    h5file: tables.File, energy_min_tev: float, n_showers: Mapping[int, int]
) -> dict[int, int]:
    """Empty the cells of the histograms of thrown showers below an energy; return the uses of a shower."""
    table = h5file.get_node(_DISTRIBUTION)
    rows = table.read()
    below = rows["bins_energy"][:, 1:] <= energy_min_tev
    rows["histogram"] = np.where(below[:, :, np.newaxis], 0, rows["histogram"])
    table.modify_rows(0, rows=rows)
    entries = zip(rows["obs_id"], rows["n_entries"], strict=True)
    return {obs_id: int(number) // max(int(n_showers[obs_id]), 1) for obs_id, number in entries}


def _write_flat(h5file: tables.File, events: ReconstructedEvents) -> None:
    from .dl2_columns import column_meaning
    from .dl2_tables import write_table

    names = events.table.colnames
    arrays, meaning = {}, {}
    for name in names:
        column = events.table[name]
        unit, description = column_meaning(name)
        if isinstance(column, Quantity):
            unit = unit or column.unit.to_string()
            arrays[name] = column.to_value(unit)
        else:
            # A unit would make a reader turn whole numbers into floating ones.
            arrays[name], unit = np.asarray(column), ""
        meaning[name] = (unit, description)
    rows = np.empty(len(events), dtype=[(name, arrays[name].dtype) for name in names])
    for name in names:
        rows[name] = arrays[name]
    write_table(h5file, events_table(events.tel_setup), rows, meaning)


def _reference(triggers: "Triggers", *, simulated: bool) -> "Reference":
    """Return the headers by which ctapipe recognises its files."""
    from ctapipe.io import metadata
    from ctapipe.io.datalevels import DataLevel
    from ctapipe.io.datawriter import DATA_MODEL_VERSION

    product = metadata.Product(
        description="SST-1M DL2",
        data_category="Sim" if simulated else "Other",
        data_levels=[DataLevel.DL2],
        data_association="Subarray",
        data_model_name="ASWG",
        data_model_version=DATA_MODEL_VERSION,
        data_model_url="",
        format="hdf5",
    )
    activity = metadata.Activity(
        name="sst1m dl1-dl2",
        id_=product.id_,
        stop_time=Time.now().utc.iso,
        software_name="sst1m",
        software_version=__version__,
    )
    obs_ids = np.unique(triggers.subarray["obs_id"])
    return metadata.Reference(
        contact=metadata.Contact(name="SST-1M Collaboration"),
        product=product,
        process=metadata.Process(
            type_="Simulation" if simulated else "Observation", id_=",".join(map(str, obs_ids[:1]))
        ),
        activity=activity,
        instrument=metadata.Instrument(class_="Subarray", id_="SST1M"),
    )


def read_dl2(path: Path) -> ReconstructedEvents:
    """
    Read the reconstructed events of a DL2 file.

    Raises
    ------
    InputError
        It is not a complete DL2 file.
    """
    info = check_dl2(path)
    with explained_damage(path, "DL2 file"), tables.open_file(str(path), "r") as h5file:
        table = _read_flat(h5file.get_node(events_table(info["tel_setup"])))
    thrown = ThrownShowers(**info["thrown"]) if info["thrown"] else None
    return ReconstructedEvents(table, _setup(info), info, thrown)


def _setup(info: Mapping[str, Any]) -> TelescopeSetup:
    return SETUPS[SETUPS.index(info["tel_setup"])]


def _read_flat(table: tables.Table) -> QTable:
    """Return the rows with the units that the file names; reading needs no list of columns."""
    rows: NDArray[Any] = table.read()
    content = QTable()
    for position, name in enumerate(rows.dtype.names or ()):
        values = np.ascontiguousarray(rows[name])
        unit = table.attrs[f"CTAFIELD_{position}_UNIT"] if _has_unit(table, position) else ""
        content[name] = Quantity(values, unit, copy=False) if unit else values
        content[name].info.description = table.attrs[f"CTAFIELD_{position}_DESC"]
    return content


def _has_unit(table: tables.Table, position: int) -> bool:
    return f"CTAFIELD_{position}_UNIT" in table.attrs


def check_dl2(path: Path) -> dict[str, Any]:
    """
    Return ``/sst1m/info`` of a DL2 file that is complete.

    Raises
    ------
    InputError
        The file does not open, lacks a table, or its tables disagree in length.
    """
    with explained_damage(path, "DL2 file"), tables.open_file(str(path), "r") as h5file:
        info = read_json_node(h5file, INFO_NODE)
        _check_lengths(h5file, info)
    return info


def _check_lengths(h5file: tables.File, info: Mapping[str, Any]) -> None:
    counts, setup = info["counts"], _setup(info)
    expected = {
        _TRIGGER: counts["n_dl1"],
        _PLAIN: counts["n_dl1"],
        events_table(setup): counts["n_written"],
    }
    for path, n_rows in expected.items():
        if (found := count_rows(h5file, path)) != n_rows:
            raise ValueError(f"table {path} has {found} rows instead of {n_rows}")
