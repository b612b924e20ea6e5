"""The T-learner: it finds an effect that is there, and claims none that is not."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from python_jobs.training.effect import CLIP, MIN_CLASS, Outcomes, fit, lead, out_of_fold


def world(seed: int, effect: float, n: int = 6000) -> tuple[Outcomes, np.ndarray]:
    """Return outcomes of lists by risk with random places, and each row's true effect.

    A contact keeps a churner who has the second feature, by `effect`, and nobody else.
    """
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6)).astype(np.float32)
    X[:, 1] = rng.random(n) < 0.4
    risk = expit(1.5 * X[:, 0] - 0.5)
    holdout = rng.random(n) < 0.3
    chance = np.where(risk > 0.6, 1.0, 0.25)
    listed = ~holdout & (rng.random(n) < chance)
    kept = listed & (X[:, 1] == 1) & (rng.random(n) < effect)
    y = ((rng.random(n) < risk) & ~kept).astype(int)
    rows = np.flatnonzero(listed | holdout)
    everything = Outcomes(
        X=X,
        y=y,
        treated=listed,
        users=np.array([f"u{number}" for number in range(n)], object),
        chance=chance,
        called_share=np.ones(n),
        expected_loss=risk * 100,
        user_value=np.full(n, 100.0),
        save_rate=np.full(n, 0.3),
    )
    return of_rows(everything, rows), (risk * effect * X[:, 1])[rows]


def of_rows(outcomes: Outcomes, rows: np.ndarray) -> Outcomes:
    return Outcomes(**{name: values[rows] for name, values in vars(outcomes).items()})


def test_effect_that_depends_on_the_user_is_found_and_chooses_better():
    outcomes, truth = world(1, 0.7)
    assert outcomes.contacts > 1500 and outcomes.smallest_class() > MIN_CLASS
    effects = out_of_fold(outcomes, 7)
    assert np.corrcoef(effects, truth)[0, 1] > 0.7
    assert effects.mean() == pytest.approx(truth.mean(), abs=0.04)
    found = lead(outcomes, effects)
    assert found.covered and found.low > 0
    # what would be gained truly, by as many users of the holdout
    held = np.flatnonzero(~outcomes.treated)
    places = round(outcomes.chance[held].sum())
    best = [held[np.argsort(-score[held])[:places]] for score in (effects, outcomes.expected_loss)]
    true_lead = 100 * (truth[best[0]].mean() - truth[best[1]].mean())
    assert found.low < true_lead < found.high


def test_no_effect_is_rarely_taken_for_one():
    """In 20 worlds without an effect; a lower bound above 0 is chance in one of forty."""
    leads = [lead(outcomes, out_of_fold(outcomes, 7)) for outcomes in
             (world(seed, 0.0, 2000)[0] for seed in range(100, 120))]  # fmt: skip
    assert sum(found.low > 0 for found in leads) <= 2
    assert sum(found.low <= 0 <= found.high for found in leads) >= 17


def test_a_row_is_judged_by_models_that_have_not_seen_its_user():
    outcomes, _ = world(2, 0.7, 2000)
    twice = Outcomes(**{k: np.concatenate([v, v]) for k, v in vars(outcomes).items()})
    folds = twice.folds(3)
    assert (folds[: len(outcomes.y)] == folds[len(outcomes.y) :]).all()
    # the labels of a fold do not move its own effects
    own = outcomes.folds(3) == 0
    other = replace(outcomes, y=np.where(own, 1 - outcomes.y, outcomes.y))
    before, after = out_of_fold(outcomes, 3), out_of_fold(other, 3)
    assert (before[own] == after[own]).all() and (before[~own] != after[~own]).any()


def test_order_that_calls_users_without_a_chance_is_not_compared():
    outcomes, _ = world(3, 0.7, 2000)
    effects = out_of_fold(outcomes, 7)
    never = replace(outcomes, chance=np.where(outcomes.chance < 1, 0.0, 1.0))
    never = of_rows(never, np.flatnonzero(~never.treated | (never.chance > 0)))
    assert not lead(never, effects[: len(never.y)]).covered
    nobody_called = of_rows(outcomes, np.flatnonzero(~outcomes.treated))
    assert not lead(nobody_called, np.zeros(len(nobody_called.y))).covered


def test_one_contact_weighs_at_most_the_clip():
    """Both orders choose the same users but one, whose chance was a thousandth."""
    outcomes, _ = world(4, 0.0, 400)
    rare = int(np.flatnonzero(outcomes.treated)[0])
    chance = np.ones(len(outcomes.y))
    chance[rare] = 0.001
    outcomes = replace(outcomes, chance=chance, expected_loss=np.full(len(chance), 50.0))
    found = lead(outcomes, np.where(np.arange(len(chance)) == rare, -1.0, 0.5))
    kept = 50.0 - 100 * outcomes.y[outcomes.treated]
    weights = np.where(np.flatnonzero(outcomes.treated) == rare, CLIP, 1.0)
    without = kept[weights == 1].mean()
    assert found.value == pytest.approx(without - weights @ kept / weights.sum())


def test_same_rows_give_the_same_models():
    outcomes, _ = world(5, 0.5, 1500)
    rows = np.arange(len(outcomes.y))
    one, other = (fit(outcomes, rows, 7).effect(outcomes.X) for _ in range(2))
    assert (one == other).all()
