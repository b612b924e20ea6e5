"""Running the command on a home of its own, and looking into the warehouse it made."""

import contextlib
import fcntl
import io
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import duckdb

from python_jobs import cli
from python_jobs.settings import PROJECT, Settings
from python_jobs.warehouse.dbt import Dbt
from python_jobs.warehouse.dbt_internals import close_duckdb
from support import parsed


def churnhouse(home: Path, *arguments: object, check: bool = True) -> subprocess.CompletedProcess:
    """Run the command in this process; give its exit code and its output as text.

    A process of its own costs seconds for imports and for dbt's parse: see support/processes.py.
    """
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, {"CHURNHOUSE_HOME": str(home), "COLUMNS": "80"}),
        parsed.once(),
        contextlib.chdir(PROJECT),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        command = [str(argument) for argument in arguments]
        code = cli.execute(command)
    done = subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())
    assert not check or code == 0, done.stdout + done.stderr
    return done


def refused(home: Path, *arguments: object) -> str:
    """Run a command that must fail; give its one line, after checking that nothing moved."""
    current = home / "published/current"
    before = current.readlink() if current.is_symlink() else None
    done = churnhouse(home, *arguments, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert "Next: " in line
    assert (current.readlink() if current.is_symlink() else None) == before
    return line


def dbt(home: Path, *arguments: str) -> dict[str, str]:
    """Run dbt itself, from the project's root; give the status of each node by its name."""
    from dbt.cli.main import dbtRunner

    with patch.dict(os.environ, {"CHURNHOUSE_HOME": str(home)}), parsed.once():
        manifest = Dbt(Settings(home=home)).parse()
        where = ("--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT))
        where += ("--target-path", str(home / "dbt"), "--log-path", str(home / "dbt"))
        result = dbtRunner(manifest).invoke([*arguments, *where, "--log-level", "none"])
        close_duckdb()
    assert not result.exception, result.exception
    return {node.node.name: str(node.status) for node in result.result.results}


def built_once(shared: Path, name: str, build: Callable[[Path], None]) -> Path:
    """A home that `build` fills at the first call of a test run, whichever worker makes it."""
    home = shared / name
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.exists():
            partial = shared / f"{name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            build(partial)
            partial.rename(home)
    return home


def copied(home: Path, to: Path) -> Path:
    """A copy of a home, to change; links stay links."""
    return shutil.copytree(home, to, symlinks=True)


def rows(home: Path, query: str) -> list[tuple]:
    """The rows of a query over a home's warehouse."""
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def files_that_name(home: Path, user_id: str) -> list[str]:
    """Every file below a home in which the id stands, compressed or not."""
    found = []
    for path in home.rglob("*"):
        if not path.is_file() or path.is_symlink():
            continue
        if user_id.encode() in path.read_bytes():
            found.append(path.name)
        elif path.suffix == ".parquet":
            with duckdb.connect() as reader:
                text = f"select count(*) from '{path}' as t where cast(t as varchar) like ?"
                if reader.execute(text, [f"%{user_id}%"]).fetchone()[0]:
                    found.append(path.name)
        elif path.suffix == ".duckdb":
            with duckdb.connect(str(path), read_only=True) as reader:
                for (table,) in reader.execute(
                    "select table_schema || '.' || table_name from information_schema.tables"
                ).fetchall():
                    text = f"select count(*) from {table} as t where cast(t as varchar) like ?"
                    if reader.execute(text, [f"%{user_id}%"]).fetchone()[0]:
                        found.append(f"{path.name}: {table}")
    return found
