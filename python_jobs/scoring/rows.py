"""Score rows: the risk and the numbers for its reasons, for users read in chunks."""

from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pandas as pd

from python_jobs.errors import JobError
from python_jobs.publication import onnx_model, prediction
from python_jobs.publication.prediction import HIGH_FROM, MEDIUM_FROM
from python_jobs.scoring.production import Production
from python_jobs.scoring.reasons import REASONS, TEXT, strongest, with_own_values

if TYPE_CHECKING:
    import onnxruntime

USER_VALUE = """
case
    when horizons = 1 then value_per_horizon
    when churn_risk < 1e-9 then value_per_horizon * horizons
    else value_per_horizon * (1 - power(1 - churn_risk, horizons)) / churn_risk
end
"""
"""SQL: the value of the next horizon, and of each later one as far as the user stays until then."""

REASON = f"""
case when told_{{n}} is not null then
    feature_{{n}}.label || ': '
    || coalesce(feature_{{n}}.text, {TEXT.strip().format(value="value_{n}")})
    || feature_{{n}}.typical || if(strength_{{n}} > 0, 'raises', 'lowers') || ' the risk'
end as reason_{{n}},
"""
KEYS = ("user_id", "as_of_date", "is_eligible", "value_per_horizon", "horizons")
"""The columns of a user that scoring passes on."""

PLACES = range(1, REASONS + 1)
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
    {"".join(REASON.format(n=n) for n in PLACES)}
    $version as model_version
from new_scores
{"".join(f"left join features as feature_{n} on told_{n} = feature_{n}.place " for n in PLACES)}
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
    con.register("features", model.told)
    return con.sql(PREDICTIONS, params={"version": model.version})


def scored(con: duckdb.DuckDBPyConnection, model: Production, table: str) -> pd.DataFrame:
    """Return one row per user: KEYS, churn_risk, and the numbers for its reasons.

    `table` has the columns of user_features_latest and of user_values. Scores and users are matched
    by position, only within a chunk.
    """
    group = model.told["thing"].to_numpy()
    keys = [f"f.{name}" for name in KEYS]
    rest = f"from {table} as f order by f.user_id"
    return pd.concat(
        [
            frame.assign(
                churn_risk=onnx_model.score(model.risk, matrix),
                **_told(model.contributions, group, matrix),
            )
            for frame, matrix in model.features.chunks(con, keys, rest)
        ],
        ignore_index=True,
    )


def _told(
    reasons: "onnxruntime.InferenceSession | None", group: np.ndarray, matrix: np.ndarray
) -> dict[str, np.ndarray | None]:
    """Return told_n (place of the feature), value_n and strength_n of reason n.

    None or NaN if there is no such reason: a measure that moves nothing is none.
    """
    names = [f"{what}_{n}" for n in PLACES for what in ("told", "value", "strength")]
    columns: dict[str, np.ndarray | None] = dict.fromkeys(names)
    if reasons is None or not len(matrix):
        return columns
    (contributions,) = reasons.run(["contributions"], {"features": matrix})
    told, strength = strongest(contributions, group[: matrix.shape[1]])
    values = np.take_along_axis(matrix, told.astype(np.int64), axis=1)
    told = with_own_values(told, matrix, group)
    for place in range(told.shape[1]):
        columns[f"told_{place + 1}"] = np.where(strength[:, place] == 0, np.nan, told[:, place])
        columns[f"value_{place + 1}"] = values[:, place].astype(np.float64)
        columns[f"strength_{place + 1}"] = strength[:, place]
    return columns


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
