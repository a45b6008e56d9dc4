"""The same view of a raw file as `sst1m.io.zfits`, through the official reader, for codecs beyond ours."""

from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sst1m.errors import RawFileError

__all__ = ["ProtozfitsTable"]

_TILE_ROWS = 100
_WAVEFORM_PREFIX = "hiGain_waveforms_"


class ProtozfitsTable:
    """
    The events of a raw file, read message by message.

    The reader behind it can end the process at damaged data, so that the file has to be verified before.

    Parameters
    ----------
    path : Path
        The file, already verified.
    columns : list of str
        The columns that will be read.
    n_rows : int
        Number of events.
    """

    def __init__(self, path: Path, columns: list[str], n_rows: int) -> None:
        import protozfits

        self.path = path
        self.columns = dict.fromkeys(columns)
        self.tile_starts = np.append(np.arange(0, n_rows, _TILE_ROWS), n_rows)
        self._file = protozfits.File(str(path))
        self._tile: int | None = None
        self._values: dict[str, list] = {}

    @property
    def n_tiles(self) -> int:
        """Number of tiles."""
        return len(self.tile_starts) - 1

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, tile: int, name: str, dtype: DTypeLike, n_items: int) -> NDArray:
        """Return the values of one column in one tile; see `sst1m.io.zfits.ZfitsTable.read`."""
        if tile != self._tile:
            self._load(tile)
        values = self._values[name]
        shape = () if n_items == 0 else (n_items,)
        for row, value in enumerate(values):
            if np.shape(value) != shape:
                raise RawFileError(
                    f"{self.path}: event {self.tile_starts[tile] + row} does not have {n_items} values in "
                    f"{name}; copy the file again from its source"
                )
        return np.array(values, dtype=dtype).reshape(-1, *shape)

    def _load(self, tile: int) -> None:
        """Read the events of a tile."""
        self._values = {name: [] for name in self.columns}
        for row in range(self.tile_starts[tile], self.tile_starts[tile + 1]):
            event = self._file.Events[row]
            for name, values in self._values.items():
                waveforms = name.startswith(_WAVEFORM_PREFIX)
                owner = event.hiGain.waveforms if waveforms else event
                values.append(getattr(owner, name.removeprefix(_WAVEFORM_PREFIX)))
        self._tile = tile
