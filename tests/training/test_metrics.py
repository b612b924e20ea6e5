"""metrics: compared with hand calculation and scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from python_jobs.training import metrics

Y = np.array([1, 0, 1, 0, 0])
RISK = np.array([0.9, 0.8, 0.7, 0.3, 0.1])
DAY = np.datetime64("2025-03-02")
CAMPAIGN = metrics.Campaign(offer_cost=5, save_rate=0.1, user_value=100)


def test_metrics_match_values_worked_out_by_hand():
    """Churners rank first and third of five."""
    assert metrics.average_precision(Y, RISK) == pytest.approx((1 + 2 / 3) / 2)
    assert metrics.roc_auc(Y, RISK) == pytest.approx(5 / 6)
    assert metrics.brier(Y, RISK) == pytest.approx((0.01 + 0.64 + 0.09 + 0.09 + 0.01) / 5)
    assert metrics.log_loss(Y[:2], RISK[:2]) == pytest.approx(-(math.log(0.9) + math.log(0.2)) / 2)
    assert [metrics.precision_at(Y, RISK, k) for k in (1, 2, 3, 9)] == pytest.approx(
        [1, 1 / 2, 2 / 3, 2 / 5]
    )
    assert metrics.lift_top_decile(Y, RISK) == pytest.approx(1 / 0.4)


def test_calibration_error_of_two_groups():
    """Risk .2 where 1 of 4 churns, risk .6 where 3 of 4 churn: off by .05 and .15."""
    y = np.array([1, 0, 0, 0, 1, 1, 1, 0])
    risk = np.repeat([0.2, 0.6], 4)
    assert metrics.expected_calibration_error(y, risk) == pytest.approx(0.10)


def test_equal_risks_share_a_calibration_bin():
    """The churn rate as everybody's risk is perfectly calibrated in any row order."""
    y = np.repeat([0, 1], [60, 40])
    assert metrics.expected_calibration_error(y, np.full(100, 0.4)) == pytest.approx(0)


def test_calibration_error_has_ten_bins_of_equal_size():
    risk = np.linspace(0.005, 0.995, 100)
    y = (risk > 0.5).astype(int)
    by_hand = np.mean(
        [abs(risk[i : i + 10].mean() - y[i : i + 10].mean()) for i in range(0, 100, 10)]
    )
    assert metrics.expected_calibration_error(y, risk) == pytest.approx(by_hand)


def test_a_cut_through_equal_risks_counts_their_average():
    """The second of the top two is one of three equal risks, of whom one churns."""
    y, risk = np.array([1, 1, 0, 0]), np.array([0.9, 0.5, 0.5, 0.5])
    assert metrics.precision_at(y, risk, 2) == pytest.approx((1 + 1 / 3) / 2)


def test_precision_at_50_is_a_mean_over_days():
    """All 50 chosen of one day churn, none of the next; a day of one row counts as much."""
    y = np.concatenate([np.repeat([1, 0], [50, 10]), np.repeat([0, 1], [50, 10]), [1]])
    risk = np.concatenate([np.linspace(1, 0, 60)] * 2 + [[0.0]])
    dates = DAY + np.repeat([0, 7, 14], [60, 60, 1])
    assert metrics.precision_at_by_date(y, risk, dates, 50) == pytest.approx((1 + 0 + 1) / 3)
    by_list = metrics.values(y[:60], risk[:60], dates[:60], metrics.Campaign(5, 0.1, 100, top_k=60))
    assert by_list["precision_at_50"] == 1
    assert by_list["precision_at_top_k"] == pytest.approx(50 / 60)


rows = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20)), min_size=2, max_size=60)


@given(rows)
def test_agrees_with_scikit_learn_and_ignores_row_order(pairs):
    y, risk = np.array([p[0] for p in pairs]), np.array([p[1] / 20 for p in pairs])
    dates = np.full(len(y), DAY)
    forwards = metrics.values(y, risk, dates, CAMPAIGN)
    backwards = metrics.values(y[::-1], risk[::-1], dates, CAMPAIGN)
    for name in metrics.METRICS:
        assert forwards[name] == pytest.approx(backwards[name], abs=1e-12, nan_ok=True)
    assert forwards["brier"] == pytest.approx(sk.brier_score_loss(y, risk))
    clipped = np.clip(risk, 1e-15, 1 - 1e-15)
    assert forwards["log_loss"] == pytest.approx(sk.log_loss(y, clipped, labels=[0, 1]))
    if 0 < y.sum() < len(y):
        assert forwards["roc_auc"] == pytest.approx(sk.roc_auc_score(y, risk))
        assert forwards["average_precision"] == pytest.approx(sk.average_precision_score(y, risk))


BY_DATE = {"average_precision_by_date", "roc_auc_by_date"}


@pytest.mark.parametrize(
    "y, undefined",
    [
        ([0, 0], {"average_precision", "roc_auc", "lift_top_decile"} | BY_DATE),
        ([1, 1], {"roc_auc"} | BY_DATE),
        ([], {*metrics.METRICS}),
    ],
)
def test_undefined_metric_is_nan(y, undefined):
    """No number is made up."""
    day = np.full(len(y), DAY, "datetime64[D]")
    found = metrics.values(np.array(y, dtype=int), np.full(len(y), 0.5), day, CAMPAIGN)
    assert {name for name, value in found.items() if math.isnan(value)} == undefined


def test_offer_pays_from_the_threshold_upwards():
    """Saving a tenth of 100 is worth 10; at cost 5, half of those contacted must churn."""
    assert CAMPAIGN.threshold == pytest.approx(0.5)
    # two of the users at .9, .8 and .7 churn: (2 x 10 - 3 x 5) over five users
    assert metrics.values(Y, RISK, np.full(5, DAY), CAMPAIGN)["expected_value"] == pytest.approx(1)
    assert metrics.Campaign(20, 0.1, 100).threshold == metrics.Campaign(5, 0, 100).threshold == 1
    assert math.isnan(metrics.values(Y, RISK, np.full(5, DAY))["expected_value"])


def test_level_that_moves_between_dates_does_not_count_as_bad_ranking():
    """On the second date every risk is .5 higher: within dates the order is right."""
    y = np.array([1, 0, 0, 1, 0, 0, 1, 1])
    risk = np.array([0.4, 0.1, 0.2, 0.9, 0.6, 0.7, 0.9, 0.9])
    dates = DAY + np.repeat([0, 7, 14], [3, 3, 2])
    found = metrics.values(y, risk, dates)
    assert found["roc_auc_by_date"] == found["average_precision_by_date"] == 1
    assert found["roc_auc"] < 0.9
    assert math.isnan(metrics.values(y[:1], risk[:1], dates[:1])["roc_auc_by_date"])
