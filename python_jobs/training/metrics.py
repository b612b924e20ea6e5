"""Metrics of a churn risk: functions of labels (0/1) and risks (0 to 1), one entry per row.

Results do not depend on the order of the rows: if a cut falls into a group of equal risks, the
group counts with its average. A metric that is undefined for the rows (one class only) is NaN.
Intervals: python_jobs.training.bootstrap.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from python_jobs.publication.models import RULES
from python_jobs.training.bootstrap import Day, Interval, Resample, ranking_by_date, weights
from python_jobs.training.splits import HeldOut, Rows

METRICS = (
    "average_precision_by_date",
    "roc_auc_by_date",
    "average_precision",
    "roc_auc",
    "log_loss",
    "brier",
    "expected_calibration_error",
    "precision_at_50",
    "precision_top_decile",
    "lift_top_decile",
    "expected_value",
)
RANKING = "average_precision_by_date"
"""The metric that chooses and promotes: a list is made on one date, so order within it counts."""
COMPARED = ("average_precision_by_date", "roc_auc_by_date", "average_precision", "roc_auc")


@dataclass(frozen=True)
class Costs:
    """Costs and value of a campaign, in one currency; see dbt_project.yml."""

    offer_cost: float
    save_rate: float
    user_value: float

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


def precision_at_50(y: np.ndarray, risk: np.ndarray, dates: np.ndarray) -> float:
    """Return the precision among the 50 riskiest of each as_of_date, averaged over the dates.

    A retention team gets one list per day, so each day is judged by itself.
    """
    days = [dates == day for day in np.unique(dates)]
    return float(np.mean([precision_at(y[d], risk[d], 50) for d in days])) if days else math.nan


def precision_top_decile(y: np.ndarray, risk: np.ndarray) -> float:
    """Return the share of churners among the riskiest tenth of the rows."""
    return precision_at(y, risk, math.ceil(len(y) / 10))


def lift_top_decile(y: np.ndarray, risk: np.ndarray) -> float:
    """Return the churn rate of the riskiest tenth of the rows over that of all rows."""
    return precision_top_decile(y, risk) / float(y.mean()) if y.any() else math.nan


def values(
    y: np.ndarray, risk: np.ndarray, dates: np.ndarray, costs: Costs | None = None
) -> dict[str, float]:
    """Return every metric of these rows; NaN if undefined.

    `expected_value`: money per row if every user at or above the costs' threshold is contacted.
    """
    money = costs.payoff(y, risk, costs.threshold) if costs and len(y) else np.array([math.nan])
    metrics = (
        by_date(average_precision, y, risk, dates),
        by_date(roc_auc, y, risk, dates),
        average_precision(y, risk),
        roc_auc(y, risk),
        log_loss(y, risk),
        brier(y, risk),
        expected_calibration_error(y, risk),
        precision_at_50(y, risk, dates),
        precision_top_decile(y, risk),
        lift_top_decile(y, risk),
        float(money.mean()),
    )
    return dict(zip(METRICS, metrics, strict=True))


def judge(
    rows: Rows,
    held: HeldOut,
    candidates: Collection[str],
    *,
    costs: Costs | None = None,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Return the metrics of each model: {model: {kind, folds, over}}.

    `folds`: {fold or "pooled": {"eligible" or "all": measures}}. Measures are rows, positives,
    base_rate and {metric: {value, low, high}}; an undefined value is None. "pooled" is the test
    rows of all folds together, each with the risk from its own fold. `over`: for each other model,
    the paired difference {metric: {value, low, high}} to it on pooled eligible rows.
    """
    y, dates, eligible = rows.y[held.rows], rows.dates[held.rows], rows.eligible[held.rows]
    users, n_users = rows.user_codes[held.rows], rows.n_users
    everybody = np.ones(len(y), dtype=bool)
    parts = {str(fold): held.fold == fold for fold in np.unique(held.fold)} | {"pooled": everybody}
    cells = {
        (name, fold, population): part & who
        for name in held.risks
        for fold, part in parts.items()
        for population, who in (("eligible", eligible), ("all", everybody))
    }
    prepared = {
        cell: resample(y[m], held.risks[cell[0]][m], users[m], dates[m], n_users, costs)
        for cell, m in cells.items()
        if m.any()
    }
    days = {
        (name, day, population): Day(y[m], risk[m], users[m], n_users)
        for name, risk in held.risks.items()
        for population, who in (("eligible", eligible), ("all", everybody))
        for day in np.unique(dates[who])
        for m in [np.flatnonzero((dates == day) & who)]
    }
    drawn: dict[tuple[str, str, str], list[dict[str, Any]]] = {cell: [] for cell in prepared}
    for block in weights(n_users, seed):
        daily = {key: day.all(block) for key, day in days.items()}
        for (name, fold, population), part in prepared.items():
            its_days = [daily[name, day, population] for day in part.days]
            drawn[name, fold, population].append(part.all(block, its_days))
    tables: dict[str, dict[str, Any]] = {}
    for (name, fold, population), m in cells.items():
        kind = "candidate" if name in candidates else "baseline"
        table = tables.setdefault(name, {"kind": kind, "folds": {}, "over": {}})
        exact = values(y[m], held.risks[name][m], dates[m], costs)
        blocks = drawn.get((name, fold, population), [])
        table["folds"].setdefault(fold, {})[population] = {
            "rows": int(m.sum()),
            "positives": int(y[m].sum()),
            "base_rate": float(y[m].mean()) if m.any() else None,
        } | {
            metric: asdict(Interval.of(value, _joined(blocks, metric)))
            for metric, value in exact.items()
        }
    for name, table in tables.items():
        for other in tables.keys() - {name}:
            table["over"][other] = _difference(tables, drawn, name, other)
        table["over"] = dict(sorted(table["over"].items()))
    return tables


