"""Make long raw files out of short ones, for benchmarks and load tests on realistic data."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sst1m.errors import InputError
from sst1m.io.fits_header import CardValue
from sst1m.io.raw_header import NANOSECONDS, read_raw_header
from sst1m.io.rawfile import EventIndex, RawFile
from sst1m.io.zfits import ZfitsTable
from sst1m.simulation.raw_columns import as_column, open_spool, time_cards
from sst1m.simulation.zfits_writer import ColumnSpec, write_zfits
from sst1m.times import tai_to_camera_clock

__all__ = ["repeat_raw_file"]


def repeat_raw_file(source: str | Path, destination: str | Path, n_events: int) -> int:
    """
    Write a longer raw file by repeating the tiles of another one, compressed as they are.

    Event numbers go on from copy to copy and times are shifted, so that every event stays unique and the
    order in time stays; all else is repeated.

    Parameters
    ----------
    source, destination : str or Path
        The file to repeat, and the file to write.
    n_events : int
        Number of events wanted; rounded up to whole copies of the source.

    Returns
    -------
    n_events : int
        Number of events written.

    Raises
    ------
    InputError
        If the source is empty, or its last tile is shorter than the others.
    """
    source, destination = Path(source), Path(destination)
    header = read_raw_header(source)
    with RawFile(source) as raw:
        index = raw.index
    table = ZfitsTable(source, header.events)
    sizes = np.diff(table.tile_starts)
    if not sizes.size or np.any(sizes != sizes[0]):
        table.close()
        raise InputError(
            f"{source}: only files with tiles of one length can be repeated; use one of a single tile"
        )
    specs = [_copied_spec(header.cards, number) for number in range(1, len(table.columns) + 1)]
    spool = open_spool(destination, "Events", str(header.cards["PBFHEAD"]), specs, int(sizes[0]))
    n_copies = -(-n_events // len(index))
    period = _period(index.time_ns)
    try:
        for copy in range(n_copies):
            shifted = _shifted(index, copy, period)
            for tile, (start, stop) in enumerate(
                zip(table.tile_starts[:-1], table.tile_starts[1:], strict=True)
            ):
                renewed = _renewed_blocks(shifted[slice(start, stop)])
                spool.add_blocks(
                    int(stop - start),
                    [renewed.get(spec.name) or table.read_block(tile, spec.name) for spec in specs],
                )
        first, last = tai_to_camera_clock(index.time_ns[[0, -1]] + [0, (n_copies - 1) * period]).tolist()
        cards = time_cards(first, last, spool.n_rows)
        target = {} if header.target is None else {"TARGET": header.target}
        write_zfits(destination, [(spool, cards | target)])
    finally:
        spool.close()
        table.close()
    return n_copies * len(index)


def _copied_spec(cards: Mapping[str, CardValue], number: int) -> ColumnSpec:
    """Return a column as a header describes it."""
    offset = cards.get(f"TZERO{number}")
    return ColumnSpec(
        name=str(cards[f"TTYPE{number}"]),
        protobuf_id=str(cards[f"TPBID{number}"]),
        form=str(cards[f"ZFORM{number}"]),
        offset=offset if isinstance(offset, int) else None,
    )


def _period(time_ns: NDArray[np.int64]) -> int:
    """Return a shift [ns] that puts a copy of the events after them, at their usual distance."""
    span = int(time_ns.max() - time_ns.min())
    return span + max(1, span // max(1, len(time_ns) - 1))


def _shifted(index: EventIndex, copy: int, period: int) -> EventIndex:
    """Return the index of a copy of the events."""
    numbers, array_numbers = index.event_number, index.array_event_number
    return EventIndex(
        event_number=numbers + copy * int(np.ptp(numbers) + 1),
        array_event_number=np.where(
            array_numbers > 0, array_numbers + copy * int(np.ptp(array_numbers) + 1), 0
        ),
        event_type=index.event_type,
        time_ns=index.time_ns + copy * period,
    )


def _renewed_blocks(index: EventIndex) -> dict[str, bytes]:
    """Return the blocks that differ from copy to copy."""
    clock_ns = tai_to_camera_clock(index.time_ns)
    columns = {
        "eventNumber": index.event_number,
        "arrayEvtNum": index.array_event_number,
        "local_time_sec": clock_ns // NANOSECONDS,
        "local_time_nanosec": clock_ns % NANOSECONDS,
    }
    return {
        name: ColumnSpec(name, "", "").encode(as_column(name, values)) for name, values in columns.items()
    }
