"""leakage: features that use the future are named; others pass."""

import numpy as np
import pytest

from python_jobs.errors import JobError
from python_jobs.training.leakage import check_leaks, single_feature_auc
from python_jobs.training.splits import Rows

NAMES = ["days_since_last_activity", "events_30d", "suspect"]


def users(seed=1, n=4000):
    """Return Poisson users, some inactive; inactivity predicts churn, as in real data."""
    rng = np.random.default_rng(seed)
    rate = np.exp(rng.normal(0, 0.7, n))
    stopped = rng.random(n) < 0.15
    silence = np.where(stopped, rng.integers(1, 30, n), np.minimum(rng.exponential(1 / rate), 29))
    future = rng.poisson(rate * 30 * ~stopped)
    past = rng.poisson(rate * (30 - silence))
    y = (future == 0).astype(int)
    return rng, np.floor(silence), past, future, rate, y


def rows(silence, past, suspect, y):
    X = np.column_stack([silence, past, suspect]).astype(np.float32)
    day = np.full(len(y), np.datetime64("2025-03-02"))
    return Rows(X, y, day, np.arange(len(y)).astype(str).astype(object), np.ones(len(y), bool))


def test_strong_features_without_leakage_pass():
    rng, silence, past, _, rate, y = users()
    check_leaks(rows(silence, past, rate + rng.normal(size=len(y)), y), NAMES)
    everybody = np.zeros(len(y), int)
    assert single_feature_auc(silence[:, None], y, everybody)[0] > 0.9


@pytest.mark.parametrize("days", [30, 14, 7])
@pytest.mark.parametrize("sign", [1, -1])
def test_feature_that_uses_future_days_is_named(days, sign):
    """Activity in 7 or 30 of the next 30 days, with either sign."""
    rng, silence, past, future, _, y = users()
    suspect = sign * rng.binomial(future, days / 30)
    with pytest.raises(JobError, match=r"suspect tells .* ROC AUC .* into the future\. Next: "):
        check_leaks(rows(silence, past, suspect, y), NAMES)


def test_missing_values_that_depend_on_the_future_are_found():
    """The feature is missing for users who will churn."""
    _, silence, past, _, rate, y = users()
    with pytest.raises(JobError, match="suspect"):
        check_leaks(rows(silence, past, np.where(y == 1, np.nan, rate), y), NAMES)


def test_days_since_last_event_may_not_use_the_future():
    """If no stratum of equal inactivity has both classes, the feature's own AUC reveals it."""
    rng = np.random.default_rng(2)
    y = np.repeat([0, 1], 1000)
    noise = rng.normal(size=(2, 2000))
    with pytest.raises(JobError, match="days_since_last_activity tells"):
        check_leaks(rows(40 * y + rng.random(2000), noise[0], noise[1], y), NAMES)


def test_a_few_users_may_be_told_apart_by_chance():
    """Of 29 churners even a perfect feature proves nothing; of 30 it does."""
    y = np.repeat([0, 1], [500, 30])
    silence = np.arange(530) % 20
    suspect = y.astype(float)
    check_leaks(rows(silence[:-1], silence[:-1], suspect[:-1], y[:-1]), NAMES)
    with pytest.raises(JobError, match="suspect"):
        check_leaks(rows(silence, silence, suspect, y), NAMES)


def test_only_eligible_rows_count():
    _, silence, past, _, _, y = users()
    found = rows(silence, past, y, y)
    found.eligible[:] = np.arange(len(y)) % 2 == 0
    found.X[found.eligible, 2] = 0
    check_leaks(found, NAMES)


def test_auc_within_groups_compares_only_inside_them():
    """The score is perfect between groups and useless within."""
    y = np.array([1, 1, 0, 1, 0, 0])
    X = np.array([[9.0], [8], [8.5], [1], [0.5], [1.5]])
    groups = np.repeat([0, 1], 3)
    assert single_feature_auc(X, y, groups)[0] == pytest.approx(0.5)
