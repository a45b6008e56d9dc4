"""Performance tables as HDF5 files under the known names, in the layout that astropy reads and writes."""

import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import astropy.units as u
import numpy as np
import tables
from astropy.table import QTable, Table, meta, serialize
from astropy.utils.data_info import serialize_context_as

from ..checkpoint import committed
from ..errors import InputError
from ..events import TelescopeSetup

__all__ = ["TABLES", "read_table", "table_path", "write_known_tables", "write_tables"]

#: Files by what they hold; ``{setup}`` is the telescope set-up.
TABLES = {
    "energy_resolution": "energy_resolution_{setup}.h5",
    "angular_resolution": "angular_resolution_{setup}.h5",
    "roc_curve": "roc_curve_{setup}.h5",
    "effective_area": "effective_area_{setup}.h5",
    "flux_sensitivity": "flux_sensitivity_{setup}.h5",
    "theta_cuts": "theta_edep_cuts_{setup}.h5",
}

_NODES = {
    "energy_resolution": "res",
    "angular_resolution": "res",
    "roc_curve": "roc",
    "effective_area": "effective_area",
    "flux_sensitivity": "sensitivity",
    "theta_cuts": "theta_cuts",
}
#: Where astropy keeps units and descriptions of the columns of a table (``serialize_meta``).
_META = ".__table_column_meta__"


def table_path(directory: Path, kind: str, setup: TelescopeSetup) -> Path:
    """Return the path of a table by what it holds (a key of `TABLES`)."""
    return directory / TABLES[kind].format(setup=setup)


def write_known_tables(
    directory: Path, setup: TelescopeSetup, energy_bins: u.Quantity, found: Mapping[str, QTable]
) -> list[str]:
    """
    Write the tables that have a known name and layout.

    Parameters
    ----------
    directory : Path
        Where to.
    setup : str
        Telescope set-up, part of the names.
    energy_bins : Quantity, shape=(n_bins + 1,)
        Edges of the energy bins [TeV].
    found : mapping of str to QTable
        Tables by what they hold; those without a known name are left out.

    Returns
    -------
    list of str
        Names of the files.

    Raises
    ------
    OutputError
        If one cannot be written.
    """
    names = []
    for kind, name in _NODES.items():
        if kind not in found:
            continue
        table = found[kind]
        content = {name: table}
        if name == "res":
            # The edges stand beside the results, as readers of these files know it.
            columns = [c for c in table.colnames if c not in ("low", "high", "center")]
            content = {"bins": QTable({"energy_bins": energy_bins}), "res": table[columns]}
        write_tables(table_path(directory, kind, setup), content)
        names.append(TABLES[kind].format(setup=setup))
    return names


def write_tables(path: Path, content: Mapping[str, QTable]) -> None:
    """
    Write tables into one new HDF5 file; it appears when it is complete.

    Parameters
    ----------
    path : Path
        The file.
    content : mapping of str to QTable
        Tables by their name in the file. ``Table.read(path, name)`` of astropy gives them back with units.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with committed(path, validate=partial(_check, content)) as part:
        with tables.open_file(str(part), "w") as h5, warnings.catch_warnings():
            # The names of astropy's layout are no Python identifiers, which PyTables remarks on.
            warnings.simplefilter("ignore", tables.NaturalNameWarning)
            for name, table in content.items():
                with serialize_context_as("hdf5"):
                    plain = serialize.represent_mixins_as_columns(table)
                h5.create_table(h5.root, name, obj=plain.as_array())
                header = [line.encode() for line in meta.get_yaml_from_table(plain)]
                h5.create_array(h5.root, f"{name}{_META}", obj=np.array(header))


def read_table(path: Path, name: str) -> QTable:
    """
    Read one table with its units.

    Raises
    ------
    InputError
        If the file or the table is missing or broken.
    """
    try:
        with tables.open_file(str(path)) as h5:
            values = Table(h5.get_node(f"/{name}").read())
            lines = h5.get_node("/", f"{name}{_META}").read() if f"/{name}{_META}" in h5 else []
    except (OSError, tables.HDF5ExtError, tables.NoSuchNodeError) as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise InputError(f"{path}: its table {name!r} cannot be read ({reason}); make it anew") from error
    for column in (
        meta.get_header_from_yaml(line.decode() for line in lines)["datatype"] if len(lines) else ()
    ):
        for attribute in ("unit", "description"):
            if attribute in column:
                setattr(values[column["name"]], attribute, column[attribute])
    return QTable(values)


def _check(content: Mapping[str, QTable], path: Path) -> None:
    for name, table in content.items():
        found = read_table(path, name)
        if len(found) != len(table) or found.colnames != table.colnames:
            raise InputError(f"{path}: table {name!r} reads back with other rows or columns")
