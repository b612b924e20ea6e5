"""Confidence intervals of metrics: a bootstrap over users, with all replicates at once.

A replicate draws users with replacement and keeps all rows of a user together, since rows of one
user are not independent (Efron and Tibshirani 1993; the cluster bootstrap of Field and Welsh
2007). Drawing a user n times equals weighting its rows by n. So a replicate is a column of weights,
and a metric of all replicates takes a few matrix products. Models are compared
replicate by replicate, with the same weights, which gives the interval of their difference.
"""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

REPLICATES = 300
BLOCK = 100
"""Replicates in memory at once."""

GROUPS = 500
"""Largest number of groups of equal risk. With more distinct risks, neighbours share a group."""

TOP_ROWS = 200
"""Riskiest rows per day that are kept to find the 50 riskiest of a replicate."""

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A value and the bounds that contain 95 % of its replicates; None if undefined."""

    value: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, value: float, replicates: np.ndarray) -> "Interval":
        """Return the percentile interval around a value; NaN replicates do not count."""
        known = replicates[~np.isnan(replicates)]
        if not len(known) or math.isnan(value):
            return cls(None if math.isnan(value) else float(value), None, None)
        low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return cls(float(value), float(low), float(high))


def weights(n_users: int, seed: int) -> Iterator[np.ndarray]:
    """Yield (users, BLOCK) counts, REPLICATES columns in all; each column sums to n_users."""
    rng = np.random.default_rng(seed)
    for _ in range(0, REPLICATES, BLOCK):
        drawn = np.empty((n_users, BLOCK), np.float32)
        for column in range(BLOCK):
            chosen = rng.integers(0, n_users, n_users)
            drawn[:, column] = np.bincount(chosen, minlength=n_users)
        yield drawn


class Resample:
    """Rows prepared for metrics under many columns of user weights.

    `y`, `risk`, `users` (codes from 0) and `dates` have one entry per row. `payoff` is the money
    from contacting the user, 0 if the risk is below the threshold.
    """

    def __init__(
        self,
        y: np.ndarray,
        risk: np.ndarray,
        users: np.ndarray,
        dates: np.ndarray,
        *,
        n_users: int,
        payoff: np.ndarray | None = None,
        calibration_bin: np.ndarray,
    ) -> None:
        def by(group: np.ndarray, values: np.ndarray, of: slice | np.ndarray) -> csr_matrix:
            shape = (int(group.max()) + 1 if len(group) else 0, n_users)
            return csr_matrix((values[of].astype(np.float32), (group, users[of])), shape)

        everything, one = slice(None), np.ones(len(y), np.float32)
        group = _groups(risk)
        self.total, self.positive = by(group, one, everything), by(group, y, everything)
        self.dates = []
        for day in np.unique(dates):
            rows = np.flatnonzero(dates == day)
            ranks = _groups(risk[rows])
            self.dates.append((by(ranks, one, rows), by(ranks, y, rows)))
        p = np.clip(risk, 1e-15, 1 - 1e-15)
        sums = {
            "log_loss": -np.where(y == 1, np.log(p), np.log1p(-p)),
            "brier": (risk - y) ** 2,
        } | ({} if payoff is None else {"expected_value": payoff})
        self.sums = {k: np.bincount(users, v, n_users).astype(np.float32) for k, v in sums.items()}
        self.gap = by(calibration_bin, risk - y, everything)
        self.days = []
        for day in np.unique(dates):
            rows = np.flatnonzero(dates == day)
            if len(rows) > TOP_ROWS:
                cut = np.partition(risk[rows], len(rows) - TOP_ROWS)[len(rows) - TOP_ROWS]
                rows = rows[risk[rows] >= cut]
            ranks = np.unique(-risk[rows], return_inverse=True)[1]
            self.days.append((by(ranks, one, rows), by(ranks, y, rows)))

    def by_date(self, w: np.ndarray) -> dict[str, np.ndarray]:
        """Return the ranking within each date, averaged over dates with both classes."""
        curves = [self._curve(total @ w, positive @ w) for total, positive in self.dates]
        for curve in curves:  # a date without stayers says nothing about order
            curve["average_precision"][np.isnan(curve["roc_auc"])] = math.nan
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a replicate may have no such date
            return {
                f"{name}_by_date": np.nanmean([curve[name] for curve in curves], axis=0)
                for name in ("average_precision", "roc_auc")
            }

    def all(self, w: np.ndarray) -> dict[str, np.ndarray]:
        """Return every metric under each column of (users, columns) weights, (columns,) each."""
        total, positive = self.total @ w, self.positive @ w
        rows = total.sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            decile = _precision_at(total, positive, np.ceil(rows / 10))
            at_50 = np.array([_precision_at(t @ w, p @ w, 50) for t, p in self.days])
            at_50 = np.nansum(at_50, axis=0) / (~np.isnan(at_50)).sum(axis=0)
            return (
                self._curve(total, positive)
                | self.by_date(w)
                | {name: (per_user @ w) / rows for name, per_user in self.sums.items()}
                | {
                    "expected_calibration_error": np.abs(self.gap @ w).sum(axis=0) / rows,
                    "precision_at_50": at_50,
                    "precision_top_decile": decile,
                    "lift_top_decile": decile * rows / positive.sum(axis=0),
                }
            )

    @staticmethod
    def _curve(total: np.ndarray, positive: np.ndarray) -> dict[str, np.ndarray]:
        found, seen = np.cumsum(positive, axis=0), np.cumsum(total, axis=0)
        negative = total - positive
        churners = found[-1]
        stayers = seen[-1] - churners
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.where(positive > 0, positive * found / seen, 0).sum(axis=0)
            below = stayers - (seen - found) + negative / 2
            return {
                "average_precision": step / churners,
                "roc_auc": (positive * below).sum(axis=0) / (churners * stayers),
            }


def _groups(risk: np.ndarray) -> np.ndarray:
    """Return the group of each row, 0 for the riskiest; equal risks share a group."""
    values, group = np.unique(-risk, return_inverse=True)
    if len(values) > GROUPS:
        first = np.searchsorted(np.sort(-risk), values)
        group = np.unique(first * GROUPS // len(risk), return_inverse=True)[1][group]
    return group


def _precision_at(total: np.ndarray, positive: np.ndarray, k: np.ndarray | int) -> np.ndarray:
    """Return the share of churners among the k riskiest; a group that k splits counts in part."""
    seen = np.cumsum(total, axis=0)
    k = np.minimum(k, seen[-1])
    share = np.clip((k - (seen - total)) / total, 0, 1)
    precision: np.ndarray = np.where(total > 0, share * positive, 0).sum(axis=0) / k
    return precision
