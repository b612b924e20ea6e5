"""Run dbt in this process: parse once, report progress, and turn a failure into one line."""

import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from python_jobs.errors import JobError
from python_jobs.ingest import raw_tables
from python_jobs.ingest.domain import Domain
from python_jobs.settings import PROJECT, Settings
from python_jobs.warehouse.connection import connect
from python_jobs.warehouse.dbt_internals import Progress, free_cursors, use_fork_locks
from python_jobs.warehouse.engines import engine_of
from python_jobs.warehouse.limits import machine_failed

BEFORE_MODELS = ("--exclude", "source:ml+")
AFTER_MODELS = ("--select", "source:ml+")
COUNTED_ANEW = ("--full-refresh", "--select", "feature_consistency", "rejected_counts")
BAD = {"error", "fail", "runtime error"}
SET_HERE = {
    "--vars": "settings are in domains/<name>/domain.yml: change them there, then run "
    "`churnhouse ingest` and `churnhouse build`.",
    "--target": "set CHURNHOUSE_TARGET instead.",
    **dict.fromkeys(
        ("--profile", "--profiles-dir", "--project-dir", "--target-path", "--log-path"),
        "leave it out, or run plain `dbt build`.",
    ),
}
"""dbt options that this program sets itself, and what the user can do instead."""

MISSES = ("NoNodesForSelectionCriteria", "NothingToDo")
"""dbt's events for a selection that matches nothing."""


@dataclass(frozen=True)
class Built:
    """Result of one dbt run: models built, tests passed, seconds as dbt measured them."""

    models: int
    tests: int
    seconds: float


