"""splits: training labels end before test dates, exact to the day."""

import numpy as np
import pytest

from python_jobs.training.fit import fit_and_hold_out
from python_jobs.training.splits import RollingOriginSplit, Rows

FIRST = np.datetime64("2025-01-05")


def days(*offsets: int) -> np.ndarray:
    return FIRST + np.array(offsets, dtype="timedelta64[D]")


def periods(dates: np.ndarray, horizon_days: int = 30, n_splits: int = 3) -> list:
    """Return each period as (last training day, test days), counted from the first date."""
    splitter = RollingOriginSplit(n_splits, horizon_days=horizon_days)
    return [
        (int((p.train_dates[-1] - FIRST).astype(int)), (p.test_dates - FIRST).astype(int).tolist())
        for p in splitter.periods(dates)
    ]


@pytest.mark.parametrize("gap, trains", [(29, []), (30, [(0, [30])]), (31, [(0, [31])])])
def test_training_label_windows_end_on_or_before_the_test_day(gap, trains):
    """train_date + horizon <= test_date: day 30 is far enough, day 29 is not."""
    assert periods(days(0, gap)) == trains


def test_gap_is_measured_to_the_first_day_of_a_test_period():
    """Day 1 is 30 days before day 31, but the period starts on day 30, so it may not train."""
    dates = days(0, 1, 30, 31)
    assert periods(dates, n_splits=1) == [(0, [30, 31])]
    assert periods(dates, n_splits=2) == [(0, [30]), (1, [31])]


def test_nine_weekly_dates_give_three_test_dates():
    """120 days of data have nine dates: four can be tested, the newest three are."""
    assert periods(days(*range(0, 63, 7))) == [(7, [42]), (14, [49]), (21, [56])]


def test_a_long_history_gives_three_periods_of_at_most_a_horizon():
    found = periods(days(*range(0, 350, 7)))
    assert [tests for _, tests in found] == [
        [273 - 28 + 7 * k for k in range(5)],
        [280 + 7 * k for k in range(5)],
        [315 + 7 * k for k in range(5)],
    ]
    assert all(tests[0] - 36 <= last <= tests[0] - 30 for last, tests in found)


def test_as_many_periods_as_history_allows():
    assert [len(periods(days(*range(0, 7 * n, 7)))) for n in range(9)] == [0] * 6 + [1, 2, 3]


def test_splitter_behaves_like_those_of_scikit_learn():
    """It yields indices of all rows of the dates, in any row order and without repeats."""
    dates = np.tile(days(*range(0, 63, 7)), 4)
    splitter = RollingOriginSplit(horizon_days=30)
    splits = list(splitter.split(np.zeros((36, 1)), np.zeros(36), dates))
    assert splitter.get_n_splits(groups=dates) == len(splits) == 3
    tested = np.concatenate([test for _, test in splits])
    assert len(set(tested)) == len(tested) == 12
    for train, test in splits:
        assert (dates[train].max() + np.timedelta64(30, "D")) <= dates[test].min()
        assert np.isin(dates[train], dates[np.setdiff1d(np.arange(36), train)]).sum() == 0


def test_split_without_dates_asks_for_them():
    for ask in (
        RollingOriginSplit(horizon_days=30).get_n_splits,
        lambda: next(RollingOriginSplit(horizon_days=30).split()),
    ):
        with pytest.raises(ValueError, match="as_of_date"):
            ask()


@pytest.mark.parametrize("arguments", [(0, 30), (3, 0)])
def test_invalid_split_settings_are_refused(arguments):
    with pytest.raises(ValueError, match="at least 1"):
        RollingOriginSplit(arguments[0], horizon_days=arguments[1])


@pytest.fixture
def rows():
    """Return 60 users on nine dates; the feature is the label, inverted if ineligible."""
    dates = np.repeat(days(*range(0, 63, 7)), 60)
    y = np.arange(len(dates)) % 3 % 2
    eligible = np.arange(len(dates)) % 2 == 0
    X = np.where(eligible, y, 1 - y).astype(np.float32)[:, None]
    users = np.array([f"u{i % 60}" for i in range(len(dates))], dtype=object)
    return Rows(X, y, dates, users, eligible)


def hold_out(rows):
    return fit_and_hold_out(rows, {}, horizon_days=30, seed=7, budget=0, say=lambda line: None)


def test_models_learn_from_eligible_rows_and_are_tested_on_all(rows):
    held, _ = hold_out(rows)
    risk, y, who = held.risks["logistic_regression"], rows.y[held.rows], rows.eligible[held.rows]
    assert len(risk) == 3 * 60 and held.fold.tolist() == ["1"] * 60 + ["2"] * 60 + ["3"] * 60
    assert risk[who & (y == 1)].min() > 0.5 > risk[who & (y == 0)].max()
    assert risk[~who & (y == 1)].max() < 0.5 < risk[~who & (y == 0)].min()
    assert [f["train_rows"] for f in held.folds] == [60, 90, 120]


def test_fold_with_one_class_in_training_is_left_out(rows):
    """The first two folds know only stayers; the third learns from churners of day 21."""
    rows.y[rows.dates < FIRST + 21] = 0
    held, _ = hold_out(rows)
    assert [(f["fold"], f["test_from"]) for f in held.folds] == [("1", str(FIRST + 56))]


def test_history_without_any_fold_holds_nothing_out(rows):
    rows.y[rows.dates < FIRST + 28] = 0
    held, final = hold_out(rows)
    assert held.folds == [] and len(held.rows) == 0
    assert {len(risk) for risk in held.risks.values()} == {0}
    assert held.risks.keys() == final.models.keys()


def test_the_final_fit_uses_eligible_rows_only(rows):
    _, final = hold_out(rows)
    for model in final.models.values():
        assert model.predict_proba(np.ones((1, 1)))[0, 1] > 0.5


def test_the_data_hash_sees_every_part(rows):
    before, seen = rows.data_hash, set()
    for part in ("X", "y", "dates", "eligible"):
        changed = getattr(rows, part)
        old = changed[0].copy()
        changed[0] = ~old if part == "eligible" else old + 1
        seen.add(rows.data_hash)
        changed[0] = old
    rows.attributes["plan"] = np.full(len(rows.y), "paid", object)
    seen.add(rows.data_hash)
    rows.users[0] = "another"
    assert len(seen | {before, rows.data_hash}) == 7
