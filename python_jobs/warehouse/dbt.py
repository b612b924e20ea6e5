"""Run dbt in this process: one parse, progress as it goes, failures as one line."""

import gc
import json
import logging
import os
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from python_jobs.errors import JobError
from python_jobs.ingest import load
from python_jobs.ingest.domain import Domain
from python_jobs.settings import PROJECT, Settings
from python_jobs.warehouse.connection import connect, starved

BEFORE_MODELS = ("--exclude", "source:ml+")
AFTER_MODELS = ("--select", "source:ml+")
COMPARED_ANEW = ("--full-refresh", "--select", "feature_consistency")
BAD = {"error", "fail", "runtime error"}


@dataclass(frozen=True)
class Built:
    """What one dbt run did: models built, tests passed, seconds by dbt's own clock."""

    models: int
    tests: int
    seconds: float


class Dbt:
    """dbt over one warehouse. The project is parsed once, however many builds follow."""

    def __init__(
        self,
        settings: Settings,
        variables: dict[str, str] | None = None,
        *,
        work: Path | None = None,
    ) -> None:
        self._settings = settings
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
        """`dbt build` with a selection in dbt's own words. Raises JobError at the first bad node.

        The other nodes still run as dbt decides; nothing is published by this.
        """
        # unit tests are for the code, not for tonight's data: `make test` runs them
        quick = ["--exclude-resource-type", "unit_test"]
        result = self._invoke(["build", *quick, *selection], progress)
        nodes = getattr(result.result, "results", None) or []
        bad = [node for node in nodes if str(node.status) in BAD]
        if bad:
            if reason := starved(self._settings, bad[0].message):
                raise reason
            what = _what(bad[0], self._first_bad_row(bad[0]))
            what, _, told = what.partition(" Next: ")  # by a macro that refuses
            raise JobError(what, next_step=told or _next_step(bad[0]))
        if reason := starved(self._settings, result.exception):
            raise reason
        if not result.success:
            what = _first_line(result.exception) if result.exception else "dbt did not finish"
            raise JobError(f"dbt: {what}", next_step="run `churnhouse doctor`.")
        kinds = [node.node.resource_type for node in nodes]
        return Built(
            models=sum(kind in ("model", "seed") for kind in kinds),
            tests=sum(kind in ("test", "unit_test") for kind in kinds),
            seconds=getattr(result.result, "elapsed_time", 0.0),
        )

    def _first_bad_row(self, node: Any) -> dict[str, Any]:
        """The first row that a failed test found, by column."""
        if node.node.resource_type != "test" or str(node.status) != "fail":
            return {}
        if self._settings.target == "spark":
            from python_jobs.warehouse import spark

            found = spark.session(self._settings).sql(node.node.compiled_code).first()
            return found.asDict() if found else {}
        with connect(self._settings, read_only=True) as connection:
            found = connection.execute(f"from ({node.node.compiled_code}) limit 1")
            names = [column[0] for column in found.description]
            return dict(zip(names, found.fetchone() or [], strict=False))

    def parse(self) -> Any:
        """dbt's manifest of the project. Raises JobError where dbt cannot read it."""
        if self._manifest is None:
            parsed = self._dbt(["parse"])
            if reason := starved(self._settings, parsed.exception):
                raise reason
            if not parsed.success:
                raise JobError(
                    f"dbt cannot read the project: {_first_line(parsed.exception)}",
                    next_step="correct the file it names.",
                )
            self._manifest = parsed.result
        return self._manifest

    def _invoke(self, arguments: list[str], progress) -> Any:
        manifest = self.parse()
        return self._dbt(arguments, manifest, [_Progress(progress)] if progress else [])

    def _dbt(self, arguments: list[str], manifest: Any = None, callbacks: Sequence = ()) -> Any:
        from mashumaro.config import BaseConfig

        # a data class gets its serializer at first use, as dbt asks of its own: the others' cost
        # half a second of start-up
        BaseConfig.lazy_compilation = True
        from dbt.cli.main import dbtRunner

        os.environ["CHURNHOUSE_HOME"] = str(self._settings.home.resolve())
        os.environ["CHURNHOUSE_TARGET"] = self._settings.target
        # on a full disk dbt's log file fails too, with a traceback a line; its result says it once
        logging.raiseExceptions = False
        # what a run did is kept in ml.dbt_run_results; dbt's own JSON files cost a second a run
        quiet = ["--log-level", "none", "--log-level-file", "info", "--no-write-json"]
        variables = ["--vars", json.dumps(self._variables)]
        where = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
        where += ["--target-path", str(self._work / "target")]
        where += ["--log-path", str(self._work / "logs")]
        try:
            runner = dbtRunner(manifest=manifest, callbacks=list(callbacks))
            result = runner.invoke([*quiet, *arguments, *where, *variables])
        finally:
            if self._settings.target == "duckdb":
                from dbt.adapters.duckdb.connections import DuckDBConnectionManager

                DuckDBConnectionManager.close_all_connections()
        if not result.success:
            _let_go(result.exception)
        return result


