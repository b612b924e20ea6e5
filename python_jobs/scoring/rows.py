"""Score rows: the risk and the numbers for its reasons, for users read in chunks."""

import duckdb
import numpy as np
import pandas as pd

from python_jobs.errors import JobError
from python_jobs.publication import onnx_model, prediction
from python_jobs.publication.prediction import HIGH_FROM, MEDIUM_FROM
from python_jobs.reasons.choosing import REASONS
from python_jobs.reasons.telling import Texts, told
from python_jobs.scoring.production import Production

USER_VALUE = """
case
    when horizons = 1 then value_per_horizon
    when churn_risk < 1e-9 then value_per_horizon * horizons
    else value_per_horizon * (1 - power(1 - churn_risk, horizons)) / churn_risk
end
"""
"""SQL: the value of the next horizon, and of each later one as far as the user stays until then."""

KEYS = ("user_id", "as_of_date", "is_eligible", "value_per_horizon", "horizons")
"""The columns of a user that scoring passes on."""

TOLD = [f"{what}_{n}" for what in ("reason", "effect") for n in range(1, REASONS + 1)] + ["action"]
"""The columns of a user's reasons."""

SCORED = prediction.made_by("scoring")
"""The columns that depend on one user only."""

VALUES = f"""
select
    user_id,
    as_of_date,
    churn_risk,
    case
        when churn_risk >= {HIGH_FROM} then 'high'
        when churn_risk >= {MEDIUM_FROM} then 'medium'
        else 'low'
    end as risk_band,
    is_eligible,
    {USER_VALUE} as user_value,
    churn_risk * {USER_VALUE} as expected_loss,
    {", ".join(TOLD)},
    $version as model_version
from new_scores
"""
PREDICTIONS = prediction.typed(VALUES, SCORED)
"""SQL: the SCORED columns of the users in new_scores, in the order and types of the schema."""

NULLS = ", ".join(f"null as {column.name}" for column in SCORED)
NO_PREDICTIONS = prediction.typed(f"select {NULLS} where false", SCORED)
"""SQL: the same columns without rows."""


def predictions(
    con: duckdb.DuckDBPyConnection, model: Production, scores: pd.DataFrame
) -> duckdb.DuckDBPyRelation:
    """Return the columns SCORED of the users in `scores`, which `scored` returned."""
    con.register("new_scores", scores)
    return con.sql(PREDICTIONS, params={"version": model.version})


def scored(con: duckdb.DuckDBPyConnection, model: Production, table: str) -> pd.DataFrame:
    """Return one row per user: KEYS, churn_risk, and the columns TOLD.

    `table` has the columns of user_features_latest and of user_values. Scores and users are matched
    by position, only within a chunk.
    """
    keys = [f"f.{name}" for name in KEYS]
    rest = f"from {table} as f order by f.user_id"
    texts: Texts = {}
    chunks = []
    for frame, matrix in model.features.chunks(con, keys, rest):
        risk = onnx_model.score(model.risk, matrix)
        chunks.append(frame.assign(churn_risk=risk, **_told(model, matrix, risk, texts)))
    scores = pd.concat(chunks, ignore_index=True)
    each_once = pd.Index(list(texts), dtype=object)
    told = {name: pd.Categorical.from_codes(scores[name], each_once) for name in TOLD}
    return scores.assign(**told)


def _told(
    model: Production, matrix: np.ndarray, risk: np.ndarray, texts: Texts
) -> dict[str, np.ndarray]:
    """Return the columns TOLD as places in `texts`; -1 throughout for an early release's model."""
    if model.contributions is None or not len(matrix):
        return {name: np.full(len(matrix), -1) for name in TOLD}
    (contributions,) = model.contributions.run(["contributions"], {"features": matrix})
    return told(model.teller, contributions, matrix, risk, texts)


def check_scores(scores: pd.DataFrame, users: int) -> None:
    """Raise JobError unless there are as many scores as users, and each is a probability."""
    risk = scores["churn_risk"].to_numpy()
    bad = int((~((risk >= 0) & (risk <= 1))).sum())  # NaN is not between 0 and 1
    check_counts(len(scores), bad, users)


def check_counts(scores: int, bad: int, users: int) -> None:
    """Raise JobError unless there are as many scores as users, and none is bad."""
    if bad or scores != users:
        raise JobError(
            f"{scores:,} scores for {users:,} users, {bad:,} of them missing or outside "
            "0 to 1: nothing was written.",
            next_step="see that user_features_latest has one row per user, and rebuild it.",
        )