def resample(
    y: np.ndarray,
    risk: np.ndarray,
    users: np.ndarray,
    dates: np.ndarray,
    n_users: int,
    costs: Costs | None = None,
) -> Resample:
    """Return these rows prepared for weights; see Resample."""
    return Resample(
        y,
        risk,
        users,
        dates,
        n_users=n_users,
        payoff=costs.payoff(y, risk, costs.threshold) if costs else None,
        calibration_bin=calibration_bins(risk),
    )


def replicates(
    y: np.ndarray,
    risk: np.ndarray,
    users: np.ndarray,
    dates: np.ndarray,
    blocks: Iterable[np.ndarray],
    n_users: int,
    costs: Costs | None = None,
) -> dict[str, np.ndarray]:
    """Return every metric of these rows under each column of the blocks of user weights."""
    part = resample(y, risk, users, dates, n_users, costs)
    which = [dates == day for day in part.days]
    days = [Day(y[of], risk[of], users[of], n_users) for of in which]
    drawn = [part.all(block, [day.all(block) for day in days]) for block in blocks]
    return {metric: _joined(drawn, metric) for metric in drawn[0]}


def _joined(blocks: list[dict[str, Any]], metric: str) -> np.ndarray:
    return np.concatenate([b[metric] for b in blocks if metric in b] or [np.empty(0)])


def _difference(
    tables: dict[str, dict[str, Any]],
    drawn: dict[tuple[str, str, str], list[dict[str, Any]]],
    name: str,
    other: str,
) -> dict[str, Any]:
    differences = {}
    for metric in COMPARED:
        ours, theirs = (
            tables[n]["folds"]["pooled"]["eligible"][metric]["value"] for n in (name, other)
        )
        replicates = [
            _joined(drawn.get((n, "pooled", "eligible"), []), metric) for n in (name, other)
        ]
        value = math.nan if ours is None or theirs is None else ours - theirs
        differences[metric] = asdict(Interval.of(value, replicates[0] - replicates[1]))
    return differences


