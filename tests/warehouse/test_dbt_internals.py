"""dbt_internals: undocumented parts of dbt still work as the jobs use them."""

import gc
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import duckdb
import pytest
from dbt.cli.main import dbtRunner, dbtRunnerResult

from python_jobs.warehouse import dbt_internals

VERSIONS = " and ".join(f"{name} {metadata.version(name)}" for name in ("dbt-core", "dbt-duckdb"))
CHANGED = f"{VERSIONS} changed: correct python_jobs/warehouse/dbt_internals.py. "
PROJECT = """
name: small
profile: small
model-paths: [models]
flags: {send_anonymous_usage_stats: false, version_check: false}
"""
PROFILE = "small: {target: db, outputs: {db: {type: duckdb, path: '%s', threads: 2}}}"


class Project:
    """A dbt project of three models in its own folder, and its DuckDB file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "small.duckdb"
        (folder / "models").mkdir()
        (folder / "dbt_project.yml").write_text(PROJECT)
        (folder / "profiles.yml").write_text(PROFILE % self.file)
        for name in ("a", "b", "c"):
            (folder / f"models/{name}.sql").write_text("select 1 as one")

    def build(self, *arguments: str, callbacks: tuple = ()) -> dbtRunnerResult:
        here = str(self.folder)
        where = ["--project-dir", here, "--profiles-dir", here, "--target-path", f"{here}/target"]
        quiet = ["--log-level", "none", "--log-path", here, "--no-write-json"]
        return dbtRunner(callbacks=list(callbacks)).invoke(["build", *where, *quiet, *arguments])

    def is_held(self) -> bool:
        """Return whether this process still has the file open for writing."""
        try:
            duckdb.connect(str(self.file), read_only=True).close()
        except duckdb.ConnectionException:
            return True
        return False


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def close_duckdb() -> None:
    try:
        dbt_internals.close_duckdb()
    except (ImportError, AttributeError) as error:
        pytest.fail(f"{CHANGED}`close_duckdb` does not find dbt-duckdb's connections: {error}")


def test_progress_counts_every_node_of_a_build(project: Project):
    calls, names = [], set()
    progress = dbt_internals.Progress(lambda done, total: calls.append((done, total)))
    build = project.build(callbacks=(progress, lambda event: names.add(event.info.name)))
    close_duckdb()
    assert build.success, build
    missing = {dbt_internals.NODE_STARTS, dbt_internals.NODE_ENDS} - names
    assert not missing, f"{CHANGED}A build fired no event named {', '.join(sorted(missing))}."
    told = f"{CHANGED}The events of a build of 3 nodes were counted as {calls}."
    assert calls == [(1, 3), (2, 3), (3, 3)], told


def test_warehouse_file_is_free_only_after_closing(project: Project):
    assert project.build().success
    held = project.is_held()
    close_duckdb()
    assert not project.is_held(), f"{CHANGED}`close_duckdb` does not close the file."
    assert held, f"{CHANGED}dbt closes the file itself now: remove `close_duckdb`."


@pytest.mark.parametrize("failing", ["model", "hook"])
def test_a_failed_build_holds_the_file_until_its_cursors_are_freed(project: Project, failing: str):
    macro = "{{ run_query('select * from nowhere') }}"
    if failing == "model":
        (project.folder / "models/a.sql").write_text(f"{macro} select 1 as one")
    else:
        with (project.folder / "dbt_project.yml").open("a") as file:
            file.write(f'on-run-start: "{macro}"')
    gc.disable()  # Python may free them at any time, or much later
    try:
        failed = project.build()
        close_duckdb()
        held = project.is_held()
        dbt_internals.free_cursors(failed.exception)
        assert "nowhere" in str(failed)
        assert not project.is_held(), f"{CHANGED}`free_cursors` does not free the file."
        assert held, f"{CHANGED}A failed build frees the file itself now: remove `free_cursors`."
    finally:
        gc.enable()


def test_process_exit_keeps_code_output_and_exit_handlers():
    code = (
        "import atexit, sys; from python_jobs.warehouse.dbt_internals import end_process\n"
        "atexit.register(lambda: print('handled'))\n"
        "print('out', end=' '); print('err', file=sys.stderr, end='')\n"
        "end_process(75)"
    )
    # with PYTHONUNBUFFERED no output would be left to flush at the end
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (75, "out handled\n", "err")
