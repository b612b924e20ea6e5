"""How much a contact lowers each user's risk, by the effect model."""


def model(dbt, session):
    """One row per user; see the model's yml. Empty while lists go by save rates."""
    dbt.config(materialized="table")
    # lineage: an effect model comes first, and this is what it scores
    dbt.source("ml", "effect_models")
    dbt.ref("user_features_latest")

    from python_jobs.scoring.effect_score import effect_scores
    from python_jobs.settings import Settings

    return effect_scores(session, Settings(), "main.user_features_latest")
