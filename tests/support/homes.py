"""Running the real command on a home of its own, and looking into the warehouse it made."""

import os
import subprocess
import sys
from pathlib import Path

import duckdb

PROJECT = Path(__file__).resolve().parents[2]


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
