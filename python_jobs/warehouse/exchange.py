"""Where Spark builds, the engines meet in Parquet folders: what each shows the other.

The jobs keep their own, small tables in the warehouse's DuckDB file and hand copies to Spark; raw
rows pass through that file and stay in Parquet alone. What Spark builds the jobs see as views.
"""

from pathlib import Path

import duckdb

from python_jobs.files import sql_text
from python_jobs.settings import Settings

JOB_TABLES = (
    *("raw.domain", "raw.files", "raw.forgotten"),
    *("ml.model_versions", "ml.fold_metrics", "ml.promotions", "ml.training_reference"),
    "main.performance_intervals",
)
"""Tables that jobs own: DuckDB has them, Spark reads copies."""

INBOX = ("raw.users", "raw.events", "raw.treatments")
"""Tables that jobs only add to: new rows go to Spark and leave DuckDB."""

TYPES = {"string": "varchar", "int": "integer", "timestamp_ntz": "timestamp"}
"""Spark's names of types that DuckDB calls something else."""


def folder(settings: Settings, table: str) -> Path:
    """Folder of the Parquet files of a table that jobs write: `schema.name`."""
    return settings.spark.resolve() / "jobs" / table.replace(".", "/")


def hand_over(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Write what the jobs committed since the last time to where Spark reads it.

    A run that breaks off is made good by the next: a file is there as a whole or not at all, and
    a load that is written twice has the same name.
    """
    query = "select schema_name || '.' || table_name from duckdb_tables()"
    there = {row[0] for row in con.execute(query).fetchall()}
    for table in [name for name in JOB_TABLES if name in there]:
        _copy(con, table, folder(settings, table) / "all.parquet")
    for table in [name for name in INBOX if name in there]:
        to = folder(settings, table)
        if con.execute(f"select count(*) from {table}").fetchall()[0][0] or not to.exists():
            (load,) = con.execute("select coalesce(max(file_id), 0) from raw.files").fetchall()[0]
            _copy(con, table, to / f"load-{load:09}.parquet")
            con.execute(f"delete from {table}")


def show(
    con: duckdb.DuckDBPyConnection,
    settings: Settings,
    table: str,
    columns: dict[str, str],
    partition: str | None,
) -> None:
    """Show the jobs a table that Spark built, as a view; of their own tables make what is missing.

    `columns`: name -> Spark's type. `partition`: the column by which its files are laid out.
    """
    typed = {name: TYPES.get(kind, kind) for name, kind in columns.items()}
    con.execute(f"create schema if not exists {table.split('.', maxsplit=1)[0]}")
    if table in JOB_TABLES:
        listed = ", ".join(f'"{name}" {kind}' for name, kind in typed.items())
        con.execute(f"create table if not exists {table} ({listed})")
        return
    schema, name = table.split(".")
    to = folder(settings, table)
    if not to.exists():
        to = settings.spark.resolve() / f"{schema}.db" / name
    pattern = f"{partition}=*/*.parquet" if partition else "*.parquet"
    if next(to.glob(pattern), None) is None:
        nulls = (f'cast(null as {kind}) as "{name}"' for name, kind in typed.items())
        query = f"select {', '.join(nulls)} where false"
    else:
        options = "union_by_name = true"
        if partition:
            options += f", hive_partitioning = true, hive_types = {{'{partition}': date}}"
        query = f"from read_parquet({sql_text(to / pattern)}, {options})"
    con.execute(f"create or replace view {table} as {query}")


def _copy(con: duckdb.DuckDBPyConnection, table: str, path: Path) -> None:
    """Write a table as one Parquet file, unless that file holds the same rows already."""
    query = f"select count(*), bit_xor(hash(t)) from {table} as t"
    count, content = con.execute(query).fetchall()[0]
    columns = con.execute(f"describe {table}").fetchall()
    signature = f"{count} {content} {columns}"
    signed = path.with_name(f".{path.name}.signature")
    if path.exists() and signed.exists() and signed.read_text(encoding="utf-8") == signature:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)  # over an older one DuckDB writes by way of a name Spark reads
    con.execute(f"copy {table} to {sql_text(partial)} (format parquet, compression zstd)")
    partial.replace(path)
    signed.write_text(signature, encoding="utf-8")
