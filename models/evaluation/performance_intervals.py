"""How sure the realised metrics are: bootstrap over users, for the newest mature scoring dates."""

from dataclasses import fields

DATES = 30
METRICS = ["average_precision", "roc_auc", "precision_at_top_k", "lift_top_decile", "brier"]
COLUMNS = {
    "as_of_date": "date",
    "model_version": "varchar",
    "metric": "varchar",
    "value": "double",
    "low": "double",
    "high": "double",
    "users": "bigint",
}


def model(dbt, session):
    """One row per mature scoring date, model version and metric; see the model's yml."""
    dbt.config(materialized="table")
    outcomes = dbt.ref("prediction_outcomes").filter("is_eligible and is_mature")
    days = sorted(outcomes.project("as_of_date").distinct().fetchall())
    if not days:
        nulls = ", ".join(f"cast(null as {kind}) as {name}" for name, kind in COLUMNS.items())
        return session.sql(f"select {nulls} where false")
    newest = outcomes.filter(f"as_of_date >= date '{days[-DATES:][0][0]}'")
    typed = ", ".join(f"cast({name} as {kind}) as {name}" for name, kind in COLUMNS.items())
    return session.from_df(_measured(newest.df(), _campaign(session))).project(typed)


def _campaign(session):
    from python_jobs.training.metrics import Campaign
    from python_jobs.warehouse.dbt_settings import domain_vars

    names = {field.name for field in fields(Campaign)}
    return Campaign(**{k: v for k, v in domain_vars(session).items() if k in names})


def _measured(outcomes, campaign):
    """A frame of COLUMNS. What it needs is loaded here: most builds have no mature date yet."""
    import numpy as np
    import pandas as pd

    from python_jobs.training.bootstrap import Interval, weights
    from python_jobs.training.judging import replicates
    from python_jobs.training.metrics import values

    rows = []
    for (day, version), part in outcomes.sort_values(["as_of_date", "user_id"]).groupby(
        ["as_of_date", "model_version"]
    ):
        y = part["churn_label"].to_numpy(float)
        risk = part["churn_risk"].to_numpy(float)
        users, dates = np.arange(len(part)), np.zeros(len(part))
        blocks = weights(len(part), seed=0)
        drawn = replicates(y, risk, users, dates, blocks, len(part), campaign)
        exact = values(y, risk, dates, campaign)
        for metric in METRICS:
            found = Interval.of(exact[metric], drawn[metric])
            rows.append((day, version, metric, found.value, found.low, found.high, len(part)))
    return pd.DataFrame(rows, columns=list(COLUMNS))
