"""
The HDF5 file of a cut table, as astropy lays out tables.

astropy itself needs h5py for it. The layout is a compound dataset ``gammaness_cuts`` and beside it the lines
of a YAML header, ``gammaness_cuts.__table_column_meta__`` (astropy.io.misc.hdf5, ``serialize_meta=True``).
"""

import warnings
from collections.abc import Iterable
from pathlib import Path

import astropy.units as u
import numpy as np
import tables
from astropy.table import QTable, Table
from astropy.table.meta import get_header_from_yaml, get_yaml_from_table

from ..checkpoint import committed
from ..errors import InputError

__all__ = ["read_cut_table", "write_cut_table"]

_TABLE = "gammaness_cuts"
_HEADER = f"{_TABLE}.__table_column_meta__"
_ENERGIES = ("low", "high", "center")


def write_cut_table(path: Path, table: QTable) -> None:
    """
    Write a cut table.

    Parameters
    ----------
    path : Path
        HDF5 file, made anew.
    table : QTable
        Energies with their unit; `meta` goes along.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    plain = Table(table)
    for name in _ENERGIES:
        plain[name] = plain[name].to(u.TeV)
    header = np.array([line.encode() for line in get_yaml_from_table(plain)])
    with committed(path, validate=read_cut_table) as part, warnings.catch_warnings():
        warnings.simplefilter("ignore", tables.NaturalNameWarning)
        with tables.open_file(str(part), "w") as h5file:
            h5file.create_table("/", _TABLE, obj=plain.as_array())
            h5file.create_array("/", _HEADER, obj=header)


def read_cut_table(path: Path) -> QTable:
    """
    Read a cut table; energies without a unit are TeV.

    Raises
    ------
    InputError
        If it is missing or is none.
    """
    try:
        with (
            warnings.catch_warnings(action="ignore", category=tables.NaturalNameWarning),
            tables.open_file(str(path)) as h5file,
        ):
            names = set(h5file.root._v_children)
            if _TABLE not in names:
                raise InputError(f"{path}: has no table {_TABLE!r}, so it is no file of gammaness cuts")
            rows = h5file.root._f_get_child(_TABLE).read()
            lines = h5file.root._f_get_child(_HEADER).read() if _HEADER in names else ()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file of gammaness cuts; make it or check the path") from None
    except (OSError, tables.HDF5ExtError) as error:
        raise InputError(f"{path}: is no readable file of gammaness cuts ({error}); make it anew") from None
    return _with_header(Table(rows), lines)


def _with_header(table: Table, lines: Iterable[bytes]) -> QTable:
    header = get_header_from_yaml([bytes(line).decode() for line in lines]) if len(list(lines)) else {}
    units = {column["name"]: column.get("unit") for column in header.get("datatype", ())}
    for name in _ENERGIES:
        if name in table.colnames:
            table[name].unit = units.get(name) or u.TeV
    table.meta = {key: value for key, value in header.get("meta", {}).items() if not key.startswith("__")}
    return QTable(table)
