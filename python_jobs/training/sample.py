"""The rows to train on: all of them, or a stratified sample that fits one machine."""

import duckdb

from python_jobs.settings import Settings

SAMPLE = """
with
placed as (
    select
        {columns},
        row_number() over (
            partition by as_of_date, is_eligible, churn_label
            order by md5(concat(user_id, cast(as_of_date as string))), user_id
        ) as place,
        count(*) over (partition by as_of_date, is_eligible, churn_label) as stratum,
        count(*) over () as everything
    from main.evaluation_set
)
select {columns} from placed
where
    everything <= {limit}
    or place <= greatest(1, floor(cast(stratum as double) * {limit} / everything))
"""
"""Chosen by hash, so the same rows are chosen again and by both engines; each date, label and side
of eligibility has the share that it has of all, and at least one row."""


def draw(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Put at most max_training_rows of evaluation_set, and its training_set, before the real ones.

    They are temporary tables of this connection. On DuckDB nothing is drawn where all rows fit.
    """
    limit = settings.max_training_rows
    count = "select count(*) from main.evaluation_set"
    if settings.target == "duckdb" and con.execute(count).fetchall()[0][0] <= limit:
        return
    names = [row[0] for row in con.execute("describe main.evaluation_set").fetchall()]
    columns = ", ".join(names)
    query = SAMPLE.format(columns=columns, limit=limit)
    if settings.target == "spark":
        from python_jobs.warehouse import spark

        con.register("drawn", spark.session(settings).sql(query).toArrow())
        query = "from drawn"
    con.execute(f"create or replace temp table evaluation_set as {query}")
    con.execute(
        "create or replace temp view training_set as from temp.evaluation_set where is_eligible"
    )
