"""From features to energy, particle and disp: the forests of one telescope applied to its events."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .disp import source_from_disp
from .features import GAMMA, feature_matrix

__all__ = [
    "Forests",
    "no_answers",
    "predict_disp",
    "predict_energy",
    "predict_gammaness",
    "predict_telescope",
]

#: Events evaluated at a time, which bounds the memory.
_CHUNK = 100_000

Columns = Mapping[str, NDArray[Any]]
Values = NDArray[np.float64]


class _Answers(Protocol):
    classes: NDArray[np.int64] | None

    def predict(self, inputs: NDArray[np.float32]) -> Values: ...


class Forests:
    """
    The forests of one telescope and the features that each of them takes.

    Parameters
    ----------
    forests : mapping of str to FlatForest
        By the stem of their files.
    features : mapping of str to sequence of str
        In their order.
    """

    def __init__(self, forests: Mapping[str, _Answers], features: Mapping[str, Any]) -> None:
        self._forests, self._features = forests, features

    def __contains__(self, stem: str) -> bool:
        return stem in self._forests

    def classes(self, stem: str) -> NDArray[np.int64]:
        """Return the classes of a classifier in the order of its answers."""
        classes = self._forests[stem].classes
        return np.asarray(classes)

    def predict(self, stem: str, columns: Columns) -> Values:
        """Return the answers of a forest, shape=(n_events, n_outputs)."""
        forest, names = self._forests[stem], self._features[stem]
        n_events = len(next(iter(columns.values())))
        parts = [
            forest.predict(feature_matrix({n: columns[n][k : k + _CHUNK] for n in names}, names))
            for k in range(0, max(n_events, 1), _CHUNK)
        ]
        return np.concatenate(parts)


def predict_energy(forests: Forests, columns: Columns) -> dict[str, Values]:
    """Return ``log_reco_energy``, log10 of the energy in TeV."""
    return {"log_reco_energy": forests.predict("reg_energy", columns)[:, 0]}


def predict_disp(forests: Forests, columns: Columns) -> dict[str, NDArray[Any]]:
    """
    Return disp: its norm [m] always; of mono forests also its sign, and its vector [m].

    A predicted vector has the length ``reco_disp_norm`` and the side of the main axis on which it lies.
    """
    psi = np.deg2rad(columns["camera_frame_hillas_psi"])
    if "reg_disp" in forests:
        dx, dy = forests.predict("reg_disp", columns).T
        sign = np.where(dx * np.cos(psi) + dy * np.sin(psi) < 0, -1, 1)
        return {
            "reco_disp_norm": np.hypot(dx, dy),
            "reco_disp_sign": sign,
            "reco_disp_dx": dx,
            "reco_disp_dy": dy,
        }
    norm = forests.predict("reg_disp_norm", columns)[:, 0]
    if "class_disp_sign" not in forests:
        return {"reco_disp_norm": norm}
    probability = forests.predict("class_disp_sign", columns)
    sign = forests.classes("class_disp_sign")[probability.argmax(axis=1)]
    zero = np.zeros(len(norm))
    dx, dy = source_from_disp(zero, zero, psi, norm, sign)
    return {"reco_disp_norm": norm, "reco_disp_sign": sign, "reco_disp_dx": dx, "reco_disp_dy": dy}


def predict_gammaness(forests: Forests, columns: Columns) -> dict[str, Values]:
    """Return ``gammaness``, the probability of the class of gamma rays."""
    column = int(np.flatnonzero(forests.classes("class_gh") == GAMMA)[0])
    return {"gammaness": forests.predict("class_gh", columns)[:, column]}


def predict_telescope(forests: Forests, columns: Columns) -> dict[str, NDArray[Any]]:
    """
    Return everything that the forests of one telescope say about its events.

    Energy and disp come first: the particle forest may use them as features.
    """
    found: dict[str, NDArray[Any]] = {**predict_energy(forests, columns), **predict_disp(forests, columns)}
    return found | predict_gammaness(forests, {**columns, **found})


def no_answers() -> dict[str, NDArray[Any]]:
    """Return what `predict_telescope` says about no events, for which no forests are needed."""
    names = (
        "log_reco_energy",
        "reco_disp_norm",
        "reco_disp_sign",
        "reco_disp_dx",
        "reco_disp_dy",
        "gammaness",
    )
    return {name: np.empty(0, dtype=np.int64 if name == "reco_disp_sign" else float) for name in names}
