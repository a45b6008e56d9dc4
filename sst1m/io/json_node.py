"""Facts as JSON inside an HDF5 file, with a checksum like the tables beside them."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tables

from .dl1_tables import FILTERS

__all__ = ["read_json_node", "write_json_node"]


def write_json_node(
    h5file: tables.File, path: str, content: Mapping[str, Any], *, sort_keys: bool = True
) -> None:
    """
    Write an object; what JSON does not know becomes text.

    Parameters
    ----------
    h5file : tables.File
        Open for writing.
    path : str
        Of the new array of bytes.
    content : mapping
        The object.
    sort_keys : bool
        Bring all keys into the order of the alphabet: the same content gives the same bytes.
    """
    text = np.frombuffer(json.dumps(content, sort_keys=sort_keys, default=str).encode(), dtype=np.uint8)
    h5file.create_carray(*path.rsplit("/", 1), obj=text, filters=FILTERS, createparents=True)


def read_json_node(h5file: tables.File, path: str) -> dict[str, Any]:
    """
    Read an object.

    Raises
    ------
    tables.HDF5ExtError, tables.NodeError, ValueError
        If it is missing or damaged.
    """
    content = json.loads(bytes(h5file.get_node(path).read()).decode())
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no JSON object")
    return content
