"""Removing a person leaves nothing that names them, and everything else as it was."""

from pathlib import Path

import duckdb
from homes import churnhouse, rows

from python_jobs.forget import user_hash


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


def test_no_file_names_a_forgotten_user(home: Path):
    user = rows(home, "select user_id from churn_top_risk order by risk_rank limit 1")[0][0]
    others = "select user_id, as_of_date, events_30d from user_features_daily where user_id <> "
    before = rows(home, f"{others} '{user}' order by all")
    assert files_that_name(home, user)
    churnhouse(home, "forget", user)
    assert files_that_name(home, user) == []
    assert len([p for p in (home / "published").iterdir() if p.is_dir()]) == 2  # and its link
    assert rows(home, f"{others} '{user}' order by all") == before
    assert rows(home, "select user_hash from raw.forgotten") == [(user_hash(user),)]
    churnhouse(home, "ingest")
    churnhouse(home, "build")  # every gate still holds


def test_what_arrives_later_of_a_forgotten_user_is_rejected_without_the_id(home: Path):
    user = rows(home, "select min(user_id) from stg_users")[0][0]
    churnhouse(home, "forget", user)
    columns = "event_id,user_id,event_time,event_type,course_id,watch_minutes,quiz_score,amount\n"
    (home / "raw/events/late.csv").write_text(
        f"{columns}late-1,{user},2025-04-29 10:00:00,login,,,,\n"
    )
    churnhouse(home, "ingest")
    churnhouse(home, "build", "--exclude", "rejected_share")
    kept = rows(home, "select user_id, reject_reason from stg_events_rejected order by row_id desc")
    assert kept[0] == (None, "forgotten_user")


def test_an_unknown_user_is_one_clear_line(home: Path):
    done = churnhouse(home, "forget", "nobody", check=False)
    assert done.returncode == 1
    assert "'nobody'" in done.stderr and "Traceback" not in done.stderr
