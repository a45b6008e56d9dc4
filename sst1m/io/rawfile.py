"""
Raw SST-1M files: events in blocks of plain arrays, in the order of the pixel ids.

A raw file (``.fits.fz``) holds the events of one telescope during some 30 s. Its pixels stand in the order in
which the camera read them out; `RawFile` sorts them, and scales the baselines to ADC counts.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sst1m.errors import RawFileError
from sst1m.instrument.camera import N_PIXELS, N_SAMPLES
from sst1m.io.protozfits_table import ProtozfitsTable
from sst1m.io.raw_header import NANOSECONDS, RawHeader, check_size, read_raw_header, verify_raw_file
from sst1m.io.zfits import ZfitsTable
from sst1m.times import camera_clock_to_tai

__all__ = ["EventIndex", "RawBlock", "RawFile", "RawHeader", "read_raw_header", "verify_raw_file"]

TELESCOPE = "telescopeID"
EVENT_NUMBER = "eventNumber"
ARRAY_EVENT_NUMBER = "arrayEvtNum"
EVENT_TYPE = "event_type"
SECONDS_COLUMN = "local_time_sec"
NANOSECONDS_COLUMN = "local_time_nanosec"
SAMPLES = "hiGain_waveforms_samples"
PIXEL_IDS = "hiGain_waveforms_pixelsIndices"
BASELINES = "hiGain_waveforms_baselines"
PIXEL_FLAGS = "pixels_flags"

_REQUIRED = [TELESCOPE, EVENT_NUMBER, EVENT_TYPE, SECONDS_COLUMN, NANOSECONDS_COLUMN, SAMPLES, PIXEL_IDS]
_OPTIONAL = [ARRAY_EVENT_NUMBER, BASELINES, PIXEL_FLAGS]

_FIXED_POINT_SCALE = 16.0
_SCALE_THRESHOLD = 4.0  # the geometric mean of the two scales, 1 and 16
_SCALE_EVENTS = 5
_MAX_SECONDS = 9_000_000_000  # in the year 2255; more does not fit into 64 bits of nanoseconds
_WAY_OUT = "copy the file again from its source"


@dataclass(frozen=True)
class EventIndex:
    """
    What identifies events, without their waveforms.

    Attributes
    ----------
    event_number : ndarray of int64, shape=(n_events,)
        Number given by the camera.
    array_event_number : ndarray of int64, shape=(n_events,)
        Number given by the array trigger; 0 where there is none.
    event_type : ndarray of int64, shape=(n_events,)
        Bits of the camera: 1 and 2 for the patch triggers, exactly 8 for pedestals.
    time_ns : ndarray of int64, shape=(n_events,)
        Time of the trigger [ns] since 1970-01-01, TAI; not necessarily rising.
    """

    event_number: NDArray[np.int64]
    array_event_number: NDArray[np.int64]
    event_type: NDArray[np.int64]
    time_ns: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.event_number)

    def __getitem__(self, rows: slice | NDArray) -> "EventIndex":
        return EventIndex(
            self.event_number[rows], self.array_event_number[rows], self.event_type[rows], self.time_ns[rows]
        )


@dataclass(frozen=True)
class RawBlock:
    """
    Consecutive events of a raw file, pixels in the order of their ids.

    Attributes
    ----------
    first : int
        Row of the first event in the file.
    samples : ndarray of int16, shape=(n_events, n_pixels, n_samples)
        Waveforms [ADC].
    baseline : ndarray of float32, shape=(n_events, n_pixels)
        Baseline that the camera computed [ADC]; NaN where it did not.
    present : ndarray of bool, shape=(n_events, n_pixels)
        Whether the pixel was read out.
    index : EventIndex
        Numbers, types and times of these events.
    """

    first: int
    samples: NDArray[np.int16]
    baseline: NDArray[np.float32]
    present: NDArray[np.bool_]
    index: EventIndex

    def __len__(self) -> int:
        return len(self.samples)


@dataclass(frozen=True)
class _Tile:
    """The decoded waveform columns of a tile, pixels in the order of the read-out."""

    samples: NDArray[np.int16]
    pixel_ids: NDArray[np.uint16]
    baselines: NDArray[np.int16] | None
    flags: NDArray[np.uint16] | None


@njit(cache=True)
def _sort_waveforms(samples: NDArray[np.int16], order: NDArray[np.int64], out: NDArray[np.int16]) -> None:
    """Copy the waveforms of an event from the order of the read-out to the order of the pixel ids."""
    for pixel in range(order.size):
        start = order[pixel] * N_SAMPLES  # a constant number of samples: twice as fast as a variable one
        for sample in range(N_SAMPLES):
            out[pixel, sample] = samples[start + sample]


@njit(cache=True)
def _sort_baselines(
    counts: NDArray[np.int16],
    order: NDArray[np.int64],
    scale: np.float32,
    present: NDArray[np.bool_],
    out: NDArray[np.float32],
) -> None:
    """Copy the baselines of some events to the order of the pixel ids, [ADC]; negative ones are none."""
    for event in range(out.shape[0]):
        for pixel in range(order.size):
            count = counts[event, order[pixel]]
            measured = count >= 0 and present[event, pixel]
            out[event, pixel] = np.float32(count) / scale if measured else np.float32(np.nan)


def _new_buffers(n_events: int) -> tuple[NDArray[np.int16], NDArray[np.float32], NDArray[np.bool_]]:
    """Return arrays for the samples, the baselines (none) and the presence (all) of some events."""
    return (
        np.empty((n_events, N_PIXELS, N_SAMPLES), dtype=np.int16),
        np.full((n_events, N_PIXELS), np.nan, dtype=np.float32),
        np.ones((n_events, N_PIXELS), dtype=bool),
    )


class RawFile(AbstractContextManager):
    """
    The events of a raw file.

    The file is not verified: call `verify_raw_file` before, because only the checksum finds every changed
    byte.

    Parameters
    ----------
    path : str or Path
        A ``.fits.fz`` file of one run of one telescope.

    Attributes
    ----------
    header : RawHeader
        What the header says.
    n_events : int
        Number of events; may be 0.

    Raises
    ------
    RawFileError
        If the file is not a whole raw file, or its structure is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.header = read_raw_header(path)
        check_size(self.header)
        self.path = self.header.path
        self.n_events = self.header.n_events
        self._cached_tile: tuple[int, _Tile] | None = None
        self._table = self._open_table()

    def _open_table(self) -> ZfitsTable | ProtozfitsTable:
        """Return the direct reader, or the official one where a column has a codec that only that knows."""
        table = ZfitsTable(self.path, self.header.events)
        missing = [name for name in _REQUIRED if name not in table.columns]
        # A file without events need not have columns: they are made from the fields of the first event.
        if missing and self.n_events:
            table.close()
            raise RawFileError(f"{self.path}: no column {', '.join(missing)}; check what was copied here")
        columns = [name for name in _REQUIRED + _OPTIONAL if name in table.columns]
        try:
            if table.is_decodable(columns):
                return table
        except RawFileError:
            table.close()
            raise
        table.close()
        # The official reader can end the process at damaged data or headers.
        verify_raw_file(self.path, headers=True)
        return ProtozfitsTable(self.path, columns, self.n_events)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and drop what was decoded."""
        self._cached_tile = None
        self._table.close()

    @cached_property
    def tel_id(self) -> int | None:
        """Telescope of all events; without events the one of the file name, which may be None."""
        telescopes = np.unique(self._scalars(TELESCOPE, np.int32))
        if len(telescopes) > 1:
            raise RawFileError(
                f"{self.path}: events of telescopes {telescopes.tolist()} in one file; split the file"
            )
        return int(telescopes[0]) if len(telescopes) else self.header.telescope_hint

    @cached_property
    def index(self) -> EventIndex:
        """Numbers, types and times of all events; no waveform is decoded for them."""
        if ARRAY_EVENT_NUMBER in self._table.columns:
            array_event_number = self._scalars(ARRAY_EVENT_NUMBER, np.uint32)
        else:
            array_event_number = np.zeros(self.n_events, dtype=np.int64)
        return EventIndex(
            event_number=self._scalars(EVENT_NUMBER, np.uint32),
            array_event_number=array_event_number,
            event_type=self._scalars(EVENT_TYPE, np.uint32),
            time_ns=camera_clock_to_tai(self._times()),
        )

    def blocks(self, max_events: int = 512, *, reuse_buffers: bool = False) -> Iterator[RawBlock]:
        """
        Yield all events in order, in blocks of the same length (the last one may be shorter).

        Parameters
        ----------
        max_events : int
            Events per block; it changes no value.
        reuse_buffers : bool
            Overwrite the arrays of a block with those of the next one, which saves the time to get and clear
            memory: for a loop that keeps nothing of a block.
        """
        if max_events < 1:
            raise ValueError(f"max_events is {max_events}, a block needs at least one event")
        buffers = _new_buffers(min(max_events, self.n_events)) if reuse_buffers else None
        for first in range(0, self.n_events, max_events):
            n_events = min(max_events, self.n_events - first)
            yield self._fill(first, n_events, buffers or _new_buffers(n_events))

    def read(self, first: int, n_events: int) -> RawBlock:
        """
        Return consecutive events.

        Parameters
        ----------
        first : int
            Row of the first event.
        n_events : int
            Number of events; they must exist.
        """
        if first < 0 or n_events < 0 or first + n_events > self.n_events:
            raise ValueError(f"events {first} to {first + n_events} of a file with {self.n_events}")
        return self._fill(first, n_events, _new_buffers(n_events))

    def _fill(self, first: int, n_events: int, buffers: tuple[NDArray, NDArray, NDArray]) -> RawBlock:
        """Return events in the first rows of arrays of samples, baselines and presence."""
        samples, baseline, present = (buffer[:n_events] for buffer in buffers)
        block = RawBlock(first, samples, baseline, present, self.index[first : first + n_events])
        starts = self._table.tile_starts
        n_done = 0
        while n_done < n_events:
            tile = int(np.searchsorted(starts, first + n_done, side="right")) - 1
            row = first + n_done - int(starts[tile])
            n_rows = min(int(starts[tile + 1] - starts[tile]) - row, n_events - n_done)
            self._copy_rows(tile, slice(row, row + n_rows), block, n_done)
            n_done += n_rows
        return block

    @cached_property
    def baseline_scale(self) -> float:
        """
        Baseline counts per ADC count: 16 since 2018 (fixed point), 1 before.

        The header does not say it, and the day of the change is not known, so the file itself decides: the
        median baseline of the first five events lies near the median sample or near sixteen times that.
        Files without a baseline to compare count as the newer ones.
        """
        if not self.n_events:
            return _FIXED_POINT_SCALE
        tile = self._tile(0)
        if tile.baselines is None:
            return _FIXED_POINT_SCALE
        baselines = tile.baselines[:_SCALE_EVENTS]
        measured = baselines >= 0
        if tile.flags is not None:
            measured &= tile.flags[:_SCALE_EVENTS] != 0
        samples = tile.samples[:_SCALE_EVENTS].reshape(-1, N_PIXELS, N_SAMPLES)[measured]
        if not samples.size or (median := float(np.median(samples))) <= 0:
            return _FIXED_POINT_SCALE
        ratio = float(np.median(baselines[measured])) / median
        return _FIXED_POINT_SCALE if ratio > _SCALE_THRESHOLD else 1.0

    def _tile(self, number: int) -> _Tile:
        """Return a tile, decoded once as long as the same one is asked for."""
        if self._cached_tile is None or self._cached_tile[0] != number:
            self._cached_tile = None  # frees the memory before the next tile needs as much
            self._cached_tile = (number, self._decode_tile(number))
        return self._cached_tile[1]

    def _decode_tile(self, number: int) -> _Tile:
        """Decode the waveform columns of a tile."""
        optional = {
            name: np.array(self._table.read(number, name, dtype, N_PIXELS))
            if name in self._table.columns
            else None
            for name, dtype in ((BASELINES, "<i2"), (PIXEL_FLAGS, "<u2"))
        }
        return _Tile(
            samples=self._table.read(number, SAMPLES, "<i2", N_PIXELS * N_SAMPLES),
            pixel_ids=self._table.read(number, PIXEL_IDS, "<u2", N_PIXELS),
            baselines=optional[BASELINES],
            flags=optional[PIXEL_FLAGS],
        )

    def _copy_rows(self, number: int, rows: slice, block: RawBlock, n_done: int) -> None:
        """Copy rows of a tile into a block, after the events that it has already."""
        scale = self.baseline_scale  # before the tile: it may need the first one
        tile = self._tile(number)
        changes = np.flatnonzero((tile.pixel_ids[rows][1:] != tile.pixel_ids[rows][:-1]).any(axis=1)) + 1
        edges = [0, *changes.tolist(), rows.stop - rows.start]
        for start, stop in zip(edges[:-1], edges[1:], strict=True):
            source = slice(rows.start + start, rows.start + stop)
            target = slice(n_done + start, n_done + stop)
            pixel_ids = tile.pixel_ids[source.start].astype(np.int64)
            self._check_permutation(pixel_ids, block.first + target.start)
            order = np.argsort(pixel_ids)
            for samples, out in zip(tile.samples[source], block.samples[target], strict=True):
                _sort_waveforms(samples, order, out)
            if tile.flags is not None:
                np.not_equal(tile.flags[source][:, order], 0, out=block.present[target])
            if tile.baselines is not None:
                counts, present = tile.baselines[source], block.present[target]
                _sort_baselines(counts, order, np.float32(scale), present, block.baseline[target])

    def _check_permutation(self, pixel_ids: NDArray[np.int64], event: int) -> None:
        """Raise unless every pixel of the camera occurs once."""
        if not np.array_equal(np.sort(pixel_ids), np.arange(N_PIXELS)):
            raise RawFileError(
                f"{self.path}: the pixel ids of event {event} are not each of 0 to {N_PIXELS - 1} once; "
                f"{_WAY_OUT}"
            )

    def _scalars(self, name: str, dtype: type[np.number]) -> NDArray[np.int64]:
        """Return a column of one number per event."""
        parts = [self._table.read(tile, name, dtype, 0) for tile in range(self._table.n_tiles)]
        return np.concatenate([np.zeros(0, dtype=np.int64), *(part.astype(np.int64) for part in parts)])

    def _times(self) -> NDArray[np.int64]:
        """Return the clock of all events [ns], in integers: a float of seconds keeps only some 0.2 us."""
        # Both columns are unsigned 64-bit numbers; read as signed, nonsense beyond 2**63 becomes negative.
        seconds = self._scalars(SECONDS_COLUMN, np.int64)
        nanoseconds = self._scalars(NANOSECONDS_COLUMN, np.int64)
        bad = (seconds < 0) | (seconds > _MAX_SECONDS) | (nanoseconds < 0) | (nanoseconds >= 2 * NANOSECONDS)
        if bad.any():
            event = int(np.argmax(bad))
            raise RawFileError(
                f"{self.path}: event {event} has an impossible time "
                f"({seconds[event]} s, {nanoseconds[event]} ns); {_WAY_OUT}"
            )
        return seconds * NANOSECONDS + nanoseconds
