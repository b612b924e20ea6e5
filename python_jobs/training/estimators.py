"""The candidate models, and the simple rules beside them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from python_jobs.errors import JobError
from python_jobs.publication.feature_facts import FeatureFact
from python_jobs.publication.models import RULES
from python_jobs.training.feature_facts import ACTIVITY

Recipe = Callable[[np.ndarray, np.ndarray], ClassifierMixin]
"""Return a model fitted on a matrix and its labels."""


class SignedLog(TransformerMixin, BaseEstimator):
    """Shrink skewed amounts to sign(x) * log(1 + |x|); fill and flag what is missing.

    Takes (rows, features) with NaN for missing and returns (rows, features + flags), float64: one
    flag, 0 or 1, for each feature that had a NaN in fit. A NaN becomes the feature's mean or
    maximum in fit (`fill`, on the log scale), 0 if there was no value at all.
    onnx_export.register_signed_log has the same computation as an ONNX graph.
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
        """Return the logs with missing values filled, followed by the flags."""
        check_is_fitted(self)
        logs = _signed_log(X)
        missing = np.isnan(logs)
        return np.hstack([np.where(missing, self.fill_, logs), missing[:, self.flagged_]])


def _signed_log(X: np.ndarray) -> np.ndarray:
    X = np.asarray(X, dtype=np.float64)
    logs: np.ndarray = np.sign(X) * np.log1p(np.abs(X))
    return logs


class Blend(ClassifierMixin, BaseEstimator):
    """Combine fitted members: sigmoid(intercept + sum of weight * member's log-odds).

    With one member this is Platt scaling (Platt 1999, "Probabilistic outputs for support vector
    machines"), with several a weighted mean of calibrated log-odds. Since log-odds are summed, the
    model converts to ONNX exactly and the contributions of its features add up.
    """

    def __init__(
        self, members: Sequence[ClassifierMixin], weights: Sequence[float], intercept: float
    ) -> None:
        self.members = members
        self.weights = weights
        self.intercept = intercept

    @property
    def classes_(self) -> np.ndarray:
        """Return the labels, in the order of predict_proba's columns."""
        return np.array([0, 1])

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        """Return the calibrated log-odds of each row, (rows,)."""
        logits = [member.decision_function(X) for member in self.members]
        blended: np.ndarray = np.column_stack(logits) @ np.asarray(self.weights)
        return self.intercept + blended

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return the probabilities of labels 0 and 1, (rows, 2)."""
        risk = expit(self.decision_function(X))
        return np.column_stack([1 - risk, risk])


def platt(logits: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return the slope (not below 0) and intercept of log-odds with the lowest log loss.

    A ridge of one unit around slope 1 keeps the slope finite if rows are few or separable.
    """

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        z = w[0] * logits + w[1]
        gap = expit(z) - y
        value = np.logaddexp(0, z).sum() - z @ y + 0.5 * (w[0] - 1) ** 2
        return value, np.array([logits @ gap + w[0] - 1, gap.sum()])

    bounds = [(0, None), (None, None)]
    slope, intercept = minimize(loss, [1.0, 0.0], jac=True, bounds=bounds, method="L-BFGS-B").x
    return float(slope), float(intercept)


def _logistic(*first: BaseEstimator, C: float = 1.0) -> ClassifierMixin:
    # On correlated windows, Newton's method needs about ten passes and lbfgs hundreds.
    model = LogisticRegression(C=C, solver="newton-cholesky", max_iter=100)
    return make_pipeline(*first, StandardScaler(), model)


def _boosting(seed: int, **parameters: float) -> ClassifierMixin:
    return HistGradientBoostingClassifier(early_stopping=False, random_state=seed, **parameters)


@dataclass(frozen=True)
class Member:
    """A kind of model: how to make it from a seed and parameters, and which values to try.

    The first trial uses the first value of each list. `cost`: nanoseconds of a fit per row and
    feature on one core. `overhead`: seconds of a fit with hardly any rows.
    """

    make: Callable[..., ClassifierMixin]
    space: dict[str, list[Any]]
    cost: float
    overhead: float
    ignored: tuple[int, ...] = ()

    def without(self, columns: Sequence[int]) -> "Member":
        """Return a member that learns nothing from these columns."""
        return replace(self, ignored=tuple(columns))

    def fit(self, seed: int, X: np.ndarray, y: np.ndarray, **parameters: float) -> ClassifierMixin:
        """Return a fitted model.

        A feature without any value, such as a measure that started after these rows, is fitted as
        0: boosting cannot make bins for it, and a constant teaches nothing. So are ignored columns.
        """
        unknown = np.isnan(X).all(axis=0)
        unknown[list(self.ignored)] = True
        known = np.where(unknown, np.float32(0), X) if unknown.any() else X
        return self.make(seed, **parameters).fit(known, y)


