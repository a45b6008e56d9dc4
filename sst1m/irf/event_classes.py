"""
Classes of events of like angular resolution, by the misdirection that a forest predicts.

In each bin of reconstructed energy the quartiles of simulated gamma rays divide the events: class 1 holds the
quarter that is reconstructed best, class 4 the worst. Events outside of the bins, or of bins with too few
gamma rays, have no class (0). Data and all kinds of simulated particles are divided by the same edges.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import ArrayLike, NDArray

from ..checkpoint import committed
from ..config import AnalysisConfig
from ..errors import InputError, ModelMismatchError
from ..events import ReconstructedEvents, TelescopeSetup
from ..io.astropy_tables import read_table, write_tables
from ..io.dl2 import check_dl2, read_dl2, write_dl2
from ..layout import side_paths
from ..layout_mc import EVENT_CLASSES, mc_setup
from ..provenance import input_record, provenance_json, utc_now
from ..reco.misdirection import MisdirectionModel, require_gammas
from ..reco.selection import select_events
from .optimise import reco_energy_edges

__all__ = ["ClassEdges", "class_edges", "classify_file", "edges_path", "make_edges"]

#: Columns that classified events have: the prediction, log10 of degrees, and the class.
PREDICTED, EVENT_TYPE = "log_reco_misdirection", "event_type"

_TABLE = "misdirection_edges"
#: The names that known files have, with their missing letter.
_EDGES = [f"log_midirection_edge_{i}" for i in range(len(EVENT_CLASSES) + 1)]
_QUARTILES = (25, 50, 75)
#: Quartiles of fewer gamma rays say nothing.
_FEWEST = 20


def edges_path(directory: Path, tel_setup: TelescopeSetup) -> Path:
    """Return the path of the edges of a set-up, which has the name of simulations also for data."""
    return directory / f"misdirection_edges_{mc_setup(tel_setup)}.h5"


@dataclass(frozen=True, eq=False)
class ClassEdges:
    """
    Edges of the classes by bin of reconstructed energy.

    Parameters
    ----------
    table : QTable
        Columns ``low``, ``high``, ``center`` [TeV] and ``log_midirection_edge_0`` to ``_4``, log10 of
        degrees; NaN where there were too few gamma rays.
    model : str
        Checksum of the card of the forest that the edges belong to.
    """

    table: QTable
    model: str

    @property
    def fingerprint(self) -> str:
        """What tells these classes from others: checksum of the model and of all edges."""
        values = [np.asarray(self.table[name]) for name in _EDGES]
        values += [self.table[name].to_value(u.TeV) for name in ("low", "high")]
        content = b"".join(np.ascontiguousarray(v, dtype="<f8").tobytes() for v in values)
        return hashlib.sha256(self.model.encode() + content).hexdigest()

    def classify(self, reco_energy_tev: ArrayLike, predicted: ArrayLike) -> NDArray[np.int8]:
        """
        Return the classes of events, shape=(n_events,); 0 where there is none.

        Parameters
        ----------
        reco_energy_tev : array-like, shape=(n_events,)
            Reconstructed energies [TeV].
        predicted : array-like, shape=(n_events,)
            Predicted misdirection, log10 of degrees.
        """
        energy, value = np.asarray(reco_energy_tev, dtype=float), np.asarray(predicted, dtype=float)
        low, high = (self.table[name].to_value(u.TeV) for name in ("low", "high"))
        rows = np.searchsorted(low, energy, side="right") - 1
        known = (rows >= 0) & np.isfinite(energy) & np.isfinite(value)
        rows = np.clip(rows, 0, len(low) - 1)
        inner = np.stack([np.asarray(self.table[name]) for name in _EDGES[1:-1]], axis=1)[rows]
        known &= (energy < high[rows]) & np.all(np.isfinite(inner), axis=1)
        above = (value[:, np.newaxis] >= inner).sum(axis=1)
        return np.where(known, 1 + above, 0).astype(np.int8)

    def write(self, path: Path) -> None:
        """
        Write the edges in the known HDF5 layout.

        Raises
        ------
        OutputError
            If they cannot be written.
        """
        table = self.table.copy()
        table.meta["model"] = self.model
        write_tables(path, {_TABLE: table})

    @classmethod
    def read(cls, path: Path) -> "ClassEdges":
        """
        Read edges.

        Raises
        ------
        InputError
            If there are none, or they have another layout.
        """
        table = read_table(path, _TABLE)
        missing = [name for name in ("low", "high", *_EDGES) if name not in table.colnames]
        if missing or "model" not in table.meta:
            lacking = ", ".join(missing) or "the forest that they belong to"
            raise InputError(f"{path}: the edges of event classes lack {lacking}; make them anew")
        return cls(table, str(table.meta["model"]))


def class_edges(events: ReconstructedEvents, model: MisdirectionModel, config: AnalysisConfig) -> ClassEdges:
    """
    Return the quartiles of the misdirection that a forest predicts for gamma rays, by bin of energy.

    Parameters
    ----------
    events : ReconstructedEvents
        Simulated gamma rays; the event selection of the configuration is applied.
    model : MisdirectionModel
        The forest.
    config : AnalysisConfig
        Bins of reconstructed energy.
    """
    chosen = events.select(select_events(events, config).mask)
    predicted, energy = model.predict(chosen), chosen.table["reco_energy"].to_value(u.TeV)
    bins = reco_energy_edges(config)
    low, high = bins[:-1], bins[1:]
    rows = np.full((len(low), len(_QUARTILES)), np.nan)
    for i, (first, last) in enumerate(zip(low.to_value(u.TeV), high.to_value(u.TeV), strict=True)):
        inside = predicted[(energy >= first) & (energy < last) & np.isfinite(predicted)]
        if len(inside) >= _FEWEST:
            rows[i] = np.percentile(inside, _QUARTILES)
    table = QTable({"low": low, "high": high, "center": 0.5 * (low + high)})
    ends = (np.full(len(low), -np.inf), *rows.T, np.full(len(low), np.inf))
    for name, column in zip(_EDGES, ends, strict=True):
        table[name] = column
    return ClassEdges(table, model.card_sha256)


def make_edges(gamma_dl2: Path, output_dir: Path, *, config: AnalysisConfig, models_dir: Path) -> Path:
    """
    Derive the edges of the classes from simulated gamma rays and write them.

    Parameters
    ----------
    gamma_dl2 : Path
        Diffuse gamma rays that the misdirection forest was not trained with.
    output_dir : Path
        Where ``misdirection_edges_<set-up>.h5`` goes.
    config : AnalysisConfig
        Bins and event selection.
    models_dir : Path
        Of the misdirection forests.

    Raises
    ------
    InputError
        The file is none of simulated gamma rays, or there is no forest.
    ModelMismatchError
        The forest does not fit the events.
    """
    events = read_dl2(gamma_dl2)
    require_gammas(events, gamma_dl2, "edges of event classes are derived (without --mis-edges-dir)")
    model = MisdirectionModel.for_events(models_dir, events, config)
    path = edges_path(output_dir, events.tel_setup)
    class_edges(events, model, config).write(path)
    return path


def classify_file(
    dl2: Path, output: Path, *, config: AnalysisConfig, models_dir: Path, edges_dir: Path
) -> dict[str, int]:
    """
    Write a DL2 file whose events have classes; the input stays as it is.

    Parameters
    ----------
    dl2 : Path
        Of data or of simulations.
    output : Path
        Another file; has the columns ``log_reco_misdirection`` and ``event_type`` in addition.
    config : AnalysisConfig
        Features.
    models_dir, edges_dir : Path
        Of the misdirection forests and of the edges, each with one directory per node or that of the node.

    Returns
    -------
    dict of str to int
        Number of events by class, ``0`` to ``4``.

    Raises
    ------
    InputError
        The output is the input, or a file is missing.
    ModelMismatchError
        Forest, edges and events do not belong together.
    """
    if output.resolve() == dl2.resolve():
        raise InputError(f"{output}: is the input, which is never overwritten; give another directory (-o)")
    started, events = utc_now(), read_dl2(dl2)
    files, about = [dl2], dict[str, Any]()
    predicted, classes = np.full(len(events), np.nan), np.zeros(len(events), dtype=np.int8)
    if len(events):
        model = MisdirectionModel.for_events(models_dir, events, config)
        edges, path = _edges_of(edges_dir, events, model)
        predicted = model.predict(events)
        classes = edges.classify(events.table["reco_energy"].to_value(u.TeV), predicted)
        about = {"fingerprint": edges.fingerprint, "model_sha256": model.card_sha256, "edges": str(path)}
        files += [model.path, path]
    counts = {str(n): int(np.count_nonzero(classes == n)) for n in (0, *EVENT_CLASSES)}
    table = events.table.copy()
    table[PREDICTED], table[EVENT_TYPE] = predicted, classes
    info = dict(events.info) | {"event_classes": about | {"counts": counts}}
    _write(output, replace(events, table=table, info=info), files, config, started)
    return counts


def _edges_of(
    edges_dir: Path, events: ReconstructedEvents, model: MisdirectionModel
) -> tuple[ClassEdges, Path]:
    own = edges_dir / str(events.node)
    path = edges_path(own if own.is_dir() else edges_dir, events.tel_setup)
    edges = ClassEdges.read(path)
    if edges.model != model.card_sha256:
        raise ModelMismatchError(
            f"{path}: the edges were derived with another misdirection forest than {model.path}; "
            "derive them again"
        )
    return edges, path


def _write(
    output: Path, events: ReconstructedEvents, files: list[Path], config: AnalysisConfig, started: str
) -> None:
    about: Mapping[str, Any] = events.info["event_classes"]

    def provenance() -> bytes:
        return provenance_json(
            product=output,
            run={"tel_setup": events.tel_setup, "simulated": events.simulated},
            inputs=[input_record(path) for path in files],
            config={"fingerprint": config.fingerprint(), "values": config.canonical()},
            started=started,
            counts=events.info["counts"] | {"event_classes": about["counts"]},
            options={},
            calibration={"event_classes": about},
        )

    with committed(output, validate=check_dl2, side_files={side_paths(output)["json"]: provenance}) as part:
        # A DL2 file has all that such a file takes over from DL1.
        write_dl2(part, events, dl1=files[0])
