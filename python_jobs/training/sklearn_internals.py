"""Undocumented parts of scikit-learn that the exports read; an upgrade may change them.

Tested with scikit-learn 1.9.1. tests/training/test_sklearn_internals.py fails, naming what changed,
when an upgrade breaks one. All of them concern HistGradientBoostingClassifier: the log-odds of a
row are the baseline plus the value of the row's leaf in each tree.
"""

import copy
from typing import TypeVar

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier

NODE_FIELDS = {
    "is_leaf": "whether the node is a leaf",
    "value": "a leaf's part of the log-odds",
    "count": "training rows that reach the node",
    "feature_idx": "the feature that a split asks",
    "num_threshold": "a row goes left if its value is at most this",
    "missing_go_to_left": "where a row without a value goes",
    "left": "place of the left child in the array, after its parent",
    "right": "place of the right child in the array, after its parent",
}
"""The fields of a tree's nodes that the exports read, and their meaning."""

Estimator = TypeVar("Estimator", bound=ClassifierMixin)


def trees(boosting: HistGradientBoostingClassifier) -> list[np.ndarray]:
    """Return the nodes of each tree, root first: one structured array per tree, see NODE_FIELDS.

    The arrays belong to the model: changing one changes the model. Two classes only.
    """
    return [tree.nodes for (tree,) in boosting._predictors]


def baseline(boosting: HistGradientBoostingClassifier) -> float:
    """Return the log-odds to which the trees add."""
    return float(boosting._baseline_prediction.item())


def with_float32_thresholds(estimator: Estimator) -> Estimator:
    """Return a copy with tree thresholds rounded down to float32; other models are only copied.

    Trees split at midpoints in float64. Rounding to the nearest float32 could turn the midpoint of
    two neighbouring values into the upper one, which would then go the wrong way. Rounded down,
    x <= threshold gives the same result for every float32 x.
    """
    rounded = copy.deepcopy(estimator)
    if isinstance(rounded, HistGradientBoostingClassifier):
        for nodes in trees(rounded):
            threshold = nodes["num_threshold"]
            nearest = threshold.astype(np.float32)
            below = np.nextafter(nearest, np.float32(-np.inf))
            nodes["num_threshold"] = np.where(nearest > threshold, below, nearest)
    return rounded
