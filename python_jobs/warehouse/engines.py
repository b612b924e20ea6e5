"""The engines: all differences between tables built by DuckDB and by Spark.

A job calls `engine_of(settings)` and never checks the engine's name. Both classes have the same
methods. To add an engine, write one more class and add it to ENGINES.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import sql_text
from python_jobs.settings import Settings
from python_jobs.warehouse import dbt_internals, exchange, spark

Connect = Callable[..., AbstractContextManager[duckdb.DuckDBPyConnection]]
"""The function python_jobs.warehouse.connection.connect, passed in: that module imports this."""


class DuckDB:
    """Engine that builds in the warehouse file, in the job's own process."""

    name = "duckdb"
    tables_in_warehouse = True
    """True if the built tables are in the warehouse file, where reading them is cheap."""
    runs_python_models = True
    """True if dbt scores, in its model churn_scores."""
    unknown_column = "Binder Error"
    """Part of the engine's message about a column that a table does not have."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def rows(self, connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query over large tables."""
        return connection.execute(query).fetchall()

    def first_row(self, connect: Connect, query: str) -> dict[str, Any]:
        """Return the first row of a query that dbt compiled, by column; {} if it has none."""
        with connect(self._settings, read_only=True) as connection:
            result = connection.execute(f"from ({query}) limit 1")
            names = [column[0] for column in result.description]
            return dict(zip(names, result.fetchone() or [], strict=False))

    def relation(self, connection: duckdb.DuckDBPyConnection, query: str) -> str:
        """Return SQL by which a DuckDB connection reads the rows of a query."""
        return query

    def share_job_tables(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Show the engine what the jobs have committed: nothing to do, it reads the same file."""

    def before_build(self) -> None:
        """Prepare the engine for a dbt build: nothing to do."""

    def after_build(self, connect: Connect) -> None:
        """Show the jobs what dbt has built: nothing to do, they read the same file."""

    def close_dbt(self) -> None:
        """Make dbt let go of the warehouse file."""
        dbt_internals.close_duckdb()

    def explain(self, error: Exception, job: str) -> JobError | None:
        """Return the JobError for a failure of the engine; None if it is not the engine's."""
        return None

    def received_rows(self, table: str) -> str:
        """Return SQL that names all rows of a table of received rows, such as raw.events."""
        return table

    def all_received_rows(self, table: str) -> str:
        """Return the same, with rows that a running load has not handed over yet."""
        return table

    def table_folders(self) -> list[Path]:
        """Return the folders of Parquet files outside the warehouse file, one for each table."""
        return []

    def remove_broken_writes(self) -> None:
        """Remove what a killed write left outside the warehouse file: nothing to do."""


class Spark:
    """Engine that builds Parquet folders. The warehouse file has the jobs' tables and views."""

    name = "spark"
    tables_in_warehouse = False
    runs_python_models = False
    unknown_column = "UNRESOLVED_COLUMN"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def rows(self, connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query over large tables."""
        return [tuple(row) for row in spark.session(self._settings).sql(query).collect()]

    def first_row(self, connect: Connect, query: str) -> dict[str, Any]:
        """Return the first row of a query that dbt compiled, by column; {} if it has none."""
        row = spark.session(self._settings).sql(query).first()
        return row.asDict() if row else {}

    def relation(self, connection: duckdb.DuckDBPyConnection, query: str) -> str:
        """Return SQL by which a DuckDB connection reads the rows of a query."""
        connection.register("spark_rows", spark.session(self._settings).sql(query).toArrow())
        return "from spark_rows"

    def share_job_tables(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Show the engine what the jobs have committed."""
        exchange.hand_over(connection, self._settings)

    def before_build(self) -> None:
        """Prepare the engine for a dbt build."""
        spark.register(self._settings)

    def after_build(self, connect: Connect) -> None:
        """Show the jobs what dbt has built."""
        with connect(self._settings) as connection:
            spark.show_tables(connection, self._settings)

    def close_dbt(self) -> None:
        """Do nothing: dbt and the jobs share the session, and it does not hold the file open."""

    def explain(self, error: Exception, job: str) -> JobError | None:
        """Return the JobError for a failure of the engine; None if it is not the engine's."""
        if type(error).__module__.partition(".")[0] not in ("pyspark", "py4j"):
            return None
        said = next(line for line in [*str(error).splitlines(), "no reason given"] if line.strip())
        return JobError(
            f"Spark failed in {job}: {said.strip().rstrip('.')}.",
            next_step="see that CHURNHOUSE_SPARK_MASTER answers and has workers, then run again.",
        )

    def received_rows(self, table: str) -> str:
        """Return SQL that names all rows of a table of received rows, such as raw.events."""
        files = sorted(exchange.folder(self._settings, table).glob("*.parquet"))
        listed = ", ".join(sql_text(file) for file in files)
        return f"read_parquet([{listed}], union_by_name = true)" if files else table

    def all_received_rows(self, table: str) -> str:
        """Return the same, with rows that a running load has not handed over yet."""
        handed_over = self.received_rows(table)
        if handed_over == table:
            return table
        return f"(from {handed_over} union all by name from {table})"

    def table_folders(self) -> list[Path]:
        """Return the folders of Parquet files outside the warehouse file, one for each table."""
        return spark.table_folders(self._settings)

    def remove_broken_writes(self) -> None:
        """Remove what a killed write left outside the warehouse file."""
        spark.remove_broken_writes(self._settings)


Engine = DuckDB | Spark
ENGINES: dict[str, type[Engine]] = {engine.name: engine for engine in (DuckDB, Spark)}


def engine_of(settings: Settings) -> Engine:
    """Return the engine that the settings name. Raises JobError for one that is not known."""
    if settings.target not in ENGINES:
        raise JobError(
            f"CHURNHOUSE_TARGET={settings.target} is not an engine.",
            next_step=f"set it to one of {', '.join(ENGINES)}, or unset it.",
        )
    return ENGINES[settings.target](settings)
