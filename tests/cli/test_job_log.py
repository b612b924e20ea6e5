"""The jobs' log off a terminal, and what ml.job_runs keeps of each step."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from support.homes import churnhouse, rows
from support.running import serving


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch):
    """Run a command off a terminal; return its log's lines and its standard output."""
    monkeypatch.delenv("CHURNHOUSE_LOG_FORMAT")

    def lines(home: Path, *command: object, level: str = "info") -> tuple[list[dict], str]:
        monkeypatch.setenv("CHURNHOUSE_LOG_LEVEL", level)
        done = churnhouse(home, *command, check=False)
        return [json.loads(line) for line in done.stderr.splitlines()], done.stdout

    return lines


def test_off_a_terminal_the_log_is_json_and_answers_stay_on_standard_output(home, log):
    before = datetime.now(UTC)
    lines, out = log(home, "ingest")
    assert out == ""
    (step,) = [line for line in lines if line["event"] == "step"]
    assert step["step"] == "ingest" and "0 new files" in step["message"] and step["seconds"] > 0
    for line in lines:
        assert {"time", "event", "level", "message"} <= line.keys()
        assert before <= datetime.fromisoformat(line["time"]) or line["time"][:19] == (
            f"{before:%Y-%m-%dT%H:%M:%S}"
        )
    lines, out = log(home, "status")
    assert lines == [] and "elearning" in out


def test_a_failure_is_the_last_line_with_the_next_step(home, log):
    lines, _ = log(home, "ingest", "--raw", "nowhere", level="error")
    assert [line["event"] for line in lines] == ["failed"]
    assert lines[0]["level"] == "error" and "Next: " in lines[0]["message"]


def test_the_level_chooses_the_lines(home, log):
    lines, _ = log(home, "publish", level="debug")
    assert {line["level"] for line in lines} == {"debug", "info"}
    assert "lookup store" in {line["message"] for line in lines if line["event"] == "progress"}
    assert log(home, "score", level="warning") == ([], "")  # it has steps and notes


def test_on_request_the_log_is_text_anywhere(home, log, monkeypatch):
    monkeypatch.setenv("CHURNHOUSE_LOG_FORMAT", "text")
    done = churnhouse(home, "ingest")
    assert done.stdout.startswith("ingest ") and done.stderr == ""


def test_a_setting_that_is_no_level_is_named(home, monkeypatch):
    monkeypatch.setenv("CHURNHOUSE_LOG_LEVEL", "loud")
    assert "CHURNHOUSE_LOG_LEVEL=loud: " in churnhouse(home, "status", check=False).stderr


def runs(file: Path, table: str) -> list[tuple]:
    with duckdb.connect(str(file), read_only=True) as con:
        return con.execute(
            f'select job, step, is_done, "rows", rejected_rows from {table} order by started_at'
        ).fetchall()


def test_each_step_is_kept_also_one_that_failed(finished_home, home, tmp_path):
    published = runs(finished_home / "published/current/churnhouse.duckdb", "job_runs")
    steps = ["generate", "ingest", "build", "train", "promote", "score"]
    assert [row[:3] for row in published] == [("run", step, True) for step in steps]
    _, (*_, loaded, rejected), *_ = published
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
        (received,) = con.execute("select sum(row_count) from raw.files").fetchone()
    assert loaded == received and rejected > 0
    churnhouse(home, "ingest", "--raw", tmp_path / "nowhere", check=False)
    kept = runs(home / "warehouse.duckdb", "ml.job_runs")
    assert kept[-2:] == [
        ("run", "publish", True, 300, None),
        ("ingest", "ingest", False, None, None),
    ]


def test_the_last_run_of_each_step_becomes_gauges(home, tmp_path):
    churnhouse(home, "daily")
    with serving(home, tmp_path / "log") as server:
        text = server.get("/metrics").text
    found = dict(line.rsplit(" ", 1) for line in text.splitlines() if "churnhouse_job_" in line)
    now = datetime.now(UTC).timestamp()
    labels = 'command="daily",step="build"'
    assert now - 600 < float(found[f"churnhouse_job_ended_timestamp_seconds{{{labels}}}"]) <= now
    assert 0 < float(found[f"churnhouse_job_seconds{{{labels}}}"]) < 600
    assert float(found[f"churnhouse_job_peak_memory_bytes{{{labels}}}"]) > 50e6
    assert found[f"churnhouse_job_done{{{labels}}}"] == "1.0"
    assert found['churnhouse_job_rows{command="daily",step="ingest"}'] == "0.0"
    assert f"churnhouse_job_rows{{{labels}}}" not in found


def keep(home: Path, *steps: tuple[str, bool, datetime, int | None]) -> None:
    """Keep steps of `daily`, each with its name, is_done, started_at and step_number."""
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        for step, is_done, started_at, number in steps:
            con.execute(
                "insert into ml.job_runs by name select 'daily' as job, ? as step, ? as is_done,"
                " ? as started_at, 60.0 as seconds, ? as step_number",
                [step, is_done, started_at.replace(tzinfo=None), number],
            )


def published_steps(home: Path) -> dict[str, tuple[int, float]]:
    """Return is_done and ended_at of each step of `daily` as published."""
    with closing(sqlite3.connect(home / "published/current/lookup.sqlite")) as store:
        query = "select step, is_done, ended_at from job_runs where job = 'daily'"
        return {step: (is_done, ended_at) for step, is_done, ended_at in store.execute(query)}


def test_a_run_of_a_clock_that_was_ahead_hides_no_later_one(home):
    ahead = datetime(2199, 1, 1, tzinfo=UTC)
    failed_at = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)
    keep(home, ("build", True, ahead, 101), ("score", True, ahead, 102))
    keep(home, ("build", False, failed_at, 103))
    churnhouse(home, "publish")
    manifest = json.loads((home / "published/current/manifest.json").read_text())
    published_at = datetime.fromisoformat(manifest["published_at"]).timestamp()
    steps = published_steps(home)
    assert steps["build"] == (0, failed_at.timestamp() + 60)
    assert steps["score"] == (1, pytest.approx(published_at, abs=1))


def test_steps_of_an_earlier_release_come_before_all_that_have_a_number(home):
    day = datetime(2025, 1, 1, tzinfo=UTC)
    keep(home, ("build", True, day, None), ("build", False, day + timedelta(days=1), None))
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        con.execute("alter table ml.job_runs drop column step_number")
    churnhouse(home, "publish")
    assert published_steps(home)["build"] == (0, (day + timedelta(days=1)).timestamp() + 60)
    assert rows(home, "select min(step_number) from ml.job_runs where job = 'publish'") == [(1,)]
    keep(home, ("build", True, day, 100))
    churnhouse(home, "publish")
    assert published_steps(home)["build"] == (1, day.timestamp() + 60)
