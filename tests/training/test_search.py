"""search: parameters and calibration use only training rows, and respect time."""

from collections import Counter

import numpy as np
import pytest
from scipy.special import expit

from python_jobs.training import search
from python_jobs.training.estimators import MEMBERS, churn_risk
from python_jobs.training.fit import fit_and_hold_out
from python_jobs.training.metrics import expected_calibration_error
from python_jobs.training.search import blends, inner_splits, plan
from python_jobs.training.splits import Rows, usable_splits
from python_jobs.training.train import TIME_BUDGET

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
    assert rows.dates[check].max() == rows.dates[-1]


CHECKED = {"half is left to fit": (27, 9), "twelve horizons at most": (130, 52)}


@pytest.mark.parametrize("dates, checked", CHECKED.values(), ids=CHECKED)
def test_check_dates_cover_a_year_where_half_of_the_history_is_left(dates, checked):
    rows = world(dates, users=20)
    ((fit, check),), _ = inner_splits(rows, np.arange(len(rows.y)), 30, seed=7)
    assert len(np.unique(rows.dates[check])) == checked
    assert 2 * len(np.unique(rows.dates[fit])) >= dates


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
    assert plan(rows, [], 9) == dict.fromkeys(MEMBERS, 1)
    found = tried(rows, [], "logistic_regression", trials=5)
    assert (found.parameters, found.trials) == ({"C": 0.1}, [])


def tried(rows, splits, name, **options):
    """Search the parameters of a member."""
    return search.search(rows, splits, MEMBERS[name], seed=7, **options)


def test_large_training_set_is_searched_on_a_sample_of_users(monkeypatch):
    monkeypatch.setattr(search, "SEARCH_ROWS", 1000)
    rows = world(9)
    splits, _ = inner_splits(rows, np.arange(len(rows.y)), 30, seed=7)
    used = np.concatenate([check for _, check in splits])
    assert 800 < len(used) < 1200
    assert set(np.unique(rows.users[used], return_counts=True)[1]) == {9}


def test_the_plan_grows_with_the_budget_and_shrinks_with_the_features():
    rows = world(9, features=30)
    splits, _ = inner_splits(rows, np.arange(len(rows.y)), 30, seed=7)
    counts = [plan(rows, splits, budget)["hist_gradient_boosting"] for budget in (0, 1, 3, 9)]
    assert counts[0] == 1 < counts[1] < counts[2] < counts[3] == search.MAX_TRIALS
    wide = Rows(np.tile(rows.X, 30), rows.y, rows.dates, rows.users, rows.eligible)
    assert plan(wide, splits, 3)["hist_gradient_boosting"] < counts[2]


@pytest.mark.parametrize("users", [667, 1500, 4444])
@pytest.mark.parametrize("dates", [9, 25])
def test_default_budget_tries_ten_of_each_from_6000_to_40000_rows(users, dates):
    """With 60 features; the side of the oldest fold is searched."""
    rows = world(dates, users * 9 // dates, features=60)
    known = usable_splits(rows, 30)[0][0]
    splits, _ = inner_splits(rows, known, 30, seed=7)
    assert min(plan(rows, splits, TIME_BUDGET).values()) >= 10


def checkerboard(n=8000, seed=3):
    """Return rows that need deep trees, which the first trial does not have, and their split."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 8, size=(n, 2)).astype(np.float32)
    y = ((X.sum(axis=1) % 2 == 0) ^ (rng.random(n) < 0.1)).astype(int)
    rows = Rows(X, y, np.full(n, FIRST), np.arange(n).astype(str).astype(object), y >= 0)
    return rows, [(np.arange(n // 2), np.arange(n // 2, n))]


def test_search_finds_the_parameters_that_fit_the_data():
    found = tried(*checkerboard(), "hist_gradient_boosting", trials=9)
    last = [trial for trial in found.trials if trial["rows"] == 4000]
    losses = [trial["log_loss"] for trial in last]
    assert min(losses) < losses[0]
    assert found.parameters == last[int(np.argmin(losses))]["parameters"]


def test_a_third_of_the_trials_and_the_default_go_on_to_more_rows():
    found = tried(*checkerboard(), "hist_gradient_boosting", trials=9)
    rows = [trial["rows"] for trial in found.trials]
    assert sorted(Counter(rows).values()) == [3, 9] and rows == sorted(rows)
    default = found.trials[0]["parameters"]
    assert {trial["rows"] for trial in found.trials if trial["parameters"] == default} == {*rows}


def test_default_stays_where_another_is_better_by_chance_only():
    rows = world(9, users=40, seed=2)
    rows.y[:] = np.random.default_rng(2).integers(0, 2, len(rows.y))  # nothing to learn
    splits, _ = inner_splits(rows, np.arange(len(rows.y)), 30, seed=7)
    found = tried(rows, splits, "hist_gradient_boosting", trials=9)
    losses = [trial["log_loss"] for trial in found.trials[-3:]]
    assert min(losses) < losses[0] and found.parameters == found.trials[0]["parameters"]


WARM = {
    "in the space": ({"C": 3.0}, True),
    "within its bounds": ({"C": 0.07}, True),
    "out of bounds": ({"C": 999.0}, False),
    "of another kind of model": ({"depth": 3}, False),
    "none": (None, False),
}


@pytest.mark.parametrize("warm, used", WARM.values(), ids=WARM)
def test_champions_parameters_are_the_second_trial_if_usable(warm, used):
    rows = world(9)
    splits, _ = inner_splits(rows, np.arange(len(rows.y)), 30, seed=7)
    found = tried(rows, splits, "logistic_regression", trials=2, warm=warm)
    assert found.trials[0]["parameters"] == {"C": 0.1}
    assert (found.trials[1]["parameters"] == warm) is used


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
    logits = {name: member.decision_function(X[:10_000]) for name, member in members.items()}
    found = blends(members, logits, y[:10_000])
    for name, model in found.items():
        error = expected_calibration_error(y[10_000:], churn_risk(model, X[10_000:]))
        assert error < 0.02, name
    assert expected_calibration_error(y, expit(3 * X[:, 0])) > 0.1
    assert found["soft_voting"].weights == [w.weights[0] / 2 for w in list(found.values())[:2]]
    raw = blends(members, logits, y[:0])
    assert (raw["soft_voting"].weights, raw["soft_voting"].intercept) == ([0.5, 0.5], 0.0)
