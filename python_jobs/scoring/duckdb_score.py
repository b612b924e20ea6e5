"""Scoring on DuckDB: the dbt model churn_scores calls it."""

import duckdb

from python_jobs.reasons.words import Words
from python_jobs.scoring.production import check_features, production
from python_jobs.scoring.rows import NO_PREDICTIONS, check_scores, predictions, scored
from python_jobs.settings import Settings


def churn_scores(
    con: duckdb.DuckDBPyConnection,
    settings: Settings,
    table: str,
    values: str,
    words: Words | None = None,
) -> duckdb.DuckDBPyRelation:
    """Return one row per user of a table of features: the columns rows.SCORED.

    `values`: the table user_values of the same users. `words`: the domain's, for the reasons.

    No rows while no model is in production. Raises JobError if a file of the model differs from the
    registered one, the golden rows get other scores, one of its features is missing or has another
    type, or a score is missing or not a probability.
    """
    model = production(settings, words)
    if model is None:
        return con.sql(NO_PREDICTIONS)
    check_features(model, con, table)
    inputs = f"(from {table} left join {values} using (user_id, as_of_date))"
    scores = scored(con, model, inputs)
    (users,) = con.execute(f"select count(distinct user_id) from {table}").fetchall()[0]
    check_scores(scores, users)
    return predictions(con, model, scores)
