"""The warehouse's lock: one writing job at a time."""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime

import duckdb

from python_jobs.errors import JobError, WarehouseBusy
from python_jobs.settings import Settings
from python_jobs.warehouse.engines import engine_of
from python_jobs.warehouse.limits import machine_failed


@contextlib.contextmanager
def writing(settings: Settings, job: str) -> Iterator[None]:
    """Hold the warehouse for one job. Raises WarehouseBusy, naming the holder, if it is held.

    The operating system releases the lock when the process ends, even after a crash, so nothing
    has to be cleaned up by hand. The file's text only says which job holds it.
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
        # after a failed commit the rollback fails too: the first error has the reason
        if reason := machine_failed(settings, error) or machine_failed(settings, error.__context__):
            raise reason from None
        raise
    except Exception as error:
        if reason := engine_of(settings).explain(error, job):
            raise reason from error
        raise
    finally:
        os.close(file)


def holder(settings: Settings) -> str | None:
    """Return which job holds the warehouse (job, host, pid, since when); None if none does."""
    try:
        file = os.open(settings.home / "warehouse.lock", os.O_RDONLY)
    except OSError:
        return None  # without the file, no job has held it yet
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(file)
    else:
        return None
    finally:
        os.close(file)


def _holder(file: int) -> str:
    try:
        holder = json.loads(os.pread(file, 4096, 0))
        return "{job} on {host}, pid {pid}, since {since}".format(**holder)
    except (ValueError, KeyError):
        return "a job that has just started"
