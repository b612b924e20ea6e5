"""How many days of history training needs, and which settings would do with fewer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

FIRST_SUNDAY = date(1969, 12, 28)
"""Sampled as_of_dates count from this day, as in macros/measures/is_sampled.sql."""
SHORTER = (30, 21, 14, 7, 3)
"""Windows and horizons that are tried where history is short, in days."""


@dataclass(frozen=True)
class Plan:
    """Settings that decide how much history is needed, in days."""

    windows: tuple[int, ...]
    horizon: int
    every: int

    def __str__(self) -> str:
        return (
            f"feature_windows_days: [{', '.join(map(str, self.windows))}], "
            f"churn_horizon_days: {self.horizon}, training_every_days: {self.every}"
        )


def missing_days(plan: Plan, data_from: date, data_through: date, unknown: int = 0) -> int:
    """Return how many days are missing for one training and one test date; 0 if none is.

    The first training date has its shortest window full; the first test date is at least one
    horizon later, and its own label window must have closed. `unknown` days count for nothing.
    """
    first = _sampled(data_from + timedelta(plan.windows[0] - 1 + unknown), plan.every)
    test = _sampled(first + timedelta(plan.horizon), plan.every)
    return max(0, (test + timedelta(plan.horizon) - data_through).days)


def training_dates(sampled: Sequence[tuple[date, int]], plan: Plan) -> list[date]:
    """Return the as_of_dates that are trained on, as models/training/evaluation_set.sql has them.

    `sampled`: dates whose label has closed, in order, each with the number of known days up to it.
    """
    seen = [(day, known) for day, known in sampled if known >= plan.windows[0]]
    if not seen:
        return []
    newest, most = seen[-1]
    leaves_a_test = [known for day, known in seen if day <= newest - timedelta(plan.horizon)]
    least = min(plan.windows[-1], most / 2, leaves_a_test[-1] if leaves_a_test else 0)
    return [day for day, known in seen if known >= least]


def plan_that_fits(
    plan: Plan, data_from: date, data_through: date, unknown: int = 0
) -> Plan | None:
    """Return the settings nearest to `plan` with which training works; None if none do.

    The shortest window goes first, then the horizon: the horizon says what churn is.
    """
    for horizon in [plan.horizon, *(n for n in SHORTER if n < plan.horizon)]:
        for shortest in [plan.windows[0], *(n for n in SHORTER if n < plan.windows[0])]:
            windows = tuple(sorted({shortest, *plan.windows[1:]}))
            for every in sorted({plan.every, 1}, reverse=True):
                tried = Plan(windows, horizon, every)
                if missing_days(tried, data_from, data_through, unknown) == 0:
                    return tried
    return None


def _sampled(day: date, every: int) -> date:
    """Return the first sampled date that is not before a day."""
    return day + timedelta(-(day - FIRST_SUNDAY).days % every)