class Dbt:
    """dbt for one warehouse. The project is parsed once for all builds."""

    def __init__(
        self,
        settings: Settings,
        variables: dict[str, str] | None = None,
        *,
        work: Path | None = None,
    ) -> None:
        self._settings = settings
        self._engine = engine_of(settings)
        self._variables = variables or {}
        # beside the warehouse, so that the project's folder may be read-only
        self._work = work or settings.home.resolve() / "dbt"
        self._manifest: Any = None

    def build(
        self,
        selection: Sequence[str] = (),
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> Built:
        """Run `dbt build` with a selection in dbt's syntax.

        Raises JobError about the first failed node, after dbt has run the nodes that it still can.
        """
        return self._run("build", selection, progress)

    def test(
        self,
        selection: Sequence[str] = (),
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> Built:
        """Run `dbt test`: every row, where a build tests the rows that it wrote. See build."""
        return self._run("test", selection, progress)

    def _run(
        self, command: str, selection: Sequence[str], progress: Callable[[int, int], None] | None
    ) -> Built:
        # unit tests check the code, not the data; `make test` runs them
        quick = ["--exclude-resource-type", "unit_test"]
        if not any(option.startswith("--warn-error") for option in selection):
            quick += ["--warn-error-options", json.dumps({"error": MISSES})]
        result = self._invoke([command, *quick, *selection], progress)
        nodes = getattr(result.result, "results", None) or []
        bad = [node for node in nodes if str(node.status) in BAD]
        if bad:
            if reason := machine_failed(self._settings, bad[0].message):
                raise reason
            what = _what(bad[0], self._first_bad_row(bad[0]))
            what, _, told = what.partition(" Next: ")  # a macro's own message has a next step
            raise JobError(what, next_step=told or self._next_step(bad[0]))
        if reason := machine_failed(self._settings, result.exception):
            raise reason
        if not result.success:
            raise _refusal(result.exception)
        kinds = [node.node.resource_type for node in nodes]
        return Built(
            models=sum(kind in ("model", "seed") for kind in kinds),
            tests=sum(kind in ("test", "unit_test") for kind in kinds),
            seconds=getattr(result.result, "elapsed_time", 0.0),
        )

    def _first_bad_row(self, node: Any) -> dict[str, Any]:
        """Return the first row that a failed test found, by column; {} if no test failed."""
        if node.node.resource_type != "test" or str(node.status) != "fail":
            return {}
        return self._engine.first_row(connect, node.node.compiled_code)

    def _next_step(self, node: Any) -> str:
        if node.node.resource_type == "test":
            return f"look at the rows with `dbt show --select {node.node.name}`, then run again."
        if self._engine.unknown_column in str(node.message):
            return (
                "run `churnhouse build --full-refresh` if the models changed since the last build, "
                f"else correct {node.node.original_file_path}."
            )
        return f"correct {node.node.original_file_path} or its input and run again."

    def parse(self) -> Any:
        """Return dbt's manifest of the project. Raises JobError if dbt cannot read the project."""
        if self._manifest is None:
            parsed = self._dbt(["parse"])
            if reason := machine_failed(self._settings, parsed.exception):
                raise reason
            if not parsed.success:
                raise JobError(
                    f"dbt cannot read the project: {_first_line(parsed.exception)}",
                    next_step="correct the file it names.",
                )
            self._manifest = parsed.result
        return self._manifest

    def _invoke(self, arguments: list[str], progress: Callable[[int, int], None] | None) -> Any:
        manifest = self.parse()
        return self._dbt(arguments, manifest, [Progress(progress)] if progress else [])

    def _dbt(
        self, arguments: list[str], manifest: Any = None, callbacks: Sequence[Progress] = ()
    ) -> Any:
        use_fork_locks()
        from dbt.cli.main import dbtRunner

        os.environ["CHURNHOUSE_HOME"] = str(self._settings.home.resolve())
        os.environ["CHURNHOUSE_TARGET"] = self._settings.target
        # on a full disk dbt's log file also fails, with a traceback per line; the result says it
        logging.raiseExceptions = False
        # ml.dbt_run_results has the results; writing dbt's own JSON files takes a second per run
        quiet = ["--log-level", "none", "--log-level-file", "info", "--no-write-json"]
        variables = ["--vars", json.dumps(self._variables)]
        where = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
        where += ["--target-path", str(self._work / "target")]
        where += ["--log-path", str(self._work / "logs")]
        try:
            runner = dbtRunner(manifest=manifest, callbacks=list(callbacks))
            # the user's options come last: one without its value cannot swallow ours
            command, *rest = arguments
            result = runner.invoke([*quiet, command, *where, *variables, *rest])
        finally:
            self._engine.close_dbt()
        if isinstance(result.exception, KeyboardInterrupt):
            raise result.exception
        if not result.success:
            free_cursors(result.exception)
        return result


def check_selection(selection: Sequence[str]) -> None:
    """Raise JobError for dbt options that this program sets itself. dbt checks all others."""
    for given in selection:
        option = "--target" if given == "-t" else given.partition("=")[0]
        if option in SET_HERE:
            raise JobError(
                f"`churnhouse build` takes no {given.partition('=')[0]}.",
                next_step=SET_HERE[option],
            )


def build(
    settings: Settings,
    domain: Domain | None,
    dbt: Dbt,
    selection: Sequence[str] = (),
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Built:
    """Build with the settings of `domain`, from scratch if they changed since the last build.

    Without `domain`, the stored settings of the warehouse's domain are used.
    """
    with connect(settings) as connection:
        if domain is not None:
            raw_tables.remember_domain(connection, domain)
        changed = settings_changed(connection)
    if changed and tuple(selection) == AFTER_MODELS:
        raise JobError(
            "The domain's settings changed since the last build.",
            next_step="run `churnhouse build` and `score`, then publish again.",
        )
    if changed and "--full-refresh" not in selection:
        selection = [*selection, "--full-refresh"]
    engine = engine_of(settings)
    engine.before_build()
    built = dbt.build(selection, progress=progress)
    engine.after_build(connect)
    return built


def settings_changed(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return True if the last build used other settings than the warehouse now holds."""
    tables = connection.execute(
        "select table_name from information_schema.tables where table_schema = 'main'"
    ).fetchall()
    if ("build_marks",) in tables:  # release 0.1 built it
        return True
    if ("build_log",) not in tables:
        return False
    last, now = connection.execute(
        "select (select max_by(settings, build_number) from main.build_log), built_with "
        "from raw.domain"
    ).fetchall()[0]
    return last is not None and last != now


def _refusal(error: BaseException | None) -> JobError:
    """Return the error for a dbt call that ran no node."""
    what, _, told = _first_line(error or "dbt did not finish").partition(" Next: ")
    what = what.removeprefix("Compilation Error ")
    hints = {
        "DbtUsageException": "see `churnhouse build --help`, or `dbt build --help` for selections.",
        "EventCompilationError": "correct the selection; `dbt ls` lists what there is.",
    }
    hint = hints.get(type(error).__name__, "run `churnhouse doctor`.")
    return JobError(f"dbt: {what}", next_step=told or hint)


def _what(node: Any, row: dict[str, Any]) -> str:
    """Return one line about a failed node; for a gate, with the value found and the one allowed."""
    name, kind = node.node.name, node.node.resource_type
    if not row:
        return f"dbt {kind} {name}: {_first_line(node.message)}"
    where = ", ".join(str(v) for k, v in row.items() if k not in ("found", "allowed"))
    if "allowed" not in row:
        return f"Gate {name} failed: {node.failures} bad rows, the first is {where}."
    where = f" ({where})" if where else ""
    return f"Gate {name} failed{where}: found {row['found']}, allowed {row['allowed']}."


def _first_line(error: object) -> str:
    # dbt and Spark write lines that only say that an error follows
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if line not in ("Runtime Error", "Database Error")]
    told = next((line for line in lines if "Next:" in line), " ".join(lines[:2]))
    # a Python model's error is told by the last line of its traceback
    return told.removeprefix("python_jobs.errors.JobError: ").rstrip(".") + "."
