"""Removing a person leaves nothing that names them, and everything else as it was."""

import gzip
import json
from pathlib import Path

import duckdb
from support.homes import churnhouse, files_that_name, rows

from python_jobs import pipeline
from python_jobs.operations.forget import forget, user_hash
from python_jobs.settings import Settings
from python_jobs.warehouse.connection import connect


def rejected_and_contacted(home: Path) -> str:
    """Return a listed user who has rejected rows, after a contact with a note that names them."""
    query = (
        "select user_id from churn_top_risk semi join rejected_rows using (user_id) order by all"
    )
    user = rows(home, query)[0][0]
    with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
        connection.execute(
            "insert into raw.treatments by name select ? as user_id, 'spring' as campaign,"
            " timestamp '2025-04-02' as treated_at, 'mail to ' || ? as note, now() as ingested_at",
            [user, user],
        )
    churnhouse(home, "build", "--select", "contacts+", "--exclude-resource-type", "test")
    churnhouse(home, "publish")
    published = home / "published/current/churnhouse.duckdb"
    with duckdb.connect(str(published), read_only=True) as copy:
        for table in (
            "users",
            "user_attributes_history",
            "contacts",
            "treatments",
            "rejected_rows",
        ):
            query = f"select count(*) from {table} where user_id = ?"
            assert copy.execute(query, [user]).fetchall()[0][0], table
    return user


def test_no_file_names_a_forgotten_user(home: Path):
    user = rejected_and_contacted(home)
    others = "select user_id, as_of_date, events_30d from user_features_daily where user_id <> "
    before = rows(home, f"{others} '{user}' order by all")
    assert files_that_name(home, user)
    earlier = json.loads((home / "published/current/manifest.json").read_text())
    assert earlier["forgotten_at"] is None
    churnhouse(home, "forget", user)
    now = json.loads((home / "published/current/manifest.json").read_text())
    assert earlier["published_at"] <= now["forgotten_at"] <= now["published_at"]
    assert files_that_name(home, user) == []
    assert len([p for p in (home / "published").iterdir() if p.is_dir()]) == 2  # and its link
    assert rows(home, f"{others} '{user}' order by all") == before
    assert rows(home, "select user_hash from raw.forgotten") == [(user_hash(user),)]
    rejected = rows(home, "select count(*) from int_rejected_rows")
    assert rows(home, "select sum(row_count) from rejected_counts") == rejected
    churnhouse(home, "ingest")
    churnhouse(home, "build")  # every gate still holds


def test_what_arrives_later_of_a_forgotten_user_is_rejected_without_the_id(home: Path):
    user = rows(home, "select min(user_id) from accepted_users")[0][0]
    churnhouse(home, "forget", user)
    columns = "event_id,user_id,event_time,event_type,course_id,watch_minutes,quiz_score,amount\n"
    (home / "raw/events/late.csv").write_text(
        f"{columns}late-1,{user},2025-04-29 10:00:00,login,,,,\n"
    )
    churnhouse(home, "ingest")
    churnhouse(home, "build", "--select", "+rejected_events", "--exclude-resource-type", "test")
    kept = rows(home, "select user_id, reject_reason from rejected_events order by row_id desc")
    assert kept[0] == (None, "forgotten_user")


def test_a_file_may_lose_its_only_row(home: Path):
    (home / "raw/users/one.csv").write_text(
        "user_id,signup_date,plan,country,marketing_source,updated_at\n"
        "only,2025-04-29,free,DE,ads,2025-04-29 08:00:00\n"
    )
    churnhouse(home, "ingest")
    churnhouse(home, "build", "--select", "+accepted_users", "--exclude-resource-type", "test")
    with connect(Settings(home=home)) as connection:
        domain = pipeline.warehouse_domain(connection, Settings(home=home))
    removed = forget(Settings(home=home), domain, "only", now=pipeline.now())
    assert removed["users/one.csv"] == 1
    churnhouse(home, "build", "--full-refresh", "--select", "received_rows_are_all_judged")


def test_an_unknown_user_is_one_clear_line(home: Path):
    done = churnhouse(home, "forget", "nobody", check=False)
    assert done.returncode == 1
    assert "'nobody'" in done.stderr and "Traceback" not in done.stderr


LINES = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"


def test_raw_files_of_any_shape_lose_the_rows_of_the_user_and_no_others(tmp_path: Path):
    """Whose row it is says the domain's mapping: there is no user_id in these files."""
    home = tmp_path / "data"
    kept = '1,a,"Bowl, ""big""",17850,2010-12-01 08:26:00,1.5,13047.0,France\n'
    gone = "2,b,Cup,2,2010-12-01 08:27:00,1.5,17850.0,France\n"
    nobody = "3,c,Cup,1,2010-12-01 08:28:00,1.5,,France\n"
    (home / "raw").mkdir(parents=True)
    (home / "raw/one.csv").write_text(LINES + kept + gone + nobody)
    (home / "raw/copy.csv").write_text(LINES + kept + gone + nobody)
    with duckdb.connect() as writer:
        parquet = f"copy (from '{home}/raw/one.csv' limit 2) to '{home}/raw/two.parquet'"
        writer.execute(parquet)
    churnhouse(home, "ingest", "--domain", "online_retail")
    (home / "raw/not_loaded_yet.csv.gz").write_bytes(gzip.compress((LINES + gone).encode()))
    churnhouse(home, "forget", "17850")
    for name in ("one.csv", "copy.csv"):
        assert (home / "raw" / name).read_text() == LINES + kept + nobody
    with duckdb.connect() as reader:
        left = reader.execute(f"select CustomerID from '{home}/raw/two.parquet'").fetchall()
    assert left == [(13047,)]
    assert gzip.decompress((home / "raw/not_loaded_yet.csv.gz").read_bytes()).decode() == LINES
    before = rows(home, "from raw.events order by all")
    churnhouse(home, "ingest", "--domain", "online_retail")  # no file counts as changed
    assert rows(home, "from raw.events order by all") == before


def test_a_removal_that_broke_off_is_finished_by_the_next(home: Path):
    user = rows(home, "select min(user_id) from accepted_users")[0][0]
    bad = home / "raw/events/zz_damaged.csv"
    bad.write_text("event_id,what\n")
    done = churnhouse(home, "forget", user, check=False)
    assert done.returncode == 1 and "zz_damaged.csv has no column" in done.stderr
    bad.unlink()
    churnhouse(home, "forget", user)
    assert files_that_name(home, user) == []
    assert rows(home, "select count(*) from raw.forgotten") == [(1,)]
