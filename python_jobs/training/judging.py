"""Judging models: tables of their metrics with intervals, and what is chosen from them."""

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from python_jobs.publication.models import RULES
from python_jobs.training.bootstrap import Day, Interval, Resample, ranking_by_date, weights
from python_jobs.training.metrics import (
    METRICS,
    RANKING,
    Campaign,
    average_precision,
    by_date,
    calibration_bins,
    values,
)
from python_jobs.training.splits import HeldOut, Rows

COMPARED = ("average_precision_by_date", "roc_auc_by_date", "average_precision", "roc_auc")
FEWEST_USERS = 20
"""Fewest users of a slice."""


def judge(
    rows: Rows,
    held: HeldOut,
    candidates: Collection[str],
    *,
    campaign: Campaign | None = None,
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
    top_k = campaign.top_k if campaign else 50
    prepared = {
        cell: resample(y[m], held.risks[cell[0]][m], users[m], dates[m], n_users, campaign)
        for cell, m in cells.items()
        if m.any()
    }
    days = {
        (name, day, population): Day(y[m], risk[m], users[m], n_users, top_k)
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
        exact = values(y[m], held.risks[name][m], dates[m], campaign)
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
    campaign: Campaign | None = None,
) -> Resample:
    """Return these rows prepared for weights; see Resample."""
    return Resample(
        y,
        risk,
        users,
        dates,
        n_users=n_users,
        payoff=campaign.payoff(y, risk, campaign.threshold) if campaign else None,
        calibration_bin=calibration_bins(risk),
    )


def replicates(
    y: np.ndarray,
    risk: np.ndarray,
    users: np.ndarray,
    dates: np.ndarray,
    blocks: Iterable[np.ndarray],
    n_users: int,
    campaign: Campaign | None = None,
) -> dict[str, np.ndarray]:
    """Return every metric of these rows under each column of the blocks of user weights."""
    part = resample(y, risk, users, dates, n_users, campaign)
    top_k = campaign.top_k if campaign else 50
    which = [dates == day for day in part.days]
    days = [Day(y[of], risk[of], users[of], n_users, top_k) for of in which]
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
    eight values with most rows are shown, the others together as 'other'. Nothing is shown of fewer
    than FEWEST_USERS users, whom it could name, nor of an attribute that has a value of its own for
    every second user, such as an e-mail address.
    """
    who = rows.eligible[held.rows]
    users = rows.user_codes[held.rows][who]
    everybody = len(np.unique(users))
    y, dates = rows.y[held.rows][who], rows.dates[held.rows][who]
    risk = held.risks[model][who]
    measures: dict[str, dict[str, dict[str, Any]]] = {}
    for attribute, texts in rows.attributes.items():
        text = texts[held.rows][who].astype(str)
        names, counts = np.unique(text, return_counts=True)
        if 2 * len(names) > everybody > 1:
            continue
        by_rows = names[np.argsort(-counts, kind="stable")]
        kept = [name for name in by_rows if _has_many(users[text == name])][:8]
        if not kept:
            continue
        text = np.where(np.isin(text, kept), text, "other")
        measures[attribute] = {}
        others = "other" not in kept and _has_many(users[text == "other"])
        for value in [*kept, *(["other"] if others else [])]:
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


def _has_many(users: np.ndarray) -> bool:
    """Return whether rows of these users are of enough different ones to be shown."""
    return len(np.unique(users)) >= FEWEST_USERS
