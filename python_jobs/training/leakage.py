"""The leakage canary: a feature that knows too much was made from the future."""

import numpy as np
from scipy.stats import rankdata

from python_jobs.errors import JobError
from python_jobs.training.splits import Rows

MAX_AUC = 0.995
"""No honest feature ranks churners so well. Recency, the strongest, reaches 0.94 to 0.98."""

MAX_AUC_WITHIN = 0.95
"""Among users who have been silent equally long, honest features reach about 0.8."""

MAX_ROWS = 50_000
STRATA = 10


def check_leaks(rows: Rows, names: list[str]) -> None:
    """Raise JobError, naming the feature, if one alone tells the label implausibly well.

    Over eligible rows, either way round, missing values lowest: on all of them, and within strata
    of equal silence (days_since_last_activity), where a feature that peeks at the days to come
    still tells and one that only knows the past hardly does.
    """
    known = np.flatnonzero(rows.eligible)
    known = known[:: max(1, len(known) // MAX_ROWS)]
    X, y = rows.X[known], rows.y[known]
    silence = np.nan_to_num(X[:, names.index("days_since_last_activity")], nan=np.inf)
    strata = np.searchsorted(np.quantile(silence, np.linspace(0, 1, STRATA + 1))[1:-1], silence)
    for scope, groups, limit in (
        ("", np.zeros(len(y), int), MAX_AUC),
        (" among users of equal silence", strata, MAX_AUC_WITHIN),
    ):
        auc = single_feature_auc(X, y, groups)
        worst = int(np.argmax(auc))
        if auc[worst] > limit:
            raise JobError(
                f"The feature {names[worst]} tells churners from stayers with ROC AUC "
                f"{auc[worst]:.3f}{scope}, more than the past can know: it looks into the future.",
                next_step="make it from days up to as_of_date only, build, then train again.",
            )


def single_feature_auc(X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """ROC AUC of each column, the better way round, over pairs of rows within a group.

    0.5 where no group has both classes.
    """
    values = np.where(np.isnan(X), -np.inf, X)
    wins, pairs = np.zeros(X.shape[1]), 0
    for group in np.unique(groups):
        member = groups == group
        churned = y[member] == 1
        churners, stayers = int(churned.sum()), int((~churned).sum())
        if churners and stayers:
            ranks = rankdata(values[member], axis=0)[churned].sum(axis=0)
            wins += ranks - churners * (churners + 1) / 2
            pairs += churners * stayers
    auc = wins / pairs if pairs else np.full(X.shape[1], 0.5)
    return np.maximum(auc, 1 - auc)
