"""How good a churn risk is: plain functions of labels (0/1) and risks (0 to 1), one row each.

Ties are never broken by row order: where a cut falls into a group of equal risks, the group
counts with its average. So no number here depends on the order of the rows. A metric that the
rows cannot define (one class only) is NaN.
"""

import math
from collections.abc import Callable, Collection, Iterator

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from python_jobs.folds import HeldOut, Rows


def average_precision(y: np.ndarray, risk: np.ndarray) -> float:
    """Mean precision over the recall steps (scikit-learn's average_precision_score)."""
    return float(average_precision_score(y, risk)) if y.any() else math.nan


def roc_auc(y: np.ndarray, risk: np.ndarray) -> float:
    """Chance that a churner is ranked above a stayer; ties count half."""
    return float(roc_auc_score(y, risk)) if 0 < y.sum() < len(y) else math.nan


def log_loss(y: np.ndarray, risk: np.ndarray) -> float:
    """Mean negative log likelihood in nats; risks are clipped to [1e-15, 1 - 1e-15]."""
    if not len(y):
        return math.nan
    p = np.clip(risk, 1e-15, 1 - 1e-15)
    return float(-np.mean(np.where(y == 1, np.log(p), np.log1p(-p))))


def brier(y: np.ndarray, risk: np.ndarray) -> float:
    """Mean squared difference between risk and label (Brier 1950)."""
    return float(np.mean((risk - y) ** 2)) if len(y) else math.nan


def expected_calibration_error(y: np.ndarray, risk: np.ndarray, bins: int = 10) -> float:
    """Mean |mean risk - churn rate| over quantile bins of the risk, weighted by rows.

    Equal risks share a bin, so a constant risk makes one bin (Naeini et al. 2015, with
    quantile bins).
    """
    if not len(y):
        return math.nan
    edges = np.quantile(risk, np.linspace(0, 1, bins + 1))[1:-1]
    bin_of = np.searchsorted(edges, risk, side="left")
    gap = np.bincount(bin_of, weights=risk - y)
    return float(np.abs(gap).sum() / len(y))


def precision_at(y: np.ndarray, risk: np.ndarray, k: int) -> float:
    """Share of churners among the k riskiest rows (all rows if there are fewer)."""
    k = min(k, len(y))
    if not k:
        return math.nan
    cut = np.partition(risk, len(risk) - k)[len(risk) - k]
    above, tied = risk > cut, risk == cut
    return float((y[above].sum() + (k - above.sum()) * y[tied].mean()) / k)


def precision_at_50(y: np.ndarray, risk: np.ndarray, dates: np.ndarray) -> float:
    """Precision among the 50 riskiest of each as_of_date, averaged over the dates.

    The list that a retention team gets is one day's list, so it is judged by the day.
    """
    days = [dates == day for day in np.unique(dates)]
    return float(np.mean([precision_at(y[d], risk[d], 50) for d in days])) if days else math.nan


def lift_top_decile(y: np.ndarray, risk: np.ndarray) -> float:
    """Churn rate of the riskiest tenth of the rows over the churn rate of all rows."""
    return precision_at(y, risk, math.ceil(len(y) / 10)) / float(y.mean()) if y.any() else math.nan


METRICS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], float]] = {
    "average_precision": lambda y, risk, dates: average_precision(y, risk),
    "roc_auc": lambda y, risk, dates: roc_auc(y, risk),
    "log_loss": lambda y, risk, dates: log_loss(y, risk),
    "brier": lambda y, risk, dates: brier(y, risk),
    "expected_calibration_error": lambda y, risk, dates: expected_calibration_error(y, risk),
    "precision_at_50": precision_at_50,
    "lift_top_decile": lambda y, risk, dates: lift_top_decile(y, risk),
}


def measure(y: np.ndarray, risk: np.ndarray, dates: np.ndarray) -> dict:
    """Every metric of these rows as {value, low, high}, and rows, positives and base_rate.

    An undefined value is None, as in JSON and SQL. low and high are None: no interval yet.
    """
    counts = {"rows": len(y), "positives": int(y.sum())}
    rate = {"base_rate": _none_if_nan(float(y.mean()) if len(y) else math.nan)}
    values = {name: _none_if_nan(metric(y, risk, dates)) for name, metric in METRICS.items()}
    return counts | rate | {n: {"value": v, "low": None, "high": None} for n, v in values.items()}


def _none_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else value


def judge(rows: Rows, held: HeldOut, candidates: Collection[str]) -> dict[str, dict]:
    """For each model {kind, folds: {fold or "pooled": {"eligible" or "all": measures}}}.

    Pooled are the test rows of all folds together, each with the risk from its own fold.
    """
    y, dates, eligible = rows.y[held.rows], rows.dates[held.rows], rows.eligible[held.rows]
    everybody = np.ones(len(y), dtype=bool)
    parts = {str(fold): held.fold == fold for fold in np.unique(held.fold)} | {"pooled": everybody}
    populations = {"eligible": eligible, "all": everybody}
    return {
        name: {
            "kind": "candidate" if name in candidates else "rival",
            "folds": {
                fold: {
                    population: measure(y[part & who], risk[part & who], dates[part & who])
                    for population, who in populations.items()
                }
                for fold, part in parts.items()
            },
        }
        for name, risk in held.risks.items()
    }


def pooled(tables: dict[str, dict], model: str) -> dict[str, float | None]:
    """The pooled metrics of a model on eligible users, and their base_rate."""
    measures = tables[model]["folds"]["pooled"]["eligible"]
    return {name: measures[name]["value"] for name in METRICS} | {
        "base_rate": measures["base_rate"]
    }


def best_candidate(tables: dict[str, dict]) -> str:
    """The candidate with the highest pooled average precision on eligible users; first at a tie."""
    names = [name for name, table in tables.items() if table["kind"] == "candidate"]
    return max(names, key=lambda name: pooled(tables, name)["average_precision"] or 0.0)


def metric_rows(tables: dict[str, dict]) -> Iterator[tuple]:
    """The tables as (model, fold, population, metric, value, low, high, rows), one a metric."""
    for model, table in tables.items():
        for fold, populations in table["folds"].items():
            for population, measures in populations.items():
                for metric in METRICS:
                    interval = measures[metric]
                    yield (model, fold, population, metric, *interval.values(), measures["rows"])
