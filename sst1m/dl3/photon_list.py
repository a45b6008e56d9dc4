"""The photon list in HDF5: gamma-like events of one DL2 file, with the columns that an analysis looks at."""

import fnmatch
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np
import tables
from astropy.table import QTable

from sst1m.checkpoint import committed
from sst1m.errors import InputError
from sst1m.io.dl2 import read_dl2
from sst1m.io.dl2_columns import column_meaning
from sst1m.irf.cuts import GammanessCuts
from sst1m.layout import side_paths
from sst1m.provenance import input_record, provenance_json, utc_now
from sst1m.reco.selection import select_events

if TYPE_CHECKING:
    from sst1m.config import AnalysisConfig

__all__ = ["PhotonListSummary", "photon_list_table", "write_photon_list"]

#: Columns of DL2 that a photon list leaves out, in stereo those of each telescope.
_LEFT_OUT = (
    *("reco_disp_*", "log_camera_frame_hillas_intensity", "core_psi", "concentration_*"),
    *(f"camera_frame_hillas_{name}" for name in ("skewness", "kurtosis", "x", "y", "r", "phi", "psi", "wl")),
    *("camera_frame_hillas_*_uncertainty", "camera_frame_timing_*"),
    *("leakage_pixels_width_*", "leakage_intensity_width_1"),
    *("morphology_n_pixels", "morphology_n_small_islands", "morphology_n_medium_islands"),
    *("morphology_n_large_islands", "intensity_*", "peak_time_*"),
)
_KEPT = ("intensity_drop",)
_TELESCOPE = re.compile(r"_tel(?:1|2|21|22)\Z")


@dataclass(frozen=True)
class PhotonListSummary:
    """
    What a photon list holds.

    Parameters
    ----------
    table : str
        Where in the file the events are.
    counts : dict of str to int
        ``n_dl2``, how many each cut removed, ``n_written``.
    """

    table: str
    counts: dict[str, int]


def photon_list_table(tel_setup: str) -> str:
    """Return the path of the events in a photon list."""
    return f"/photon_list/{tel_setup}"


def write_photon_list(dl2: Path, output: Path, *, config: "AnalysisConfig") -> PhotonListSummary:
    """
    Write the events of a DL2 file that pass event selection and global gammaness cut.

    Parameters
    ----------
    dl2 : Path
        DL2 file, of data or of a simulation.
    output : Path
        HDF5 file, made anew; its provenance goes beside it.
    config : AnalysisConfig
        Whose cuts apply.

    Raises
    ------
    InputError
        It is no complete DL2 file.
    OutputError
        The list cannot be written.
    """
    started = utc_now()
    events = read_dl2(dl2)
    selection, cuts = select_events(events, config), GammanessCuts.from_config(config)
    energy = np.asarray(events.table["reco_energy"].to_value("TeV"), dtype=np.float64)
    gamma_like = cuts.passes(energy, np.asarray(events.table["gammaness"]))
    kept = np.asarray(selection.mask) & gamma_like
    counts = {name: number for name, number in selection.counts.items() if name != "n_selected"}
    counts |= {
        f"gammaness {cuts.tag}": int(np.count_nonzero(selection.mask & ~gamma_like)),
        "n_written": int(kept.sum()),
    }
    path = photon_list_table(events.tel_setup)
    names = [name for name in events.table.colnames if not _is_left_out(name)]

    def provenance() -> bytes:
        return provenance_json(
            product=output,
            run={"tel_setup": events.tel_setup},
            inputs=[input_record(dl2)],
            config={"fingerprint": config.fingerprint(), "values": config.canonical()},
            started=started,
            counts=counts,
            options={},
            calibration={},
        )

    def check(part: Path) -> None:
        with tables.open_file(str(part)) as h5file:
            if (found := h5file.get_node(path).nrows) != counts["n_written"]:
                raise InputError(f"{part}: has {found} events instead of {counts['n_written']}")

    with committed(output, validate=check, side_files={side_paths(output)["json"]: provenance}) as part:
        _write(part, path, events.table[names][kept], counts)
    return PhotonListSummary(path, counts)


def _is_left_out(name: str) -> bool:
    base = _TELESCOPE.sub("", name)
    return base not in _KEPT and any(fnmatch.fnmatchcase(base, pattern) for pattern in _LEFT_OUT)


def _write(path: Path, table_path: str, events: QTable, counts: dict[str, int]) -> None:
    from sst1m.io.dl1_tables import FILTERS, create_table

    meaning = {name: column_meaning(name) for name in events.colnames}
    plain = {}
    for name, (unit, description) in meaning.items():
        column = events[name]
        if isinstance(column, u.Quantity):
            plain[name] = column.to_value(unit) if unit else column.value
        else:
            # a unit would make a reader turn whole numbers into floating ones
            plain[name], meaning[name] = np.asarray(column), ("", description)
    rows = np.empty(len(events), dtype=[(name, values.dtype) for name, values in plain.items()])
    for name, values in plain.items():
        rows[name] = values
    with tables.open_file(str(path), "w", filters=FILTERS) as h5file:
        create_table(h5file, table_path, rows.dtype, meaning).append(rows)
        h5file.set_node_attr(table_path, "counts", json.dumps(counts))
