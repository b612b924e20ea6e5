"""search: parameters and calibration use only training rows, and respect time."""

import numpy as np
import pytest
from scipy.special import expit

from python_jobs.training import search
from python_jobs.training.estimators import MEMBERS, churn_risk
from python_jobs.training.fit import fit_and_hold_out
from python_jobs.training.metrics import expected_calibration_error
from python_jobs.training.search import Tuned, blends, inner_splits, plan, tune
from python_jobs.training.splits import Rows

FIRST = np.datetime64("2025-01-05")


def world(dates: int, users: int = 300, seed: int = 1, features: int = 3) -> Rows:
    """Return weekly rows; the risk is a steep function of the first feature."""
    rng = np.random.default_rng(seed)
    n = dates * users
    X = rng.normal(size=(n, features)).astype(np.float32)
    y = (rng.random(n) < 1 / (1 + np.exp(1 - 2 * X[:, 0]))).astype(int)
    days = np.repeat(FIRST + 7 * np.arange(dates), users)
    names = np.tile([f"u{i}" for i in range(users)], dates).astype(object)
    return Rows(X, y, days, names, np.ones(n, bool))


def test_long_history_is_validated_on_dates_a_horizon_later():
    rows = world(25)
    ((fit, check),), kind = inner_splits(rows, np.arange(len(rows.y)), 30, seed=7)
    assert kind == "later dates"
    assert rows.dates[fit].max() + np.timedelta64(30, "D") <= rows.dates[check].min()
    assert len(np.unique(rows.dates[check])) == 5 and rows.dates[check].max() == rows.dates[-1]


def test_short_history_is_validated_on_other_users():
    """120 days have nine dates, of which purging would leave a third for training."""
    rows = world(9)
    splits, kind = inner_splits(rows, np.arange(len(rows.y)), 30, seed=7)
    assert kind == "other users" and len(splits) == 2
    for fit, check in splits:
        assert not set(rows.users[fit]) & set(rows.users[check])
    assert sorted(np.concatenate([check for _, check in splits])) == list(range(len(rows.y)))


def test_too_few_rows_of_a_class_skip_search_and_calibration():
    rows = world(3, users=20)
    rows.y[:] = np.arange(60) % 20 == 0
    assert inner_splits(rows, np.arange(60), 30, seed=7) == ([], "nothing")
    found = tune(rows, [], MEMBERS["logistic_regression"], trials=5, seed=7, is_late=lambda: False)
    assert (found.parameters, len(found.logits)) == ({"C": 0.1}, 0)


def test_large_training_set_is_searched_on_a_sample_of_users(monkeypatch):
    monkeypatch.setattr(search, "SEARCH_ROWS", 1000)
    rows = world(9)
    splits, _ = inner_splits(rows, np.arange(len(rows.y)), 30, seed=7)
    used = np.concatenate([check for _, check in splits])
    assert 800 < len(used) < 1200
    assert set(np.unique(rows.users[used], return_counts=True)[1]) == {9}


def test_the_plan_grows_with_the_budget_and_shrinks_with_the_rows():
    rows = world(9)
    sides = [inner_splits(rows, np.arange(len(rows.y)), 30, seed=7)[0]] * 4
    counts = [plan(sides, 40, budget, 2)["hist_gradient_boosting"] for budget in (0, 2, 8, 1e6)]
    assert counts[0] == 1 < counts[1] < counts[2] < counts[3] == search.MAX_TRIALS
    assert plan(sides * 4, 40, 8, 2)["hist_gradient_boosting"] < counts[2]


def test_search_finds_the_parameters_that_fit_the_data():
    """A checkerboard needs deep trees, which the first trials do not have."""
    rng = np.random.default_rng(3)
    X = rng.integers(0, 8, size=(8000, 2)).astype(np.float32)
    y = ((X.sum(axis=1) % 2 == 0) ^ (rng.random(8000) < 0.1)).astype(int)
    rows = Rows(X, y, np.full(8000, FIRST), np.arange(8000).astype(str).astype(object), y >= 0)
    splits = [(np.arange(4000), np.arange(4000, 8000))]
    member = MEMBERS["hist_gradient_boosting"]
    found = tune(rows, splits, member, trials=8, seed=7, is_late=lambda: False)
    losses = [trial["log_loss"] for trial in found.trials]
    assert len(losses) > 4 and min(losses) < losses[0]
    assert found.parameters == found.trials[int(np.argmin(losses))]["parameters"]


def test_time_limit_ends_the_search_and_is_reported():
    rows = world(9)
    splits, _ = inner_splits(rows, np.arange(len(rows.y)), 30, seed=7)
    member = MEMBERS["logistic_regression"]
    found = tune(rows, splits, member, trials=5, seed=7, is_late=lambda: True)
    assert len(found.trials) == 1 and found.was_cut


@pytest.mark.parametrize("dates", [9, 25])
def test_rows_under_test_do_not_influence_their_fold(dates):
    """Changing all rows from the first test date on does not change the first fold's models."""
    rows = world(dates)
    held, _ = fit_and_hold_out(rows, {}, horizon_days=30, seed=7, budget=1, say=print)
    first = held.fold == "1"
    begin = rows.dates[held.rows][first].min()
    other = Rows(rows.X, rows.y.copy(), rows.dates, rows.users, rows.eligible)
    other.y[rows.dates >= begin] = 1 - other.y[rows.dates >= begin]
    again, _ = fit_and_hold_out(other, {}, horizon_days=30, seed=7, budget=1, say=print)
    for name in held.risks:
        assert (held.risks[name][first] == again.risks[name][first]).all(), name


class Member:
    """A fitted member with log-odds equal to the first feature, or three times as large."""

    def __init__(self, factor):
        self.factor = factor

    def decision_function(self, X):
        return self.factor * X[:, 0]


def test_validation_rows_calibrate_each_member_and_the_blend():
    """One member is overconfident by a factor of three; all candidates end calibrated."""
    rng = np.random.default_rng(8)
    X = rng.normal(size=(20_000, 1))
    y = (rng.random(20_000) < expit(X[:, 0] - 1)).astype(int)
    members = {"logistic_regression": Member(1), "hist_gradient_boosting": Member(3)}
    tuned = {
        name: Tuned({}, member.decision_function(X[:10_000]), [], was_cut=False)
        for name, member in members.items()
    }
    found = blends(members, tuned, y[:10_000])
    for name, model in found.items():
        error = expected_calibration_error(y[10_000:], churn_risk(model, X[10_000:]))
        assert error < 0.02, name
    assert expected_calibration_error(y, expit(3 * X[:, 0])) > 0.1
    assert found["soft_voting"].weights == [w.weights[0] / 2 for w in list(found.values())[:2]]
    raw = blends(members, tuned, y[:0])
    assert (raw["soft_voting"].weights, raw["soft_voting"].intercept) == ([0.5, 0.5], 0.0)
