"""sklearn_internals: the tree fields we read still have the expected meaning."""

import numpy as np
import pytest
import sklearn
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from python_jobs.training import sklearn_internals
from python_jobs.training.sklearn_internals import NODE_FIELDS, with_float32_thresholds

CHANGED = f"scikit-learn {sklearn.__version__} changed: correct training/sklearn_internals.py. "


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    X = rng.normal(size=(2000, 4)).astype(np.float32)
    y = (X[:, 0] + np.abs(X[:, 1]) > 0.8).astype(int)
    X[::5, 2] = np.nan
    X[y == 1, 3] = np.where(rng.random(y.sum()) < 0.6, np.nan, X[y == 1, 3])
    return X, y


@pytest.fixture(scope="module")
def boosting(data) -> HistGradientBoostingClassifier:
    with threadpool_limits(1):
        return HistGradientBoostingClassifier(max_iter=8, random_state=1).fit(*data)


def read(what: str, boosting: HistGradientBoostingClassifier):
    """Return an internal attribute; fail clearly if it is gone."""
    try:
        return getattr(sklearn_internals, what)(boosting)
    except (AttributeError, TypeError, ValueError) as error:
        pytest.fail(f"{CHANGED}`{what}` cannot be read: {error}")


def log_odds(boosting: HistGradientBoostingClassifier, row: np.ndarray) -> float:
    """Compute log-odds by hand: the baseline plus the leaf value of each tree."""
    total = read("baseline", boosting)
    for nodes in read("trees", boosting):
        node = nodes[0]
        while not node["is_leaf"]:
            value = row[node["feature_idx"]]
            missing = np.isnan(value)
            left = node["missing_go_to_left"] if missing else value <= node["num_threshold"]
            node = nodes[node["left"] if left else node["right"]]
        total += node["value"]
    return total


def test_every_node_has_the_fields_that_are_read(boosting):
    for nodes in read("trees", boosting):
        missing = NODE_FIELDS.keys() - set(nodes.dtype.names or ())
        assert not missing, f"{CHANGED}Nodes of a tree have no field {', '.join(sorted(missing))}."


def test_baseline_and_leaves_add_up_to_the_decision_function(boosting, data):
    X = data[0][:200]
    by_hand = np.array([log_odds(boosting, row) for row in X])
    difference = np.abs(by_hand - boosting.decision_function(X)).max()
    assert difference < 1e-9, f"{CHANGED}Its trees, walked by hand, give other log-odds."


def test_nodes_count_the_training_rows_and_children_follow_parents(boosting, data):
    for nodes in read("trees", boosting):
        assert nodes[0]["count"] == len(data[0]), f"{CHANGED}`count` is not of training rows."
        for place, node in enumerate(nodes):
            if not node["is_leaf"]:
                sides = [node["left"], node["right"]]
                assert min(sides) > place, f"{CHANGED}A child stands before its parent."
                assert nodes["count"][sides].sum() == node["count"], f"{CHANGED}`count` is wrong."


def test_rounding_changes_thresholds_of_the_copy_but_no_prediction():
    # splits lie between neighbouring float32 values, where rounding up would matter
    X = np.repeat(np.float32(1e5) + np.arange(200, dtype=np.float32) / 128, 40)[:, None]
    with threadpool_limits(1):
        boosting = HistGradientBoostingClassifier(max_iter=8).fit(X, np.arange(8000) // 40 % 2)
    before = np.concatenate([nodes["num_threshold"] for nodes in read("trees", boosting)])
    copied = with_float32_thresholds(boosting)
    mine, rounded = (
        np.concatenate([nodes["num_threshold"] for nodes in read("trees", model)])
        for model in (boosting, copied)
    )
    assert (mine == before).all(), f"{CHANGED}The copy shares its nodes."
    assert (rounded == rounded.astype(np.float32)).all() and (rounded <= mine).all()
    assert (rounded < mine).any(), "No threshold needed rounding: this proves nothing."
    same = copied.decision_function(X) == boosting.decision_function(X)
    assert same.all(), f"{CHANGED}Rounded thresholds send float32 values another way."
    for nodes in read("trees", copied):
        nodes["num_threshold"] = 1e9
    moved = copied.decision_function(X) != boosting.decision_function(X)
    assert moved.any(), f"{CHANGED}Predictions do not read the thresholds of these nodes."


def test_a_model_without_trees_is_only_copied(data):
    model = LogisticRegression().fit(np.nan_to_num(data[0]), data[1])
    copied = with_float32_thresholds(model)
    assert copied is not model and (copied.coef_ == model.coef_).all()
