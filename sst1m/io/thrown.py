"""Reads from a simulated file how many showers were thrown for it, and how."""

from pathlib import Path
from typing import Any

import numpy as np
import tables
from astropy.table import QTable
from ctapipe.io import read_table
from numpy.typing import NDArray

from ..errors import InputError
from ..thrown import ThrownShowers
from .damage import explained_damage

__all__ = ["read_thrown", "thrown_of"]

SIMULATION_RUN = "/configuration/simulation/run"
SHOWER_DISTRIBUTION = "/simulation/service/shower_distribution"


def read_thrown(path: Path) -> ThrownShowers:
    """
    Return what was thrown for a simulated DL1 or DL2 file, of one or of many runs; reused showers count.

    The header of a run says how many showers were made and how often each was used, its histogram how many
    were really thrown. Where they disagree, CORSIKA has used showers another number of times than its header
    says (``CSCAT`` above 20): the histogram is right if it holds a whole number of uses.

    Parameters
    ----------
    path : Path
        With the tables ``/configuration/simulation/run`` and ``/simulation/service/shower_distribution``
        of ctapipe's data model.

    Raises
    ------
    InputError
        The file cannot be read or is no simulation, its runs threw different spectra, areas or view cones,
        or a run lacks its histogram or contradicts it.
    """
    with explained_damage(path, "file of simulated events"), tables.open_file(str(path), "r") as h5file:
        return thrown_of(h5file)


def thrown_of(h5file: tables.File) -> ThrownShowers:
    """Return the same for an open file; `read_thrown` says more."""
    path = Path(h5file.filename)
    try:
        runs = QTable(read_table(h5file, SIMULATION_RUN))
        histograms = h5file.get_node(SHOWER_DISTRIBUTION)
        entries = _entries_by_run(path, histograms.col("obs_id"), histograms.col("n_entries"))
    except (tables.NodeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path} does not say what was thrown for it ({reason}); only simulated DL1 and DL2 files do"
        ) from error
    if len(runs) == 0:
        raise InputError(f"{path} names no simulated run; make it again")
    _refuse_twice(path, runs["obs_id"], "names the simulated run {} more than once")
    parts = [_thrown_in_run(path, run, entries) for run in runs]
    try:
        return ThrownShowers.total(parts)
    except InputError as error:
        raise InputError(f"{path}: {error}; merge only runs of one kind") from None


def _refuse_twice(path: Path, obs_id: NDArray[Any], what: str) -> None:
    numbers, counts = np.unique(obs_id, return_counts=True)
    if np.any(counts > 1):
        raise InputError(
            f"{path} {what.format(numbers[counts > 1][0])}: a file was merged twice; merge again, each once"
        )


def _entries_by_run(path: Path, obs_id: NDArray[Any], entries: NDArray[Any]) -> dict[int, int]:
    _refuse_twice(path, obs_id, "has several histograms of the showers of run {}")
    return dict(zip(obs_id.tolist(), entries.tolist(), strict=True))


def _thrown_in_run(path: Path, run: Any, entries: dict[int, int]) -> ThrownShowers:  # noqa: ANN401 - a row
    return ThrownShowers(
        n_showers=_number(path, int(run["obs_id"]), int(run["n_showers"]), int(run["shower_reuse"]), entries),
        energy_min_tev=float(run["energy_range_min"].to_value("TeV")),
        energy_max_tev=float(run["energy_range_max"].to_value("TeV")),
        spectral_index=float(run["spectral_index"]),
        max_impact_m=float(run["max_scatter_range"].to_value("m")),
        viewcone_min_deg=float(run["min_viewcone_radius"].to_value("deg")),
        viewcone_max_deg=float(run["max_viewcone_radius"].to_value("deg")),
    )


def _number(path: Path, obs_id: int, n_showers: int, reuse: int, entries: dict[int, int]) -> int:
    """Return the showers thrown in a run, header and histogram compared."""
    thrown = entries.get(obs_id, -1)
    if thrown < 0:
        raise InputError(
            f"{path}: run {obs_id} has no histogram of its showers, so its simulation did not come to its "
            "end; leave this run out"
        )
    if thrown == n_showers * reuse:
        return thrown
    if n_showers > 0 and thrown > 0 and thrown % n_showers == 0:
        return thrown
    raise InputError(
        f"{path}: the header of run {obs_id} promises {n_showers} showers used {reuse} times, its histogram "
        f"holds {thrown}, which is no whole number of uses; leave this run out"
    )
