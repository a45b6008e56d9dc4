"""
Write raw SST-1M files (``.fits.fz``) that every reader of the real ones accepts.

Three styles are offered, after the files that exist: the one in use since 2023, the one of 2018 (no numbers
of the array trigger, no ``TARGET``) and the one of 2017 (in addition, baselines in plain ADC counts).
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from sst1m.io.fits_header import CardValue
from sst1m.io.raw_header import NANOSECONDS
from sst1m.io.rawfile import N_PIXELS, EventIndex
from sst1m.simulation.raw_columns import (
    COMPRESSIONS,
    DTYPES,
    UNSIGNED,
    as_column,
    column_specs,
    open_spool,
    time_cards,
)
from sst1m.simulation.raw_repeat import repeat_raw_file
from sst1m.simulation.zfits_writer import ColumnSpec, TableSpool, write_zfits
from sst1m.times import tai_to_camera_clock

__all__ = [
    "COMPRESSIONS",
    "RawStyle",
    "RawWriter",
    "STYLE_2017",
    "STYLE_2018",
    "STYLE_2023",
    "repeat_raw_file",
]

_MESSAGE = "DataModel.CameraEvent"
_ROWS_PER_TILE = 100
_ABSENT = -1


@dataclass(frozen=True)
class RawStyle:
    """
    What the files of a period have in common.

    Attributes
    ----------
    baseline_scale : int
        Counts per ADC count in the baselines.
    has_array_numbers : bool
        Whether there are columns ``arrayEvtNum`` and ``num_gains``.
    has_target : bool
        Whether the header has a ``TARGET``.
    """

    baseline_scale: int = 16
    has_array_numbers: bool = True
    has_target: bool = True


STYLE_2023 = RawStyle()
STYLE_2018 = RawStyle(has_array_numbers=False, has_target=False)
STYLE_2017 = RawStyle(baseline_scale=1, has_array_numbers=False, has_target=False)


def read_out_order() -> NDArray[np.int64]:
    """Return a permutation of the pixel ids that stands for the order of the read-out."""
    # 425 has no divisor in common with the number of pixels, so that every pixel comes once.
    return (np.arange(N_PIXELS) * 425 + 425) % N_PIXELS


class RawWriter(AbstractContextManager):
    """
    Write the events of one telescope to a raw file, block by block.

    The file appears under its name when the writer is closed without an error. Equal events give equal bytes.

    Parameters
    ----------
    path : str or Path
        The file; replaced if it exists.
    tel_id : int
        Telescope.
    style : RawStyle
        Period whose files are imitated.
    target : str or None
        Content of ``TARGET``, such as ``Crab_W1_84.386_21.956``; only in styles that have it.
    compression : str
        One of `COMPRESSIONS`.
    rows_per_tile : int
        Events per tile.
    pixel_order : ndarray of int, shape=(n_pixels,) or None
        Pixel id at each position of the read-out.
    with_config : bool
        Whether a table ``DigicamConfig`` stands before the events.
    cards : mapping
        Further cards of the header of the events.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        tel_id: int,
        style: RawStyle = STYLE_2023,
        target: str | None = None,
        compression: str = "zstd",
        rows_per_tile: int = _ROWS_PER_TILE,
        pixel_order: NDArray | None = None,
        with_config: bool = False,
        cards: Mapping[str, CardValue] | None = None,
    ) -> None:
        if target is not None and not style.has_target:
            raise ValueError("files of this style have no TARGET")
        if compression not in COMPRESSIONS:
            raise ValueError(f"compression {compression!r} is none of {', '.join(COMPRESSIONS)}")
        self.path = Path(path)
        self.n_events = 0
        self._tel_id, self._style, self._compression, self._rows_per_tile = (
            tel_id,
            style,
            compression,
            rows_per_tile,
        )
        self._order = read_out_order() if pixel_order is None else np.asarray(pixel_order)
        self._with_config = with_config
        self._cards = ({} if target is None else {"TARGET": target}) | dict(cards or {})
        self._spool: TableSpool | None = None
        self._pending: dict[str, NDArray] = {}
        self._first_time = self._last_time = 0

    def append(
        self,
        samples: NDArray[np.int16],
        index: EventIndex,
        *,
        baseline: NDArray | None = None,
        present: NDArray[np.bool_] | None = None,
        triggers: Mapping[str, NDArray[np.uint8]] | None = None,
    ) -> None:
        """
        Append events.

        Parameters
        ----------
        samples : ndarray, shape=(n_events, n_pixels, n_samples)
            Waveforms [ADC], in the order of the pixel ids.
        index : EventIndex
            Numbers, types and times of the events.
        baseline : ndarray, shape=(n_events, n_pixels) or None
            Baselines [ADC]; NaN where there is none. None leaves out the column.
        present : ndarray of bool, shape=(n_events, n_pixels) or None
            Whether a pixel was read out; None for all.
        triggers : mapping of str to ndarray of uint8, shape=(n_events, n_bytes)
            Columns ``trigger_input_traces`` (28 800 bytes) and ``trigger_output_{patch7,patch19,muon}``
            (2700 bytes).

        All blocks of a file must have the same columns.
        """
        if not len(index):
            return
        values = self._columns(samples, index, baseline, present) | dict(triggers or {})
        columns = {name: as_column(name, values[name]) for name in DTYPES if name in values}
        if self.n_events == 0:
            self._first_time = int(tai_to_camera_clock(index.time_ns[:1])[0])
        self._last_time = int(tai_to_camera_clock(index.time_ns[-1:])[0])
        self.n_events += len(index)
        if self._pending.keys() != columns.keys() and self._pending:
            raise ValueError("all blocks of a file must have the same columns")
        self._pending = {
            name: np.concatenate([self._pending[name], column]) if name in self._pending else column
            for name, column in columns.items()
        }
        self._flush(self._rows_per_tile)

    def _columns(
        self, samples: NDArray, index: EventIndex, baseline: NDArray | None, present: NDArray | None
    ) -> dict[str, NDArray]:
        """Return the columns of some events, pixels in the order of the read-out."""
        n_events = len(index)
        clock_ns = tai_to_camera_clock(index.time_ns)
        present = np.ones((n_events, N_PIXELS), dtype=bool) if present is None else present
        columns = {
            "telescopeID": np.full(n_events, self._tel_id),
            "eventNumber": index.event_number,
            "hiGain_waveforms_samples": samples[:, self._order].reshape(n_events, -1),
            "hiGain_waveforms_pixelsIndices": np.tile(self._order, (n_events, 1)),
            "local_time_nanosec": clock_ns % NANOSECONDS,
            "local_time_sec": clock_ns // NANOSECONDS,
            "pixels_flags": present[:, self._order],
            "event_type": index.event_type,
        }
        if self._style.has_array_numbers:
            columns |= {
                "arrayEvtNum": index.array_event_number,
                "num_gains": np.ones(n_events, dtype=np.int64),
            }
        if baseline is not None:
            counts = np.where(present & np.isfinite(baseline), baseline * self._style.baseline_scale, _ABSENT)
            columns["hiGain_waveforms_baselines"] = np.rint(counts)[:, self._order]
        return columns

    def _flush(self, n_rows: int) -> None:
        """Write tiles of `n_rows` events as long as there are enough."""
        if self._spool is None:
            specs = column_specs(self._pending or DTYPES, self._compression)
            self._spool = open_spool(self.path, "Events", _MESSAGE, specs, self._rows_per_tile)
        n_pending = len(next(iter(self._pending.values()), ()))
        start = 0
        while 0 < n_rows <= n_pending - start:
            self._spool.add_tile(
                {name: column[start : start + n_rows] for name, column in self._pending.items()}
            )
            start += n_rows
        # A copy, so that the blocks of the caller can be freed.
        self._pending = {name: column[start:].copy() for name, column in self._pending.items()}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            if self._spool is not None:
                self._spool.close()

    def _finish(self) -> None:
        """Write the last tile and put the file together."""
        self._flush(len(next(iter(self._pending.values()), ())))
        tables = [(self._spool, time_cards(self._first_time, self._last_time, self.n_events) | self._cards)]
        config = _config_spool(self.path) if self._with_config else None
        try:
            write_zfits(self.path, [(config, {}), *tables] if config else tables)
        finally:
            if config:
                config.close()


def _config_spool(path: Path) -> TableSpool:
    """Return the table of the camera's configuration: one row, as in real files, which nobody uses."""
    columns = [
        ColumnSpec("operation_id", "12", "1J", UNSIGNED["J"]),
        ColumnSpec("digicam_time_sec", "15", "1J", UNSIGNED["J"]),
    ]
    spool = open_spool(path, "DigicamConfig", "DataModel.DigicamConfig", columns, 1)
    spool.add_tile({column.name: np.zeros(1, dtype="<u4") for column in columns})
    return spool
