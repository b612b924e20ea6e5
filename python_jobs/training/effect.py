"""The effect of a contact on a user: two models, of users who were called and of the holdout.

A T-learner (Künzel, Sekhon, Bickel and Yu 2019, "Metalearners for estimating heterogeneous
treatment effects"): the effect is the difference of two calibrated churn risks, without a contact
and with one. Whether it chooses better than expected gain by save rates is told on random traffic:
users on lists with a known probability, and the holdout, weighted as in policy_value.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from python_jobs.training.estimators import MEMBERS, Blend, churn_risk, platt

MIN_CONTACTS = 300
"""Fewest contacts with a known outcome to train on."""

MIN_CLASS = 30
"""Fewest churners, and stayers, among the called and in the holdout."""

FOLDS = 5
CLIP = 20
"""Largest weight of one contact; see policy_weights."""

MEMBER = MEMBERS["logistic_regression"]
STRENGTHS = (0.003, 0.01, 0.03, 0.1)
"""The regularisations that are tried: few contacts carry few features."""


@dataclass(frozen=True)
class Outcomes:
    """contact_outcomes with the features as served; each array has all rows.

    chance to user_value are of list_outcomes, NaN for rows that are not among them: there
    policies are not compared. save_rate: what expected gain counts with.
    """

    X: np.ndarray
    y: np.ndarray  # churn_label
    treated: np.ndarray
    users: np.ndarray
    chance: np.ndarray  # list_probability
    called_share: np.ndarray
    expected_loss: np.ndarray
    user_value: np.ndarray
    save_rate: np.ndarray

    @property
    def contacts(self) -> int:
        """Return the number of contacts."""
        return int(self.treated.sum())

    def smallest_class(self) -> int:
        """Return the churners or stayers of the called or the holdout, whichever are fewest."""
        sides = (self.y[self.treated], self.y[~self.treated])
        return int(min(min(y.sum(), len(y) - y.sum()) for y in sides))

    def folds(self, seed: int) -> np.ndarray:
        """Return the fold of each row; all rows of a user are in one."""
        codes, known = pd.factorize(self.users)
        order: np.ndarray = np.random.default_rng(seed).permutation(len(known))[codes] % FOLDS
        return order


@dataclass(frozen=True)
class Effect:
    """The two models. effect() is how much a contact lowers the risk, -1 to 1."""

    treated: Blend
    control: Blend

    def effect(self, X: np.ndarray) -> np.ndarray:
        """Return the effect on each row."""
        difference: np.ndarray = churn_risk(self.control, X) - churn_risk(self.treated, X)
        return difference


@dataclass(frozen=True)
class Lead:
    """How much more a contact earns if the effect model chooses than if save rates do, in money.

    Bounds of a 95 % interval. `covered`: False if one of both would call users who had no chance
    to be on the list; then the numbers say nothing.
    """

    value: float
    low: float
    high: float
    contacts: int
    covered: bool


def fit(outcomes: Outcomes, rows: np.ndarray, seed: int) -> Effect:
    """Fit both models on these rows."""
    with threadpool_limits(1, user_api="blas"):  # the products are small: threads only wait
        return _fit(outcomes, rows, seed)


def _fit(outcomes: Outcomes, rows: np.ndarray, seed: int) -> Effect:
    return Effect(
        *(_fit_side(outcomes, rows[outcomes.treated[rows] == side], seed) for side in (True, False))
    )


def _fit_side(outcomes: Outcomes, rows: np.ndarray, seed: int) -> Blend:
    """Return a model of one side, its strength and calibration checked on other users."""
    X, y, folds = outcomes.X[rows], outcomes.y[rows], outcomes.folds(seed)[rows] % 2
    found = {}
    for strength in STRENGTHS:
        logits = np.zeros(len(rows))
        for fold in np.unique(folds):
            model = MEMBER.fit(seed, X[folds != fold], y[folds != fold], C=strength)
            logits[folds == fold] = model.decision_function(X[folds == fold])
        slope, intercept = platt(logits, y)
        z = slope * logits + intercept
        found[strength] = (float(np.mean(np.logaddexp(0, z) - y * z)), slope, intercept)
    strength = min(found, key=lambda tried: found[tried][0])
    _, slope, intercept = found[strength]
    return Blend([MEMBER.fit(seed, X, y, C=strength)], [slope], intercept)


def out_of_fold(outcomes: Outcomes, seed: int) -> np.ndarray:
    """Return each row's effect by models that have not seen its user."""
    folds = outcomes.folds(seed)
    effects = np.zeros(len(folds))
    for fold in range(FOLDS):
        others, own = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        effects[own] = fit(outcomes, others, seed).effect(outcomes.X[own])
    return effects


def lead(outcomes: Outcomes, effects: np.ndarray) -> Lead:
    """Compare choosing by `effects` with choosing by save rates, as many users by both."""
    traffic = np.flatnonzero(~np.isnan(outcomes.chance))
    treated, chance = outcomes.treated[traffic], outcomes.chance[traffic]
    weight = np.where(treated, 1.0, outcomes.called_share[traffic])
    lost = outcomes.y * outcomes.user_value
    kept = (outcomes.expected_loss - lost)[traffic]
    gains = (effects * outcomes.user_value, outcomes.save_rate * outcomes.expected_loss)
    users = pd.factorize(outcomes.users[traffic])[0]
    moved, means, covered = np.zeros(len(traffic)), [], True
    for sign, gain in zip((1, -1), gains, strict=True):
        chosen = gain[traffic] >= _cut(gain[traffic], weight, chance, treated)
        covered &= not (chosen & (chance == 0)).any()
        with np.errstate(divide="ignore"):
            weights = np.where(treated, np.minimum(1 / chance, CLIP), weight) * chosen
        value = 0.0
        for side, direction in ((treated, 1), (~treated, -1)):
            total = weights[side].sum()
            if not total:
                return Lead(0.0, 0.0, 0.0, int(treated.sum()), covered=False)
            mean = weights[side] @ kept[side] / total
            value += direction * mean
            moved[side] += sign * direction * weights[side] * (kept[side] - mean) / total
        means.append(value)
    by_user = np.bincount(users, moved)
    half = 1.96 * float(np.sqrt(by_user @ by_user))
    value = means[0] - means[1]
    return Lead(value, value - half, value + half, int(treated.sum()), covered)


def _cut(gain: np.ndarray, weight: np.ndarray, chance: np.ndarray, treated: np.ndarray) -> float:
    """Return the gain from which as large a share of the holdout is chosen as lists had places."""
    control = np.flatnonzero(~treated)
    if not len(control):
        return np.inf
    order = control[np.argsort(-gain[control], kind="stable")]
    places = weight[control] @ chance[control]
    filled = np.cumsum(weight[order])
    return float(gain[order[min(np.searchsorted(filled, places), len(order) - 1)]])
