"""Spark as the engine: its session, registering the jobs' files, and views of its tables."""

import os
import runpy
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import duckdb

from python_jobs.errors import JobError
from python_jobs.settings import PROJECT, Settings
from python_jobs.warehouse import exchange
from python_jobs.warehouse.limits import apply_limits

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JOB_VIEWS = (
    *("churn_predictions", "prediction_outcomes"),
    *("evaluation_set", "training_set"),
)
"""Models that jobs read and that are views, in order of their dependencies."""

SPARK_SETTINGS = {"PYSPARK_SUBMIT_ARGS", "SPARK_CONF_DIR", "SPARK_DRIVER_MEMORY", "SPARK_HOME"}
"""Environment variables with which a user may have set the memory of Spark's driver."""

_registered: dict[str, object] = {}


def session(settings: Settings) -> "SparkSession":
    """Return this process's Spark session, with the settings of profiles.yml that dbt uses too."""
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise JobError(
            "CHURNHOUSE_TARGET is spark, and pyspark is not installed.",
            next_step="install the extra: pip install 'churnhouse[spark]'.",
        ) from None
    if active := SparkSession.getActiveSession():
        return active
    # executors run the same Python, with the same libraries
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ["CHURNHOUSE_HOME"] = str(settings.home.resolve())
    parameters = _profile()["server_side_parameters"]
    # Spark's default of 1 GB is too little for a local master; the user's own settings win
    if parameters["spark.master"].startswith("local") and not os.environ.keys() & SPARK_SETTINGS:
        memory = f"--driver-memory {driver_memory(settings)}m pyspark-shell"
        os.environ["PYSPARK_SUBMIT_ARGS"] = memory
    builder = SparkSession.builder.enableHiveSupport()
    for name, value in parameters.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    _sweep(spark, settings)
    return spark


def driver_memory(settings: Settings) -> int:
    """Return the MiB for a local driver: half of DuckDB's memory limit, at least 1024.

    DuckDB runs in the same process and needs the other half.
    """
    with duckdb.connect() as connection:
        of_machine = _mebibytes(connection)
        apply_limits(connection, settings)
        return max(1024, min(of_machine, _mebibytes(connection)) // 2)


def _mebibytes(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the connection's memory limit in MiB."""
    (limit,) = connection.execute("select current_setting('memory_limit')").fetchall()[0]
    number, unit = limit.split()
    return int(float(number) * 1024.0 ** (("KiB", "MiB", "GiB", "TiB", "PiB").index(unit) - 1))


def register(settings: Settings) -> "SparkSession":
    """Register the tables that jobs wrote since the last call with Spark; return the session."""
    spark = session(settings)
    for path in sorted((settings.spark.resolve() / "jobs").glob("*/*")):
        files = sorted(path.rglob("*.parquet"))
        seen = [(str(file), file.stat().st_mtime_ns) for file in files]
        table = f"{path.parent.name}.{path.name}"
        if not files or _registered.get(str(path)) == seen:
            continue
        spark.sql(f"create schema if not exists {path.parent.name}")
        spark.sql(f"drop table if exists {table}")
        spark.catalog.createTable(table, path=str(path), source="parquet", mergeSchema="true")
        if any("=" in file.parent.name for file in files):
            spark.catalog.recoverPartitions(table)
        _registered[str(path)] = seen
    return spark


def _sweep(spark: "SparkSession", settings: Settings) -> None:
    """Remove folders that a killed run left without a table: Spark cannot create tables there."""
    for folder in settings.spark.resolve().glob("main.db/*"):
        if not spark.catalog.tableExists(f"main.{folder.name}"):
            shutil.rmtree(folder)


def remove_broken_writes(settings: Settings) -> None:
    """Remove partial files that a killed write left in Spark's folders; nothing reads them."""
    for pattern in (".spark-staging-*", "_temporary"):
        for left in list(settings.spark.resolve().rglob(pattern)):
            shutil.rmtree(left)


def table_folders(settings: Settings) -> list[Path]:
    """Return the folders of all tables that hold Parquet files, one for each table."""
    home = settings.spark.resolve()
    folders = sorted([*home.glob("jobs/*/*"), *home.glob("*.db/*"), home / "scored"])
    return [folder for folder in folders if next(folder.rglob("*.parquet"), None)]


def show_tables(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Create the jobs' views of what Spark has built: its tables, and the views that jobs read."""
    import sqlglot

    spark = session(settings)
    for schema in ("main", "ml"):
        for table in spark.catalog.listTables(schema):
            if table.tableType == "VIEW" or table.isTemporary:
                continue
            name = f"{schema}.{table.name}"
            columns = spark.catalog.listColumns(name)
            partition = next((c.name for c in columns if c.isPartition), None)
            exchange.show(con, settings, name, {c.name: c.dataType for c in columns}, partition)
    made = {table.name for table in spark.catalog.listTables("main")}
    for name in [name for name in JOB_VIEWS if name in made]:
        rows = spark.sql(f"describe extended main.{name}").collect()
        text = next(row.data_type for row in rows if row.col_name == "View Text")
        (select,) = sqlglot.transpile(text, read="spark", write="duckdb")
        con.execute(f"create or replace view main.{name} as {select}")
    if "prediction_outcomes" in made:
        measure_intervals(con, settings)


def measure_intervals(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Build performance_intervals in DuckDB: Spark's session runs no Python models of dbt.

    Uses the newest dates with at most settings.max_training_rows users in total, because the
    driver holds them in memory.
    """
    model = runpy.run_path(str(PROJECT / "models/evaluation/performance_intervals.py"))["model"]
    outcomes = con.sql(
        """
        with

        outcomes as (select * from main.prediction_outcomes where is_eligible and is_mature),

        dates as (
            select as_of_date, sum(count(*)) over (order by as_of_date desc) as users_so_far
            from outcomes
            group by as_of_date
        )

        select * from outcomes
        where as_of_date in (select as_of_date from dates where users_so_far <= ?)
        """,
        params=[settings.max_training_rows],
    )
    dbt = SimpleNamespace(config=lambda **_: None, ref=lambda _: outcomes)
    con.register("intervals", model(dbt, con))
    if con.execute("from duckdb_views() where view_name = 'performance_intervals'").fetchone():
        con.execute("drop view main.performance_intervals")  # left by an earlier version
    con.execute("create or replace table main.performance_intervals as from intervals")
    con.unregister("intervals")


def _profile() -> dict[str, Any]:
    """Return the target `spark` of profiles.yml, the only place with Spark's settings."""
    import jinja2
    import yaml

    template = jinja2.Template((PROJECT / "profiles.yml").read_text(encoding="utf-8"))
    text = template.render(env_var=os.environ.get)
    profile: dict[str, Any] = yaml.safe_load(text)["churnhouse"]["outputs"]["spark"]
    return profile
