"""Attributes as inputs: learned, exported exactly, explained, and safe with new values."""

import json
import shutil
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from support.training_world import NOW, months_later, run, score, warehouse_by_plan

from python_jobs.errors import JobError
from python_jobs.publication import onnx_model
from python_jobs.registry import store
from python_jobs.registry.promotion import promote
from python_jobs.settings import Settings
from python_jobs.training.estimators import MEMBERS, churn_risk
from python_jobs.training.fit import fit_and_hold_out
from python_jobs.training.leakage import check_leaks
from python_jobs.training.splits import Rows

ATTRIBUTES = ("plan", "email")
PLANS = """
update user_features_latest set
    plan = ['basic', 'premium', 'new', 'it''s; --', '', null]
        [1 + cast(hash(user_id, 'x') % 6 as integer)]
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A version in production that learned from the plan, and its home."""
    con, settings = warehouse_by_plan(), Settings(home=tmp_path_factory.mktemp("home"))
    version = run(con, settings.home, attributes=ATTRIBUTES)
    promote(con, settings, now=NOW)
    return settings, version


@pytest.fixture
def con():
    """3,000 users to score, some of them with plans that training never saw."""
    con = warehouse_by_plan(users=3000, dates=1)
    con.execute(PLANS)
    return con


def scores(con, columns="churn_risk"):
    return con.execute(f"select user_id, {columns} from scores order by user_id").fetchall()


def auc(registered):
    pooled = registered.metrics["models"][registered.metrics["selected"]]["folds"]["pooled"]
    return pooled["eligible"]["roc_auc_by_date"]["value"]


def test_model_learns_churn_that_only_an_attribute_decides(trained, tmp_path):
    """ROC AUC on later dates; the attribute alone reaches about 0.9, nothing else helps."""
    without = run(warehouse_by_plan(), tmp_path)
    assert auc(trained[1]) > 0.85 and auc(without) < 0.6
    importances = trained[1].metrics["importances"]
    assert list(importances) == store.read_features(trained[0].models, trained[1].version).names
    assert max(importances, key=importances.get) == "plan"
    assert importances["plan"] > 1


def test_attribute_with_a_value_for_each_user_is_in_no_file_for_the_api(trained):
    settings, version = trained
    folder = settings.models / version.version
    features = json.loads((folder / "features.json").read_text())
    assert features["values"] == {"plan": ["premium", "basic", "unknown"]}
    for name in ("features.json", "typical.json", "golden.json", "model.onnx", "reasons.onnx"):
        assert b"email" not in (folder / name).read_bytes()


def test_exported_file_equals_the_model_for_new_and_missing_values(trained, con):
    """3,000 rows, encoded here by hand for the scikit-learn model."""
    settings, version = trained
    score(con, settings)
    frame = con.execute(
        "select * from scores join user_features_latest using (user_id, as_of_date)"
    ).df()
    numbers = store.read_features(settings.models, version.version).numbers
    plans = frame["plan"].fillna("unknown")
    columns = [frame[name].to_numpy(np.float32) for name in numbers]
    columns += [(plans == value).to_numpy(np.float32) for value in ("premium", "basic", "unknown")]
    model = store.load_joblib(settings.models, version.version)
    expected = churn_risk(model, np.column_stack(columns))
    assert len(frame) == 3000 and set(plans) == {
        "basic",
        "premium",
        "new",
        "it's; --",
        "",
        "unknown",
    }
    assert np.abs(frame["churn_risk"] - expected).max() < 1e-5


def test_new_value_scores_as_every_value_not_known(trained, con):
    found = []
    for plan in ("new", "another", "it's"):
        con.execute("update user_features_latest set plan = ?", [plan])
        score(con, trained[0])
        found.append(scores(con, "churn_risk, reason_1, reason_2, reason_3"))
    assert found[0] == found[1] == found[2]
    con.execute("update user_features_latest set plan = 'basic'")
    score(con, trained[0])
    assert scores(con) != [row[:2] for row in found[0]]


def test_reason_names_the_users_own_value(trained, con):
    score(con, trained[0])
    told = con.execute("""
        select coalesce(f.plan, 'unknown'), p.reason_1
        from scores as p join user_features_latest as f using (user_id, as_of_date)
        where p.reason_1 like '% plan%' or p.reason_1 like 'Plan %'
    """).fetchall()
    assert len(told) > 1500
    known = {
        "basic": "Plan basic: users of this plan leave more often.",
        "premium": "Plan premium: users of this plan leave less often.",
        "unknown": "Plan unknown: such users leave less often.",
    }
    for plan, reason in told:
        if plan in known:
            assert reason == known[plan]
        else:
            assert reason.startswith("Uncommon plan: such users leave ")


@pytest.mark.parametrize(
    "change, message",
    [
        ("drop plan", "plan is missing, the model has VARCHAR"),
        ("alter plan type integer using length(plan)", "plan is INTEGER, the model has VARCHAR"),
    ],
)
def test_scoring_without_an_attribute_names_it(trained, con, change, message):
    con.execute(f"alter table user_features_latest {change}")
    with pytest.raises(JobError, match=f"{message}.*Next: "):
        score(con, trained[0])


