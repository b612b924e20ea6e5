"""The table ml.job_runs: for each step of each job how long it took, and what it read and used."""

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import duckdb

from python_jobs import terminal
from python_jobs.errors import JobError
from python_jobs.settings import Settings
from python_jobs.warehouse.connection import connect
from python_jobs.warehouse.lock import writing

CREATE = """
create schema if not exists ml;
create table if not exists ml.job_runs (
    run_id varchar, job varchar, step varchar, started_at timestamp, seconds double,
    is_done boolean, "rows" bigint, rejected_rows bigint, peak_memory_bytes bigint,
    step_number bigint
);
alter table ml.job_runs add column if not exists step_number bigint
"""


@dataclass(frozen=True)
class _Run:
    run_id: str
    job: str


_running: list[_Run] = []


@contextlib.contextmanager
def job(settings: Settings, name: str) -> Iterator[None]:
    """Hold the warehouse for one job, and keep its steps, done or failed, in ml.job_runs.

    Raises WarehouseBusy as `writing` does. A job's end does not depend on what is kept of it.
    """
    with writing(settings, name):
        terminal.finished.clear()
        _running.append(_Run(uuid.uuid4().hex, name))
        try:
            yield
        except BaseException:
            _keep_the_rest(settings)  # what ended the job says enough
            raise
        else:
            if problem := _keep_the_rest(settings):
                terminal.note(f"the steps' times could not be kept: {problem}", "warning")
        finally:
            _running.pop()


def _keep_the_rest(settings: Settings) -> str | None:
    """Write the finished steps; return in words why that failed."""
    try:
        if terminal.finished:
            with connect(settings) as connection:
                keep(connection)
    except (JobError, duckdb.Error, OSError) as error:
        return str(error).splitlines()[0]
    return None


def keep(connection: duckdb.DuckDBPyConnection) -> None:
    """Write the finished steps of the running job that are not written yet.

    step_number orders them: a clock may once have been ahead, so times order nothing.
    """
    connection.execute(CREATE)
    for done in terminal.finished if _running else []:
        run = _running[-1]
        connection.execute(
            "insert into ml.job_runs select ?, ?, ?, ?, ?, ?, ?, ?, ?,"
            " 1 + coalesce(max(step_number), 0) from ml.job_runs",
            [
                *(run.run_id, run.job, done.step, done.started_at, done.seconds, done.is_done),
                *(done.rows, done.rejected_rows, done.peak_memory_bytes),
            ],
        )
    terminal.finished.clear()
