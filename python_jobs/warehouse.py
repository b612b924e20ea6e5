"""The warehouse: one DuckDB file, one writer at a time."""

import contextlib
import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime

import duckdb

from python_jobs import lake
from python_jobs.errors import JobError, WarehouseBusy
from python_jobs.settings import Settings


@contextlib.contextmanager
def writing(settings: Settings, job: str) -> Iterator[None]:
    """Hold the warehouse for one job; raise WarehouseBusy, naming the holder, if another does.

    The operating system lets go of the lock when its process dies, however it dies, so nothing
    has to be cleaned up by hand. The file's text only says who holds it.
    """
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        file = os.open(settings.home / "warehouse.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise JobError(
            f"{settings.home} cannot be written ({error.strerror}).",
            next_step="set CHURNHOUSE_HOME to a folder that this user may write.",
        ) from None
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WarehouseBusy(
                f"Another run holds the warehouse: {_holder(file)}.",
                next_step="wait until it has finished and run again.",
            ) from None
        holder = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "job": job,
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(holder).encode(), 0)
        yield
    except (OSError, duckdb.Error) as error:
        if lacks_room(error):
            raise no_room(settings, error) from None
        raise
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("pyspark", "py4j"):
            raise
        said = next(line for line in [*str(error).splitlines(), "no reason given"] if line.strip())
        raise JobError(
            f"Spark failed in {job}: {said.strip().rstrip('.')}.",
            next_step="see that CHURNHOUSE_SPARK_MASTER answers and has workers, then run again.",
        ) from error
    finally:
        os.close(file)


def ask(connection: duckdb.DuckDBPyConnection, settings: Settings, query: str) -> list[tuple]:
    """The rows of a query over large tables, asked of the engine that built them."""
    if settings.target == "spark":
        from python_jobs import spark

        return [tuple(row) for row in spark.session(settings).sql(query).collect()]
    return connection.execute(query).fetchall()


def lacks_room(error: object) -> bool:
    """Whether a library failed because something could not be written any more."""
    reasons = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
    said = str(error).lower()
    return any(os.strerror(reason).lower() in said for reason in reasons)


def no_room(settings: Settings, error: object) -> JobError:
    """What to say then; whatever was being written has been given up as a whole."""
    reason = next(line for line in str(error).splitlines() if lacks_room(line)).strip().rstrip(".")
    return JobError(
        f"{settings.home} has no room left: {reason}.",
        next_step="make room there and run again; nothing has to be cleaned up.",
    )


def _holder(file: int) -> str:
    try:
        holder = json.loads(os.pread(file, 4096, 0))
        return "{job} on {host}, pid {pid}, since {since}".format(**holder)
    except (ValueError, KeyError):
        return "a job that has just started"


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
        hands_over = settings.target == "spark" and not read_only
        if hands_over:  # what a job that broke off had committed
            lake.hand_over(connection, settings)
        yield connection
        if hands_over:
            lake.hand_over(connection, settings)
    except duckdb.CatalogException as error:
        missing = str(error).splitlines()[0].removeprefix("Catalog Error: ").rstrip("!")
        raise JobError(
            f"{missing} in {settings.warehouse}.",
            next_step="run the jobs that make it: `churnhouse ingest`, `build`, `train`.",
        ) from error
    finally:
        connection.close()
