"""
Random forests of scikit-learn, evaluated for whole tables by one kernel.

scikit-learn asks its trees one after the other and, with several threads, adds their answers in the order in
which they arrive. Here the trees are laid out in one block of memory and always added in their own order:
the answers are those of scikit-learn with one thread, bit by bit, in a fraction of the time.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

__all__ = ["FlatForest"]

#: Events that go through a tree together: they and the tree stay in the processor's cache.
_BLOCK = 4096


@njit(cache=True)
def _add_trees(
    feature: NDArray[np.int32],
    threshold: NDArray[np.float64],
    children: NDArray[np.int32],
    value: NDArray[np.float64],
    roots: NDArray[np.int64],
    inputs: NDArray[np.float32],
    total: NDArray[np.float64],
) -> None:
    """Add the answers of all trees, in their order, for each event."""
    for first in range(0, inputs.shape[0], _BLOCK):
        last = min(first + _BLOCK, inputs.shape[0])
        for root in roots:
            for event in range(first, last):
                node = root
                while feature[node] >= 0:
                    right = inputs[event, feature[node]] > threshold[node]
                    node = root + children[node, 1 if right else 0]
                for k in range(total.shape[1]):
                    total[event, k] += value[node, k]


@dataclass(frozen=True, eq=False)
class FlatForest:
    """
    A trained forest, ready to answer.

    Parameters
    ----------
    feature : ndarray of int32, shape=(n_nodes,)
        That a node looks at; negative for a leaf.
    threshold : ndarray, shape=(n_nodes,)
        Up to which an event goes to the left.
    children : ndarray of int32, shape=(n_nodes, 2)
        Left and right, counted from the root of the tree.
    value : ndarray, shape=(n_nodes, n_outputs)
        Answers of the leaves: targets, or the fraction of each class.
    roots : ndarray of int64, shape=(n_trees,)
        First node of each tree.
    classes : ndarray or None
        Of a classifier, in the order of its answers.
    """

    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    children: NDArray[np.int32]
    value: NDArray[np.float64]
    roots: NDArray[np.int64]
    classes: NDArray[np.int64] | None

    @classmethod
    def of(cls, forest: RandomForestRegressor | RandomForestClassifier) -> "FlatForest":
        """Lay out the trees of a forest of scikit-learn."""
        trees = [tree.tree_ for tree in forest.estimators_]
        counts = np.array([tree.node_count for tree in trees], dtype=np.int64)
        leaf = np.concatenate([tree.children_left < 0 for tree in trees])
        feature = np.concatenate([tree.feature for tree in trees]).astype(np.int32)
        children = np.stack(
            [
                np.concatenate([getattr(tree, f"children_{side}") for tree in trees])
                for side in ("left", "right")
            ],
            axis=1,
        )
        return cls(
            np.where(leaf, np.int32(-1), feature),
            np.concatenate([tree.threshold for tree in trees]),
            np.ascontiguousarray(children, dtype=np.int32),
            np.concatenate([_leaf_values(tree) for tree in trees]),
            np.cumsum(counts) - counts,
            getattr(forest, "classes_", None),
        )

    @property
    def n_nodes(self) -> int:
        """Number of nodes of all trees."""
        return len(self.feature)

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """
        Return the mean of the answers of all trees.

        Parameters
        ----------
        inputs : ndarray of float32, shape=(n_events, n_features)
            C-contiguous and finite.

        Returns
        -------
        ndarray, shape=(n_events, n_outputs)
            Targets of a regressor, probabilities of the classes of a classifier.
        """
        total = np.zeros((len(inputs), self.value.shape[1]))
        _add_trees(self.feature, self.threshold, self.children, self.value, self.roots, inputs, total)
        total /= len(self.roots)
        return total


def _leaf_values(tree: Any) -> NDArray[np.float64]:  # noqa: ANN401 - a compiled class of scikit-learn
    """Return the answers of the nodes, shape=(n_nodes, n_outputs); a classifier has one output."""
    values = tree.value
    return np.ascontiguousarray(values[:, 0, :] if tree.n_outputs == 1 else values[:, :, 0])
