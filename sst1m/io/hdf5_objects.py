"""
What PyTables has no quick way for: copying objects of HDF5 files as they are, and looking at bare tables.

PyTables reads and writes each attribute of a table by itself, which takes 3 to 30 ms for one of ours, and the
file of a short run has thirty. The HDF5 library that it has loaded copies such a table in a tenth of one.
"""

import atexit
import ctypes
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import tables
from numpy.typing import NDArray
from tables import hdf5extension

from ..errors import OutputError

__all__ = [
    "check_rows",
    "children",
    "copy_object",
    "count_rows",
    "flush_all",
    "is_in",
    "memory_file",
    "open_to_copy",
    "open_to_write",
    "read_rows",
]

#: Larger tables are read where they are: to open them costs nothing beside their rows.
_SMALL = 100_000
_DEFAULT = 0  # H5P_DEFAULT
_ALL, _GLOBAL, _CHUNKED = 0, 1, 2  # H5S_ALL, H5F_SCOPE_GLOBAL, H5D_CHUNKED
_WITHOUT_ATTRIBUTES = 0x0010  # H5O_COPY_WITHOUT_ATTR_FLAG
_ID, _NAME, _STATUS = ctypes.c_int64, ctypes.c_char_p, ctypes.c_int
#: Functions of HDF5 1.14: what they return and take.
_FUNCTIONS: dict[str, tuple[type, ...]] = {
    "H5Fflush": (_STATUS, _ID, ctypes.c_int),
    "H5Gget_num_objs": (_STATUS, _ID, ctypes.POINTER(ctypes.c_uint64)),
    "H5Lexists": (ctypes.c_int, _ID, _NAME, _ID),
    "H5Ocopy": (_STATUS, _ID, _NAME, _ID, _NAME, _ID, _ID),
    "H5Pcreate": (_ID, _ID),
    "H5Pset_copy_object": (_STATUS, _ID, ctypes.c_uint),
    "H5Dopen2": (_ID, _ID, _NAME, _ID),
    "H5Dget_space": (_ID, _ID),
    "H5Dget_create_plist": (_ID, _ID),
    "H5Dget_num_chunks": (_STATUS, _ID, _ID, ctypes.POINTER(ctypes.c_uint64)),
    "H5Pget_layout": (_STATUS, _ID),
    "H5Pget_chunk": (_STATUS, _ID, ctypes.c_int, ctypes.POINTER(ctypes.c_uint64)),
    "H5Pclose": (_STATUS, _ID),
    "H5Dclose": (_STATUS, _ID),
    "H5Sget_simple_extent_npoints": (ctypes.c_int64, _ID),
    "H5Sclose": (_STATUS, _ID),
}
_numbers = itertools.count()


@cache
def _library() -> ctypes.PyDLL:
    """Return the library that PyTables has loaded; calls keep the interpreter's lock, as PyTables does."""
    library = ctypes.PyDLL(hdf5extension.__file__)
    for name, (returned, *taken) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = returned, taken
    return library


def _call(name: str, *arguments: object) -> int:
    result = int(getattr(_library(), name)(*arguments))
    if result < 0:
        raise tables.HDF5ExtError(f"{name} failed: {', '.join(map(str, arguments))}")
    return result


@cache
def _without_attributes() -> int:
    """Return the property list of a copy without attributes."""
    kind = ctypes.c_int64.in_dll(_library(), "H5P_CLS_OBJECT_COPY_ID_g").value
    properties = _call("H5Pcreate", kind)
    _call("H5Pset_copy_object", properties, _WITHOUT_ATTRIBUTES)
    return properties


@cache
def memory_file() -> tables.File:
    """Return a file in memory that lasts as long as the process; a forked one gets its own copy."""
    h5file = _in_memory("sst1m-memory")
    atexit.register(h5file.close)
    return h5file


def _in_memory(name: str) -> tables.File:
    return open_to_copy(name, "w", driver="H5FD_CORE", driver_core_backing_store=0)


def open_to_copy(path: Path | str, mode: str = "r", **options: Any) -> tables.File:
    """
    Open a file from which objects can be copied.

    HDF5 1.14 writes beyond its buffers when it copies chunks that are in its cache: here they never are.

    Parameters
    ----------
    path : Path or str
        Of the file.
    mode : str
        As for `tables.open_file`.
    **options
        Further ones of `tables.open_file`.
    """
    return tables.open_file(str(path), mode, chunk_cache_size=0, **options)


@contextmanager
def open_to_write(path: Path, mode: str = "w", **options: Any) -> Iterator[tables.File]:
    """
    Open a file that is complete when it is left, or an error says that it is not.

    With PyTables' usual settings a chunk that the disk refuses at the end is lost without a word: it is
    written when its table is closed, and nobody looks at what that returns. Here nothing is kept for later
    but what `flush_all` writes.

    Parameters
    ----------
    path : Path
        Of the file.
    mode : str
        As for `tables.open_file`.
    **options
        Further ones of `tables.open_file`.

    Raises
    ------
    OutputError
        If not all of it could be written.
    """
    with tables.open_file(str(path), mode, chunk_cache_size=0, **options) as h5file:
        yield h5file
        flush_all(h5file)


def flush_all(h5file: tables.File) -> None:
    """
    Write everything that is still in memory of a file that was opened without a cache of chunks.

    Raises
    ------
    OutputError
        If the disk does not take it.
    """
    try:
        h5file.flush()
        _call("H5Fflush", h5file.root._v_objectid, _GLOBAL)
    except tables.HDF5ExtError as error:
        raise OutputError(
            f"{h5file.filename}: cannot be written: not all of it has reached the disk; check the disk and "
            "run the same command again"
        ) from error


