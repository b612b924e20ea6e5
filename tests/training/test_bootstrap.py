"""bootstrap: weights equal drawing users, and intervals have the stated coverage."""

import numpy as np
import pytest

from python_jobs.training import bootstrap, judging, metrics
from python_jobs.training.bootstrap import Day, Interval

DAY = np.datetime64("2025-03-02")
CAMPAIGN = metrics.Campaign(5, 0.1, 100, top_k=60)
USERS = 120


def sample(seed=1, users=USERS, dates=3, ties=20):
    """Return rows of users on several dates; risks are on a grid, so many are equal."""
    rng = np.random.default_rng(seed)
    codes = np.tile(np.arange(users), dates)
    days = np.repeat(DAY + 7 * np.arange(dates), users)
    risk = np.round(rng.random(len(codes)) * ties) / ties
    y = (rng.random(len(codes)) < risk).astype(int)
    return y, risk, codes, days


def test_a_replicate_is_the_metric_of_the_drawn_users():
    """Compares every metric with repeating rows as often as their user was drawn."""
    y, risk, codes, days = sample()
    block = next(bootstrap.weights(USERS, seed=3))
    found = judging.replicates(y, risk, codes, days, [block], USERS, CAMPAIGN)
    bins = metrics.calibration_bins(risk)
    for draw in range(5):
        rows = np.repeat(np.arange(len(y)), block[codes, draw].astype(int))
        expected = metrics.values(y[rows], risk[rows], days[rows], CAMPAIGN)
        gap = np.bincount(bins[rows], weights=risk[rows] - y[rows])
        expected["expected_calibration_error"] = np.abs(gap).sum() / len(rows)  # bins stay
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert found[name][draw] == pytest.approx(value, rel=1e-4), name


def test_every_replicate_draws_the_full_number_of_users_repeatably():
    blocks = list(bootstrap.weights(50, seed=9))
    again = list(bootstrap.weights(50, seed=9))
    assert sum(b.shape[1] for b in blocks) == bootstrap.REPLICATES
    assert all((b.sum(axis=0) == 50).all() for b in blocks)
    assert all((a == b).all() for a, b in zip(blocks, again, strict=True))
    assert (next(bootstrap.weights(50, seed=10)) != blocks[0]).any()


def test_grouping_many_risks_hardly_changes_the_metrics():
    """5,000 risks fall into 500 groups; with weights of one the metrics are nearly exact."""
    rng = np.random.default_rng(2)
    risk = rng.random(5000)
    y = (rng.random(5000) < risk).astype(int)
    block = np.ones((5000, 1), np.float32)
    users, days = np.arange(5000), np.full(5000, DAY)
    found = judging.replicates(y, risk, users, days, [block], 5000, CAMPAIGN)
    for name, value in metrics.values(y, risk, np.full(5000, DAY), CAMPAIGN).items():
        assert found[name][0] == pytest.approx(value, rel=2e-3), name


def test_all_rows_of_a_drawn_user_are_used():
    """Ten copies of each row add no evidence, so the interval stays as wide."""
    y, risk, codes, _ = sample(dates=1, users=400)
    copies = np.tile(np.arange(400), 10)
    one, ten = (
        judging.paired_difference(y[i], risk[i], 1 - risk[i], codes[i], np.zeros(len(i)), seed=1)
        for i in (np.arange(400), copies)
    )
    assert ten.high - ten.low == pytest.approx(one.high - one.low, rel=0.1)


def test_interval_covers_the_true_value_about_95_percent_of_the_time():
    """ROC AUC of 0.7 by construction, in 150 samples of 150 users with two rows each."""
    rng = np.random.default_rng(4)
    shift, covered = np.sqrt(2) * 0.524401, 0  # normal scores this far apart give AUC 0.7
    for _ in range(150):
        codes = np.repeat(np.arange(150), 2)
        y = np.repeat(rng.random(150) < 0.4, 2).astype(int)
        risk = rng.normal(size=300) + shift * y
        day = Day(y, 1 / (1 + np.exp(-risk)), codes, 150)
        auc = np.concatenate([day.ranking(b)["roc_auc"] for b in bootstrap.weights(150, seed=1)])
        interval = Interval.of(0.7, auc)
        covered += interval.low <= 0.7 <= interval.high
    assert 0.90 <= covered / 150 <= 0.99


def test_paired_comparison_draws_the_same_users():
    """A model minus itself is exactly 0; minus a better one, the interval is below 0."""
    y, risk, codes, days = sample(users=400)
    assert judging.paired_difference(y, risk, risk, codes, days, seed=1) == Interval(0.0, 0.0, 0.0)
    better = 0.5 * risk + 0.5 * y
    worse = judging.paired_difference(y, risk, better, codes, days, seed=1)
    assert worse.low <= worse.value <= worse.high < 0


def test_undefined_metric_has_no_interval():
    assert Interval.of(np.nan, np.ones(5)) == Interval(None, None, None)
    assert Interval.of(0.5, np.full(5, np.nan)) == Interval(0.5, None, None)
