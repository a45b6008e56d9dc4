"""
Tables of results in HDF5, as astropy lays them out (astropy.io.misc.hdf5, ``serialize_meta=True``).

astropy itself needs h5py for it. A table is a compound dataset, and beside it stand the lines of a YAML
header with units, descriptions and meta data, ``<name>.__table_column_meta__``.
"""

import warnings
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import tables
from astropy.table import QTable, Table, meta, serialize
from astropy.utils.data_info import serialize_context_as

from ..checkpoint import committed
from ..errors import InputError, UnreadableError

__all__ = ["read_table", "write_tables"]

_META = ".__table_column_meta__"


def write_tables(path: Path, content: Mapping[str, QTable]) -> None:
    """
    Write tables into one new HDF5 file; it appears when it is complete.

    Parameters
    ----------
    path : Path
        The file.
    content : mapping of str to QTable
        Tables by their name in the file; `meta` goes along. ``Table.read(path, name)`` of astropy gives them
        back with units.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    # The names of astropy's layout are no Python identifiers, which PyTables remarks on.
    with (
        warnings.catch_warnings(action="ignore", category=tables.NaturalNameWarning),
        committed(path, validate=partial(_check, content)) as part,
        tables.open_file(str(part), "w") as h5,
    ):
        for name, table in content.items():
            with serialize_context_as("hdf5"):
                plain = serialize.represent_mixins_as_columns(table)
            h5.create_table(h5.root, name, obj=plain.as_array())
            header = [line.encode() for line in meta.get_yaml_from_table(plain)]
            h5.create_array(h5.root, f"{name}{_META}", obj=np.array(header))


def read_table(path: Path, name: str) -> QTable:
    """
    Read one table with its units and meta data.

    Raises
    ------
    InputError
        If the file or the table is broken.
    UnreadableError
        If the disk does not give it at present, or it is not there.
    """
    try:
        # HDF5 reads from memory: of what the disk refuses it would tell that there is no such table.
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read ({error.strerror}); check the disk") from error
    try:
        with (
            warnings.catch_warnings(action="ignore", category=tables.NaturalNameWarning),
            # Under another name: HDF5 refuses one that is that of a file.
            tables.open_file(
                f"{path} in memory",
                driver="H5FD_CORE",
                driver_core_image=content,
                driver_core_backing_store=0,
            ) as h5,
        ):
            values = Table(h5.get_node(f"/{name}").read())
            lines = h5.get_node("/", f"{name}{_META}").read() if f"/{name}{_META}" in h5 else []
    except (OSError, tables.HDF5ExtError, tables.NoSuchNodeError) as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise InputError(f"{path}: its table {name!r} cannot be read ({reason}); make it anew") from error
    return _with_header(values, [bytes(line).decode() for line in lines])


def _with_header(table: Table, lines: Iterable[str]) -> QTable:
    header = meta.get_header_from_yaml(lines) if lines else {}
    for column in header.get("datatype", ()):
        for attribute in ("unit", "description"):
            if attribute in column:
                setattr(table[column["name"]], attribute, column[attribute])
    table.meta = {key: value for key, value in header.get("meta", {}).items() if not key.startswith("__")}
    return QTable(table)


def _check(content: Mapping[str, QTable], path: Path) -> None:
    for name, table in content.items():
        found = read_table(path, name)
        if len(found) != len(table) or found.colnames != table.colnames:
            raise InputError(f"{path}: table {name!r} reads back with other rows or columns")
