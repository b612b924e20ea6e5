"""Undocumented parts of dbt that the jobs use; any of them may change with an upgrade.

Tested with dbt-core 1.11.16 and dbt-duckdb 1.11.1. tests/warehouse/test_dbt_internals.py fails,
naming what changed, when an upgrade breaks one of these. The documented part (dbtRunner, its
arguments, its results) is used in python_jobs.warehouse.dbt.
"""

import atexit
import gc
import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

NODE_STARTS = "LogStartLine"
"""Name of the event before each node starts; data.total is the number of nodes."""

NODE_ENDS = "NodeFinished"
"""Name of the event after each node has ended."""


class Progress:
    """Callback for dbt's events that reports (nodes done, all nodes)."""

    def __init__(self, progress: Callable[[int, int], None]) -> None:
        self._progress = progress
        self._done = self._all = 0

    def __call__(self, event: Any) -> None:
        """Take one event, as dbtRunner passes them to its callbacks."""
        if event.info.name == NODE_STARTS:
            self._all = max(self._all, event.data.total)
        elif event.info.name == NODE_ENDS:
            self._done += 1
            self._progress(self._done, max(self._all, self._done))


def use_fork_locks() -> None:
    """Make dbt create unnamed locks, which is enough for the threads of one process.

    Python would report named ones as leaked semaphores when the process is stopped.
    """
    from dbt import mp_context

    mp_context._MP_CONTEXT = multiprocessing.get_context("fork")  # type: ignore[assignment] # dbt names spawn


def close_duckdb() -> None:
    """Close the warehouse file, which dbt-duckdb keeps open until the process ends.

    The documented `keep_open: false` closes the file after each node and loses DuckDB's limits.
    """
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call] # dbt has no type


def free_cursors(error: BaseException | None) -> None:
    """Free the cursors in the frames of a caught error: each keeps the warehouse file open."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    gc.collect()  # also frees errors that dbt caught and dropped


def end_process(exit_code: int) -> NoReturn:
    """End this process after its exit handlers, with all output written."""
    # Python would free dbt's millions of objects one by one, which takes about a second.
    # The operating system frees them at once.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)
