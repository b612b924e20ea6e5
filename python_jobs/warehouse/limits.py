"""Limits: the memory, cores and disk that DuckDB may use; the error when one runs out or fails."""

import errno
import os
import re

import duckdb

from python_jobs.errors import JobError
from python_jobs.settings import Settings

FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
NOT_KEPT = "fsync failed"
"""What DuckDB says without the system's reason."""

FAILING = (errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.EROFS)


def apply_limits(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Set the DuckDB limits that the settings give. In dbt, limit_resources.sql does the same.

    Raises JobError, naming the variable, for a value that DuckDB does not accept.
    """
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


def machine_failed(settings: Settings, error: object) -> JobError | None:
    """Return the JobError if disk or memory ran out or the disk failed; None for other failures.

    Whatever was being written has been discarded completely.
    """
    lines = str(error).splitlines()
    if line := next((line for line in lines if _says(line, FULL)), None):
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
    if line := next((line for line in lines if _says(line, FAILING) or NOT_KEPT in line), None):
        return JobError(
            f"The disk of {settings.home} fails: {line.strip().rstrip('.')}.",
            next_step="look at the machine's log; run again once the disk works. Nothing has to be "
            "cleaned up.",
        )
    return None


def _says(line: str, reasons: tuple[int, ...]) -> bool:
    return any(os.strerror(reason).lower() in line.lower() for reason in reasons)


def _lacks_memory(line: str) -> bool:
    return re.search(r"(failed to|could not) (allocate|pin) |out of memory", line, re.I) is not None
