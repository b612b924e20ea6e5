"""The production model's risk and reasons for every user of user_features_latest."""


def model(dbt, session):
    """One row per user; see the model's yml. Empty while no model is in production."""
    dbt.config(materialized="table")
    # lineage: a model comes first, and this is what it scores
    dbt.source("ml", "model_versions")
    dbt.ref("user_features_latest")
    dbt.ref("user_values")

    from python_jobs.ingest.words import of_warehouse
    from python_jobs.scoring.duckdb_score import churn_scores
    from python_jobs.settings import Settings

    settings = Settings()
    words = of_warehouse(session, settings)
    return churn_scores(session, settings, "main.user_features_latest", "main.user_values", words)
