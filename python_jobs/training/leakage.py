"""The leakage check: a feature that predicts too well was probably made from future data."""

import numpy as np
from scipy.stats import rankdata

from python_jobs.errors import JobError
from python_jobs.training.splits import Rows

MAX_AUC = 0.995
"""Largest plausible ROC AUC of one feature. Recency, the strongest, reaches 0.94 to 0.98."""

MAX_AUC_WITHIN = 0.95
"""Largest plausible ROC AUC among users of equal silence, where features reach about 0.8."""

LEAST_USERS = 30
"""Fewer users of a class reach such values by chance, and are not checked."""

MAX_ROWS = 50_000
STRATA = 10


def check_leaks(rows: Rows, names: list[str]) -> None:
    """Raise JobError, naming the feature, if one feature alone predicts the label too well.

    Checks ROC AUC in either direction on eligible rows, missing values lowest: over all rows, and
    within strata of equal silence (days_since_last_activity). Within a stratum only a feature
    that uses future days still predicts well. An attribute is judged as a whole, by the churn rate
    of its values. `names`: the features.
    """
    known = np.flatnonzero(rows.eligible)
    users = rows.user_codes[known]
    if any(len(np.unique(users[rows.y[known] == label])) < LEAST_USERS for label in (0, 1)):
        return
    known = known[:: max(1, len(known) // MAX_ROWS)]
    y = rows.y[known]
    X = _one_column_each(rows, known)
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
                next_step="make it from days up to as_of_date only, or leave an attribute out of "
                "model_attributes; build, then train again.",
            )


def _one_column_each(rows: Rows, known: np.ndarray) -> np.ndarray:
    """Return the rows with one column for each feature; that of an attribute is its churn rate."""
    X, y = rows.X[known], rows.y[known]
    first = min((columns.start for columns in rows.attribute_columns.values()), default=X.shape[1])
    rates = []
    for columns in rows.attribute_columns.values():
        value = (X[:, columns] @ np.arange(1, len(columns) + 1)).astype(int)
        rate = np.bincount(value, y) / np.maximum(np.bincount(value), 1)
        rates.append(rate[value])
    return np.column_stack([X[:, :first], *rates])


def single_feature_auc(X: np.ndarray, y: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the ROC AUC of each column, in its better direction, over pairs within a group.

    0.5 if no group has both classes.
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
