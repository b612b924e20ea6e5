"""Metrics of a churn risk: functions of labels (0/1) and risks (0 to 1), one entry per row.

Results do not depend on the order of the rows: if a cut falls into a group of equal risks, the
group counts with its average. A metric that is undefined for the rows (one class only) is NaN.
Intervals: python_jobs.training.bootstrap. Tables of models: python_jobs.training.judging.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

METRICS = (
    "average_precision_by_date",
    "roc_auc_by_date",
    "average_precision",
    "roc_auc",
    "log_loss",
    "brier",
    "expected_calibration_error",
    "precision_at_50",
    "precision_at_top_k",
    "precision_top_decile",
    "lift_top_decile",
    "expected_value",
)
RANKING = "average_precision_by_date"
"""The metric that chooses and promotes: a list is made on one date, so order within it counts."""


@dataclass(frozen=True)
class Campaign:
    """What contacting users costs and gains, in one currency; see dbt_project.yml."""

    offer_cost: float
    save_rate: float
    user_value: float
    top_k: int = 50
    """Length of the list that people work off."""

    @property
    def threshold(self) -> float:
        """Return the calibrated risk from which contacting a user pays; 1 if it never does."""
        gain = self.save_rate * self.user_value
        return min(1.0, self.offer_cost / gain) if gain else 1.0

    def payoff(self, y: np.ndarray, risk: np.ndarray, threshold: float) -> np.ndarray:
        """Return the money per row if every user at or above the threshold is contacted."""
        gain = y * self.save_rate * self.user_value - self.offer_cost
        return np.where(risk >= threshold, gain, 0.0)


def average_precision(y: np.ndarray, risk: np.ndarray) -> float:
    """Return the mean precision over the recall steps (scikit-learn's average_precision_score)."""
    rows, churners = _steps(y, risk)
    if not churners.any():
        return math.nan
    precision = np.cumsum(churners) / np.cumsum(rows)
    return float(churners @ precision / churners.sum())


def roc_auc(y: np.ndarray, risk: np.ndarray) -> float:
    """Return the probability that a churner is ranked above a stayer; ties count half."""
    rows, churners = _steps(y, risk)
    stayers = rows - churners
    pairs = churners.sum() * stayers.sum()
    if not pairs:
        return math.nan
    below = stayers.sum() - np.cumsum(stayers) + stayers / 2
    return float(churners @ below / pairs)


def _steps(y: np.ndarray, risk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and the churners at each different risk, the highest first, as floats."""
    order = np.argsort(-risk, kind="stable")
    ends = np.flatnonzero(np.diff(risk[order], append=-np.inf)) if len(risk) else order
    seen, found = ends + 1.0, np.cumsum(y[order], dtype=float)[ends]
    return np.diff(seen, prepend=0), np.diff(found, prepend=0)


def by_date(
    metric: Callable[[np.ndarray, np.ndarray], float],
    y: np.ndarray,
    risk: np.ndarray,
    dates: np.ndarray,
) -> float:
    """Return a ranking metric within each date, averaged over the dates with both classes.

    A shift in level between dates, which no list shows, does not count.
    """
    days = [dates == day for day in np.unique(dates)]
    found = [metric(y[day], risk[day]) for day in days if 0 < y[day].sum() < day.sum()]
    return float(np.mean(found)) if found else math.nan


def log_loss(y: np.ndarray, risk: np.ndarray) -> float:
    """Return the mean negative log likelihood in nats; risks are clipped to [1e-15, 1 - 1e-15]."""
    if not len(y):
        return math.nan
    p = np.clip(risk, 1e-15, 1 - 1e-15)
    return float(-np.mean(np.where(y == 1, np.log(p), np.log1p(-p))))


def brier(y: np.ndarray, risk: np.ndarray) -> float:
    """Return the mean squared difference between risk and label (Brier 1950)."""
    return float(np.mean((risk - y) ** 2)) if len(y) else math.nan


def expected_calibration_error(y: np.ndarray, risk: np.ndarray, bins: int = 10) -> float:
    """Return the mean |mean risk - churn rate| over quantile bins of the risk, weighted by rows.

    Equal risks share a bin, so a constant risk makes one bin (Naeini et al. 2015, with
    quantile bins).
    """
    if not len(y):
        return math.nan
    gap = np.bincount(calibration_bins(risk, bins), weights=risk - y)
    return float(np.abs(gap).sum() / len(y))


def calibration_bins(risk: np.ndarray, bins: int = 10) -> np.ndarray:
    """Return the quantile bin of each row's risk, from 0; equal risks share a bin."""
    if not len(risk):
        return np.empty(0, np.int64)
    return np.searchsorted(np.quantile(risk, np.linspace(0, 1, bins + 1))[1:-1], risk, side="left")


def precision_at(y: np.ndarray, risk: np.ndarray, k: int) -> float:
    """Return the share of churners among the k riskiest rows (all rows if there are fewer)."""
    k = min(k, len(y))
    if not k:
        return math.nan
    cut = np.partition(risk, len(risk) - k)[len(risk) - k]
    above, tied = risk > cut, risk == cut
    return float((y[above].sum() + (k - above.sum()) * y[tied].mean()) / k)


def precision_at_by_date(y: np.ndarray, risk: np.ndarray, dates: np.ndarray, k: int) -> float:
    """Return the precision among the k riskiest of each as_of_date, averaged over the dates.

    A retention team gets one list per day, so each day is judged by itself.
    """
    days = [dates == day for day in np.unique(dates)]
    return float(np.mean([precision_at(y[d], risk[d], k) for d in days])) if days else math.nan


def precision_top_decile(y: np.ndarray, risk: np.ndarray) -> float:
    """Return the share of churners among the riskiest tenth of the rows."""
    return precision_at(y, risk, math.ceil(len(y) / 10))


def lift_top_decile(y: np.ndarray, risk: np.ndarray) -> float:
    """Return the churn rate of the riskiest tenth of the rows over that of all rows."""
    return precision_top_decile(y, risk) / float(y.mean()) if y.any() else math.nan


def values(
    y: np.ndarray, risk: np.ndarray, dates: np.ndarray, campaign: Campaign | None = None
) -> dict[str, float]:
    """Return every metric of these rows; NaN if undefined.

    `expected_value`: money per row if every user at or above the campaign's threshold is contacted.
    """
    payoff = campaign.payoff(y, risk, campaign.threshold) if campaign else np.empty(0)
    metrics = (
        by_date(average_precision, y, risk, dates),
        by_date(roc_auc, y, risk, dates),
        average_precision(y, risk),
        roc_auc(y, risk),
        log_loss(y, risk),
        brier(y, risk),
        expected_calibration_error(y, risk),
        precision_at_by_date(y, risk, dates, 50),
        precision_at_by_date(y, risk, dates, campaign.top_k if campaign else 50),
        precision_top_decile(y, risk),
        lift_top_decile(y, risk),
        float(payoff.mean()) if len(payoff) else math.nan,
    )
    return dict(zip(METRICS, metrics, strict=True))
