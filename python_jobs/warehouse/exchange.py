"""Data exchange between DuckDB and Spark, through Parquet folders.

The jobs keep their own small tables in the warehouse's DuckDB file and write copies for Spark. Raw
rows move from that file to Parquet. Tables that Spark builds appear as views in the file.
"""

from pathlib import Path

import duckdb

from python_jobs.files import sql_text
from python_jobs.settings import Settings

JOB_TABLES = (
    *("raw.domain", "raw.files", "raw.forgotten", "raw.identity_map", "raw.cursors"),
    *("ml.model_versions", "ml.fold_metrics", "ml.promotions", "ml.training_reference"),
    *("ml.effect_models", "ml.approvals"),
    "main.performance_intervals",
)
"""The jobs' own tables: they are in DuckDB, and Spark reads copies."""

INBOX = ("raw.users", "raw.identities", "raw.events", "raw.treatments")
"""Tables to which jobs only add rows: new rows are moved from DuckDB to Spark."""

TYPES = {"string": "varchar", "int": "integer", "timestamp_ntz": "timestamp"}
"""Spark's types whose name in DuckDB differs."""


def folder(settings: Settings, table: str) -> Path:
    """Return the folder of the Parquet files of a table, `schema.name`, that jobs write."""
    return settings.spark.resolve() / "jobs" / table.replace(".", "/")


def hand_over(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Write what the jobs committed since the last call as Parquet files for Spark.

    It is safe to repeat after an interruption: files appear complete or not at all, and a load
    that is written twice gets the same name.
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
    """Create a view of a table that Spark built; for a job's own table, create it if missing.

    `columns`: name -> Spark's type. `partition`: the column by which its files are partitioned.
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
    partial.unlink(missing_ok=True)  # to overwrite, DuckDB would use a temporary name Spark reads
    con.execute(f"copy {table} to {sql_text(partial)} (format parquet, compression zstd)")
    partial.replace(path)
    signed.write_text(signature, encoding="utf-8")
