"""Real homes for the tests: built once by the real command, copied where a test writes."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

PROJECT = Path(__file__).resolve().parent.parent
Command = Callable[..., subprocess.CompletedProcess]


def churnhouse(home: Path, *arguments: object, check: bool = True) -> subprocess.CompletedProcess:
    """Run the command in a process of its own, as a user would; give its output as text."""
    done = subprocess.run(
        [Path(sys.executable).with_name("churnhouse"), *map(str, arguments)],
        env=os.environ | {"CHURNHOUSE_HOME": str(home), "COLUMNS": "80"},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def rows(home: Path, query: str) -> list[tuple]:
    """The rows of a query over a home's warehouse."""
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


@pytest.fixture(scope="session")
def finished_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home after the main job over 300 users x 120 days. Read it; copy it to change it."""
    home = tmp_path_factory.mktemp("finished") / "data"
    churnhouse(home, "run", "--users", 300)
    return home


@pytest.fixture
def home(finished_home: Path, tmp_path: Path) -> Path:
    """A copy of the finished home, for one test to change."""
    copy = tmp_path / "data"
    shutil.copytree(finished_home, copy, symlinks=True)
    return copy
