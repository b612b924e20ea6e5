"""Search and calibration: both use only the rows of a model's own training side.

A training side is split once more (`inner_splits`). Random parameters are tried on the inner
splits (Bergstra and Bengio 2012, "Random search for hyper-parameter optimization"), all of them on
few rows and the best on more (Jamieson and Talwalkar 2016, "Non-stochastic best arm
identification"). The chosen trial's log-odds of the inner check rows, which it has not seen,
determine the slope and intercept of the calibration. Then the member is fitted on the whole side.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin

from python_jobs.training.estimators import CANDIDATES, MEMBERS, Blend, Member, platt
from python_jobs.training.splits import Rows

SEARCH_ROWS = 40_000
"""Rows for search and calibration. A larger side uses a sample of users with about this many."""

SPLIT_TWICE_ROWS = 20_000
"""Up to this many rows, each half of the users is checked by the other."""

TRIAL_ROWS = SEARCH_ROWS // 3
"""Rows that a trial is fitted on in the largest search, the mean over all trials and rungs."""

MAX_TRIALS = 30
ROWS_PER_TRIAL = 15
"""Rows of the smaller class per trial: with fewer rows, the best of many trials is chance."""

SHARES = (1 / 9, 1 / 3)
"""Shares of the users that all trials, and the best third of them, are fitted on first."""

LEAST_ROWS = 1000
"""Fewest rows to fit in such a share, and to check: with fewer, a fit is hardly faster."""

CHECKED_HORIZONS = 12
"""Horizons of later dates that calibrate: churn moves with the season, a month's level does not
last."""

MIN_CHECKED = 10
"""Fewest check rows of each class. With fewer, there is no search and no calibration."""

Split = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Found:
    """The result of one member's search."""

    parameters: dict[str, Any]
    trials: list[dict[str, Any]]  # {parameters, rows, log_loss} in the order tried
    logits: np.ndarray | None  # of the check rows; None if there was nothing to choose


def inner_splits(
    rows: Rows, known: np.ndarray, horizon_days: int, seed: int
) -> tuple[list[Split], str]:
    """Split the rows `known` of a training side into rows to fit and rows to check.

    Returns the splits and how they were made. 'later dates': check the newest dates, at most
    CHECKED_HORIZONS, and fit the dates at least one horizon before them, which must be at least
    half of all dates. 'other users', for a shorter history: fit one half of the users and check
    the other, and vice versa if rows are few; without the gap, later labels would overlap fitted
    labels in time. 'nothing': too few rows of either class.
    """
    rng = np.random.default_rng(seed)
    draw = rng.random(rows.n_users)[rows.user_codes[known]]
    sample = known[draw < SEARCH_ROWS / len(known)]
    dates, users = rows.dates[sample], rows.user_codes[sample]
    if later := _later_dates(dates, horizon_days):
        masks, kind = [later], "later dates"
    else:
        half = rng.permutation(rows.n_users)[users] % 2 == 0
        masks, kind = [(half, ~half), (~half, half)], "other users"
        if len(sample) > SPLIT_TWICE_ROWS:
            masks = masks[:1]
    splits = [(sample[fit], sample[check]) for fit, check in masks]
    enough = all(_smaller_class(rows.y[side]) >= MIN_CHECKED for split in splits for side in split)
    return (splits, kind) if enough else ([], "nothing")


