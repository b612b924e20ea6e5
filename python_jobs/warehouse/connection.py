"""The warehouse: one DuckDB file, opened with its limits and shared with the engine."""

import contextlib
import gc
import time
from collections.abc import Iterator

import duckdb

from python_jobs.errors import JobError, WarehouseBusy
from python_jobs.ingest import raw_tables
from python_jobs.settings import Settings
from python_jobs.warehouse.engines import engine_of
from python_jobs.warehouse.limits import apply_limits


def give_up(connection: duckdb.DuckDBPyConnection) -> None:
    """Roll back the open transaction, if any. After a failed commit, DuckDB has done so itself."""
    with contextlib.suppress(duckdb.TransactionException):
        connection.rollback()


def _opened(path: str, read_only: bool) -> duckdb.DuckDBPyConnection:
    """Open a file, once this process no longer has it open in the other mode."""
    for seconds in (0.1, 0.5, 2):
        with contextlib.suppress(duckdb.ConnectionException):
            return duckdb.connect(path, read_only=read_only)
        gc.collect()  # a cursor of dbt's threads may outlive its run for a moment
        time.sleep(seconds)
    return duckdb.connect(path, read_only=read_only)


@contextlib.contextmanager
def connect(settings: Settings, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse, with times in UTC.

    Raises JobError if it cannot be opened, a newer release filled it, `read_only` and missing, or a
    table is missing.
    """
    engine = engine_of(settings)
    if read_only and not settings.warehouse.exists():
        raise JobError(
            f"There is no warehouse at {settings.warehouse}.",
            next_step="run `churnhouse ingest` first.",
        )
    try:
        connection = _opened(str(settings.warehouse), read_only)
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
        raw_tables.check_release(connection)
        if not read_only:  # an interrupted job may have committed rows
            engine.share_job_tables(connection)
        yield connection
        if not read_only:
            engine.share_job_tables(connection)
    except duckdb.CatalogException as error:
        line = str(error).splitlines()[0].removeprefix("Catalog Error: ")
        missing = line.partition(" because ")[0].rstrip("!.")
        raise JobError(
            f"{missing} in {settings.warehouse}.",
            next_step="run the jobs that make it: `churnhouse ingest`, `build`, `train`.",
        ) from error
    finally:
        connection.close()
