"""Scoring on Spark: in its executors, with the same model and the same SQL."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from python_jobs.ingest.words import of_warehouse
from python_jobs.publication import prediction
from python_jobs.registry import store
from python_jobs.scoring.production import Production, check_features, required
from python_jobs.scoring.rows import KEYS, SCORED, check_counts
from python_jobs.settings import Settings
from python_jobs.warehouse import exchange, spark

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
        ) as risk_decile,
        timestamp_ntz '{{scored_at}}' as scored_at
    from ranked
)
"""
"""SQL: rank and decile of all users, by slices of risk, so that no executor sorts all users."""


def score(con: "duckdb.DuckDBPyConnection", settings: Settings, *, now: datetime) -> None:
    """Score every user of user_features_latest, and keep the features as they were served.

    Replaces the day's rows of ml.churn_predictions and ml.scored_features. Raises JobError, and
    replaces nothing, as duckdb_score.churn_scores does.
    """
    model = required(settings, of_warehouse(con, settings))
    check_features(model, con, "user_features_latest")
    session = spark.session(settings)
    features = session.table("main.user_features_latest")
    valued = features.join(session.table("main.user_values"), ["user_id", "as_of_date"], "left")
    inputs = valued.select(*KEYS, *[f"`{name}`" for name in model.features.names])
    # written to a file first, so that the model runs once for checks and result
    aside = str(settings.spark.resolve() / "scored")
    inputs.mapInArrow(_scorer(model), SCHEMA).write.mode("overwrite").parquet(aside)
    scored = session.read.parquet(aside)
    scored.createOrReplaceTempView("scored")
    is_risk = "coalesce(churn_risk between 0 and 1 and not isnan(churn_risk), false)"
    rows, bad = session.sql(f"select count(*), count_if(not {is_risk}) from scored").first()
    users = features.select("user_id").distinct().count()
    check_counts(rows, bad, users)
    ranked = session.sql(RANKED.format(scored_at=store.utc(now)))
    _replace_day(ranked, settings, "ml.churn_predictions")
    _replace_day(features.drop("is_eligible"), settings, "ml.scored_features")


def _replace_day(rows: "DataFrame", settings: Settings, table: str) -> None:
    """Replace the rows of a day."""
    folder = str(exchange.folder(settings, table))
    rows.write.mode("overwrite").partitionBy("as_of_date").parquet(folder)
    spark.register(settings)


def _scorer(
    production: Production,
) -> Callable[[Iterator["pyarrow.RecordBatch"]], Iterator["pyarrow.RecordBatch"]]:
    """Return the function that scores an executor's batches of rows."""

    def run(batches: Iterator["pyarrow.RecordBatch"]) -> Iterator["pyarrow.RecordBatch"]:
        import duckdb
        import pyarrow

        from python_jobs.scoring.rows import predictions, scored

        with duckdb.connect() as con:
            for batch in batches:
                con.register("batch", pyarrow.Table.from_batches([batch]))
                scores = scored(con, production, "batch")
                yield from predictions(con, production, scores).to_arrow_table().to_batches()

    return run
