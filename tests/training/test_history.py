"""history: the days that training needs are those with which it works."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_jobs.training.history import Plan, missing_days, plan_that_fits
from python_jobs.training.splits import RollingOriginSplit

START = date(2026, 1, 1)


def works(plan: Plan, days: int, start: date) -> bool:
    """Return whether any test period exists: a full shortest window, closed labels."""
    last = start + timedelta(days - 1)
    dates = [
        day
        for day in (start + timedelta(n) for n in range(plan.windows[0] - 1, days))
        if day + timedelta(plan.horizon) <= last
        and ((day - date(1970, 1, 1)).days + 4) % plan.every == 0
    ]
    split = RollingOriginSplit(horizon_days=plan.horizon)
    return bool(dates) and bool(split.periods(np.array(dates, dtype="datetime64[D]")))


@given(
    st.integers(2, 40),
    st.integers(1, 40),
    st.sampled_from([1, 3, 7]),
    st.integers(1, 200),
    st.integers(0, 9),
)
def test_no_days_are_missing_exactly_where_training_works(window, horizon, every, days, shift):
    plan = Plan((window, window + 1), horizon, every)
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
