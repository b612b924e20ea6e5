"""Scoring on Spark: in its executors, with the same model and the same SQL."""

from collections.abc import Callable, Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

import pandas as pd

from python_jobs.publication import prediction
from python_jobs.scoring.day import Day
from python_jobs.scoring.rows import PREDICTIONS, SCORED, check_counts, scored
from python_jobs.settings import Settings
from python_jobs.warehouse import exchange, spark
from python_jobs.warehouse.features import Features

if TYPE_CHECKING:
    import duckdb
    import pyarrow
    from pyspark.sql import DataFrame

SPARK_TYPES = {"timestamp": "timestamp_ntz"}
"""Types whose name in Spark differs from the schema's, for Arrow batches from DuckDB."""

SCHEMA = ", ".join(f"{c.name} {SPARK_TYPES.get(c.type, c.type)}" for c in SCORED)
WRITTEN = prediction.made_by("scoring", "ranking")
BY_DAY = [*(c.name for c in WRITTEN if c.name != "as_of_date"), "as_of_date"]
"""The columns in the order of Spark's files: the partition column comes last."""

RANKED = f"""
with

slices as (select *, cast(floor(churn_risk * 10000) as int) as slice from scored),

sizes as (select slice, count(*) as users from slices group by slice),

-- how many users stand above a slice; a table of at most 10,001 rows
above as (
    select
        slice,
        sum(users) over (order by slice desc) - users as users_above,
        sum(users) over () as users
    from sizes
),

ranked as (
    select
        slices.*,
        cast(
            above.users_above + row_number() over (
                partition by slices.slice order by slices.churn_risk desc, slices.user_id
            ) as bigint
        ) as risk_rank,
        above.users div 10 as tenth,
        above.users % 10 as rest
    from slices
    inner join above on slices.slice = above.slice
)

select {", ".join(BY_DAY)}
from (
    select
        *,
        -- the first `rest` deciles have one user more, as ntile gives them
        cast(
            case
                when risk_rank <= rest * (tenth + 1) then (risk_rank - 1) div (tenth + 1)
                else rest + (risk_rank - 1 - rest * (tenth + 1)) div tenth
            end + 1 as int
        ) as risk_decile
    from ranked
)
"""
"""SQL: rank and decile of all users, by slices of risk, so that no executor sorts all users."""


def score_day(con: "duckdb.DuckDBPyConnection", settings: Settings, day: Day) -> dict[str, int]:
    """Replace the predictions of a day; return how many users are in each risk band.

    Raises JobError, and replaces nothing, if a score is missing or not a probability.
    """
    session = spark.session(settings)
    as_of_date = day.constants["as_of_date"]
    today = session.table("main.user_features_daily").where(f"as_of_date = date '{as_of_date}'")
    inputs = today.select("user_id", "is_eligible", *[f"`{name}`" for name in day.features.names])
    files = [day.model / name for name in ("model.onnx", "reasons.onnx")]
    models = [file.read_bytes() if file.exists() else None for file in files]
    # written to a file first, so that the model runs once for checks and result
    aside = str(settings.spark.resolve() / "scored")
    scored = inputs.mapInArrow(_scorer(day.features, models, day.told, day.constants), SCHEMA)
    scored.write.mode("overwrite").parquet(aside)
    scored = session.read.parquet(aside)
    scored.createOrReplaceTempView("scored")
    is_risk = "coalesce(churn_risk between 0 and 1 and not isnan(churn_risk), false)"
    rows, bad = session.sql(f"select count(*), count_if(not {is_risk}) from scored").first()
    check_counts(rows, bad, day.users)
    _replace_day(session.sql(RANKED), settings, "ml.churn_predictions")
    counts = scored.groupBy("risk_band").count().collect()
    return {row["risk_band"]: row["count"] for row in counts}


def save_served_features(
    con: "duckdb.DuckDBPyConnection", settings: Settings, as_of_date: date
) -> None:
    """Copy the features of a scored day to ml.scored_features; scoring again replaces them."""
    features = spark.session(settings).table("main.user_features_daily")
    _replace_day(
        features.where(f"as_of_date = date '{as_of_date}'").drop("is_eligible"),
        settings,
        "ml.scored_features",
    )


def _replace_day(rows: "DataFrame", settings: Settings, table: str) -> None:
    """Replace the rows of a day."""
    folder = str(exchange.folder(settings, table))
    rows.write.mode("overwrite").partitionBy("as_of_date").parquet(folder)
    spark.register(settings)


def _scorer(
    features: Features, models: list[bytes | None], told: pd.DataFrame, constants: dict[str, Any]
) -> Callable[[Iterator["pyarrow.RecordBatch"]], Iterator["pyarrow.RecordBatch"]]:
    """Return the function that scores an executor's batches of rows."""

    def run(batches: Iterator["pyarrow.RecordBatch"]) -> Iterator["pyarrow.RecordBatch"]:
        import duckdb
        import pyarrow

        from python_jobs.publication import onnx_model

        model, reasons = (content and onnx_model.open_session(content) for content in models)
        with duckdb.connect() as con:
            con.register("features", told)
            for batch in batches:
                con.register("batch", pyarrow.Table.from_batches([batch]))
                scores = scored(con, features, told, model, reasons, "from batch as f")
                con.register("new_scores", scores)
                yield from con.sql(PREDICTIONS, params=constants).to_arrow_table().to_batches()

    return run