def _later_dates(dates: np.ndarray, horizon_days: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return which rows to fit and to check; None if half of the dates are too few to fit."""
    days, horizon = np.unique(dates), np.timedelta64(horizon_days, "D")
    for count in range(CHECKED_HORIZONS, 0, -1):
        first = days[days > days[-1] - count * horizon][0]
        fitted = days <= first - horizon
        if 2 * fitted.sum() >= len(days):
            return dates <= first - horizon, dates >= first
    return None


def _smaller_class(y: np.ndarray) -> int:
    return int(min(y.sum(), len(y) - y.sum()))


def plan(rows: Rows, splits: list[Split], budget: float) -> dict[str, int]:
    """Return how many trials of each member fit into a budget of seconds, on one core each.

    Estimated from the number of features, for the largest search, and not measured: the same data
    give the same model on fast and slow machines. At least one trial, and at most one for
    ROWS_PER_TRIAL check rows of the smaller class.
    """
    if not splits:
        return dict.fromkeys(MEMBERS, 1)
    checked = _smaller_class(np.concatenate([rows.y[check] for _, check in splits]))
    most = max(1, min(MAX_TRIALS, checked // ROWS_PER_TRIAL))
    work = TRIAL_ROWS * rows.X.shape[1] * 1e-9
    trials = {}
    for name, member in MEMBERS.items():
        different = math.prod(len(options) for options in member.space.values())
        affordable = budget / (work * member.cost + 2 * member.overhead)
        trials[name] = int(np.clip(affordable, 1, min(most, different)))
    return trials


def _rungs(rows: Rows, splits: list[Split], seed: int) -> list[list[Split]]:
    """Return the splits that all trials are fitted on, then the best third, and so on."""
    draw = np.random.default_rng(seed).random(rows.n_users)
    smaller: list[list[Split]] = []
    for share in SHARES:
        fit, check = (
            part[draw[rows.user_codes[part]] < max(share, least / len(part))]
            for part, least in zip(splits[0], (0, LEAST_ROWS), strict=True)
        )
        if len(fit) >= LEAST_ROWS and _smaller_class(rows.y[fit]) >= MIN_CHECKED:
            smaller.append([(fit, check)])
    if not smaller and len(splits) > 1:
        smaller = [splits[:1]]
    return [*smaller, splits]


def search(
    rows: Rows,
    splits: list[Split],
    member: Member,
    *,
    trials: int,
    seed: int,
    warm: Mapping[str, Any] | None = None,
) -> Found:
    """Try parameters on the inner splits; return the best by log loss once calibrated.

    The first trial is the default, the first value of every parameter, and the second is `warm`.
    A third of the trials survives each rung, and the default always does. Another trial replaces
    it only if it is better by more than a standard error of the difference.
    """
    tried = _trials(member, trials, seed, warm)
    record: list[dict[str, Any]] = []
    if not splits or len(tried) == 1:
        return Found(tried[0], record, None)
    left, result = tried, Found(tried[0], record, None)
    for number, rung in enumerate(_rungs(rows, splits, seed), 1):
        y = np.concatenate([rows.y[check] for _, check in rung])
        users = np.concatenate([rows.user_codes[check] for _, check in rung])
        fitted = sum(len(fit) for fit, _ in rung)
        logits = [check_logits(rows, rung, member, seed, parameters) for parameters in left]
        losses = [_losses(values, y) for values in logits]
        means = [float(loss.mean()) for loss in losses]
        record += [
            {"parameters": p, "rows": fitted, "log_loss": mean}
            for p, mean in zip(left, means, strict=True)
        ]
        best = int(np.argmin(means))
        chosen = best if _is_beyond_chance(losses[0] - losses[best], users) else 0
        result = Found(left[chosen], record, logits[chosen])
        order = sorted(range(1, len(left)), key=lambda n: means[n])
        kept = order[: max(1, math.ceil(len(tried) / 3**number) - 1)]
        left = [left[0], *(left[n] for n in sorted(kept))]
    return result


def _is_beyond_chance(gains: np.ndarray, users: np.ndarray) -> bool:
    """Return True if the mean gain per row is above its standard error, rows by user."""
    by_user = np.bincount(users, gains - gains.mean())
    return bool(gains.sum() > np.sqrt(by_user @ by_user))


def check_logits(
    rows: Rows, splits: list[Split], member: Member, seed: int, parameters: Mapping[str, Any]
) -> np.ndarray:
    """Return log-odds of the check rows, each from a fit on the other rows of its split."""
    return np.concatenate(
        [
            member.fit(seed, rows.X[fit], rows.y[fit], **parameters).decision_function(
                rows.X[check]
            )
            for fit, check in splits
        ]
        or [np.empty(0)]
    )


def _trials(
    member: Member, count: int, seed: int, warm: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """Return different parameters: the default, then `warm` if it is usable, then random ones."""
    everything = [
        dict(zip(member.space, values, strict=True)) for values in product(*member.space.values())
    ]
    rest = 1 + np.random.default_rng(seed).permutation(len(everything) - 1)
    tried = [everything[0]]
    if warm and _is_near(member, warm):
        tried.append(dict(warm))
    tried += [everything[n] for n in rest]
    return [p for n, p in enumerate(tried) if p not in tried[:n]][:count]


def _is_near(member: Member, parameters: Mapping[str, Any]) -> bool:
    """Return True if an earlier release's parameters are within the bounds of the space."""
    return parameters.keys() == member.space.keys() and all(
        min(options) <= parameters[name] <= max(options) for name, options in member.space.items()
    )


def _losses(logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the log loss of each row once calibrated."""
    slope, intercept = platt(logits, y)
    calibrated = slope * logits + intercept
    losses: np.ndarray = np.logaddexp(0, calibrated) - y * calibrated
    return losses


def blends(
    members: Mapping[str, ClassifierMixin],
    logits: Mapping[str, np.ndarray],
    y: np.ndarray,
    candidates: Collection[str] = CANDIDATES,
) -> dict[str, Blend]:
    """Return each candidate: the mean of its members' log-odds, calibrated on the check rows.

    `logits`: each member's log-odds of the inner check rows, `y` their labels. Without any row,
    log-odds are not calibrated.
    """
    calibration = {
        name: platt(values, y) if len(y) else (1.0, 0.0) for name, values in logits.items()
    }
    return {
        name: Blend(
            members=[members[part] for part in parts],
            weights=[calibration[part][0] / len(parts) for part in parts],
            intercept=sum(calibration[part][1] for part in parts) / len(parts),
        )
        for name, parts in ((name, CANDIDATES[name]) for name in candidates)
    }
