"""What the exports read of scikit-learn beyond its documentation; an upgrade may change it.

Tried with scikit-learn 1.9.1. tests/training/test_sklearn_internals.py fails, naming what changed,
when an upgrade breaks it. All of it is the trees of HistGradientBoostingClassifier: the log-odds of
a row are the baseline plus the value of the leaf that the row reaches in each tree.
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
"""The fields of a tree's nodes that the exports read, and what each means to them."""

Estimator = TypeVar("Estimator", bound=ClassifierMixin)


def trees(boosting: HistGradientBoostingClassifier) -> list[np.ndarray]:
    """Return the nodes of each tree, root first: one structured array a tree, see NODE_FIELDS.

    The arrays are the model's own: who changes one changes the model. Two classes only.
    """
    return [tree.nodes for (tree,) in boosting._predictors]


def baseline(boosting: HistGradientBoostingClassifier) -> float:
    """Return the log-odds to which the trees add."""
    return float(boosting._baseline_prediction.item())


def with_float32_thresholds(estimator: Estimator) -> Estimator:
    """Return a copy with tree thresholds rounded down to float32; other models are only copied.

    Trees split at midpoints in float64. Rounded to the nearest float32, a midpoint between two
    neighbouring float32 values may become the upper one and send it the wrong way; rounded down,
    x <= threshold means the same for every float32 x.
    """
    rounded = copy.deepcopy(estimator)
    if isinstance(rounded, HistGradientBoostingClassifier):
        for nodes in trees(rounded):
            threshold = nodes["num_threshold"]
            nearest = threshold.astype(np.float32)
            below = np.nextafter(nearest, np.float32(-np.inf))
            nodes["num_threshold"] = np.where(nearest > threshold, below, nearest)
    return rounded
