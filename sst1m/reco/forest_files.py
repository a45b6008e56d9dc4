"""Trained forests on their way to disk: the file, its entry in a card, the plot of its importances."""

import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from ..checkpoint import committed
from ..config import AnalysisConfig
from ..provenance import input_record
from .forest import FlatForest
from .importances import plot_importances
from .model_card import ForestCard, Probe

__all__ = ["Forest", "TrainedForest", "fit_forest", "store_forest", "training_input"]

Forest = RandomForestRegressor | RandomForestClassifier

_N_PROBES = 10
_N_TIMED = 20_000


@dataclass
class TrainedForest:
    """
    A forest in memory, with what its card will say.

    Parameters
    ----------
    forest : RandomForestRegressor or RandomForestClassifier
        Trained.
    features, targets : tuple of str
        What it looks at and what it has learned.
    inputs : ndarray of float32, shape=(n_events, n_features)
        It has learned from.
    n_events : dict of str to int
        Of the training sample, by particle.
    """

    forest: Forest
    features: tuple[str, ...]
    targets: tuple[str, ...]
    inputs: NDArray[np.float32]
    n_events: dict[str, int]
    flat: FlatForest = field(init=False)

    def __post_init__(self) -> None:
        self.flat = FlatForest.of(self.forest)


def fit_forest(
    inputs: NDArray[np.float32], targets: NDArray[np.float64], config: AnalysisConfig, *, classifier: bool
) -> Forest:
    """
    Train a forest with the hyper-parameters of a configuration.

    Parameters
    ----------
    inputs : ndarray of float32, shape=(n_events, n_features)
        What it sees.
    targets : ndarray, shape=(n_events, n_targets)
        What it learns.
    config : AnalysisConfig
        ``random_forest_regressor_args``, ``random_forest_classifier_args``.
    classifier : bool
        Whether the target is a class.
    """
    if classifier:
        forest = RandomForestClassifier(**config.random_forest_classifier_args.model_dump())
    else:
        forest = RandomForestRegressor(**config.random_forest_regressor_args.model_dump())
    forest.fit(inputs, targets[:, 0] if targets.shape[1] == 1 else targets)
    # Whoever loads it decides on cores; a stored -1 would take all of them in every process.
    forest.set_params(n_jobs=1, verbose=0)
    return forest


def store_forest(
    directory: Path, stem: str, key: str, trained: TrainedForest, *, plot_title: str = ""
) -> ForestCard:
    """
    Write the file of a forest, and return what the card says about it.

    Parameters
    ----------
    directory : Path
        Where to.
    stem, key : str
        Of its name, as ``reg_energy`` and ``tel_001``.
    trained : TrainedForest
        The forest.
    plot_title : str
        Also plot the importances of its features, under this title; not if empty.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    path = directory / f"{stem}_{key}.sav"
    with committed(path) as part:
        joblib.dump(trained.forest, part, compress=3)
        content = part.read_bytes()
    if plot_title:
        figure = directory / f"{stem}_features_{key}.png"
        plot_importances(trained.forest, trained.features, plot_title, figure)
    return _forest_card(path, content, trained)


def _forest_card(path: Path, content: bytes, trained: TrainedForest) -> ForestCard:
    rows = np.linspace(0, len(trained.inputs) - 1, _N_PROBES).astype(int)
    probes = np.ascontiguousarray(trained.inputs[rows])
    classes = getattr(trained.forest, "classes_", None)
    return ForestCard(
        file=path.name,
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        features=list(trained.features),
        targets=list(trained.targets),
        classes=None if classes is None else classes.tolist(),
        n_trees=len(trained.forest.estimators_),
        n_nodes=trained.flat.n_nodes,
        max_depth=max(tree.get_depth() for tree in trained.forest.estimators_),
        n_events=trained.n_events,
        events_per_second=_speed(trained),
        importances=[float(value) for value in trained.forest.feature_importances_],
        probe=Probe(probes.astype(np.float64).tolist(), trained.flat.predict(probes).tolist()),
    )


def _speed(trained: TrainedForest) -> float:
    """Return how many events per second one core evaluates, the kernel compiled before."""
    inputs = np.ascontiguousarray(trained.inputs[:_N_TIMED])
    trained.flat.predict(inputs[:1])
    start = time.perf_counter()
    trained.flat.predict(inputs)
    return round(len(inputs) / (time.perf_counter() - start), 1)


def training_input(path: Path) -> dict[str, object]:
    """Return what a card says of a file that was trained with: path, size, sha256."""
    with path.open("rb") as file:
        return input_record(path, sha256=hashlib.file_digest(file, "sha256").hexdigest())
