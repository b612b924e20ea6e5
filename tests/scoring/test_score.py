"""score: every user gets the score of their own features, or nothing is written."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from support.training_world import NOW, new_warehouse, run

from python_jobs.errors import JobError
from python_jobs.publication import onnx_model
from python_jobs.registry import store
from python_jobs.registry.promotion import promote
from python_jobs.scoring import reasons
from python_jobs.scoring.rows import check_scores
from python_jobs.scoring.score import Scored, score
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


def predictions(con, columns="*"):
    return con.execute(f"select {columns} from ml.churn_predictions order by all").fetchall()


def test_each_user_gets_the_score_of_their_own_features(home, con, monkeypatch):
    """Scores in chunks match the scikit-learn model on all rows at once."""
    monkeypatch.setattr("python_jobs.warehouse.features.CHUNK_VECTORS", 1)
    day = date(2025, 2, 16)
    assert score(con, home, now=NOW).as_of_date == day
    version = store.production(home.models).version
    names = store.read_features(home.models, version).names
    frame = con.execute(
        "select * from ml.churn_predictions join user_features_daily using (user_id, as_of_date)"
    ).df()
    assert len(frame) == USERS and frame["churn_risk"].nunique() > 100
    expected = churn_risk(
        store.load_joblib(home.models, version), frame[names].to_numpy(np.float32)
    )
    assert np.abs(frame["churn_risk"] - expected).max() < 1e-5
    assert (frame["is_eligible"] == frame["is_eligible_1"]).all()


def test_ranks_deciles_and_bands_follow_the_risk(home, con):
    """Rank 1 is the riskiest user, decile 1 the riskiest tenth; ties are ordered by user_id."""
    summary = score(con, home, now=NOW, high_from=0.6, medium_from=0.3)
    frame = con.execute("from ml.churn_predictions order by risk_rank").df()
    assert frame["risk_rank"].tolist() == list(range(1, USERS + 1))
    assert frame["risk_decile"].tolist() == [1 + i * 10 // USERS for i in range(USERS)]
    by_hand = frame.sort_values(["churn_risk", "user_id"], ascending=[False, True])
    assert by_hand.index.tolist() == list(range(USERS))
    assert frame["churn_risk"].duplicated().any()
    bands = pd.cut(
        frame["churn_risk"], [-1, 0.3, 0.6, 1], right=False, labels=["low", "medium", "high"]
    )
    assert (frame["risk_band"] == bands.astype(str)).all()
    assert summary == Scored(
        date(2025, 2, 16),
        store.production(home.models).version,
        USERS,
        frame["risk_band"].value_counts().to_dict(),
    )
    assert set(frame["scored_at"]) == {pd.Timestamp(NOW.replace(tzinfo=None))}
    assert set(frame["model_version"]) == {summary.model_version}


def test_each_user_gets_three_reasons_from_their_own_features(home, con, monkeypatch):
    """Feature, value and direction match the contributions on all rows at once."""
    monkeypatch.setattr("python_jobs.warehouse.features.CHUNK_VECTORS", 1)
    score(con, home, now=NOW)
    version = store.production(home.models).version
    names = store.read_features(home.models, version).names
    typical = store.read_json(home.models, version, "typical.json")
    frame = con.execute(
        "select * from ml.churn_predictions join user_features_daily using (user_id, as_of_date)"
    ).df()
    session = onnx_model.open_session((home.models / version / "reasons.onnx").read_bytes())
    matrix = frame[names].to_numpy(np.float32)
    (moved,) = session.run(["contributions"], {"features": matrix})
    facts = store.read_feature_facts(home.models, version)
    group = reasons.groups(facts.values())
    told, strength = reasons.strongest(moved, group)
    for row in range(0, USERS, 7):
        for place in range(3):
            name = names[told[row, place]]
            value = reasons.value_text(matrix[row, told[row, place]].item())
            median = reasons.value_text(typical[name]["median"])
            direction = "raises" if strength[row, place] > 0 else "lowers"
            assert frame[f"reason_{place + 1}"][row] == (
                f"{facts[name].label}: {value}, typically {median}; {direction} the risk"
            )
    text = " ".join(frame["reason_1"] + frame["reason_2"] + frame["reason_3"])
    assert "unknown, typically" in text and "raises" in text and "lowers" in text


def test_rule_gives_no_reason_that_moves_nothing(tmp_path, con, monkeypatch):
    """Recency knows one measure, so a second reason would be untrue."""
    monkeypatch.setattr("python_jobs.training.train.UNJUDGED_RULE", "recency")
    settings, short = Settings(home=tmp_path), new_warehouse(users=300, dates=1)
    run(short, settings.home)
    promote(short, settings, now=NOW)
    score(con, settings, now=NOW)
    told = predictions(con, "count(reason_1) > 2900, count(reason_2), count(reason_3)")
    assert told == [(True, 0, 0)]


def test_a_model_without_reasons_scores_without_them(home, con, monkeypatch):
    """A version of a release without reasons can still score."""
    honest = store.read_manifest

    def before(models, version):
        manifest = honest(models, version)
        return manifest | {"files": {n: h for n, h in manifest["files"].items() if n in OLD}}

    monkeypatch.setattr(store, "read_manifest", before)
    score(con, home, now=NOW)
    assert predictions(con, "count(*), count(reason_1)") == [(USERS, 0)]


def test_a_version_without_feature_facts_scores_and_explains_the_same(home, con, monkeypatch):
    """An earlier release wrote neither facts nor values of attributes into features.json."""
    score(con, home, now=NOW)
    before = predictions(con)
    honest, asked = store.read_json, []

    def without_facts(models, version, name):
        asked.append(name)
        content = honest(models, version, name)
        return {k: v for k, v in content.items() if k not in ("facts", "values")}

    monkeypatch.setattr(store, "read_json", without_facts)
    score(con, home, now=NOW)
    assert "features.json" in asked and predictions(con) == before


def test_a_band_begins_at_its_threshold(home, con):
    con.execute("delete from user_features_daily where user_id > 'u000000'")
    score(con, home, now=NOW)
    ((risk,),) = predictions(con, "churn_risk")
    above = np.nextafter(risk, 1)
    found = []
    for high, medium in [(risk, risk), (above, risk), (above, above)]:
        score(con, home, now=NOW, high_from=high, medium_from=medium)
        found += predictions(con, "risk_band")
    assert found == [("high",), ("medium",), ("low",)]


def test_scoring_again_replaces_only_that_day(home, con):
    first, last = date(2025, 2, 9), date(2025, 2, 16)
    score(con, home, now=NOW, as_of_date=first)
    score(con, home, now=NOW, as_of_date=last)
    before = predictions(con, "* exclude (scored_at)")
    later = NOW + timedelta(hours=1)
    score(con, home, now=later, as_of_date=last)
    assert predictions(con, "* exclude (scored_at)") == before
    assert predictions(con, "distinct as_of_date, scored_at") == [
        (first, NOW.replace(tzinfo=None)),
        (last, later.replace(tzinfo=None)),
    ]


def test_the_order_of_the_rows_does_not_matter(home, con, monkeypatch):
    """This holds even if the arithmetic of a row depends on its place in the chunk."""
    honest, places = onnx_model.score, np.linspace(0, 1, USERS)

    def by_place(session, matrix):
        return places if len(matrix) == USERS else honest(session, matrix)

    monkeypatch.setattr(onnx_model, "score", by_place)
    score(con, home, now=NOW)
    before = predictions(con)
    con.execute(
        "create or replace table user_features_daily as from user_features_daily"
        " order by hash(user_id || 'shuffled')"
    )
    score(con, home, now=NOW)
    assert predictions(con) == before


def test_the_order_of_the_columns_does_not_matter(home, con):
    """Features are read by name, in training order."""
    score(con, home, now=NOW)
    before = predictions(con)
    con.execute(
        "create or replace table user_features_daily as select events_30d, * exclude (events_30d)"
        " from user_features_daily"
    )
    score(con, home, now=NOW)
    assert predictions(con) == before


REFUSALS = {
    "renamed feature": (
        "alter table user_features_daily rename events_30d to events_28d",
        "events_30d is missing, the model has BIGINT",
    ),
    "other type": (
        "alter table user_features_daily alter events_30d type double",
        "events_30d is DOUBLE, the model has BIGINT",
    ),
    "no users at all": ("delete from user_features_daily", "no user"),
    "a user twice": (
        "insert into user_features_daily from user_features_daily where user_id = 'u000007'",
        "3,001 scores for 3,000 users",
    ),
    "a row without user": (
        "update user_features_daily set user_id = null where user_id = 'u000007'",
        "3,000 scores for 2,999 users",
    ),
}


@pytest.mark.parametrize("change, message", REFUSALS.values(), ids=REFUSALS)
def test_refusals_name_the_cause_and_keep_the_old_scores(home, con, change, message):
    score(con, home, now=NOW)
    before = predictions(con)
    con.execute(change)
    with pytest.raises(JobError, match=f"{message}.*Next: "):
        score(con, home, now=NOW + timedelta(days=1))
    assert predictions(con) == before


def test_features_unknown_to_the_model_change_nothing(home, con):
    """They may come first, in between or last, with any values."""
    score(con, home, now=NOW)
    before = predictions(con)
    con.execute(
        "create or replace table user_features_daily as"
        " select 1e9 as first_7d, * exclude (events_30d), null::integer as visits_7d, events_30d"
        " from user_features_daily"
    )
    score(con, home, now=NOW)
    assert predictions(con) == before


def test_a_day_without_features_is_refused_by_its_date(home, con):
    with pytest.raises(JobError, match="no user on 2024-01-01"):
        score(con, home, now=NOW, as_of_date=date(2024, 1, 1))


def test_without_production_the_next_step_is_train_and_promote(tmp_path, con):
    with pytest.raises(JobError, match=r"churnhouse train.*churnhouse promote"):
        score(con, Settings(home=tmp_path), now=NOW)


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
        score(con, home, now=NOW)
    assert predictions(con) == []


@pytest.mark.parametrize(
    "name", ["model.onnx", "features.json", "golden.json", "reasons.onnx", "typical.json"]
)
def test_a_tampered_file_is_refused_by_name(home, con, name):
    path = home.models / store.production(home.models).version / name
    original = path.read_bytes()
    path.write_bytes(original + b" ")
    try:
        with pytest.raises(JobError, match=name):
            score(con, home, now=NOW)
    finally:
        path.write_bytes(original)
    assert predictions(con) == []


def test_a_failed_insert_keeps_the_old_scores(home, con):
    """Delete and insert are one transaction."""
    score(con, home, now=NOW)
    before = predictions(con)
    con.execute("alter table ml.churn_predictions add column not_filled integer default 1")
    con.execute("alter table ml.churn_predictions alter not_filled set not null")
    con.execute("alter table ml.churn_predictions alter not_filled drop default")
    with pytest.raises(Exception, match="not_filled"):
        score(con, home, now=NOW)
    assert [row[:-1] for row in predictions(con)] == before


def test_a_column_that_an_older_table_lacks_is_added(home, con):
    con.execute("alter table ml.churn_predictions drop risk_band")
    score(con, home, now=NOW)
    assert {row[0] for row in predictions(con, "risk_band")} <= {"high", "medium", "low"}
