"""The warehouse: one DuckDB file, opened with its limits, and what to say when it fails."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator

import duckdb

from python_jobs.errors import JobError, WarehouseBusy
from python_jobs.settings import Settings
from python_jobs.warehouse import exchange


def ask(connection: duckdb.DuckDBPyConnection, settings: Settings, query: str) -> list[tuple]:
    """The rows of a query over large tables, asked of the engine that built them."""
    if settings.target == "spark":
        from python_jobs.warehouse import spark

        return [tuple(row) for row in spark.session(settings).sql(query).collect()]
    return connection.execute(query).fetchall()


def starved(settings: Settings, error: object) -> JobError | None:
    """What to say when a library lacked disk or memory, or None if it failed for another reason.

    Whatever was being written has been given up as a whole.
    """
    lines = str(error).splitlines()
    if line := next((line for line in lines if _lacks_room(line)), None):
        return JobError(
            f"{settings.home} has no room left: {line.strip().rstrip('.')}.",
            next_step="make room there and run again; nothing has to be cleaned up.",
        )
    if line := next((line for line in lines if _lacks_memory(line)), None):
        return JobError(
            f"The memory that DuckDB may use is not enough: {line.strip().rstrip('.')}.",
            next_step="raise CHURNHOUSE_MEMORY_LIMIT or CHURNHOUSE_SPILL_LIMIT or the container's "
            "limits, or lower CHURNHOUSE_THREADS, and run again; nothing has to be cleaned up.",
        )
    return None


def _lacks_room(line: str) -> bool:
    reasons = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
    return any(os.strerror(reason).lower() in line.lower() for reason in reasons)


def _lacks_memory(line: str) -> bool:
    return re.search(r"(failed to|could not) (allocate|pin) |out of memory", line, re.I) is not None


def give_up(connection: duckdb.DuckDBPyConnection) -> None:
    """Roll back what is open; where a commit failed, DuckDB has done so already."""
    with contextlib.suppress(duckdb.TransactionException):
        connection.rollback()


def apply_limits(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Overrule what DuckDB found out about its machine; macros/limit_resources.sql does in dbt."""
    limits = {
        "memory_limit": settings.memory_limit,
        "threads": settings.threads,
        "max_temp_directory_size": settings.spill_limit,
    }
    for name, value in limits.items():
        if value is not None:
            try:
                connection.execute(f"set {name} = '{value}'")
            except duckdb.Error:
                variable = "SPILL_LIMIT" if name.startswith("max_temp") else name.upper()
                raise JobError(
                    f"CHURNHOUSE_{variable}={value} is no limit that DuckDB understands.",
                    next_step="give a number with its unit, such as 4GB, or unset it.",
                ) from None


@contextlib.contextmanager
def connect(settings: Settings, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse, times in UTC. Raises JobError when it is missing or held open."""
    if read_only and not settings.warehouse.exists():
        raise JobError(
            f"There is no warehouse at {settings.warehouse}.",
            next_step="run `churnhouse ingest` first.",
        )
    try:
        connection = duckdb.connect(str(settings.warehouse), read_only=read_only)
    except duckdb.Error as error:
        if "could not set lock" in str(error).lower():
            raise WarehouseBusy(
                f"Another program has {settings.warehouse} open.",
                next_step="close it (a DuckDB shell, perhaps, or a plain dbt run) and run again.",
            ) from None
        raise JobError(
            f"{settings.warehouse} cannot be opened as a DuckDB file.",
            next_step="move the file away, then ingest and build again.",
        ) from None
    try:
        connection.execute("set TimeZone = 'UTC'")
        apply_limits(connection, settings)
        hands_over = settings.target == "spark" and not read_only
        if hands_over:  # what a job that broke off had committed
            exchange.hand_over(connection, settings)
        yield connection
        if hands_over:
            exchange.hand_over(connection, settings)
    except duckdb.CatalogException as error:
        line = str(error).splitlines()[0].removeprefix("Catalog Error: ")
        missing = line.partition(" because ")[0].rstrip("!.")
        raise JobError(
            f"{missing} in {settings.warehouse}.",
            next_step="run the jobs that make it: `churnhouse ingest`, `build`, `train`.",
        ) from error
    finally:
        connection.close()
