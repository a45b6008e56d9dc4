"""The flat forest gives the answers of scikit-learn, bit by bit."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from sst1m.reco.forest import FlatForest


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(4)
    inputs = rng.normal(size=(3000, 6)).astype(np.float32)
    # thresholds lie between float32 values, so equal values must go the right way as well
    inputs[:, 5] = np.round(inputs[:, 5])
    noise = rng.normal(scale=0.1, size=3000)
    return inputs, inputs[:, 0] ** 2 + inputs[:, 5] + noise


def test_regressor(table):
    inputs, target = table
    forest = RandomForestRegressor(20, min_samples_leaf=3, random_state=1).fit(inputs[:2000], target[:2000])
    flat = FlatForest.of(forest)
    assert np.array_equal(flat.predict(inputs)[:, 0], forest.predict(inputs))
    assert flat.n_nodes == sum(tree.tree_.node_count for tree in forest.estimators_)


def test_regressor_of_two_targets(table):
    inputs, target = table
    forest = RandomForestRegressor(7, random_state=1).fit(inputs, np.column_stack([target, -2 * target]))
    assert np.array_equal(FlatForest.of(forest).predict(inputs), forest.predict(inputs))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classifier(table, n_classes):
    inputs, target = table
    label = 101 * np.digitize(target, [0.5, 1.5][: n_classes - 1])
    forest = RandomForestClassifier(20, min_samples_leaf=5, random_state=1).fit(inputs, label)
    flat = FlatForest.of(forest)
    assert np.array_equal(flat.predict(inputs), forest.predict_proba(inputs))
    assert flat.classes.tolist() == forest.classes_.tolist()


def test_no_events_no_answers(table):
    forest = RandomForestRegressor(3, random_state=1).fit(*table)
    assert FlatForest.of(forest).predict(np.empty((0, 6), np.float32)).shape == (0, 1)


def test_tree_of_one_leaf(table):
    inputs, _ = table
    forest = RandomForestRegressor(2, random_state=1).fit(inputs, np.full(len(inputs), 7.0))
    assert FlatForest.of(forest).predict(inputs[:3]).tolist() == [[7.0]] * 3