MEMBERS = {
    "logistic_regression": Member(
        make=lambda seed, **parameters: _logistic(SignedLog(), **parameters),
        space={"C": [0.1, 0.03, 0.3, 0.01, 1.0, 0.003, 3.0, 0.001, 10.0, 0.05, 0.2, 0.02]},
        cost=90,
        overhead=0.005,
    ),
    "hist_gradient_boosting": Member(
        make=_boosting,
        space={
            "max_iter": [50, 80, 120],
            "learning_rate": [0.1, 0.06, 0.03],
            "max_leaf_nodes": [8, 4, 16],
            "min_samples_leaf": [50, 20, 100],
            "l2_regularization": [5.0, 1.0, 20.0],
            "max_features": [0.5, 1.0, 0.25],
        },
        cost=200,
        overhead=0.04,
    ),
}

CANDIDATES = {
    "logistic_regression": ("logistic_regression",),
    "hist_gradient_boosting": ("hist_gradient_boosting",),
    "soft_voting": ("logistic_regression", "hist_gradient_boosting"),
}
"""Candidate -> its members; the first candidate wins a tie. Class weights would break calibration.

See docs/models.md for why members are averaged and not stacked.
"""


def baselines(facts: Mapping[str, FeatureFact]) -> dict[str, Recipe]:
    """Return the simple rules, each as a function that fits it on the matrix and labels.

    prior_rate: the churn rate of the training rows for everybody. recency: a logistic regression
    on days_since_last_activity alone, which keeps the order of the days. frequency: the same on
    the active days of the longest window. rfm_logistic: both, and volume (events) of the longest
    window. Users who were never active count as the longest silence known. `facts`: what each
    column measures, in matrix order. Raises JobError if there is no days_since_last_activity.
    """
    features = list(facts)
    if "days_since_last_activity" not in facts:
        raise JobError(
            "evaluation_set has no column days_since_last_activity, which the recency baseline "
            "needs.",
            next_step="run `churnhouse build`, then train again.",
        )
    recency = ["days_since_last_activity"]
    windows = [name for name in (_longest(facts, measure) for measure in ACTIVITY) if name]
    used = {
        "recency": recency,
        "frequency": windows[:1] or recency,
        "rfm_logistic": recency + windows,
    }
    return {"prior_rate": lambda X, y: DummyClassifier(strategy="prior").fit(X, y)} | {
        name: partial(_rule, [features.index(feature) for feature in used[name]]) for name in RULES
    }


def _rule(columns: Sequence[int], X: np.ndarray, y: np.ndarray) -> ClassifierMixin:
    """Fit a logistic regression on some columns; it takes all, and the others weigh nothing."""
    logs, scale = SignedLog(fill="max"), StandardScaler()
    narrow = X[:, columns]
    inputs = scale.fit_transform(logs.fit(narrow).transform(narrow))
    model = LogisticRegression(solver="newton-cholesky", max_iter=100).fit(inputs, y)
    n, flagged = X.shape[1], np.asarray(columns)[logs.flagged_]
    places = [*columns, *range(n, n + len(flagged))]

    def widened(values: Sequence[float], others: float) -> np.ndarray:
        wide = np.full(n + len(flagged), others, np.float64)
        wide[places] = values
        return wide

    logs.fill_, logs.flagged_ = widened([*logs.fill_, *flagged], 0)[:n], flagged
    scale.mean_, scale.scale_ = widened(scale.mean_, 0), widened(scale.scale_, 1)
    scale.var_, model.coef_ = widened(scale.var_, 1), widened(model.coef_[0], 0)[None]
    logs.n_features_in_ = n
    scale.n_features_in_ = model.n_features_in_ = n + len(flagged)
    return make_pipeline(logs, scale, model)


def _longest(facts: Mapping[str, FeatureFact], measure: str) -> str | None:
    """Return the feature of the measure's longest window; None if it has no window."""
    windows = {
        fact.window: name
        for name, fact in facts.items()
        if fact.measure == measure and isinstance(fact.window, int)
    }
    return windows[max(windows)] if windows else None


def churn_risk(estimator: ClassifierMixin, X: np.ndarray) -> np.ndarray:
    """Return the probability of churn_label = 1, float64 (rows,), in any order of the classes."""
    risk: np.ndarray = estimator.predict_proba(X)[:, list(estimator.classes_).index(1)]
    return risk
