"""Fitting: every model on every training side, in parallel, with the same bits on any machine."""

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from sklearn.base import ClassifierMixin
from threadpoolctl import threadpool_limits

from python_jobs.publication.models import RULES
from python_jobs.training.estimators import MEMBERS, Blend, Recipe, churn_risk
from python_jobs.training.search import Split, Tuned, blends, inner_splits, plan, tune
from python_jobs.training.splits import HeldOut, Rows, describe, usable_splits

WORKERS = min(4, os.cpu_count() or 1)
PLANNED_WORKERS = 2
"""Workers assumed by the search plan on every machine, for equal results; see search.plan."""

EMPTIED = "`sklearn.utils.parallel.delayed` should be used with"
"""Start of a wrong scikit-learn warning: it treats an empty list of filters as a missing one."""

PATIENCE = 4
"""A search stops when it has taken this many times its budget."""


@dataclass(frozen=True)
class Fitted:
    """The models fitted on one side, and the record of their search for the manifest."""

    models: dict[str, Blend]
    search: dict[str, Any]


def fit_and_hold_out(
    rows: Rows,
    baselines: Mapping[str, Recipe],
    *,
    horizon_days: int,
    seed: int,
    budget: float,
    say: Callable[[str], None],
) -> tuple[HeldOut, Fitted]:
    """Return every model's held-out risks, and candidates and rules fitted on all eligible rows.

    Without a usable fold nothing is held out.

    A fold's models learn, search and calibrate only on the eligible rows of its training side, and
    score all its test rows. `budget`: seconds for the searches of all sides together.
    """
    splits = usable_splits(rows, horizon_days)
    sides = [np.flatnonzero(rows.eligible), *(known for known, _ in splits)]
    inner = [inner_splits(rows, side, horizon_days, seed) for side in sides]
    trials = plan([i for i, _ in inner], rows.X.shape[1], budget, PLANNED_WORKERS)
    say(f"searching {', '.join(f'{n} x {name}' for name, n in trials.items())}")
    deadline = time.monotonic() + PATIENCE * max(budget, 1)

    def is_late() -> bool:
        return time.monotonic() > deadline

    with workers() as pool:
        candidates = [
            {
                name: pool.submit(_member, rows, side, i, name, trials[name], seed, is_late)
                for name in MEMBERS
            }
            for side, (i, _) in zip(sides, inner, strict=True)
        ]
        rules = [
            {n: pool.submit(_rule, rows, r, *split) for n, r in baselines.items()}
            for split in splits
        ]
        parts: dict[str, list[np.ndarray]] = {}
        folds = []
        for number, (known, test) in enumerate(splits, 1):
            fitted = _gather(rows, candidates[number], inner[number])
            risks = {n: pool.submit(churn_risk, m, rows.X[test]) for n, m in fitted[0].items()}
            for name, future in (risks | rules[number - 1]).items():
                parts.setdefault(name, []).append(future.result())
            folds.append(describe(rows, str(number), known, test))
            say(f"judged fold {number} of {len(splits)}: {folds[-1]['test_from']} and later")
        final = Fitted(*_gather(rows, candidates[0], inner[0]))
        everybody = rows.X[sides[0]], rows.y[sides[0]]
        final.models.update(
            {
                n: Blend([rule(*everybody)], [1.0], 0.0)
                for n, rule in baselines.items()
                if n in RULES
            }
        )
    tested = [test for _, test in splits]
    held = HeldOut(
        rows=np.concatenate([np.empty(0, np.int64), *tested]),
        fold=np.repeat(np.array([f["fold"] for f in folds], str), [len(t) for t in tested]),
        risks={
            name: np.concatenate([np.empty(0), *parts.get(name, [])])
            for name in (*final.models, *baselines)
        },
        folds=folds,
    )
    return held, final


def _gather(
    rows: Rows, futures: dict[str, Any], inner: tuple[list[Split], str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the candidates of one side, made from its members, and the record of its search."""
    splits, kind = inner
    done = {name: future.result() for name, future in futures.items()}
    tuned: dict[str, Tuned] = {name: result for name, (result, _) in done.items()}
    y = np.concatenate([rows.y[check] for _, check in splits]) if splits else np.empty(0)
    candidates = blends({name: model for name, (_, model) in done.items()}, tuned, y)
    search = {
        "checked_on": kind,
        "check_rows": len(y),
        "members": {
            name: {"parameters": t.parameters, "trials": t.trials, "was_cut": t.was_cut}
            for name, t in tuned.items()
        },
        "weights": {
            n: {"members": b.weights, "intercept": b.intercept} for n, b in candidates.items()
        },
    }
    return candidates, search


def _member(
    rows: Rows,
    side: np.ndarray,
    splits: list[Split],
    name: str,
    trials: int,
    seed: int,
    is_late: Callable[[], bool],
) -> tuple[Tuned, ClassifierMixin]:
    member = MEMBERS[name].without(rows.rare_values(side))
    tuned = tune(rows, splits, member, trials=trials, seed=seed, is_late=is_late)
    return tuned, member.fit(seed, rows.X[side], rows.y[side], **tuned.parameters)


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
