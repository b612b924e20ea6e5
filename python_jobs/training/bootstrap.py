"""Confidence intervals of metrics: a bootstrap over users, with all replicates at once.

A replicate draws users with replacement and keeps all rows of a user together, since rows of one
user are not independent (Efron and Tibshirani 1993; the cluster bootstrap of Field and Welsh
2007). Drawing a user n times equals weighting its rows by n. So a replicate is a column of weights,
and a metric of all replicates takes a few matrix products. Models are compared
replicate by replicate, with the same weights, which gives the interval of their difference.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

REPLICATES = 300
BLOCK = 100
"""Replicates in memory at once."""

GROUPS = 500
"""Largest number of groups of equal risk. With more distinct risks, neighbours share a group."""

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


Counts = tuple[csr_matrix, csr_matrix]
"""Rows and churners of each group and user."""


class Day:
    """The rows of one date prepared for what is judged by date, under many columns of weights."""

    def __init__(
        self, y: np.ndarray, risk: np.ndarray, users: np.ndarray, n_users: int, top_k: int = 50
    ) -> None:
        self.ranked = _counts(_groups(risk), y, users, n_users)
        self.top_k = top_k
        top = np.arange(len(y))
        enough = 4 * max(50, top_k)  # to find the k riskiest of a replicate
        if len(y) > enough:
            cut = np.partition(risk, len(y) - enough)[len(y) - enough]
            top = np.flatnonzero(risk >= cut)
        ranks = np.unique(-risk[top], return_inverse=True)[1]
        self.top = _counts(ranks, y[top], users[top], n_users)

    def all(self, w: np.ndarray) -> dict[str, np.ndarray]:
        """Return the date's metrics under each column of (users, columns) weights."""
        total, positive = (counts @ w for counts in self.top)
        with np.errstate(divide="ignore", invalid="ignore"):
            at = {k: _precision_at(total, positive, k) for k in {50, self.top_k}}
        return self.ranking(w) | {
            "precision_at_50": at[50],
            "precision_at_top_k": at[self.top_k],
        }

    def ranking(self, w: np.ndarray) -> dict[str, np.ndarray]:
        """Return the date's average precision and ROC AUC under each column of weights."""
        total, positive = self.ranked
        return _curve(total @ w, positive @ w)


def ranking_by_date(days: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the mean ranking of dates with both classes, from what Day returned for each."""
    names = ("average_precision", "roc_auc")
    # a date without stayers says nothing about order
    usable = [~np.isnan(day["roc_auc"]) for day in days]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a replicate may have no such date
        return {
            f"{name}_by_date": np.nanmean(
                [np.where(use, day[name], math.nan) for day, use in zip(days, usable, strict=True)],
                axis=0,
            )
            for name in names
        }


class Resample:
    """Rows prepared for metrics under many columns of user weights.

    `y`, `risk` and `users` (codes from 0) have one entry per row. `payoff` is the money from
    contacting the user, 0 if the risk is below the threshold. `dates` says which days the rows
    are of; what is judged by date comes from Day.
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
        self.days = np.unique(dates)
        self.total, self.positive = _counts(_groups(risk), y, users, n_users)
        p = np.clip(risk, 1e-15, 1 - 1e-15)
        sums = {
            "log_loss": -np.where(y == 1, np.log(p), np.log1p(-p)),
            "brier": (risk - y) ** 2,
        } | ({} if payoff is None else {"expected_value": payoff})
        self.summed = list(sums)
        self.sums = np.array([np.bincount(users, v, n_users) for v in sums.values()], np.float32)
        shape = (int(calibration_bin.max(initial=-1)) + 1, n_users)
        gap = (risk - y).astype(np.float32)
        self.gap = csr_matrix((gap, (calibration_bin, users)), shape)

    def all(self, w: np.ndarray, days: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Return every metric under each column of (users, columns) weights, (columns,) each.

        `days`: what Day.all returned for each of self.days under the same weights.
        """
        total, positive = self.total @ w, self.positive @ w
        rows = total.sum(axis=0)
        ranking = ("average_precision", "roc_auc")
        with np.errstate(divide="ignore", invalid="ignore"):
            decile = _precision_at(total, positive, np.ceil(rows / 10))
            return (
                # one date's curve is known already
                ({k: days[0][k] for k in ranking} if len(days) == 1 else _curve(total, positive))
                | ranking_by_date(days)
                | {name: _mean_of(days, name) for name in ("precision_at_50", "precision_at_top_k")}
                | dict(zip(self.summed, self.sums @ w / rows, strict=True))
                | {
                    "expected_calibration_error": np.abs(self.gap @ w).sum(axis=0) / rows,
                    "precision_top_decile": decile,
                    "lift_top_decile": decile * rows / positive.sum(axis=0),
                }
            )


def _mean_of(days: Sequence[dict[str, np.ndarray]], name: str) -> np.ndarray:
    """Return the mean over the days that have rows in a replicate."""
    found = np.array([day[name] for day in days])
    mean: np.ndarray = np.nansum(found, axis=0) / (~np.isnan(found)).sum(axis=0)
    return mean


def _counts(group: np.ndarray, y: np.ndarray, users: np.ndarray, n_users: int) -> Counts:
    """Return (groups, users) counts of rows, and of churners."""
    shape = (int(group.max(initial=-1)) + 1, n_users)
    rows = csr_matrix((np.ones(len(y), np.float32), (group, users)), shape)
    return rows, csr_matrix((y.astype(np.float32), (group, users)), shape)


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
