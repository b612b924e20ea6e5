"""Spark as the engine: its session, what it is told of the jobs' files, what it shows them."""

import os
import runpy
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import duckdb

from python_jobs.errors import JobError
from python_jobs.settings import PROJECT, Settings
from python_jobs.warehouse import exchange
from python_jobs.warehouse.limits import apply_limits

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JOB_VIEWS = (
    *("churn_predictions", "prediction_outcomes", "user_features_latest"),
    *("evaluation_set", "training_set"),
)
"""Views of the models that jobs read, each after those it reads itself."""

SPARK_SETTINGS = {"PYSPARK_SUBMIT_ARGS", "SPARK_CONF_DIR", "SPARK_DRIVER_MEMORY", "SPARK_HOME"}
"""Variables by which somebody may have told Spark how much memory its driver has."""

_registered: dict[str, object] = {}


def session(settings: Settings) -> "SparkSession":
    """The one Spark session of this process, with the settings of profiles.yml, as dbt opens it."""
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
    # Spark's own 1 GB is for a driver that only leads; where it has settings, they say how much
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
    """MiB for a driver that also does the work: half of what DuckDB may hold, at least 1024.

    DuckDB, which does the jobs' own part in the same process, finds room beside it.
    """
    with duckdb.connect() as connection:
        of_machine = _mebibytes(connection)
        apply_limits(connection, settings)
        return max(1024, min(of_machine, _mebibytes(connection)) // 2)


def _mebibytes(connection: duckdb.DuckDBPyConnection) -> int:
    """The memory limit in force."""
    (limit,) = connection.execute("select current_setting('memory_limit')").fetchall()[0]
    number, unit = limit.split()
    return int(float(number) * 1024.0 ** (("KiB", "MiB", "GiB", "TiB", "PiB").index(unit) - 1))


def register(settings: Settings) -> "SparkSession":
    """Tell Spark of the tables that jobs wrote since it was last told; give the session."""
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
    """Remove folders of tables that a run was making when it died: no table may begin in them."""
    for folder in settings.spark.resolve().glob("main.db/*"):
        if not spark.catalog.tableExists(f"main.{folder.name}"):
            shutil.rmtree(folder)


def remove_broken_writes(settings: Settings) -> None:
    """Remove the part of its rows that a killed write left in Spark's folders; nothing reads it."""
    for pattern in (".spark-staging-*", "_temporary"):
        for left in list(settings.spark.resolve().rglob(pattern)):
            shutil.rmtree(left)


def table_folders(settings: Settings) -> list[Path]:
    """Return the folders of all tables that hold Parquet files, one for each table."""
    home = settings.spark.resolve()
    folders = sorted([*home.glob("jobs/*/*"), *home.glob("*.db/*"), home / "scored"])
    return [folder for folder in folders if next(folder.rglob("*.parquet"), None)]


def show_tables(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Show the jobs what Spark has built by now: its tables, and the views that jobs read."""
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
    """Make performance_intervals as dbt does with DuckDB: Spark's session runs no Python models.

    Of the newest dates that have at most settings.max_training_rows users together, since the
    driver holds them.
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
        con.execute("drop view main.performance_intervals")  # of an earlier version
    con.execute("create or replace table main.performance_intervals as from intervals")
    con.unregister("intervals")


def _profile() -> dict:
    """The target `spark` of profiles.yml, the one place where Spark is set up."""
    import jinja2
    import yaml

    template = jinja2.Template((PROJECT / "profiles.yml").read_text(encoding="utf-8"))
    text = template.render(env_var=os.environ.get)
    return yaml.safe_load(text)["churnhouse"]["outputs"]["spark"]