def _copy(source: tables.File, path: str, parent: int, name: str, properties: int) -> None:
    if source.params["CHUNK_CACHE_SIZE"] != 0:
        raise ValueError(f"{source.filename}: only files of open_to_copy() can be copied from")
    _call("H5Ocopy", source.root._v_objectid, path.encode(), parent, name.encode(), properties, _DEFAULT)


def is_in(h5file: tables.File, path: str) -> bool:
    """
    Return whether a file has an object, without opening it.

    PyTables would answer from its listing of the group, which is short without a word where the disk has
    refused a part of it.

    Raises
    ------
    tables.HDF5ExtError
        If HDF5 cannot tell.
    """
    root, parts = h5file.root._v_objectid, path.strip("/").split("/")
    return all(
        _call("H5Lexists", root, "/".join(parts[:number]).encode(), _DEFAULT)
        for number in range(1, len(parts) + 1)
    )


def children(h5file: tables.File, path: str) -> list[str]:
    """
    Return the names of all that a group holds.

    Raises
    ------
    tables.HDF5ExtError
        If the disk has refused a part of the listing, of which PyTables says nothing.
    """
    group, number = h5file.get_node(path), ctypes.c_uint64()
    _call("H5Gget_num_objs", group._v_objectid, ctypes.byref(number))
    names = sorted([*group._v_children, *group._v_hidden])
    if len(names) != number.value:
        raise tables.HDF5ExtError(f"{len(names)} of {number.value} objects in {path} could be listed")
    return names


def copy_object(source: tables.File, path: str, target: tables.File, new_path: str = "") -> None:
    """
    Copy a table, or a group with all that is in it, with its attributes, as the bytes that it is stored in.

    Parameters
    ----------
    source, target : tables.File
        Open, the source by `open_to_copy`. What PyTables has in memory of an object of the source must have
        been flushed; an open group of the target does not know the copy before the file is opened again.
    path : str
        Of the object.
    new_path : str, optional
        Of the copy, the same where left out. Its groups are made where they are missing.

    Raises
    ------
    tables.HDF5ExtError
        If it cannot be copied.
    """
    group, _, name = (new_path or path).rpartition("/")
    parent = target.root
    for part in group.split("/")[1:]:
        inside = parent._v_pathname.rstrip("/") + "/" + part
        parent = target.get_node(inside) if part in parent else target.create_group(parent, part)
    _copy(source, path, parent._v_objectid, name, _DEFAULT)


def check_rows(h5file: tables.File, path: str) -> None:
    """
    Read all tables and arrays of an object, so that their checksums are looked at: a copy does not.

    Parameters
    ----------
    h5file : tables.File
        Open by `open_to_copy`.
    path : str
        Of a table or of a group.

    Raises
    ------
    tables.HDF5ExtError
        If one is damaged.
    """
    group, _, name = path.rpartition("/")
    if name in h5file.get_node(group or "/")._v_groups:
        for inside in children(h5file, path):
            check_rows(h5file, f"{path}/{inside}")
    else:
        read_rows(h5file, path)


def count_rows(h5file: tables.File, path: str) -> int:
    """
    Return the number of rows of a table without opening it in PyTables.

    Raises
    ------
    tables.NoSuchNodeError
        If there is no such table.
    ValueError
        If parts of it are nowhere in the file: HDF5 would read them as zeros.
    """
    if not is_in(h5file, path):
        raise tables.NoSuchNodeError(f"there is no {path}")
    dataset = _call("H5Dopen2", h5file.root._v_objectid, path.encode(), _DEFAULT)
    space = _call("H5Dget_space", dataset)
    try:
        n_rows = _call("H5Sget_simple_extent_npoints", space)
        if (lost := _lost_chunks(dataset, n_rows)) > 0:
            raise ValueError(f"{lost} pieces of {path} are missing")
        return n_rows
    finally:
        _call("H5Sclose", space)
        _call("H5Dclose", dataset)


def _lost_chunks(dataset: int, n_rows: int) -> int:
    """Return how many chunks of a one-dimensional dataset are not in the file; none if it has no chunks."""
    properties = _call("H5Dget_create_plist", dataset)
    try:
        if _call("H5Pget_layout", properties) != _CHUNKED:
            return 0
        length, number = ctypes.c_uint64(), ctypes.c_uint64()
        if _call("H5Pget_chunk", properties, 1, ctypes.byref(length)) != 1:
            return 0
        _call("H5Dget_num_chunks", dataset, _ALL, ctypes.byref(number))
        return -(-n_rows // max(length.value, 1)) - number.value
    finally:
        _call("H5Pclose", properties)


def read_rows(h5file: tables.File, path: str) -> NDArray[Any]:
    """
    Return all rows of a table; its attributes, such as units, are not looked at.

    Parameters
    ----------
    h5file : tables.File
        Open by `open_to_copy`.
    path : str
        Of the table.

    Raises
    ------
    tables.NoSuchNodeError
        If there is no such table.
    """
    if count_rows(h5file, path) > _SMALL:
        return h5file.get_node(path).read()
    with _in_memory(f"sst1m-copy-{next(_numbers)}") as memory:
        _copy(h5file, path, memory.root._v_objectid, "rows", _without_attributes())
        return memory.get_node("/rows").read()
