"""reasons: contributions add up, agree with brute force, and read as plain words."""

from itertools import combinations
from math import factorial

import numpy as np
import pytest
from scipy.stats import spearmanr
from threadpoolctl import threadpool_limits

from python_jobs.publication import onnx_model
from python_jobs.publication.feature_facts import from_json
from python_jobs.reasons import choosing
from python_jobs.training import attribution, onnx_export
from python_jobs.training.estimators import CANDIDATES, MEMBERS, Blend
from python_jobs.training.sklearn_internals import trees


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def data():
    """Return five features with additive, curved effects; one has gaps, the last no effect."""
    rng = np.random.default_rng(6)
    X = rng.normal(size=(3000, 5)).astype(np.float32)
    z = 1.5 * X[:, 0] - np.abs(X[:, 1]) + 0.8 * (X[:, 2] > 0.5) + 0.4 * X[:, 3]
    y = (rng.random(3000) < 1 / (1 + np.exp(-z))).astype(int)
    X[::7, 3] = np.nan
    return X, y


@pytest.fixture(scope="module", params=CANDIDATES)
def model(request, data):
    parts = CANDIDATES[request.param]
    members = [
        MEMBERS[part].make(7, **{n: v[0] for n, v in MEMBERS[part].space.items()}).fit(*data)
        for part in parts
    ]
    return Blend(members, [0.9 / len(members)] * len(members), 0.2)


def contributions(model, X):
    session = onnx_model.open_session(attribution.export(model, X.shape[1]))
    return session.run(["contributions"], {"features": X})[0]


def test_reasons_add_up_to_the_score(model, data):
    """Base plus contributions is the log-odds of every row, also with gaps and extremes."""
    X = data[0].copy()
    X[0], X[1], X[2] = np.nan, 1e6, -1e6
    total = attribution.base(model) + contributions(model, X).sum(axis=1)
    assert np.abs(total - model.decision_function(X)).max() < 1e-4 * np.abs(total).max()
    risk = onnx_model.score(onnx_model.open_session(onnx_export.export(model, 5)), X)
    assert np.abs(1 / (1 + np.exp(-total.astype(float))) - risk).max() < 1e-5


def test_contributions_average_to_zero_over_the_training_rows(model, data):
    """Contributions start at the average of the training rows, so their mean is 0."""
    assert np.abs(contributions(model, data[0]).mean(axis=0).sum()) < 0.05


def walk(nodes, x):
    """Walk a row through the trees with the mean prediction at each node."""

    def mean(place):
        node = nodes[place]
        if node["is_leaf"]:
            return node["value"], node["count"]
        (a, n), (b, m) = mean(node["left"]), mean(node["right"])
        return (a * n + b * m) / (n + m), n + m

    found, place = np.zeros(len(x)), 0
    while not nodes[place]["is_leaf"]:
        node = nodes[place]
        value = x[node["feature_idx"]]
        left = node["missing_go_to_left"] if np.isnan(value) else value <= node["num_threshold"]
        child = node["left"] if left else node["right"]
        found[node["feature_idx"]] += mean(child)[0] - mean(place)[0]
        place = child
    return found


def test_tree_contributions_agree_with_walking_the_trees_by_hand(data):
    X, y = data
    boosting = MEMBERS["hist_gradient_boosting"].make(7, max_iter=12).fit(X, y)
    found = contributions(Blend([boosting], [0.7], 0.0), X[:40])
    for row in range(40):
        by_hand = 0.7 * sum(walk(nodes, X[row]) for nodes in trees(boosting))
        assert found[row] == pytest.approx(by_hand, abs=1e-5)


def test_linear_contributions_are_the_exact_shapley_values(data):
    """Coefficient times distance from the mean; gap flags count with their feature."""
    X, y = data
    pipeline = MEMBERS["logistic_regression"].make(7).fit(X, y)
    found = contributions(Blend([pipeline], [1.0], 0.0), X[:50])
    z = pipeline[:-1].transform(X[:50])
    expected = z[:, :5] * pipeline[-1].coef_[0, :5]
    expected[:, 3] += z[:, 5] * pipeline[-1].coef_[0, 5]
    assert np.abs(found - expected).max() < 1e-5


