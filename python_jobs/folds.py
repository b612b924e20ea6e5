"""Rolling-origin folds: the past trains, the future judges, one horizon lies between them."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from sklearn.base import ClassifierMixin
from threadpoolctl import threadpool_limits

from python_jobs.errors import JobError
from python_jobs.estimators import Factory, churn_risk


@dataclass(frozen=True)
class Rows:
    """evaluation_set in memory, ordered by as_of_date and user_id; one entry per row in each."""

    X: np.ndarray  # (rows, features) float32, NaN for NULL
    y: np.ndarray  # churn_label, 0 or 1
    dates: np.ndarray  # as_of_date, datetime64[D]
    users: np.ndarray  # user_id, text
    eligible: np.ndarray  # is_eligible

    @property
    def data_hash(self) -> str:
        """sha256 over all values, hex: everything that a model and its judgement depend on."""
        digest = hashlib.sha256("\n".join(self.users).encode())
        for part in (self.X, self.y, self.dates.astype(np.int64), self.eligible):
            digest.update(np.ascontiguousarray(part))
        return digest.hexdigest()


@dataclass(frozen=True)
class Period:
    """One test period and the dates that may train for it; both sorted datetime64[D] arrays."""

    train_dates: np.ndarray
    test_dates: np.ndarray


class RollingOriginSplit:
    """Splitter in scikit-learn's style over sampled as_of_dates, passed as `groups`.

    A label looks at (as_of_date, as_of_date + horizon_days]. A training date must satisfy
    train_date + horizon_days <= first test date, so that every training label was known on the
    day on which the test rows are scored. The same user may stand on both sides: time separates,
    not identity. Test periods are the newest dates, back to back, each at most one horizon long
    and all of the same number of dates; there are up to `n_splits`, as many as history allows.

    Method: rolling-origin evaluation (Tashman 2000, "Out-of-sample tests of forecasting
    accuracy") with purging (Lopez de Prado 2018, "Advances in Financial Machine Learning", 7.4).
    """

    def __init__(self, n_splits: int = 3, *, horizon_days: int) -> None:
        if n_splits < 1 or horizon_days < 1:
            raise ValueError("n_splits and horizon_days must be at least 1")
        self.n_splits = n_splits
        self.horizon = np.timedelta64(horizon_days, "D")

    def periods(self, groups: np.ndarray) -> list[Period]:
        """The test periods for these as_of_dates, oldest first; empty if history is too short."""
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
        for period in self.periods(_required(groups)):
            yield (
                np.flatnonzero(np.isin(groups, period.train_dates)),
                np.flatnonzero(np.isin(groups, period.test_dates)),
            )

    def get_n_splits(
        self, X: object = None, y: object = None, groups: np.ndarray | None = None
    ) -> int:
        """Number of test periods that these as_of_dates allow: 0 to n_splits."""
        return len(self.periods(_required(groups)))


def _required(groups: np.ndarray | None) -> np.ndarray:
    if groups is None:
        raise ValueError("groups must hold the as_of_date of each row")
    return groups


@dataclass(frozen=True)
class HeldOut:
    """Risks of every recipe for the test rows of all folds; each row is in one fold."""

    rows: np.ndarray  # index into Rows
    fold: np.ndarray  # "1", "2", ...; oldest first
    risks: dict[str, np.ndarray]  # recipe name to churn risk, float64
    folds: list[dict]  # dates and row counts of each fold, for metrics.json


def hold_out(
    rows: Rows,
    recipes: Mapping[str, Factory],
    *,
    horizon_days: int,
    seed: int,
    say: Callable[[str], None],
) -> HeldOut:
    """Fit each recipe on the eligible training rows of each fold and score all its test rows.

    A fold whose eligible training rows are of one class, or which has no eligible test row,
    teaches nothing and is left out; JobError if none is left.
    """
    splits = []
    for train, test in RollingOriginSplit(horizon_days=horizon_days).split(groups=rows.dates):
        known = train[rows.eligible[train]]
        if len(np.unique(rows.y[known])) == 2 and rows.eligible[test].any():
            splits.append((known, test))
    if not splits:
        raise JobError(
            "No test date has both churners and stayers among its eligible training rows.",
            next_step="ingest more days of events, then train again.",
        )
    parts: dict[str, list[np.ndarray]] = {name: [] for name in recipes}
    folds = []
    with _workers() as pool:
        pending = [
            {
                name: pool.submit(_fit_and_score, rows, recipe, seed, *split)
                for name, recipe in recipes.items()
            }
            for split in splits
        ]
        for number, ((known, test), futures) in enumerate(zip(splits, pending, strict=True), 1):
            for name, future in futures.items():
                parts[name].append(future.result())
            folds.append(_describe(rows, str(number), known, test))
            say(f"judged fold {number} of {len(splits)}: {folds[-1]['test_from']} and later")
    return HeldOut(
        rows=np.concatenate([test for _, test in splits]),
        fold=np.repeat([f["fold"] for f in folds], [len(test) for _, test in splits]),
        risks={name: np.concatenate(part) for name, part in parts.items()},
        folds=folds,
    )


def fit(rows: Rows, recipe: Factory, seed: int) -> ClassifierMixin:
    """The recipe fitted on all eligible rows."""
    known = np.flatnonzero(rows.eligible)
    with _workers() as pool:
        return pool.submit(_fit, rows, recipe, seed, known).result()


@contextmanager
def _workers() -> Iterator[Executor]:
    """A pool whose every fit runs on one thread.

    Sums over several threads depend on how many there are; this way the same data give the same
    bits on any number of cores. Boosting on several threads also crawls when the cores are busy
    (seconds instead of tenths), while several fits at once just share them.
    """
    with (
        threadpool_limits(1, user_api="blas"),
        ThreadPoolExecutor(
            min(4, os.cpu_count() or 1), initializer=threadpool_limits, initargs=(1, "openmp")
        ) as pool,
    ):
        yield pool


def _fit(rows: Rows, recipe: Factory, seed: int, known: np.ndarray) -> ClassifierMixin:
    return recipe(seed).fit(rows.X[known], rows.y[known])


def _fit_and_score(
    rows: Rows, recipe: Factory, seed: int, known: np.ndarray, test: np.ndarray
) -> np.ndarray:
    return churn_risk(_fit(rows, recipe, seed, known), rows.X[test])


def _describe(rows: Rows, fold: str, known: np.ndarray, test: np.ndarray) -> dict:
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
