"""The candidates that may become the model, and the rivals that they must beat."""

import re
from collections.abc import Callable, Sequence

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from python_jobs.errors import JobError

Factory = Callable[[int], ClassifierMixin]


class SignedLog(TransformerMixin, BaseEstimator):
    """Shrink skewed amounts to sign(x) * log(1 + |x|); fill and flag what is missing.

    Takes (rows, features) with NaN for missing and gives (rows, features + flags), float64: one
    flag, 0 or 1, for each feature that had a NaN in fit. A NaN becomes the feature's mean or
    its maximum in fit (`fill`, on the log scale), 0 if there was no value at all. python_jobs.
    onnx_model has the same computation as an ONNX graph.
    """

    def __init__(self, fill: str = "mean") -> None:
        self.fill = fill

    def fit(self, X: np.ndarray, y: object = None) -> "SignedLog":
        """Learn the fill values (`fill_`) and the flagged features (`flagged_`)."""
        logs = _signed_log(X)
        missing = np.isnan(logs)
        known = np.where(missing, 0.0 if self.fill == "mean" else -np.inf, logs)
        count = (~missing).sum(axis=0)
        best = known.sum(axis=0) / np.maximum(count, 1) if self.fill == "mean" else known.max(0)
        self.fill_ = np.where(count > 0, best, 0.0)
        self.flagged_ = np.flatnonzero(missing.any(axis=0))
        self.n_features_in_ = logs.shape[1]
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Apply the logs, the fill values and the flags."""
        check_is_fitted(self)
        logs = _signed_log(X)
        missing = np.isnan(logs)
        return np.hstack([np.where(missing, self.fill_, logs), missing[:, self.flagged_]])


def _signed_log(X: np.ndarray) -> np.ndarray:
    X = np.asarray(X, dtype=np.float64)
    return np.sign(X) * np.log1p(np.abs(X))


def _logistic(*first: BaseEstimator) -> ClassifierMixin:
    # Newton's method needs about ten passes where lbfgs needs hundreds on correlated windows.
    model = LogisticRegression(C=1.0, solver="newton-cholesky", max_iter=100)
    return make_pipeline(*first, StandardScaler(), model)


def _logistic_regression(seed: int) -> ClassifierMixin:
    return _logistic(SignedLog())


def _hist_gradient_boosting(seed: int) -> ClassifierMixin:
    return HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=120,
        max_leaf_nodes=8,
        min_samples_leaf=60,
        l2_regularization=10.0,
        early_stopping=False,
        random_state=seed,
    )


CANDIDATES: dict[str, Factory] = {
    "logistic_regression": _logistic_regression,
    "hist_gradient_boosting": _hist_gradient_boosting,
}
"""Name to a function of the seed; the first wins a tie. Class weights would break calibration."""


def rivals(features: Sequence[str]) -> dict[str, Factory]:
    """The simple rules that a candidate must beat, as estimators on the same matrix.

    prior_rate gives everybody the churn rate of the training rows. recency ranks by
    days_since_last_activity; a one-feature logistic regression turns days into a probability and
    keeps their order. rfm_logistic adds frequency (active days) and volume (events) of the
    longest window. Never seen active counts as the longest silence known.
    Raises JobError if there is no days_since_last_activity.
    """
    if "days_since_last_activity" not in features:
        raise JobError(
            "evaluation_set has no column days_since_last_activity, which the recency rival needs.",
            next_step="run `churnhouse build`, then train again.",
        )
    recency = ["days_since_last_activity"]
    windows = [_longest(features, prefix) for prefix in ("active_days", "events")]
    rfm = recency + [name for name in windows if name]

    def rule(names: list[str]) -> Factory:
        columns = [features.index(name) for name in names]
        pick = ColumnTransformer([("pick", "passthrough", columns)])
        return lambda seed: _logistic(pick, SignedLog(fill="max"))

    return {
        "prior_rate": lambda seed: DummyClassifier(strategy="prior"),
        "recency": rule(recency),
        "rfm_logistic": rule(rfm),
    }


def _longest(features: Sequence[str], prefix: str) -> str | None:
    days = [re.fullmatch(rf"{prefix}_(\d+)d", name) for name in features]
    found = {int(match[1]): match[0] for match in days if match}
    return found[max(found)] if found else None


def churn_risk(estimator: ClassifierMixin, X: np.ndarray) -> np.ndarray:
    """Probability of churn_label = 1 per row, float64; the class is looked up, not assumed."""
    return estimator.predict_proba(X)[:, list(estimator.classes_).index(1)]
