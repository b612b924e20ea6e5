"""Each gate stops the run before anything is published, and says what it found."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from homes import PROJECT, churnhouse, rows

HEADER = "event_id,user_id,event_time,event_type,course_id,watch_minutes,quiz_score,amount\n"


def stopped(home: Path, *command: str) -> str:
    """Run a command that a gate must stop; give its line, after checking that nothing moved."""
    before = (home / "published/current").resolve()
    done = churnhouse(home, *(command or ("daily",)), check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert (home / "published/current").resolve() == before
    return done.stderr.strip().splitlines()[-1]


def land(home: Path, lines: list[str]) -> None:
    (home / "raw/events/more.csv").write_text(HEADER + "\n".join(lines) + "\n")


def test_too_many_rejected_rows_in_a_load(home: Path):
    good = [f"g{n},u0000001,2025-04-30 10:00:{n:02},login,,,," for n in range(8)]
    bad = [f"b{n},u0000001,2025-04-30 11:00:{n:02},dance,,,," for n in range(2)]
    land(home, good + bad)
    line = stopped(home)
    assert "rejected_share failed (of the newest load): found 0.2, allowed at most 0.1" in line


def test_a_failed_gate_keeps_the_last_version_published(home: Path):
    """Also where somebody goes on by hand after the build has failed."""
    land(home, ["b1,u0000001,2025-04-30 11:00:00,dance,,,,"])
    assert "rejected_share" in stopped(home, "daily")
    churnhouse(home, "score")
    assert "rejected_share" in stopped(home, "publish")


def change(home: Path, statement: str) -> None:
    with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
        connection.execute(statement)


@pytest.mark.parametrize(
    ("gate", "statement"),
    [
        # what only a defect could do to the tables: lose a row, count one twice, look ahead
        ("user_daily_reconciles", "update user_daily set events = events + 1 where events = 3"),
        (
            "user_daily_reconciles",
            "update user_daily set watch_minutes_total = watch_minutes_total + 0.0001",
        ),
        ("every_user_has_every_day", "delete from user_daily where user_id = 'u0000007'"),
        ("unique_grain_user_daily", "insert into user_daily from user_daily limit 1"),
        (
            "unique_grain_user_features_daily",
            "insert into user_features_daily from user_features_daily limit 1",
        ),
        ("label_windows_are_closed", "update churn_labels set as_of_date = as_of_date + 1"),
        (
            "received_rows_are_all_judged",
            "delete from stg_events_checked where reject_reason = 'unknown_user'",
        ),
        (
            "accepted_events_keep_the_checks",
            "update stg_events_checked set quiz_score = 101 where quiz_score > 90",
        ),
        (
            "accepted_users_keep_the_checks",
            "update stg_users set plan = 'gold' where user_id = 'u0000007'",
        ),
        (
            "values_elsewhere",
            "update stg_events_checked set amount = 5 where event_type = 'login'",
        ),
        (
            "expected_days",
            "update stg_events_checked set event_date = date '2025-04-28' "
            "where event_date = date '2025-04-27'",
        ),
        (
            "day_volume",
            "update stg_events_checked set event_date = date '2025-04-28' "
            "where event_date = date '2025-04-27' and row_id % 20 > 0",
        ),
    ],
)
def test_a_gate_fails_when_what_it_guards_is_broken(home: Path, gate: str, statement: str):
    change(home, statement)
    line = stopped(home, "build", "--select", f"{gate}*")
    assert f"Gate {gate}" in line
    if not gate.startswith("unique_grain"):
        assert re.search(r" failed( \(.+\))?: found .+, allowed .+\. Next: look at the rows", line)


def freshness(home: Path) -> subprocess.CompletedProcess:
    """What plain `dbt source freshness` says, from the project's root."""
    return subprocess.run(
        [Path(sys.executable).with_name("dbt"), "--no-use-colors", "source", "freshness"],
        env=os.environ | {"CHURNHOUSE_HOME": str(home), "DBT_TARGET_PATH": str(home / "t")},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_raw_data_that_stopped_arriving_is_noticed(home: Path):
    done = freshness(home)
    assert done.returncode == 0, done.stdout
    assert "PASS freshness of raw.events" in done.stdout
    change(home, "update raw.events set ingested_at = ingested_at - interval 55 hour")
    change(home, "update raw.files set ingested_at = ingested_at - interval 31 hour")
    done = freshness(home)
    assert done.returncode == 1, done.stdout
    assert "ERROR STALE freshness of raw.events" in done.stdout
    assert "WARN freshness of raw.files" in done.stdout
    kept = rows(
        home,
        "select node, status from ml.dbt_run_results where resource_type = 'source' "
        "order by started_at desc, node limit 2",
    )
    assert kept == [("events", "error"), ("files", "warn")]
    churnhouse(home, "publish")  # old is not broken: going back to an earlier model still works


def test_the_results_of_each_build_are_kept_for_analysts(finished_home: Path):
    said = json.loads((finished_home / "published/current/manifest.json").read_text())
    copy = finished_home / "published" / said["version"] / "churnhouse.duckdb"
    with duckdb.connect(str(copy), read_only=True) as connection:
        found = connection.execute(
            """
            select resource_type, count(*) > 0, bool_and(status in ('success', 'pass')),
                min(seconds) >= 0
            from dbt_run_results where resource_type in ('model', 'test') group by 1 order by 1
            """
        ).fetchall()
    assert found == [("model", True, True, True), ("test", True, True, True)]