def paired_difference(
    y: np.ndarray,
    ours: np.ndarray,
    theirs: np.ndarray,
    users: np.ndarray,
    dates: np.ndarray,
    seed: int,
) -> Interval:
    """Return one model's RANKING minus another's on the same rows, with its interval.

    `users` are codes from 0. Both models get the same replicates.
    """
    value = by_date(average_precision, y, ours, dates) - by_date(
        average_precision, y, theirs, dates
    )
    n_users = int(users.max()) + 1 if len(users) else 0
    days = [dates == day for day in np.unique(dates)]
    both = [
        [Day(y[day], risk[day], users[day], n_users) for day in days] for risk in (ours, theirs)
    ]
    blocks = [
        [ranking_by_date([day.ranking(block) for day in model])[RANKING] for model in both]
        for block in weights(n_users, seed)
    ]
    return Interval.of(value, np.concatenate([a - b for a, b in blocks]))


def pooled(tables: dict[str, dict[str, Any]], model: str) -> dict[str, float | None]:
    """Return the pooled metrics of a model on eligible users, and their base_rate.

    One that the model's release did not know yet is None.
    """
    measures = tables[model]["folds"]["pooled"]["eligible"]
    return {name: measures.get(name, {}).get("value") for name in METRICS} | {
        "base_rate": measures["base_rate"]
    }


def best_model(tables: dict[str, dict[str, Any]]) -> str | None:
    """Return the candidate or rule that ranks eligible users best within dates, by RANKING.

    A rule wins a tie with a candidate, and the first of several equal ones wins. None if no model
    could be measured.
    """
    names = [name for name in RULES if name in tables]
    names += [name for name, table in tables.items() if not is_baseline(table)]
    found = {name: pooled(tables, name)[RANKING] for name in names}
    measured = {name: value for name, value in found.items() if value is not None}
    return max(measured, key=lambda name: measured[name], default=None)


def is_baseline(table: dict[str, Any]) -> bool:
    """Return True if a model is a baseline; release 0.1.0 wrote the kind "rival"."""
    return table["kind"] in ("baseline", "rival")


def metric_rows(tables: dict[str, dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    """Yield (model, fold, population, metric, value, low, high, rows) for each metric."""
    for model, table in tables.items():
        for fold, populations in table["folds"].items():
            for population, measures in populations.items():
                for metric in [name for name in METRICS if name in measures]:
                    interval = measures[metric]
                    yield (model, fold, population, metric, *interval.values(), measures["rows"])


def levels(rows: Rows, held: HeldOut, model: str) -> list[dict[str, Any]]:
    """Return expected and realised churn of eligible users on each test date, oldest first.

    Each is {as_of_date, fold, rows, mean_risk, base_rate}; the risk is that of the date's fold.
    """
    eligible = rows.eligible[held.rows]
    dates = rows.dates[held.rows]
    found = []
    for day in np.unique(dates[eligible]):
        part = np.flatnonzero((dates == day) & eligible)
        found.append(
            {
                "as_of_date": str(day),
                "fold": str(held.fold[part[0]]),
                "rows": len(part),
                "mean_risk": float(held.risks[model][part].mean()),
                "base_rate": float(rows.y[held.rows][part].mean()),
            }
        )
    return found


def slices(rows: Rows, held: HeldOut, model: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Return one model's pooled metrics for each kind of eligible user.

    {attribute: {value: measures}}; measures are numbers, among them base_rate and mean_risk. The
    eight values with most rows are shown, the others together as 'other'.
    """
    who = rows.eligible[held.rows]
    y, dates = rows.y[held.rows][who], rows.dates[held.rows][who]
    risk = held.risks[model][who]
    measures: dict[str, dict[str, dict[str, Any]]] = {}
    for attribute, texts in rows.attributes.items():
        text = texts[held.rows][who].astype(str)
        names, counts = np.unique(text, return_counts=True)
        kept = names[np.argsort(-counts, kind="stable")[:8]]
        text = np.where(np.isin(text, kept), text, "other")
        measures[attribute] = {}
        for value in [*kept, *(["other"] if len(names) > len(kept) else [])]:
            part = text == value
            numbers = values(y[part], risk[part], dates[part])
            measures[attribute][str(value)] = {
                "rows": int(part.sum()),
                "base_rate": float(y[part].mean()),
                "mean_risk": float(risk[part].mean()),
            } | {
                name: None if math.isnan(numbers[name]) else numbers[name]
                for name in ("average_precision", "roc_auc", "expected_calibration_error")
            }
    return measures