def build(
    settings: Settings,
    domain: Domain | None,
    dbt: Dbt,
    selection: Sequence[str] = (),
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Built:
    """Build under the settings of `domain`, from the start where they changed since the last build.

    Without a domain, the one that filled the warehouse is taken as it was.
    """
    with connect(settings) as connection:
        if domain is not None:
            load.remember_domain(connection, domain)
        changed = settings_changed(connection)
    if changed and tuple(selection) == AFTER_MODELS:
        raise JobError(
            "The domain's settings changed since the last build.",
            next_step="run `churnhouse build` and `score`, then publish again.",
        )
    if changed and "--full-refresh" not in selection:
        selection = [*selection, "--full-refresh"]
    if settings.target == "duckdb":
        return dbt.build(selection, progress=progress)
    from python_jobs.warehouse import spark

    spark.register(settings)
    built = dbt.build(selection, progress=progress)
    with connect(settings) as connection:
        spark.show_tables(connection, settings)
    return built


def settings_changed(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the tables were last built under other settings than the warehouse now holds."""
    marks = connection.execute(
        "select 1 from information_schema.tables where table_name = 'build_marks'"
    ).fetchone()
    if not marks:
        return False
    last, now = connection.execute(
        "select (select max_by(settings, build_number) from main.build_marks), settings "
        "from raw.domain"
    ).fetchall()[0]
    return last is not None and last != now


class _Progress:
    """Turns dbt's events into (done, all) calls."""

    def __init__(self, progress: Callable[[int, int], None]) -> None:
        self._progress = progress
        self._done = self._all = 0

    def __call__(self, event: Any) -> None:
        if event.info.name == "LogStartLine":
            self._all = max(self._all, event.data.total)
        elif event.info.name == "NodeFinished":
            self._done += 1
            self._progress(self._done, max(self._all, self._done))


def _what(node: Any, row: dict[str, Any]) -> str:
    """One line on a bad node; a gate says what it found and what is allowed."""
    name, kind = node.node.name, node.node.resource_type
    if not row:
        return f"dbt {kind} {name}: {_first_line(node.message)}"
    where = ", ".join(str(v) for k, v in row.items() if k not in ("found", "allowed"))
    if "allowed" not in row:
        return f"Gate {name} failed: {node.failures} bad rows, the first is {where}."
    where = f" ({where})" if where else ""
    return f"Gate {name} failed{where}: found {row['found']}, allowed {row['allowed']}."


def _next_step(node: Any) -> str:
    if node.node.resource_type == "test":
        return f"look at the rows with `dbt show --select {node.node.name}`, then run again."
    # a column that its own table, of before, has not: as DuckDB says it, and as Spark does
    if any(words in str(node.message) for words in ("Binder Error", "UNRESOLVED_COLUMN")):
        return (
            "run `churnhouse build --full-refresh` if the models changed since the last build, "
            f"else correct {node.node.original_file_path}."
        )
    return f"correct {node.node.original_file_path} or its input and run again."


def _let_go(error: BaseException | None) -> None:
    """Free what the frames of a caught error hold: a cursor, and with it the warehouse's file."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
    gc.collect()  # and what dbt caught and keeps nowhere


def _first_line(error: object) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "Next:" in line), " ".join(lines[:2])).rstrip(".") + "."
