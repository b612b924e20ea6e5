"""Search and calibration: everything a model chooses, it chooses inside its own training side.

A training side is split once more (`inner_splits`). Random parameters are tried on the inner
splits (Bergstra and Bengio 2012, "Random search for hyper-parameter optimization"), and the
log-odds that the best trial gave to the inner check rows, which it had not seen, set the slope and
the intercept that calibrate it. Then the member is fitted on the whole side.
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
"""A larger side is searched and calibrated on whole users, drawn until about so many rows."""

MAX_TRIALS = 30
ROWS_PER_TRIAL = 50
"""A side tries one set of parameters for so many rows of its smaller class: with fewer, more trials
would only choose by chance."""

MIN_CHECKED = 10
"""Rows of each class among the check rows below which nothing is searched or calibrated."""

Split = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Tuned:
    """What the search found for one member: its parameters, and log-odds of the check rows."""

    parameters: dict[str, Any]
    logits: np.ndarray
    trials: list[dict[str, Any]]  # {parameters, log_loss} in the order tried
    was_cut: bool  # whether the clock, not the plan, ended the search


def inner_splits(
    rows: Rows, known: np.ndarray, horizon_days: int, seed: int
) -> tuple[list[Split], str]:
    """Split the rows `known` of a training side into rows to fit and later rows to check.

    'later dates': the newest dates, at most one horizon of them, check what the dates at least one
    horizon before them teach, if at least half of the side's dates are left to teach. A shorter
    history gives 'other users': two halves of the users check each other on the same dates,
    because a later slice without the gap would check on labels that overlap those it learned.
    'nothing' if there are too few rows of either class.
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
    """How many trials of each member fit into a budget of wall seconds over all sides.

    It is reckoned from the numbers of rows and features and not measured, so that the same data
    give the same model on a fast and on a slow machine. At least one trial: it calibrates.
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
    """Try parameters on the inner splits; the lowest log loss after calibration wins.

    At most `trials`, fewer where there are few rows. The first has the first value of every
    parameter. `is_late` is asked before each further one and ends the search where it says so.
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
    """Each candidate: the mean of its members' log-odds, each calibrated on the inner check rows.

    `y` are the labels of these rows; without any, log-odds stay as they are.
    """
    calibration = {
        name: platt(found.logits, y) if len(y) else (1.0, 0.0) for name, found in tuned.items()
    }
    return {
        name: Blend(
            members=[members[part] for part in parts],
            weights=[calibration[part][0] / len(parts) for part in parts],
            intercept=sum(calibration[part][1] for part in parts) / len(parts),
        )
        for name, parts in CANDIDATES.items()
    }
