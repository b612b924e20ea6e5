"""The rows to train on: all of them, or a stratified sample that fits one machine."""

import duckdb

from python_jobs.settings import Settings
from python_jobs.warehouse.engines import engine_of

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
"""Rows are chosen by hash, so both engines always choose the same ones. Each combination of date,
label and eligibility keeps its share of all rows, and at least one row."""


def draw(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Shadow evaluation_set and training_set with a sample of at most max_training_rows.

    Both are temporary tables of this connection. If all rows fit and are in the warehouse file,
    nothing is drawn.
    """
    engine = engine_of(settings)
    limit = settings.max_training_rows
    count = "select count(*) from main.evaluation_set"
    if engine.tables_in_warehouse and con.execute(count).fetchall()[0][0] <= limit:
        return
    names = [row[0] for row in con.execute("describe main.evaluation_set").fetchall()]
    columns = ", ".join(names)
    query = SAMPLE.format(columns=columns, limit=limit)
    rows = engine.relation(con, query)
    con.execute(f"create or replace temp table evaluation_set as {rows}")
    con.execute(
        "create or replace temp view training_set as from temp.evaluation_set where is_eligible"
    )
