"""Raw files made for the tests."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sst1m.io.raw_header import read_raw_header
from sst1m.io.rawfile import EventIndex, RawBlock
from sst1m.io.zfits import ZfitsTable
from sst1m.simulation.raw_writer import STYLE_2023, RawStyle, RawWriter
from sst1m.simulation.zfits_writer import ColumnSpec, TableSpool, write_zfits

START_NS = 1_769_015_262_383_583_536


@pytest.fixture(scope="session")
def make_events() -> Callable[..., RawBlock]:
    """Return a function that makes events: noise on a baseline, some pixels absent."""

    def make(n_events: int, seed: int = 0) -> RawBlock:
        rng = np.random.default_rng(seed)
        baseline = np.round(16 * rng.normal(400, 20, (n_events, 1296))) / 16
        present = rng.random((n_events, 1296)) > 0.01
        samples = rng.normal(baseline[..., np.newaxis], 5, (n_events, 1296, 50)).astype(np.int16)
        samples[~present] = 0
        index = EventIndex(
            event_number=21_079 + np.arange(n_events),
            array_event_number=4_294_967_000 + np.arange(n_events),
            event_type=np.where(np.arange(n_events) % 10 == 3, 8, 1),
            time_ns=START_NS + np.cumsum(rng.integers(1000, 10_000_000, n_events)),
        )
        return RawBlock(0, samples, np.where(present, baseline, np.nan).astype(np.float32), present, index)

    return make


@pytest.fixture(scope="session")
def make_raw_file(make_events: Callable[..., RawBlock]) -> Callable[..., RawBlock]:
    """Return a function that writes a raw file and returns its events."""

    def make(
        path: Path, n_events: int = 7, *, style: RawStyle = STYLE_2023, seed: int = 0, **options
    ) -> RawBlock:
        events = make_events(n_events, seed)
        with RawWriter(path, **{"tel_id": 21, "rows_per_tile": 4, "style": style} | options) as writer:
            writer.append(events.samples, events.index, baseline=events.baseline, present=events.present)
        return events

    return make


@pytest.fixture(scope="session")
def rewrite_column() -> Callable[..., None]:
    """Return a function that copies a raw file and replaces one column, or leaves it out."""

    def rewrite(
        source: Path, destination: Path, column: str, new_block: Callable[[int], bytes] | None, form: str = ""
    ) -> None:
        header = read_raw_header(source)
        table = ZfitsTable(source, header.events)
        cards = header.cards
        names = [name for name in table.columns if new_block or name != column]
        specs = [
            ColumnSpec(
                name,
                cards[f"TPBID{table.columns[name].number + 1}"],
                form if form and name == column else cards[f"ZFORM{table.columns[name].number + 1}"],
                cards.get(f"TZERO{table.columns[name].number + 1}"),
            )
            for name in names
        ]
        spool = TableSpool(
            destination.with_suffix(".heap"), "Events", cards["PBFHEAD"], specs, cards["ZTILELEN"]
        )
        for tile, n_rows in enumerate(np.diff(table.tile_starts)):
            blocks = [
                new_block(int(n_rows)) if name == column else table.read_block(tile, name) for name in names
            ]
            spool.add_blocks(int(n_rows), blocks)
        write_zfits(destination, [(spool, {})])
        spool.close()
        table.close()

    return rewrite
