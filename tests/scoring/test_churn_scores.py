"""dbt's model churn_scores, and the tables that keep what was said on each day."""

from datetime import date
from pathlib import Path

import duckdb
from support.history import score_day
from support.homes import churnhouse, dbt, refused, rows

from python_jobs.registry import store
from python_jobs.settings import Settings

SCORES = "select * exclude (scored_at) from ml.churn_predictions order by all"
UNTESTED = ("--exclude-resource-type", "test")


def test_plain_dbt_build_makes_the_predictions_of_its_features(home: Path):
    before = rows(home, SCORES)
    churnhouse(home, "generate", "--days", "1", "--append")
    churnhouse(home, "ingest")
    assert dbt(home, "build", *UNTESTED)["churn_scores"] == "success"
    days = "select distinct as_of_date from user_features_latest union all "
    days += "select distinct as_of_date from churn_predictions_latest"
    assert rows(home, days) == [(date(2025, 5, 1),)] * 2
    earlier = SCORES.replace(" order", " where as_of_date < '2025-05-01' order")
    assert rows(home, earlier) == before


def test_full_refresh_keeps_what_was_said_on_earlier_days(home: Path):
    """Neither could be computed again: the model and the features may have changed."""
    score_day(home, date(2025, 3, 12))
    kept = "select * from {} where as_of_date = '2025-03-12' order by all"
    tables = ("ml.churn_predictions", "ml.scored_features")
    before = [rows(home, kept.format(table)) for table in tables]
    churnhouse(home, "build", "--full-refresh", *UNTESTED)
    assert all(before) and [rows(home, kept.format(table)) for table in tables] == before


def test_rank_and_decile_follow_the_risk_and_then_the_id(home: Path):
    """Rank 1 is the riskiest user, decile 1 the riskiest tenth."""
    with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
        connection.execute("update churn_scores set churn_risk = round(churn_risk, 1)")
    dbt(home, "run", "--select", "prediction_history")
    found = rows(
        home,
        "select churn_risk, user_id, risk_rank, risk_decile from ml.churn_predictions "
        "order by risk_rank",
    )
    assert found == sorted(found, key=lambda row: (-row[0], row[1]))
    assert [row[2:] for row in found] == [(n + 1, n // 30 + 1) for n in range(300)]


def test_scoring_a_day_again_replaces_its_rows(home: Path):
    before = rows(home, SCORES)
    (first,) = rows(home, "select distinct scored_at from ml.churn_predictions")
    churnhouse(home, "score")
    assert rows(home, SCORES) == before
    (second,) = rows(home, "select distinct scored_at from ml.churn_predictions")
    assert second > first


def test_damaged_model_stops_a_build_with_one_line(home: Path):
    models = Settings(home=home).models
    (models / store.production(models).version / "model.onnx").write_bytes(b"damaged")
    before = rows(home, SCORES)
    line = refused(home, "build")
    assert "dbt model churn_scores: " in line and "model.onnx is missing or is not" in line
    assert line.endswith("Next: restore it from a backup, or promote another version.")
    assert rows(home, SCORES) == before


def test_without_production_the_next_step_is_train_and_promote(home: Path):
    (Settings(home=home).models / "production.json").unlink()
    assert "churnhouse train` and `churnhouse promote" in refused(home, "score")
    assert "churnhouse train` and `churnhouse promote" in refused(home, "daily")
    assert rows(home, "select count(*) from churn_scores") == [(0,)]
