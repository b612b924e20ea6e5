"""estimators: the transformer on unusual values, and the inputs of the baselines."""

import numpy as np
import pytest
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from python_jobs.errors import JobError
from python_jobs.publication.feature_facts import FeatureFact, from_json
from python_jobs.publication.models import RULES
from python_jobs.training.estimators import MEMBERS, Blend, SignedLog, baselines, churn_risk, platt

NAN = np.nan
FEATURES = [
    "events_7d",
    "active_days_7d",
    "active_days_30d",
    "days_since_last_activity",
    "events_30d",
    "events_trend",
]
FACTS = from_json({"names": FEATURES})


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Use one thread, because boosting on several is slow on busy cores."""
    with threadpool_limits(1):
        yield


def test_logs_keep_sign_and_order():
    X = np.array([[-10.0], [-1], [0], [1], [10]])
    logs = SignedLog().fit_transform(X)[:, 0]
    assert logs == pytest.approx([-np.log(11), -np.log(2), 0, np.log(2), np.log(11)])


@pytest.mark.parametrize("fill, value", [("mean", (np.log(2) + np.log(4)) / 2), ("max", np.log(4))])
def test_missing_values_are_filled_and_flagged(fill, value):
    X = np.array([[1, 5.0], [3, 5], [NAN, 5]])
    found = SignedLog(fill).fit_transform(X)
    assert found[:, 0] == pytest.approx([np.log(2), np.log(4), value])
    assert found[:, 2].tolist() == [0, 0, 1]
    assert found.shape == (3, 3)  # the complete feature has no flag


def test_a_feature_that_is_missing_throughout_becomes_zero():
    found = SignedLog("max").fit_transform(np.full((2, 1), NAN))
    assert found.tolist() == [[0, 1], [0, 1]]


@pytest.mark.parametrize("member", MEMBERS.values(), ids=MEMBERS)
def test_members_accept_missing_values_and_keep_parameters_when_cloned(member):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(300, 3)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    X[::5, 1] = NAN
    model = member.make(7, **{name: values[0] for name, values in member.space.items()}).fit(X, y)
    X[0] = NAN
    risk = churn_risk(model, X)
    assert ((risk >= 0) & (risk <= 1)).all() and risk[y == 1].mean() > risk[y == 0].mean() + 0.2
    assert clone(model).get_params(deep=False).keys() == model.get_params(deep=False).keys()


class Constant:
    """A member whose log-odds are the first feature times a factor."""

    def __init__(self, factor):
        self.factor = factor

    def decision_function(self, X):
        return X[:, 0] * self.factor


def test_a_blend_is_the_sigmoid_of_the_weighted_log_odds():
    blend = Blend([Constant(1), Constant(3)], [0.5, 0.25], -1.0)
    X = np.array([[0.0], [2.0]])
    assert blend.decision_function(X).tolist() == [-1.0, 1.5]
    assert churn_risk(blend, X) == pytest.approx([1 / (1 + np.e), 1 / (1 + np.exp(-1.5))])
    assert blend.predict_proba(X).sum(axis=1) == pytest.approx([1, 1])


def test_platt_undoes_overconfidence():
    """Doubled and shifted log-odds are restored: slope 1/2, intercept half the shift."""
    rng = np.random.default_rng(5)
    true = rng.normal(size=100_000)
    y = (rng.random(len(true)) < 1 / (1 + np.exp(-true))).astype(int)
    slope, intercept = platt(2 * true - 1, y)
    assert (slope, intercept) == (pytest.approx(0.5, abs=0.02), pytest.approx(0.5, abs=0.03))


def test_platt_never_reverses_a_ranking_and_stays_finite():
    y = np.repeat([0, 1], 20)
    assert platt(np.where(y == 1, -3.0, 3.0), y)[0] == pytest.approx(0)
    assert np.isfinite(platt(np.where(y == 1, 30.0, -30.0), y)).all()


def test_risk_is_the_probability_of_class_one_in_any_class_order():
    class Turned:
        classes_ = np.array([1, 0])

        def predict_proba(self, X):
            return np.tile([0.9, 0.1], (len(X), 1))

    assert churn_risk(Turned(), np.zeros((2, 1))).tolist() == [0.9, 0.9]


def fitted_baselines():
    rng = np.random.default_rng(2)
    X = rng.integers(0, 30, size=(500, len(FEATURES))).astype(np.float32)
    y = (rng.random(500) < X[:, 3] / 40).astype(int)
    return {name: recipe(X, y) for name, recipe in baselines(FACTS).items()}, X, y


def test_prior_rate_predicts_the_churn_rate_for_everyone():
    models, X, y = fitted_baselines()
    assert set(churn_risk(models["prior_rate"], X)) == {y.mean()}


def test_recency_ranks_only_by_days_since_the_last_event():
    models, X, _ = fitted_baselines()
    other = X.copy()
    other[:, [0, 1, 2, 4, 5]] = 7
    assert (churn_risk(models["recency"], X) == churn_risk(models["recency"], other)).all()
    silence = np.zeros((5, len(FEATURES)), np.float32)
    silence[:, 3] = [0, 3, 30, 300, 3000]
    assert (np.diff(churn_risk(models["recency"], silence)) > 0).all()


def test_user_without_events_counts_as_the_longest_inactive():
    models, X, _ = fitted_baselines()
    never, longest = X[:2].copy()
    never[3], longest[3] = NAN, X[:, 3].max()
    found = churn_risk(models["recency"], np.array([never, longest]))
    assert found[0] == pytest.approx(found[1])


def test_frequency_ranks_only_by_active_days_and_rarely_active_users_first():
    X = np.tile(np.arange(30, dtype=np.float32)[:, None], len(FEATURES))
    rule = baselines(FACTS)["frequency"](X, (X[:, 0] < 9).astype(int))
    other = X.copy()
    other[:, [n for n, name in enumerate(FEATURES) if name != "active_days_30d"]] = 7
    assert (churn_risk(rule, X) == churn_risk(rule, other)).all()
    assert (np.diff(churn_risk(rule, X)) < 0).all()


@pytest.mark.parametrize("column", range(len(FEATURES)))
def test_rfm_reads_recency_and_the_longest_windows(column):
    """events_trend is not a window, and 30 days is longer than 7."""
    models, X, _ = fitted_baselines()
    other = X.copy()
    other[:, column] += 5
    changed = (
        churn_risk(models["rfm_logistic"], X) != churn_risk(models["rfm_logistic"], other)
    ).any()
    used = {"days_since_last_activity", "active_days_30d", "events_30d"}
    assert changed == (FEATURES[column] in used)


def test_rfm_works_without_windows_but_needs_recency():
    recency = {"days_since_last_activity": FeatureFact.of("days_since_last_activity")}
    assert set(baselines(recency)) == {"prior_rate", *RULES}
    with pytest.raises(JobError, match="days_since_last_activity"):
        baselines({"events_30d": FeatureFact.of("events", 30)})
