"""How sure the realised metrics are: bootstrap over users, for the newest mature scoring dates."""

import numpy as np
import pandas as pd

from python_jobs.bootstrap import Interval, weights
from python_jobs.metrics import resample, values

DATES = 30
METRICS = ["average_precision", "roc_auc", "precision_at_50", "lift_top_decile", "brier"]
COLUMNS = ["as_of_date", "model_version", "metric", "value", "low", "high", "users"]


def model(dbt, session):
    """One row per mature scoring date, model version and metric; see the model's yml."""
    dbt.config(materialized="table")
    outcomes = dbt.ref("prediction_outcomes").filter("is_eligible and is_mature").df()
    newest = sorted(outcomes["as_of_date"].unique())[-DATES:]
    chosen = outcomes[outcomes["as_of_date"].isin(newest)].sort_values(["as_of_date", "user_id"])
    rows = [
        (day, version, *row)
        for (day, version), part in chosen.groupby(["as_of_date", "model_version"])
        for row in _intervals(part)
    ]
    frame = pd.DataFrame(rows, columns=COLUMNS).astype(
        {"value": float, "low": float, "high": float, "users": "int64"}
    )
    frame["as_of_date"] = pd.to_datetime(frame["as_of_date"])
    return session.sql(
        "select cast(as_of_date as date) as as_of_date, cast(model_version as varchar) "
        "as model_version, cast(metric as varchar) as metric, value, low, high, users from frame"
    )


def _intervals(part: pd.DataFrame) -> list[tuple]:
    """(metric, value, low, high, users) of one date; users are the rows."""
    y = part["churn_label"].to_numpy(float)
    risk = part["churn_risk"].to_numpy(float)
    users, day = np.arange(len(part)), np.zeros(len(part))
    prepared = resample(y, risk, users, day, len(part))
    drawn = [prepared.all(block) for block in weights(len(part), seed=0)]
    exact = values(y, risk, day)
    found = []
    for metric in METRICS:
        interval = Interval.of(exact[metric], np.concatenate([block[metric] for block in drawn]))
        found.append((metric, interval.value, interval.low, interval.high, len(part)))
    return found
