"""Rolling-origin folds: train on the past, test on the future, with one horizon in between."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Rows:
    """evaluation_set in memory, ordered by as_of_date and user_id; each array has all rows."""

    X: np.ndarray  # (rows, features) float32, NaN for NULL
    y: np.ndarray  # churn_label, 0 or 1
    dates: np.ndarray  # as_of_date, datetime64[D]
    users: np.ndarray  # user_id, text
    eligible: np.ndarray  # is_eligible
    attributes: dict[str, np.ndarray] = field(default_factory=dict)  # text, for slices only

    @cached_property
    def user_codes(self) -> np.ndarray:
        """Return the number of each row's user, 0 to n_users - 1, by first appearance."""
        codes: np.ndarray = pd.factorize(self.users)[0]
        return codes

    @property
    def n_users(self) -> int:
        """Return the number of different users."""
        return int(self.user_codes.max()) + 1 if len(self.y) else 0

    @property
    def data_hash(self) -> str:
        """Return the sha256, in hexadecimal, over all values that a model and its metrics use."""
        digest = hashlib.sha256("\n".join(self.users).encode())
        for part in (self.X, self.y, self.dates.astype(np.int64), self.eligible):
            digest.update(np.ascontiguousarray(part).data)
        for name, texts in sorted(self.attributes.items()):
            digest.update("\n".join([name, *texts]).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class Period:
    """One test period and its training dates; both sorted datetime64[D] arrays."""

    train_dates: np.ndarray
    test_dates: np.ndarray


class RollingOriginSplit:
    """Splitter in scikit-learn's style over sampled as_of_dates, passed as `groups`.

    A label looks at (as_of_date, as_of_date + horizon_days]. A training date must satisfy
    train_date + horizon_days <= first test date, so every training label was known when the test
    rows are scored. A user may be on both sides, since the split is by time. Test periods are the
    newest dates, consecutive, each at most one horizon long and all with the same number of dates.
    There are up to `n_splits`, as many as history allows.

    Method: rolling-origin evaluation (Tashman 2000, "Out-of-sample tests of forecasting
    accuracy") with purging (Lopez de Prado 2018, "Advances in Financial Machine Learning", 7.4).
    """

    def __init__(self, n_splits: int = 3, *, horizon_days: int) -> None:
        if n_splits < 1 or horizon_days < 1:
            raise ValueError("n_splits and horizon_days must be at least 1")
        self.n_splits = n_splits
        self.horizon = np.timedelta64(horizon_days, "D")

    def periods(self, groups: np.ndarray) -> list[Period]:
        """Return the test periods for these as_of_dates, oldest first; [] if history is short."""
        dates = np.unique(np.asarray(groups, dtype="datetime64[D]"))
        if not len(dates):
            return []
        testable = dates[dates >= dates[0] + self.horizon]
        count = min(self.n_splits, len(testable))
        if not count:
            return []
        within_a_horizon = int((testable > testable[-1] - self.horizon).sum())
        size = min(within_a_horizon, len(testable) // count)
        tests = testable[len(testable) - count * size :].reshape(count, size)
        return [Period(dates[dates <= test[0] - self.horizon], test) for test in tests]

    def split(
        self, X: object = None, y: object = None, groups: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (train rows, test rows) as index arrays, oldest test period first."""
        dates = _required(groups)
        for period in self.periods(dates):
            yield (
                np.flatnonzero(np.isin(dates, period.train_dates)),
                np.flatnonzero(np.isin(dates, period.test_dates)),
            )

    def get_n_splits(
        self, X: object = None, y: object = None, groups: np.ndarray | None = None
    ) -> int:
        """Return the number of test periods that these as_of_dates allow: 0 to n_splits."""
        return len(self.periods(_required(groups)))


def _required(groups: np.ndarray | None) -> np.ndarray:
    if groups is None:
        raise ValueError("groups must hold the as_of_date of each row")
    return groups


@dataclass(frozen=True)
class HeldOut:
    """Risks of every model for the test rows of all folds; each row is in one fold."""

    rows: np.ndarray  # index into Rows
    fold: np.ndarray  # "1", "2", ...; oldest first
    risks: dict[str, np.ndarray]  # model name to churn risk, float64
    folds: list[dict[str, Any]]  # dates and row counts of each fold, for metrics.json


def usable_splits(rows: Rows, horizon_days: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (eligible training rows, all test rows) of each usable fold, oldest first.

    A fold is not usable if its eligible training rows have one class only, or if it has no
    eligible test row.
    """
    splits = []
    for train, test in RollingOriginSplit(horizon_days=horizon_days).split(groups=rows.dates):
        known = train[rows.eligible[train]]
        if len(np.unique(rows.y[known])) == 2 and rows.eligible[test].any():
            splits.append((known, test))
    return splits


def describe(rows: Rows, fold: str, known: np.ndarray, test: np.ndarray) -> dict[str, Any]:
    """Return the dates and row counts of a fold."""
    return {
        "fold": fold,
        "train_from": str(rows.dates[known].min()),
        "train_to": str(rows.dates[known].max()),
        "test_from": str(rows.dates[test].min()),
        "test_to": str(rows.dates[test].max()),
        "train_rows": len(known),
        "test_rows": len(test),
        "test_rows_eligible": int(rows.eligible[test].sum()),
    }
