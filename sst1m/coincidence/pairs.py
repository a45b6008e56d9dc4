"""The pairs of a night in one file: what was found, how, and what became of every event."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tables
from numpy.typing import NDArray

from ..checkpoint import SideFiles, committed
from ..errors import InputError
from ..io.damage import explained_damage
from ..io.dl1_tables import create_table
from ..io.hdf5_objects import open_to_write
from ..io.json_node import read_json_node, write_json_node
from ..layout import side_paths
from ..provenance import input_record, provenance_json, utc_now
from .fate import Fate

__all__ = ["PAIR_COLUMNS", "UNMATCHED_COLUMNS", "Coincidences", "read_coincidences", "write_coincidences"]

FORMAT = "sst1m-coincidences 2"
_PAIRS, _INFO = "/coincidences/pairs", "/coincidences/info"

#: Name: (dtype, unit, description) of the table of pairs.
PAIR_COLUMNS: dict[str, tuple[str, str, str]] = {
    "obs_id_21": ("i8", "", "run of telescope 21"),
    "event_id_21": ("i8", "", "event of telescope 21"),
    "obs_id_22": ("i8", "", "run of telescope 22"),
    "event_id_22": ("i8", "", "event of telescope 22"),
    "file_21": ("i4", "", "number of the DL1 file of telescope 21"),
    "row_21": ("i8", "", "row in its tables"),
    "file_22": ("i4", "", "number of the DL1 file of telescope 22"),
    "row_22": ("i8", "", "row in its tables"),
    "time_ns": ("i8", "ns", "time of telescope 21, TAI since 1970"),
    "time_difference_ns": ("i8", "ns", "time of telescope 22 minus that of 21"),
    "residual_ns": ("i8", "ns", "time difference beyond light travel and offset of the clocks"),
    "by_number": ("?", "", "paired by the number of the array trigger, otherwise by time"),
    "has_images": ("?", "", "both images survived the cleaning"),
}
#: The same of the tables of events that are in no pair, one for each telescope.
UNMATCHED_COLUMNS: dict[str, tuple[str, str, str]] = {
    "obs_id": ("i8", "", "run"),
    "event_id": ("i8", "", "event"),
    "reason": (
        "i1",
        "",
        "why it has no partner: " + ", ".join(f"{fate:d} {fate.key}" for fate in Fate if fate),
    ),
}


@dataclass(frozen=True, eq=False)
class Coincidences:
    """
    Pairs of events of the two telescopes during a night.

    Parameters
    ----------
    pairs : ndarray, shape=(n_pairs,)
        Structured; columns of `PAIR_COLUMNS`, in the order of time.
    unmatched : dict of int to ndarray
        Structured, by telescope; columns of `UNMATCHED_COLUMNS`: every event that is in no pair, in the order
        of time.
    files : dict of int to list of dict
        DL1 files by telescope: ``path``, ``obs_id``, ``n_events``, ``counts``, ``unmatched_because`` (events
        without a partner by reason) and what their info says of ``live_time``, ``nsb_mhz``,
        ``mean_pointing``, ``ra_deg`` and ``dec_deg``.
    info : dict
        How the pairs were found: method, fallbacks, offset of the clocks, window, accidental pairs.
    """

    pairs: NDArray[Any]
    unmatched: dict[int, NDArray[Any]]
    files: dict[int, list[dict[str, Any]]]
    info: dict[str, Any]

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def matched_fraction(self) -> float:
        """Paired fraction of the events of the telescope that has fewer."""
        return float(self.info["matched_fraction"])

    @property
    def offset_ns(self) -> float | None:
        """Median of the time differences without light travel [ns]; None without pairs."""
        value = self.info["clock_offset_ns"]
        return None if value is None else float(value)

    def of_run(self, obs_id: int) -> NDArray[Any]:
        """Return the pairs of a run of telescope 21, in the order of its file."""
        chosen = self.pairs[self.pairs["obs_id_21"] == obs_id]
        return chosen[np.argsort(chosen["row_21"])]

    def run(self, tel_id: int, obs_id: int) -> dict[str, Any]:
        """
        Return what is known of a run.

        Raises
        ------
        InputError
            It took no part in the search.
        """
        for run in self.files[tel_id]:
            if run["obs_id"] == obs_id:
                return run
        raise InputError(
            f"run {obs_id} of telescope {tel_id} took no part in the search for coincidences; search again "
            "with its DL1 file"
        )


def _dtype(columns: Mapping[str, tuple[str, str, str]]) -> np.dtype:
    return np.dtype([(name, kind) for name, (kind, _, _) in columns.items()])


def pair_table(columns: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """Return columns of `PAIR_COLUMNS` as one structured array, in the order of time."""
    table = np.zeros(len(columns["time_ns"]), dtype=_dtype(PAIR_COLUMNS))
    for name in PAIR_COLUMNS:
        table[name] = columns[name]
    return table[np.lexsort((table["event_id_21"], table["obs_id_21"], table["time_ns"]))]


def unmatched_table(
    obs_id: NDArray[np.int64], event_id: NDArray[np.int64], fate: NDArray[np.int8]
) -> NDArray[Any]:
    """Return those events of a telescope that are in no pair, with the reason."""
    lone = np.flatnonzero(fate != Fate.PAIRED)
    table = np.zeros(len(lone), dtype=_dtype(UNMATCHED_COLUMNS))
    table["obs_id"], table["event_id"], table["reason"] = obs_id[lone], event_id[lone], fate[lone]
    return table


def write_coincidences(
    coincidences: Coincidences, output: Path, *, side_files: SideFiles | None = None
) -> dict[str, object]:
    """
    Write pairs, and beside them a picture of their time differences (``.png``).

    Parameters
    ----------
    coincidences : Coincidences
        What was found.
    output : Path
        HDF5 file; appears when it is complete.
    side_files : callable, optional
        Takes the counts and returns further files beside it; without it the provenance is written.

    Returns
    -------
    dict
        The counts.
    """
    from .plots import time_difference_picture

    started = utc_now()
    counts: dict[str, object] = dict(coincidences.info["counts"])

    def provenance() -> bytes:
        paths = [Path(run["path"]) for runs in coincidences.files.values() for run in runs]
        return provenance_json(
            product=output,
            run={"method": coincidences.info["method"]},
            inputs=[input_record(path) for path in paths if path.is_file()],
            config={"fingerprint": coincidences.info["config_fingerprint"]},
            started=started,
            counts=counts,
            options={},
            calibration={},
        )

    beside = dict(side_files(counts)) if side_files else {side_paths(output)["json"]: provenance}
    beside[output.with_suffix(".png")] = lambda: time_difference_picture(coincidences)
    with committed(output, validate=read_coincidences, side_files=beside) as part:
        with open_to_write(part) as h5file:
            _write_table(h5file, _PAIRS, PAIR_COLUMNS, coincidences.pairs)
            for tel_id, unmatched in coincidences.unmatched.items():
                _write_table(h5file, _unmatched_path(tel_id), UNMATCHED_COLUMNS, unmatched)
            # last, so that a file with it is complete
            content = {"format": FORMAT, "n_pairs": len(coincidences), "info": coincidences.info}
            content["files"] = {str(tel_id): runs for tel_id, runs in coincidences.files.items()}
            write_json_node(h5file, _INFO, content)
    return counts


def _unmatched_path(tel_id: int) -> str:
    return f"/coincidences/unmatched_{tel_id}"


def _write_table(
    h5file: tables.File, path: str, columns: Mapping[str, tuple[str, str, str]], rows: NDArray[Any]
) -> None:
    described = {name: (unit, text) for name, (_, unit, text) in columns.items()}
    create_table(h5file, path, _dtype(columns), described).append(rows)


def read_coincidences(path: Path) -> Coincidences:
    """
    Read what `write_coincidences` wrote.

    Raises
    ------
    InputError
        The file is not complete or is something else.
    """
    with explained_damage(path, "file of coincidences"), tables.open_file(str(path), "r") as h5file:
        content = read_json_node(h5file, _INFO)
        if content["format"] != FORMAT:
            raise ValueError(f"it is {content['format']}, not {FORMAT}")
        pairs = h5file.get_node(_PAIRS).read()
        files = {int(tel_id): runs for tel_id, runs in content["files"].items()}
        unmatched = {tel_id: h5file.get_node(_unmatched_path(tel_id)).read() for tel_id in files}
        _check_counts(pairs, unmatched, content)
    return Coincidences(pairs, unmatched, files, content["info"])


def _check_counts(
    pairs: NDArray[Any], unmatched: Mapping[int, NDArray[Any]], content: Mapping[str, Any]
) -> None:
    """Check that every event is in a pair or has a reason."""
    if len(pairs) != content["n_pairs"] or pairs.dtype != _dtype(PAIR_COLUMNS):
        raise ValueError(f"{len(pairs)} pairs of {content['n_pairs']}")
    for tel_id, table in unmatched.items():
        n_events = content["info"]["counts"][f"n_events_{tel_id}"]
        if len(pairs) + len(table) != n_events or table.dtype != _dtype(UNMATCHED_COLUMNS):
            raise ValueError(f"{len(pairs) + len(table)} of {n_events} events of telescope {tel_id}")
