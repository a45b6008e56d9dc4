"""Plot of how much a forest relies on each of its features."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from ..checkpoint import committed

__all__ = ["plot_importances"]


def plot_importances(
    forest: RandomForestRegressor | RandomForestClassifier, features: Sequence[str], title: str, path: Path
) -> None:
    """
    Write a PNG with the importances of features, the largest on top, and their spread over the trees.

    Parameters
    ----------
    forest : RandomForestRegressor or RandomForestClassifier
        Trained.
    features : sequence of str
        Names of its inputs in their order.
    title : str
        Over the plot.
    path : Path
        Of the PNG.
    """
    by_tree = np.array([tree.feature_importances_ for tree in forest.estimators_])
    order = np.argsort(by_tree.mean(axis=0), kind="stable")
    figure = Figure(figsize=(7.0, 1.2 + 0.3 * len(features)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.barh([features[k] for k in order], by_tree.mean(axis=0)[order], xerr=by_tree.std(axis=0)[order])
    axes.set_xlabel("importance: share of the gain in purity, with its spread over the trees")
    axes.set_title(title)
    with committed(path) as part:
        figure.savefig(part, format="png", dpi=100, metadata={"Software": None})
