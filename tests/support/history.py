"""Days scored in the past, as last month's builds would have left them."""

from datetime import date
from pathlib import Path

from python_jobs.scoring.duckdb_score import churn_scores
from python_jobs.settings import Settings
from python_jobs.warehouse.connection import connect


def score_day(home: Path, day: date) -> None:
    """Score an earlier day with the production model, and keep its features as served."""
    settings = Settings(home=home)
    with connect(settings) as connection:
        connection.execute(
            "create temp table past as from user_features_daily where as_of_date = ?", [day]
        )
        connection.execute(
            """
            create temp table past_values as
            select user_id, as_of_date, 100.0::double as value_per_horizon, 1.0::double as horizons
            from past
            """
        )
        scores = churn_scores(connection, settings, "past", "past_values").to_arrow_table()
        connection.register("scores", scores)
        connection.execute(
            """
            insert into ml.churn_predictions by name
            select
                *,
                row_number() over riskiest_first as risk_rank,
                ntile(10) over riskiest_first as risk_decile,
                timestamp '2026-01-01' as scored_at
            from scores
            window riskiest_first as (order by churn_risk desc, user_id)
            """
        )
        connection.execute(
            "insert into ml.scored_features by name select * exclude (is_eligible) from past"
        )