def test_attribute_that_the_model_does_not_know_changes_no_score(trained, con):
    score(con, trained[0])
    before = scores(con)
    con.execute("alter table user_features_latest drop email")
    con.execute("alter table user_features_latest add city varchar default 'Rome'")
    score(con, trained[0])
    assert scores(con) == before


def test_champion_with_attributes_is_compared_on_unseen_rows(trained, tmp_path):
    """If one of its attributes is gone, its recipe is compared instead."""
    con, later, said = warehouse_by_plan(), NOW + timedelta(days=70), []
    months_later(con)
    shutil.copytree(trained[0].home, tmp_path / "home")
    run(con, tmp_path / "home", attributes=ATTRIBUTES, now=later)
    for change in ("select 1", "alter table evaluation_set drop plan"):
        home = shutil.copytree(tmp_path / "home", tmp_path / change)
        con.execute(change)
        said.append(promote(con, Settings(home=home), now=later).reason)
    assert "rows that neither has seen" in said[0] and "same folds" in said[1]


def test_data_hash_covers_every_attribute():
    """Also those that are only slices: the metrics show them."""
    rows = world(["a", "b"] * 20, [])
    other = world(["a", "b"] + ["b", "a"] * 19, [])
    renamed = replace(rows, attributes={"city": rows.attributes["plan"]})
    assert len({r.data_hash for r in (rows, other, renamed)}) == 3


def world(plans, known, **changes):
    """Return rows of users on one date each; silence is noise, and known plans are columns."""
    n, rng = len(plans), np.random.default_rng(5)
    columns = [rng.integers(0, 30, n), *(np.array(plans) == plan for plan in known)]
    return Rows(
        **{
            "X": np.column_stack(columns).astype(np.float32),
            "y": rng.integers(0, 2, n),
            "dates": np.full(n, np.datetime64("2025-03-02")),
            "users": np.array([f"u{i}" for i in range(n)], object),
            "eligible": np.ones(n, bool),
            "attributes": {"plan": np.array(plans, object)},
            "attribute_columns": {"plan": range(1, 1 + len(known))},
        }
        | changes
    )


def test_attribute_that_tells_the_future_is_refused_as_a_whole():
    """No value alone is suspicious: each is a tenth of the users."""
    plans, names = [f"p{i % 10}" for i in range(2000)], ["days_since_last_activity", "plan"]
    rows = world(plans, [f"p{i}" for i in range(9)])
    check_leaks(rows, names)
    future = replace(rows, y=np.array([int(plan[1]) % 2 for plan in plans]))
    with pytest.raises(JobError, match=r"feature plan tells .* model_attributes"):
        check_leaks(future, names)


@pytest.mark.parametrize("name", MEMBERS)
def test_model_learns_nothing_from_a_column_it_ignores(name):
    rows = world(["a", "b"] * 500, ["a", "b"])
    X, y = rows.X.astype(np.float32), (rows.X[:, 1] == 1).astype(int)
    swapped = X[:, [0, 2, 1]]
    parameters = {key: options[0] for key, options in MEMBERS[name].space.items()}
    for ignored, is_equal in (((), False), ((1, 2), True)):
        model = MEMBERS[name].without(ignored).fit(7, X, y, **parameters)
        found = [model.decision_function(matrix) for matrix in (X, swapped)]
        assert np.array_equal(*found) is is_equal


def test_fold_knows_only_values_of_enough_users_on_its_own_training_side():
    """29 users have the plan 'late' on the training date, and nine in ten of them churn.

    On the test date each has a twin with another plan. A fold that knew 'late' would part them.
    """
    dates = np.repeat(np.array(["2025-03-02", "2025-04-06"], "datetime64[D]"), 400)
    plans = np.where(np.arange(800) % 2, "a", "late")
    plans[58:400] = "a"
    rng = np.random.default_rng(6)
    y = ((plans == "late") != (rng.random(800) < 0.1)).astype(int)
    silence = np.repeat(rng.integers(0, 30, 400), 2)
    X = np.column_stack([silence, plans == "a", plans == "late"]).astype(np.float32)
    X[:, 1] = 1  # so that twins differ in one column only
    rows = world(plans.tolist(), ["a", "late"], X=X, y=y, dates=dates)
    assert rows.rare_values(np.arange(400)) == [2] and rows.rare_values(np.arange(800)) == []
    held, final = fit_and_hold_out(
        rows, {}, horizon_days=30, seed=7, budget=0, say=lambda line: None
    )
    assert held.rows.tolist() == list(range(400, 800))
    for name, model in final.models.items():
        assert np.array_equal(held.risks[name][::2], held.risks[name][1::2])
        known = churn_risk(model, X[400:])
        assert not np.array_equal(known[::2], known[1::2])


def test_golden_rows_and_reasons_have_the_width_of_the_matrix(trained):
    settings, version = trained
    features = store.read_features(settings.models, version.version)
    golden = store.read_json(settings.models, version.version, "golden.json")
    assert {len(row) for row in golden["rows"]} == {features.width} == {len(features.numbers) + 3}
    reasons = (settings.models / version.version / "reasons.onnx").read_bytes()
    (given,) = onnx_model.open_session(reasons).get_inputs()
    assert given.shape[1] == features.width


def test_model_card_names_attributes_and_their_known_values(trained):
    card = (trained[0].models / trained[1].version / "model_card.md").read_text()
    assert "inputs: plan (premium, basic, unknown); any other value counts as other." in card