def shapley(model, x, background):
    """Compute Shapley values by brute force over all coalitions of five features."""
    n, value = len(x), {}
    for size in range(n + 1):
        for chosen in combinations(range(n), size):
            mixed = background.copy()
            mixed[:, chosen] = x[list(chosen)]
            value[chosen] = model.decision_function(mixed).mean()
    found = np.zeros(n)
    for feature in range(n):
        for chosen, without in value.items():
            if feature not in chosen:
                share = factorial(len(chosen)) * factorial(n - len(chosen) - 1) / factorial(n)
                more = tuple(sorted((*chosen, feature)))
                found[feature] += share * (value[more] - without)
    return found


def test_reasons_agree_with_brute_force_shapley_values(model, data):
    """The order nearly always agrees, and the strongest reason has the same sign."""
    X, _ = data
    found = contributions(model, X[:60])
    exact = np.array([shapley(model, x, X[100:250]) for x in X[:60]])
    assert spearmanr(found.ravel(), exact.ravel()).statistic > 0.95
    strongest = np.abs(exact).argmax(axis=1)
    rows = np.arange(60)
    assert (np.sign(found[rows, strongest]) == np.sign(exact[rows, strongest])).mean() > 0.97
    assert (np.abs(found).argmax(axis=1) == strongest).mean() > 0.85


def test_the_same_model_gives_the_same_bytes(model):
    assert attribution.export(model, 5) == attribution.export(model, 5)


def test_windows_of_one_measure_give_one_reason_worded_by_the_strongest():
    names = ["days_since_last_activity", "logins_7d", "logins_30d", "logins_trend", "tenure_days"]
    facts = from_json({"names": [*names, "active_days_7d", "observed_days_30d"]})
    assert choosing.groups(facts.values()).tolist() == [0, 1, 1, 1, 2, 0, 2]
    group = choosing.groups(from_json({"names": names}).values())
    moved = np.array([[1.0, 0.7, 0.8, -0.9, 1.3], [-0.1, 0.8, -0.9, -0.2, 0.0]], np.float32)
    told, strength = choosing.strongest(moved, group)
    assert [[names[i] for i in row] for row in told] == [
        ["tenure_days", "days_since_last_activity", "logins_30d"],
        ["logins_30d", "days_since_last_activity", "tenure_days"],
    ]
    assert strength == pytest.approx(np.array([[1.3, 1.0, 0.6], [-0.3, -0.1, 0.0]]))


def test_fewer_measures_than_reasons_give_fewer_columns():
    told, strength = choosing.strongest(np.ones((4, 2), np.float32), np.array([0, 0]))
    assert told.shape == strength.shape == (4, 1)


def test_strong_reasons_come_in_the_order_of_what_sets_a_user_apart():
    """The third group is less than half as strong as the first, so it stays last."""
    group = np.arange(4)
    moved = np.array([[2.0, -1.5, 0.9, 0.8], [2.0, -1.5, 0.9, 0.8]], np.float32)
    usual = np.array([[0, 0, 0, 0], [1.9, 0.2, 0.0, 0.0]], np.float32)
    told, strength = choosing.strongest(moved, group, usual)
    assert told.tolist() == [[0, 1, 2], [1, 0, 2]]
    assert strength == pytest.approx(np.array([[2.0, -1.5, 0.9], [-1.5, 2.0, 0.9]]))


def test_the_first_reason_is_at_least_half_as_strong_as_the_strongest():
    random = np.random.default_rng(5)
    moved = random.normal(size=(2000, 9)).astype(np.float32)
    usual = random.exponential(size=(2000, 5)).astype(np.float32)
    group = np.array([0, 0, 1, 1, 1, 2, 3, 3, 4])
    told, strength = choosing.strongest(moved, group, usual)
    sums = np.stack([moved[:, group == n].sum(axis=1) for n in range(5)], axis=1)
    assert (np.abs(strength[:, 0]) >= 0.499 * np.abs(sums).max(axis=1)).all()
    told_sums = np.take_along_axis(sums, group[told], axis=1)
    assert told_sums == pytest.approx(strength, abs=1e-5)
    assert all(len(set(row)) == 3 for row in group[told].tolist())


def test_a_reason_that_the_numbers_do_not_bear_out_comes_last():
    """The strongest one is odd; in the second group the feature that fits is told."""
    group = np.array([0, 1, 1, 2, 3])
    moved = np.array([[3.0, 1.0, 0.6, 0.2, 0.1]], np.float32)
    is_odd = np.array([[True, True, False, False, False]])
    told, strength = choosing.strongest(moved, group, None, is_odd)
    assert told.tolist() == [[2, 3, 4]] and strength[0, 0] == pytest.approx(1.6)
    assert choosing.strongest(moved, group, None, is_odd, k=4)[0][0, 3] == 0
