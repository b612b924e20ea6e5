"""history: the days that training needs are those with which it works."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_jobs.training.history import Plan, missing_days, plan_that_fits, training_dates
from python_jobs.training.splits import RollingOriginSplit

START = date(2026, 1, 1)


def dates_of(plan: Plan, days: int, start: date) -> list[date]:
    """Return the training dates of a history without unknown days."""
    sampled = [
        (day, n + 1)
        for n, day in enumerate(start + timedelta(n) for n in range(days - plan.horizon))
        if ((day - date(1970, 1, 1)).days + 4) % plan.every == 0
    ]
    return training_dates(sampled, plan)


def works(plan: Plan, days: int, start: date) -> bool:
    """Return whether any test period exists."""
    dates = np.array(dates_of(plan, days, start), dtype="datetime64[D]")
    return bool(RollingOriginSplit(horizon_days=plan.horizon).periods(dates))


@given(
    st.integers(2, 40),
    st.integers(1, 40),
    st.sampled_from([1, 3, 7]),
    st.integers(1, 200),
    st.integers(0, 9),
)
def test_no_days_are_missing_exactly_where_training_works(window, horizon, every, days, shift):
    plan = Plan((window, 3 * window), horizon, every)
    start = START + timedelta(shift)
    missing = missing_days(plan, start, start + timedelta(days - 1))
    assert (missing == 0) == works(plan, days, start)
    assert works(plan, days + missing, start)


@pytest.mark.parametrize("days", [12, 20, 45, 65])
def test_suggested_settings_fit_what_is_there(days):
    plan = Plan((7, 14, 30), 30, 7)
    last = START + timedelta(days - 1)
    assert missing_days(plan, START, last) > 0
    fits = plan_that_fits(plan, START, last)
    assert works(fits, days, START) and len(fits.windows) >= 2


def test_too_few_days_for_anything_suggest_nothing():
    assert plan_that_fits(Plan((7, 14, 30), 30, 7), START, START + timedelta(4)) is None


@pytest.mark.parametrize(
    ("days", "first"),
    [
        (500, 90),  # the longest window is full
        (160, 65),  # half of the 130 days with a closed label
        (80, 7),  # only the earliest dates leave a test date
        (60, 7),  # no test date anyway
    ],
)
def test_training_starts_as_late_as_history_allows(days, first):
    plan = Plan((7, 14, 30, 60, 90), 30, 7)
    dates = dates_of(plan, days, START)
    assert first <= (dates[0] - START).days + 1 < first + 7
    assert 0 <= days - 30 - ((dates[-1] - START).days + 1) < 7
