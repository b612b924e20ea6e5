"""Fitting: every model on every training side, in parallel, with the same bits on any machine."""

import os
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from sklearn.base import ClassifierMixin
from threadpoolctl import threadpool_limits

from python_jobs.publication.models import RULES
from python_jobs.training.estimators import CANDIDATES, MEMBERS, Blend, Recipe, churn_risk
from python_jobs.training.search import (
    Found,
    Split,
    blends,
    check_logits,
    inner_splits,
    plan,
    search,
)
from python_jobs.training.splits import HeldOut, Rows, describe, usable_splits

WORKERS = min(4, os.cpu_count() or 1)
EMPTIED = "`sklearn.utils.parallel.delayed` should be used with"
"""Start of a wrong scikit-learn warning: it treats an empty list of filters as a missing one."""


@dataclass(frozen=True)
class Fitted:
    """The models fitted on all eligible rows, and how they were made."""

    models: dict[str, Blend]
    search: dict[str, Found]
    checked_on: str
    check_rows: int


def fit_and_hold_out(
    rows: Rows,
    baselines: Mapping[str, Recipe],
    *,
    horizon_days: int,
    seed: int,
    budget: float,
    say: Callable[[str], None],
    champion: Mapping[str, Mapping[str, Any]] | None = None,
    candidates: Collection[str] = CANDIDATES,
) -> tuple[HeldOut, Fitted]:
    """Return every model's held-out risks, and candidates and rules fitted on all eligible rows.

    Without a usable fold nothing is held out.

    Parameters are searched on the training side of the oldest fold, which is part of every other
    side, and count for all sides: so the published model is made as the judged ones. `champion`:
    parameters by member that are tried early. A fold's models learn and calibrate only on the
    eligible rows of its training side, and score all its test rows. `budget`: of search.plan.
    """
    splits = usable_splits(rows, horizon_days)
    sides = [np.flatnonzero(rows.eligible), *(known for known, _ in splits)]
    inner = [inner_splits(rows, side, horizon_days, seed) for side in sides]
    oldest = 1 if splits else 0
    searched, rare = inner[oldest][0], rows.rare_values(sides[oldest])
    members = sorted({member for name in candidates for member in CANDIDATES[name]})
    trials = plan(rows, searched, budget)
    say(f"searching {', '.join(f'{trials[name]} x {name}' for name in members)}")
    with workers() as pool:
        found = {
            name: pool.submit(
                search, rows, searched, MEMBERS[name].without(rare),
                trials=trials[name], seed=seed, warm=(champion or {}).get(name),
            )
            for name in members
        }  # fmt: skip
        rules = [
            {n: pool.submit(_rule, rows, r, *split) for n, r in baselines.items()}
            for split in splits
        ]
        chosen = {name: future.result() for name, future in found.items()}
        fitting = [
            {
                name: pool.submit(
                    _member, rows, side, i, name, seed, chosen[name], number == oldest
                )
                for name in members
            }
            for number, (side, (i, _)) in enumerate(zip(sides, inner, strict=True))
        ]
        parts: dict[str, list[np.ndarray]] = {}
        folds = []
        for number, (known, test) in enumerate(splits, 1):
            fitted = _gather(rows, fitting[number], inner[number][0], candidates)
            risks = {n: pool.submit(churn_risk, m, rows.X[test]) for n, m in fitted.items()}
            for name, future in (risks | rules[number - 1]).items():
                parts.setdefault(name, []).append(future.result())
            folds.append(describe(rows, str(number), known, test))
            say(f"judged fold {number} of {len(splits)}: {folds[-1]['test_from']} and later")
        models = _gather(rows, fitting[0], inner[0][0], candidates)
        everybody = rows.X[sides[0]], rows.y[sides[0]]
        models |= {
            n: Blend([rule(*everybody)], [1.0], 0.0) for n, rule in baselines.items() if n in RULES
        }
    tested = [test for _, test in splits]
    held = HeldOut(
        rows=np.concatenate([np.empty(0, np.int64), *tested]),
        fold=np.repeat(np.array([f["fold"] for f in folds], str), [len(t) for t in tested]),
        risks={
            name: np.concatenate([np.empty(0), *parts.get(name, [])])
            for name in (*models, *(n for n in baselines if n not in models))
        },
        folds=folds,
    )
    check_rows = sum(len(check) for _, check in inner[0][0])
    return held, Fitted(models, chosen, inner[0][1], check_rows)


def _gather(
    rows: Rows, futures: dict[str, Any], splits: list[Split], candidates: Collection[str]
) -> dict[str, Blend]:
    """Return the candidates of one side, made from its members."""
    done = {name: future.result() for name, future in futures.items()}
    y = np.concatenate([rows.y[check] for _, check in splits]) if splits else np.empty(0)
    members = {name: model for name, (_, model) in done.items()}
    return blends(members, {name: logits for name, (logits, _) in done.items()}, y, candidates)


def _member(
    rows: Rows,
    side: np.ndarray,
    splits: list[Split],
    name: str,
    seed: int,
    found: Found,
    was_searched: bool,
) -> tuple[np.ndarray, ClassifierMixin]:
    """Return a member's log-odds of a side's check rows, and the member fitted on the side."""
    member = MEMBERS[name].without(rows.rare_values(side))
    logits = found.logits if was_searched else None
    if logits is None:
        logits = check_logits(rows, splits, member, seed, found.parameters)
    return logits, member.fit(seed, rows.X[side], rows.y[side], **found.parameters)


def _rule(rows: Rows, recipe: Recipe, known: np.ndarray, test: np.ndarray) -> np.ndarray:
    return churn_risk(recipe(rows.X[known], rows.y[known]), rows.X[test])


@contextmanager
def workers() -> Iterator[Executor]:
    """Yield a pool in which every fit runs on one thread.

    Sums over threads depend on their number; with one thread, the same data give the same bits on
    any number of cores. Boosting on several threads is also slow when the cores are busy.

    scikit-learn changes the process's warning filters in some fits, and parallel fits may mix
    them up. So warnings are collected and shown afterwards with the original filters, except the
    one about an empty list of filters, which is wrong.
    """
    kept: list[warnings.WarningMessage] = []
    try:
        with (
            warnings.catch_warnings(record=True) as kept,
            threadpool_limits(1, user_api="blas"),
            ThreadPoolExecutor(
                WORKERS, initializer=threadpool_limits, initargs=(1, "openmp")
            ) as pool,
        ):
            yield pool
    finally:
        _say(kept)


def _say(kept: list[warnings.WarningMessage]) -> None:
    """Show the collected warnings: once per line of code, and filters by module still apply."""
    modules: dict[str | None, str] = {}
    for name, module in list(sys.modules.items()):
        modules.setdefault(getattr(module, "__file__", None), name)
    said: dict[str, dict[Any, Any]] = {}
    for w in kept:
        if EMPTIED in str(w.message):
            continue
        warnings.warn_explicit(
            cast(Warning, w.message), w.category, w.filename, w.lineno,
            module=modules.get(w.filename), registry=said.setdefault(w.filename, {}),
        )  # fmt: skip
