"""connection: one writer at a time, named to others, and replaced when it dies."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from threading import Timer

import duckdb
import pytest

from python_jobs.errors import JobError, WarehouseBusy
from python_jobs.settings import PROJECT, Settings
from python_jobs.warehouse.connection import connect
from python_jobs.warehouse.lock import writing

HOLD = """
import sys
from python_jobs.warehouse.connection import connect
from python_jobs.warehouse.lock import writing
from python_jobs.settings import Settings
with writing(Settings(), "retrain"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home")


@pytest.fixture
def holder(settings):
    """Run another process that holds the warehouse until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(settings),
        cwd=PROJECT,
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def environment(settings) -> dict[str, str]:
    return {**os.environ, "CHURNHOUSE_HOME": str(settings.home), "PYTHONPATH": str(PROJECT)}


def test_a_second_process_is_told_who_holds_the_warehouse(settings, holder):
    with pytest.raises(WarehouseBusy) as busy, writing(settings, "ingest"):
        pytest.fail("two writers")
    host, since = re.escape(socket.gethostname()), r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00"
    told = rf"Another run holds the warehouse: retrain on {host}, pid {holder.pid}, since ({since})"
    match = re.match(told, str(busy.value))
    assert match and datetime.fromisoformat(match[1]).tzinfo
    assert " Next: wait" in str(busy.value)


def test_the_command_exits_75_with_one_line_and_no_traceback(settings, holder):
    command = [str(Path(sys.executable).with_name("churnhouse")), "ingest"]
    done = subprocess.run(command, env=environment(settings), capture_output=True, text=True)
    assert done.returncode == 75 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("churnhouse: Another run holds the warehouse: retrain on ")
    assert not settings.warehouse.exists()


def test_refused_process_leaves_the_name_of_the_holder(settings, holder):
    for _ in range(2):
        with pytest.raises(WarehouseBusy, match="retrain"), writing(settings, "x"):
            pass


def test_killed_holder_releases_the_warehouse(settings, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with writing(settings, "ingest"):
        lock = json.loads((settings.home / "warehouse.lock").read_text())
        assert (lock["job"], lock["pid"]) == ("ingest", os.getpid())


def test_the_warehouse_is_free_after_a_job_and_after_a_failed_one(settings):
    with writing(settings, "a job with a longer name"):
        pass
    with pytest.raises(ZeroDivisionError), writing(settings, "b"):
        raise ZeroDivisionError
    with writing(settings, "c"), pytest.raises(WarehouseBusy, match="warehouse: c on"):
        writing(settings, "d").__enter__()


def test_lock_without_a_name_yet_still_counts_as_held(settings, holder):
    (settings.home / "warehouse.lock").write_text("")
    with pytest.raises(WarehouseBusy, match="just started"):
        writing(settings, "ingest").__enter__()


def test_home_that_cannot_be_created_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JobError, match=r"file/home cannot be written .* Next: set CHURNHOUSE_HOME"):
        writing(Settings(home=tmp_path / "file/home"), "ingest").__enter__()


def test_times_are_utc_wherever_the_job_runs(settings):
    code = (
        "from python_jobs.warehouse.connection import connect\n"
        "from python_jobs.settings import Settings\n"
        "with connect(Settings()) as db:\n"
        "    sql = \"select cast(timestamptz '2026-07-01 12:00:00+00' as timestamp)::varchar\"\n"
        "    print(db.execute(sql).fetchone()[0])"
    )
    settings.home.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(settings) | {"TZ": "Asia/Kolkata"},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "2026-07-01 12:00:00\n"


def test_reading_a_missing_warehouse_does_not_create_it(settings):
    with pytest.raises(JobError, match=r"no warehouse at .* Next: run `churnhouse ingest` first"):
        connect(settings, read_only=True).__enter__()
    assert not settings.warehouse.exists()


def test_a_file_held_open_by_another_program_is_busy(settings):
    settings.home.mkdir()
    code = "import duckdb, sys; db = duckdb.connect(sys.argv[1]); print(1, flush=True); input()"
    command = [sys.executable, "-c", code, str(settings.warehouse)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(WarehouseBusy, match=r"Another program has .* open.* Next: close it"):
            connect(settings).__enter__()
        other.stdin.close()


@pytest.mark.parametrize("damage", ["text", "empty", "half", "scrambled"])
def test_damaged_warehouse_in_a_folder_named_lock_is_not_reported_busy(tmp_path, damage):
    settings = Settings(home=tmp_path / "lock")
    settings.home.mkdir()
    with duckdb.connect(str(settings.warehouse)) as db:
        db.execute("create table t as select range as i from range(300000)")
    whole = settings.warehouse.read_bytes()
    damaged = {
        "text": b"not a database" * 1000,
        "empty": b"",
        "half": whole[: len(whole) // 2],
        "scrambled": whole[:4096] + os.urandom(len(whole) - 4096),
    }
    settings.warehouse.write_bytes(damaged[damage])
    with pytest.raises(JobError, match=r"cannot be opened as a DuckDB file.* Next: move") as error:
        connect(settings).__enter__()
    assert not isinstance(error.value, WarehouseBusy)


def test_warehouse_opens_once_a_cursor_of_dbt_is_freed(tmp_path):
    """The other mode is refused while this process has the file open."""
    settings = Settings(home=tmp_path)
    cursor = duckdb.connect(str(settings.warehouse))
    Timer(0.3, cursor.close).start()
    with connect(settings, read_only=True) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
