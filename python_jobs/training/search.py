"""Search and calibration: both use only the rows of a model's own training side.

A training side is split once more (`inner_splits`). Random parameters are tried on the inner
splits (Bergstra and Bengio 2012, "Random search for hyper-parameter optimization"). The best
trial's log-odds of the inner check rows, which it has not seen, determine the slope and intercept
of the calibration. Then the member is fitted on the whole side.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.base import ClassifierMixin

from python_jobs.training.estimators import CANDIDATES, MEMBERS, Blend, Member, platt
from python_jobs.training.splits import RollingOriginSplit, Rows

SEARCH_ROWS = 40_000
"""Rows for search and calibration. A larger side uses a sample of users with about this many."""

MAX_TRIALS = 30
ROWS_PER_TRIAL = 50
"""Rows of the smaller class per trial: with fewer rows, the best of many trials is chance."""

MIN_CHECKED = 10
"""Fewest check rows of each class. With fewer, there is no search and no calibration."""

Split = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Tuned:
    """Result of one member's search: its parameters, and its log-odds of the check rows."""

    parameters: dict[str, Any]
    logits: np.ndarray
    trials: list[dict[str, Any]]  # {parameters, log_loss} in the order tried
    was_cut: bool  # True if time ran out before all planned trials


def inner_splits(
    rows: Rows, known: np.ndarray, horizon_days: int, seed: int
) -> tuple[list[Split], str]:
    """Split the rows `known` of a training side into rows to fit and rows to check.

    Returns the splits and how they were made. 'later dates': check the newest dates, at most one
    horizon long, and fit the dates at least one horizon before them, if those are at least half
    of all dates. 'other users', for a shorter history: fit one half of the users and check the
    other, and vice versa; without the gap, later labels would overlap fitted labels in time.
    'nothing': too few rows of either class.
    """
    rng = np.random.default_rng(seed)
    draw = rng.random(rows.n_users)[rows.user_codes[known]]
    sample = known[draw < SEARCH_ROWS / len(known)]
    dates, users = rows.dates[sample], rows.user_codes[sample]
    periods = RollingOriginSplit(2, horizon_days=horizon_days).periods(dates)
    if periods and 2 * len(periods[-1].train_dates) >= len(np.unique(dates)):
        masks = [(np.isin(dates, periods[-1].train_dates), np.isin(dates, periods[-1].test_dates))]
        kind = "later dates"
    else:
        half = rng.permutation(rows.n_users)[users] % 2 == 0
        masks, kind = [(half, ~half), (~half, half)], "other users"
    splits = [(sample[fit], sample[check]) for fit, check in masks]
    enough = all(_smaller_class(rows.y[side]) >= MIN_CHECKED for split in splits for side in split)
    return (splits, kind) if enough else ([], "nothing")


def _smaller_class(y: np.ndarray) -> int:
    return int(min(y.sum(), len(y) - y.sum()))


def plan(splits: list[list[Split]], n_features: int, budget: float, workers: int) -> dict[str, int]:
    """Return how many trials of each member fit into a budget of wall seconds over all sides.

    The numbers are estimated from rows and features, not measured, so the same data give the same
    model on fast and slow machines. At least one trial, since calibration needs it.
    """
    work = sum(len(fit) + len(check) / 4 for side in splits for fit, check in side) * n_features
    fits = sum(map(len, splits))
    seconds = {
        name: (work * member.cost * 1e-9 + fits * member.overhead) / workers
        for name, member in MEMBERS.items()
    }
    return {
        name: int(np.clip(budget * member.share / seconds[name], 1, MAX_TRIALS)) if fits else 1
        for name, member in MEMBERS.items()
    }


def tune(
    rows: Rows,
    splits: list[Split],
    member: Member,
    *,
    trials: int,
    seed: int,
    is_late: Callable[[], bool],
) -> Tuned:
    """Try parameters on the inner splits; return those with the lowest log loss once calibrated.

    At most `trials`, fewer for few rows. The first trial uses the first value of every parameter.
    `is_late` is called before each further trial; True ends the search.
    """
    if not splits:
        return Tuned(_trial(member, 0, seed), np.empty(0), [], was_cut=False)
    y = np.concatenate([rows.y[check] for _, check in splits])
    best: tuple[float, dict[str, Any], np.ndarray] | None = None
    tried: list[dict[str, Any]] = []
    was_cut = False
    for number in range(min(trials, max(1, _smaller_class(y) // ROWS_PER_TRIAL))):
        if number and is_late():
            was_cut = True
            break
        parameters = _trial(member, number, seed)
        if parameters in [t["parameters"] for t in tried]:
            continue
        logits = np.concatenate(
            [
                member.fit(seed, rows.X[fit], rows.y[fit], **parameters).decision_function(
                    rows.X[check]
                )
                for fit, check in splits
            ]
        )
        loss = _calibrated_log_loss(logits, y)
        tried.append({"parameters": parameters, "log_loss": loss})
        if best is None or loss < best[0]:
            best = loss, parameters, logits
    assert best is not None  # the first trial always runs
    return Tuned(best[1], best[2], tried, was_cut)


def _trial(member: Member, number: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng([seed, number])
    return {
        name: options[rng.integers(len(options)) if number else 0]
        for name, options in member.space.items()
    }


def _calibrated_log_loss(logits: np.ndarray, y: np.ndarray) -> float:
    slope, intercept = platt(logits, y)
    p = np.clip(expit(slope * logits + intercept), 1e-15, 1 - 1e-15)
    return float(-np.where(y == 1, np.log(p), np.log1p(-p)).mean())


def blends(
    members: dict[str, ClassifierMixin], tuned: dict[str, Tuned], y: np.ndarray
) -> dict[str, Blend]:
    """Return each candidate: the mean of its members' log-odds, calibrated on the check rows.

    `y`: labels of the inner check rows. Without any, log-odds are not calibrated.
    """
    calibration = {
        name: platt(result.logits, y) if len(y) else (1.0, 0.0) for name, result in tuned.items()
    }
    return {
        name: Blend(
            members=[members[part] for part in parts],
            weights=[calibration[part][0] / len(parts) for part in parts],
            intercept=sum(calibration[part][1] for part in parts) / len(parts),
        )
        for name, parts in CANDIDATES.items()
    }
