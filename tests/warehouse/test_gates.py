"""Each gate stops the run before anything is published, and says what it found."""

import json
from pathlib import Path

import duckdb
import pytest
from homes import churnhouse

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
