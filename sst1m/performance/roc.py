"""How well gammas and protons are told apart."""

import astropy.units as u
import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

from ..events import ReconstructedEvents

__all__ = ["MIN_EVENTS", "area_under_curve", "roc_table"]

#: Of each kind, for a curve.
MIN_EVENTS = 10


def roc_table(gamma: ReconstructedEvents, proton: ReconstructedEvents) -> QTable | None:
    """
    Return the share of protons kept against that of gammas kept, as the cut in gammaness rises or falls.

    Parameters
    ----------
    gamma, proton : ReconstructedEvents
        Before the cut in gammaness; each event counts once.

    Returns
    -------
    QTable or None
        ``false_positive_rate``, ``true_positive_rate``, ``threshold`` (infinite in the first row, where
        nothing is kept). None with `MIN_EVENTS` or fewer of a kind.
    """
    labels, scores = _mixed(_gammaness(gamma), _gammaness(proton))
    if not _enough(labels):
        return None
    kept_protons, kept_gammas, threshold = roc_curve(labels, scores)
    return QTable(
        {
            "false_positive_rate": kept_protons,
            "true_positive_rate": kept_gammas,
            "threshold": np.asarray(threshold, dtype=np.float64),
        }
    )


def area_under_curve(
    gamma: ReconstructedEvents, proton: ReconstructedEvents, energy_bins: u.Quantity
) -> QTable:
    """
    Return the area under the curve in bins of reconstructed energy: 1 is perfect, 0.5 is no separation.

    Within a narrow bin the area hardly depends on the spectra that were simulated.

    Parameters
    ----------
    gamma, proton : ReconstructedEvents
        Before the cut in gammaness.
    energy_bins : Quantity, shape=(n_bins + 1,)
        Edges in reconstructed energy [TeV].

    Returns
    -------
    QTable
        One row per bin: ``low``, ``high``, ``center`` [TeV], ``n_gammas``, ``n_protons``, ``auc``; NaN with
        `MIN_EVENTS` or fewer of a kind.
    """
    edges = energy_bins.to_value(u.TeV)
    table = QTable({"low": edges[:-1] * u.TeV, "high": edges[1:] * u.TeV})
    table["center"] = np.sqrt(edges[:-1] * edges[1:]) * u.TeV
    rows = [_row(gamma, edges), _row(proton, edges)]
    samples = [
        _mixed(_gammaness(gamma)[rows[0] == i], _gammaness(proton)[rows[1] == i])
        for i in range(len(edges) - 1)
    ]
    table["n_gammas"] = [int(labels.sum()) for labels, _ in samples]
    table["n_protons"] = [int((~labels).sum()) for labels, _ in samples]
    table["auc"] = [roc_auc_score(*s) if _enough(s[0]) else np.nan for s in samples]
    return table


def _gammaness(events: ReconstructedEvents) -> NDArray[np.float64]:
    return np.asarray(events.table["gammaness"], dtype=np.float64)


def _row(events: ReconstructedEvents, edges: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.digitize(events.table["reco_energy"].to_value(u.TeV), edges) - 1


def _mixed(
    gammas: NDArray[np.float64], protons: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    labels = np.repeat([True, False], [len(gammas), len(protons)])
    return labels, np.concatenate([gammas, protons])


def _enough(labels: NDArray[np.bool_]) -> bool:
    return min(int(labels.sum()), int((~labels).sum())) > MIN_EVENTS
