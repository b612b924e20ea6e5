"""Limits of memory, cores and spill: defaults, settings, and messages for mistakes."""

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from support.homes import PROJECT

from python_jobs.errors import JobError
from python_jobs.settings import Settings
from python_jobs.warehouse import spark
from python_jobs.warehouse.connection import connect
from python_jobs.warehouse.limits import machine_failed
from python_jobs.warehouse.lock import writing


def refused(home: Path, *arguments: str, **limits: str) -> str:
    """Return the one line of a command that must fail under these limits."""
    command = Path(sys.executable).with_name("churnhouse")
    env = os.environ | {"CHURNHOUSE_HOME": str(home)} | limits
    done = subprocess.run(
        [command, *arguments], env=env, cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert "Next: " in line
    return line


def in_force(connection: duckdb.DuckDBPyConnection) -> tuple:
    names = ("memory_limit", "threads", "max_temp_directory_size")
    return tuple(
        connection.execute("select current_setting(?)", [name]).fetchone()[0] for name in names
    )


def test_without_settings_duckdb_uses_its_own_defaults(tmp_path):
    with duckdb.connect() as untouched, connect(Settings(home=tmp_path)) as connection:
        ours, theirs = in_force(connection), in_force(untouched)
    assert ours[:2] == theirs[:2]


def test_settings_override_the_defaults_of_duckdb(tmp_path):
    settings = Settings(home=tmp_path, memory_limit="512MiB", threads=1, spill_limit="2GiB")
    with connect(settings) as connection:
        assert in_force(connection) == ("512.0 MiB", 1, "2.0 GiB")


@pytest.mark.parametrize(("limit", "mebibytes"), [("4GiB", 2048), ("512MiB", 1024)])
def test_local_spark_driver_gets_half_of_the_memory_limit(limit, mebibytes):
    assert spark.driver_memory(Settings(memory_limit=limit)) == mebibytes


@pytest.mark.parametrize("limit", [None, "-1", "900TiB"])
def test_local_spark_driver_gets_at_most_half_of_the_default_limit(limit):
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
    assert 1024 <= spark.driver_memory(Settings(memory_limit=limit)) <= total / 2


@pytest.mark.parametrize("name", ["memory_limit", "spill_limit"])
def test_a_limit_without_a_unit_is_named(tmp_path, name):
    with (
        pytest.raises(JobError, match=f"CHURNHOUSE_{name.upper()}=4lemons is no limit"),
        connect(Settings(home=tmp_path, **{name: "4lemons"})),
    ):
        pass


def test_a_setting_of_the_wrong_type_is_one_line(tmp_path):
    line = refused(tmp_path, "ingest", CHURNHOUSE_THREADS="many")
    assert "CHURNHOUSE_THREADS=many: " in line


def test_too_little_memory_is_reported_and_more_memory_is_enough(home):
    for job in ("ingest", "build"):
        if job == "ingest":
            (home / "warehouse.duckdb").unlink()
        line = refused(home, job, CHURNHOUSE_MEMORY_LIMIT="5MB")
        assert "memory that DuckDB may use is not enough" in line
        with writing(Settings(home=home), "test"):
            pass
        subprocess.run(
            [Path(sys.executable).with_name("churnhouse"), job],
            env=os.environ | {"CHURNHOUSE_HOME": str(home)},
            cwd=PROJECT,
            check=True,
            capture_output=True,
        )


@pytest.mark.parametrize(
    "said",
    [
        "[Errno 5] Input/output error: 'models'",
        'FATAL Error: invalidated\nOriginal error: "fsync failed!"',
        "IO Error: Could not write: Read-only file system",
    ],
)
def test_a_failing_disk_is_one_line(tmp_path, said):
    error = machine_failed(Settings(home=tmp_path), said)
    assert f"The disk of {tmp_path} fails: " in str(error) and "Next: " in str(error)
    assert machine_failed(Settings(home=tmp_path), "Parser Error: at fsync") is None
