"""The columns of the events of a raw file, and what all writers of such files share."""

import os
from collections.abc import Container
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sst1m.errors import OutputError
from sst1m.io.codecs import DIFFERENCE, HUFFMAN16, RAW, ZLIB, ZSTD
from sst1m.io.fits_header import CardValue
from sst1m.io.raw_header import NANOSECONDS
from sst1m.io.rawfile import N_PIXELS, N_SAMPLES
from sst1m.simulation.zfits_writer import ColumnSpec, TableSpool

__all__ = ["COMPRESSIONS", "DTYPES", "UNSIGNED", "as_column", "column_specs", "open_spool", "time_cards"]

UNSIGNED = {"B": -128, "I": 32678, "J": 1 << 31, "K": (1 << 63) - 1}  # 32678: as in all real files

#: Compression steps by name: (of the waveforms, of all other columns).
COMPRESSIONS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "raw": ((RAW,), (RAW,)),
    "zlib": ((ZLIB,), (ZLIB,)),
    "zstd": ((ZSTD,), (ZSTD,)),
    "diffman16": ((DIFFERENCE, HUFFMAN16), (ZLIB,)),
}


# name, protobuf id, values per row, type letter, numpy type
_COLUMNS = (
    ("telescopeID", "1", 1, "J", "<i4"),
    ("eventNumber", "4", 1, "J", "<u4"),
    ("arrayEvtNum", "5", 1, "J", "<u4"),
    ("hiGain_waveforms_samples", "6.1.1", N_PIXELS * N_SAMPLES, "I", "<i2"),
    ("hiGain_waveforms_pixelsIndices", "6.1.2", N_PIXELS, "I", "<u2"),
    ("hiGain_waveforms_baselines", "6.1.5", N_PIXELS, "I", "<i2"),
    ("local_time_nanosec", "30", 1, "K", "<u8"),
    ("local_time_sec", "31", 1, "K", "<u8"),
    ("pixels_flags", "32", N_PIXELS, "I", "<u2"),
    ("event_type", "34", 1, "J", "<u4"),
    ("trigger_input_traces", "35", 28800, "B", "u1"),
    ("trigger_output_patch7", "36", 2700, "B", "u1"),
    ("trigger_output_patch19", "37", 2700, "B", "u1"),
    ("trigger_output_muon", "38", 2700, "B", "u1"),
    ("num_gains", "1024", 1, "J", "<u4"),
)
DTYPES = {name: np.dtype(dtype) for name, _, _, _, dtype in _COLUMNS}


def column_specs(names: Container[str], compression: str) -> list[ColumnSpec]:
    """Return the columns of a table of events."""
    waveform_codes, other_codes = COMPRESSIONS[compression]
    return [
        ColumnSpec(
            name=name,
            protobuf_id=protobuf_id,
            form=f"{n_items}{letter}",
            offset=UNSIGNED[letter] if np.dtype(dtype).kind == "u" else None,
            codes=waveform_codes if name.endswith("_samples") else other_codes,
        )
        for name, protobuf_id, n_items, letter, dtype in _COLUMNS
        if name in names
    ]


def as_column(name: str, values: NDArray) -> NDArray:
    """Return values in the type of a column, which must hold them."""
    dtype = DTYPES[name]
    values = np.asarray(values)
    limits = np.iinfo(dtype)
    if values.size and (values.min() < limits.min or values.max() > limits.max):
        raise ValueError(f"{name} holds {dtype}, not values from {values.min()} to {values.max()}")
    return values.astype(dtype)


def open_spool(
    path: Path, name: str, message: str, columns: list[ColumnSpec], rows_per_tile: int
) -> TableSpool:
    """Return a table whose tiles are collected beside the file that it is for."""
    try:
        return TableSpool(
            path.with_name(f".part{os.getpid()}.{name}.{path.name}"), name, message, columns, rows_per_tile
        )
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}); check the directory"
        ) from error


def time_cards(first: int, last: int, n_events: int) -> dict[str, CardValue]:
    """Return the header's times of the first and last event [ns]."""
    if not n_events:
        return {}
    return {
        "TSTARTS": first // NANOSECONDS,
        "TSTARTNS": first % NANOSECONDS,
        "TSTOPS": last // NANOSECONDS,
        "TSTOPNS": last % NANOSECONDS,
    }
