"""churn_scores: every user gets the score of their own features, or there is none."""

import numpy as np
import pandas as pd
import pytest
from support.training_world import NOW, new_warehouse, run, score

from python_jobs.errors import JobError
from python_jobs.publication import onnx_model
from python_jobs.publication.prediction import RISK_BANDS
from python_jobs.reasons.telling import told
from python_jobs.reasons.words import Words
from python_jobs.registry import store
from python_jobs.registry.promotion import promote
from python_jobs.scoring.duckdb_score import churn_scores
from python_jobs.scoring.production import production
from python_jobs.scoring.rows import SCORED, check_scores
from python_jobs.settings import Settings
from python_jobs.training.estimators import churn_risk

USERS = 3000
OLD = ("model.onnx", "features.json", "golden.json")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return a home with a model in production."""
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    con = new_warehouse(users=300)
    run(con, settings.home)
    promote(con, settings, now=NOW)
    return settings


@pytest.fixture
def con():
    return new_warehouse(users=USERS, dates=1)


def frame_of(con, settings):
    """Return the scores of a day, with the features they were made from."""
    score(con, settings)
    return con.sql("from scores join user_features_latest as f using (user_id, as_of_date)").df()


def predictions(con, settings, columns="*"):
    score(con, settings)
    return con.sql(f"select {columns} from scores order by all").fetchall()


def test_each_user_gets_the_score_of_their_own_features(home, con, monkeypatch):
    """Scores in chunks match the scikit-learn model on all rows at once."""
    monkeypatch.setattr("python_jobs.warehouse.features.CHUNK_VECTORS", 1)
    version = store.production(home.models).version
    names = store.read_features(home.models, version).names
    frame = frame_of(con, home)
    assert set(frame["as_of_date"]) == {pd.Timestamp(2025, 2, 16)}
    assert set(frame["model_version"]) == {version}
    assert len(frame) == USERS and frame["churn_risk"].nunique() > 100
    expected = churn_risk(
        store.load_joblib(home.models, version), frame[names].to_numpy(np.float32)
    )
    assert np.abs(frame["churn_risk"] - expected).max() < 1e-5
    assert (frame["is_eligible"] == frame["is_eligible_1"]).all()


WORDS = Words(
    kinds={"watch_minutes": "sum"}, labels={"plan": "tariff"}, actions={"silence": "call"}
)


def test_each_user_gets_three_reasons_from_their_own_features(home, con, monkeypatch):
    """Reasons in chunks are those of all rows at once, with their effects and actions."""
    monkeypatch.setattr("python_jobs.warehouse.features.CHUNK_VECTORS", 1)
    score(con, home, WORDS)
    frame = con.sql("from scores join user_features_latest as f using (user_id, as_of_date)").df()
    model = production(home, WORDS)
    assert model.teller.usual.keys() == set(RISK_BANDS)
    assert set(model.teller.raised_by) == set(model.teller.names)
    matrix = frame[model.features.names].to_numpy(np.float32)
    (moved,) = model.contributions.run(["contributions"], {"features": matrix})
    texts = {}
    expected = told(model.teller, moved, matrix, frame["churn_risk"].to_numpy(), texts)
    listed = np.array([*texts, None], dtype=object)
    for name, places in expected.items():
        assert frame[name].fillna("").tolist() == [text or "" for text in listed[places]], name
    assert (frame["reason_1"] != frame["reason_2"]).all() and frame["reason_3"].notna().all()
    raised = frame[frame["effect_1"] == "raises"]
    assert len(raised) and (frame["effect_1"] == "lowers").any()
    silent = raised[raised["reason_1"].str.startswith("Silent for")]
    days = silent["reason_1"].str.extract(r"Silent for (\d+) day", expand=False).astype(int)
    assert len(silent) > 100 and (days == silent["days_since_last_activity"]).all()
    assert (silent["action"] == "call").all()


def test_rule_gives_no_reason_that_moves_nothing(tmp_path, con, monkeypatch):
    """Recency knows one measure, so a second reason would be untrue."""
    monkeypatch.setattr("python_jobs.training.train.UNJUDGED_RULE", "recency")
    settings, short = Settings(home=tmp_path), new_warehouse(users=300, dates=1)
    run(short, settings.home)
    promote(short, settings, now=NOW)
    told = predictions(con, settings, "count(reason_1) > 2900, count(reason_2), count(reason_3)")
    assert told == [(True, 0, 0)]


def test_a_model_without_reasons_scores_without_them(home, con, monkeypatch):
    """A version of a release without reasons can still score."""
    honest = store.read_manifest

    def before(models, version):
        manifest = honest(models, version)
        return manifest | {"files": {n: h for n, h in manifest["files"].items() if n in OLD}}

    monkeypatch.setattr(store, "read_manifest", before)
    assert predictions(con, home, "count(*), count(reason_1)") == [(USERS, 0)]


def test_a_version_without_feature_facts_scores_and_explains_the_same(home, con, monkeypatch):
    """An earlier release wrote neither facts nor values of attributes into features.json."""
    before = predictions(con, home)
    honest, asked = store.read_json, []

    def without_facts(models, version, name):
        asked.append(name)
        content = honest(models, version, name)
        return {k: v for k, v in content.items() if k not in ("facts", "values")}

    monkeypatch.setattr(store, "read_json", without_facts)
    after = predictions(con, home)
    assert "features.json" in asked and after == before


def test_user_value_counts_later_horizons_as_far_as_the_user_stays(home, con, monkeypatch):
    """Four horizons of 10: at risk 0.2 the next counts in full, then 0.8, 0.64 and 0.512 of it."""
    risks = [0.0, 0.2, 1.0]
    con.execute(f"delete from user_features_latest where user_id > 'u00000{len(risks) - 1}'")
    con.execute("update user_values set value_per_horizon = 10, horizons = 4")
    honest = onnx_model.score
    monkeypatch.setattr(
        onnx_model,
        "score",
        lambda session, matrix: np.array(risks) if len(matrix) == 3 else honest(session, matrix),
    )
    at_20 = 10 * (1 + 0.8 + 0.64 + 0.512)
    found = sorted(predictions(con, home, "churn_risk, user_value, expected_loss"))
    assert [value for _, value, _ in found] == pytest.approx([40, at_20, 10])
    assert [loss for _, _, loss in found] == pytest.approx([0, 0.2 * at_20, 10])


def test_a_band_begins_at_its_threshold(home, con, monkeypatch):
    risks = [np.nextafter(0.2, 0), 0.2, np.nextafter(0.5, 0), 0.5]
    con.execute(f"delete from user_features_latest where user_id > 'u00000{len(risks) - 1}'")
    honest = onnx_model.score
    monkeypatch.setattr(
        onnx_model,
        "score",
        lambda session, matrix: np.array(risks) if len(matrix) == 4 else honest(session, matrix),
    )
    assert predictions(con, home, "churn_risk, risk_band") == [
        *zip(risks, ("low", "medium", "medium", "high"), strict=True)
    ]


def test_the_order_of_the_rows_does_not_matter(home, con, monkeypatch):
    """This holds even if the arithmetic of a row depends on its place in the chunk."""
    honest, places = onnx_model.score, np.linspace(0, 1, USERS)

    def by_place(session, matrix):
        return places if len(matrix) == USERS else honest(session, matrix)

    monkeypatch.setattr(onnx_model, "score", by_place)
    before = predictions(con, home)
    con.execute(
        "create or replace table user_features_latest as from user_features_latest"
        " order by hash(user_id || 'shuffled')"
    )
    assert predictions(con, home) == before


def test_the_order_of_the_columns_does_not_matter(home, con):
    """Features are read by name, in training order."""
    before = predictions(con, home)
    con.execute(
        "create or replace table user_features_latest as select events_30d, * exclude (events_30d)"
        " from user_features_latest"
    )
    assert predictions(con, home) == before


REFUSALS = {
    "renamed feature": (
        "alter table user_features_latest rename events_30d to events_28d",
        "events_30d is missing, the model has BIGINT",
    ),
    "other type": (
        "alter table user_features_latest alter events_30d type double",
        "events_30d is DOUBLE, the model has BIGINT",
    ),
    "a user twice": (
        "insert into user_features_latest from user_features_latest where user_id = 'u000007'",
        "3,001 scores for 3,000 users",
    ),
    "a row without user": (
        "update user_features_latest set user_id = null where user_id = 'u000007'",
        "3,000 scores for 2,999 users",
    ),
}


@pytest.mark.parametrize("change, message", REFUSALS.values(), ids=REFUSALS)
def test_refusals_name_the_cause_and_the_next_step(home, con, change, message):
    con.execute(change)
    with pytest.raises(JobError, match=f"{message}.*Next: "):
        predictions(con, home)


def test_features_unknown_to_the_model_change_nothing(home, con):
    """They may come first, in between or last, with any values."""
    before = predictions(con, home)
    con.execute(
        "create or replace table user_features_latest as"
        " select 1e9 as first_7d, * exclude (events_30d), null::integer as visits_7d, events_30d"
        " from user_features_latest"
    )
    assert predictions(con, home) == before


def test_without_production_there_are_no_scores(tmp_path, con):
    """The columns are those of a day with scores."""
    empty = churn_scores(con, Settings(home=tmp_path), "user_features_latest", "user_values")
    assert empty.fetchall() == []
    assert empty.columns == [column.name for column in SCORED]


@pytest.mark.parametrize("risks", [[0.1, np.nan], [0.1, 1.1], [-0.1, 0.2], [0.1], [np.inf, 0.1]])
def test_invalid_or_missing_scores_are_refused(risks):
    frame = pd.DataFrame({"user_id": ["a", "b"][: len(risks)], "churn_risk": risks})
    with pytest.raises(JobError, match="nothing was written"):
        check_scores(frame, 2)


def test_scores_from_zero_to_one_are_accepted():
    check_scores(pd.DataFrame({"user_id": ["a", "b"], "churn_risk": [0.0, 1.0]}), 2)


def test_misaligned_scores_are_refused(home, con, monkeypatch):
    """Guards against scores with another index, which pandas would align into NaN."""
    honest = onnx_model.score

    def misaligned(session, matrix):
        risk = honest(session, matrix)
        return pd.Series(risk, index=np.arange(len(risk)) + 10) if len(risk) > 100 else risk

    monkeypatch.setattr(onnx_model, "score", misaligned)
    with pytest.raises(JobError, match="10 of them missing"):
        predictions(con, home)


@pytest.mark.parametrize(
    "name", ["model.onnx", "features.json", "golden.json", "reasons.onnx", "typical.json"]
)
def test_a_tampered_file_is_refused_by_name(home, con, name):
    path = home.models / store.production(home.models).version / name
    original = path.read_bytes()
    path.write_bytes(original + b" ")
    try:
        with pytest.raises(JobError, match=name):
            predictions(con, home)
    finally:
        path.write_bytes(original)
