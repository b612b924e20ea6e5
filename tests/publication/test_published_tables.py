"""The published file explains itself, and its tables for analysts agree with one another."""

import contextlib
import json
import re
import sqlite3
from collections import Counter
from pathlib import Path

import duckdb
import pytest
from support.homes import PROJECT, rows

from api.store.publication import SHOWN_ROWS
from python_jobs.publishing import lookup
from python_jobs.publishing.publish import TABLES
from python_jobs.terminal import expected_losses


@pytest.fixture(scope="module")
def published(finished_home: Path):
    path = finished_home / "published/current/churnhouse.duckdb"
    with duckdb.connect(str(path), read_only=True) as file:
        yield file


def test_every_published_table_and_column_has_a_comment(published):
    tables = dict(published.execute("select table_name, comment from duckdb_tables()").fetchall())
    assert tables.keys() == TABLES.keys()
    assert [name for name, comment in tables.items() if not comment] == []
    columns = "select table_name, column_name from duckdb_columns() where not internal"
    assert published.execute(f"{columns} and comment is null").fetchall() == []
    assert len(published.execute(columns).fetchall()) > 200


def test_comments_are_those_of_the_yml_and_of_the_domain(published):
    said = {
        (table, column): comment
        for table, column, comment in published.execute(
            "select table_name, column_name, comment from duckdb_columns() where not internal"
        ).fetchall()
    }
    assert said["churn_calendar", "expected_leavers"] == "Sum of their churn_risk."
    assert said["churn_top_risk", "churn_risk"] == (
        "The calibrated probability that churn_label is 1."  # a doc block, by churn_predictions.yml
    )
    assert said["model_versions", "brier"] == "Mean squared difference of risk and label."
    assert said["users", "is_eligible"].startswith("Active in the last `eligibility_days`.")
    assert said["users", "plan"] == "Attribute of the user, from the domain."
    assert said["user_daily", "watch_minutes"] == (
        "Sum of watch_minutes of events of type video_watch on the day."
    )
    assert said["user_features_latest", "logins_7d"] == (
        "The measure logins (count) in the last 7 days."
    )
    assert said["user_features_latest", "silence_share"].startswith("days_since_last_activity")


def test_days_without_the_user_show_no_activity(finished_home, published):
    """A payment, which is made automatically, is an event without activity."""
    users = sqlite3.connect(finished_home / "published/current/lookup.sqlite")
    with contextlib.closing(users):
        shown = dict(users.execute("select user_id, activity from users").fetchall())
    days = "select user_id, list({} order by day) from user_daily where day > ? group by user_id"
    (first,) = published.execute("select max(day) - 60 from user_daily").fetchone()
    expected = published.execute(days.format("if(is_active, events, 0)"), [first]).fetchall()
    every = published.execute(days.format("events"), [first]).fetchall()
    assert expected != every
    assert {user: json.loads(counts) for user, counts in shown.items() if counts} == dict(expected)


def test_every_published_table_is_in_the_docs():
    text = (PROJECT / "docs/published.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == TABLES.keys()


def test_users_have_one_row_each_that_agrees_with_the_other_tables(published):
    """The history's newest record is what the user has now; the first day seen has an event."""
    (users, wrong) = published.execute(
        """
        select
            count(*),
            count(*) filter (
                users.plan is distinct from history.plan
                or users.is_eligible is distinct from features.is_eligible
                or users.user_value is distinct from predictions.user_value
                or date_diff('day', users.last_active_on, features.as_of_date)
                <> features.days_since_last_activity
                or users.first_seen > users.last_active_on
            )
        from users
        left join user_attributes_history as history
            on users.user_id = history.user_id and history.valid_to = date '9999-12-31'
        left join user_features_latest as features on users.user_id = features.user_id
        left join churn_predictions_latest as predictions on users.user_id = predictions.user_id
        """
    ).fetchall()[0]
    assert (users, wrong) == (300, 0)


def test_attributes_as_of_a_date_are_those_that_features_have(finished_home: Path):
    """Where somebody changed the plan, the features of each day have the plan of that day."""
    found = rows(
        finished_home,
        """
        select
            count(*),
            count(distinct features.user_id) filter (history.valid_to <= date '2025-04-30'),
            count(*) filter (features.plan is distinct from history.plan)
        from user_features_daily as features
        inner join user_attributes_history as history
            on
                features.user_id = history.user_id
                and features.as_of_date >= history.valid_from
                and features.as_of_date < history.valid_to
        where features.as_of_date in ('2025-02-01', '2025-03-15', '2025-04-30')
        """,
    )[0]
    everybody = rows(
        finished_home,
        "select count(*) from user_features_daily"
        " where as_of_date in ('2025-02-01', '2025-03-15', '2025-04-30')",
    )[0][0]
    assert found[0] == everybody and found[1] > 5 and found[2] == 0


def test_rejected_rows_are_counted_in_full(finished_home: Path, published):
    expected = Counter()
    for table in ("users", "events", "treatments"):
        query = f"select reject_reason, count(*) from rejected_{table} group by all"
        for reason, count in rows(finished_home, query):
            expected[table, reason] = count
    counts = published.execute("from rejected_counts").fetchall()
    assert {(table, reason): count for table, reason, count in counts} == expected
    listed = published.execute(
        "select table_name, reject_reason, count(*) from rejected_rows group by all"
    ).fetchall()
    assert {(table, reason): count for table, reason, count in listed} == expected


def test_only_the_newest_rejected_rows_are_listed(finished_home: Path):
    """10,005 rows arrived in two loads; the oldest five are only counted."""
    compiled = finished_home / "dbt/target/compiled/churnhouse/models/intermediate"
    with duckdb.connect() as con:
        con.execute("attach ':memory:' as warehouse")
        con.execute(
            """
            create table warehouse.int_rejected_rows as
            select
                'events' as table_name, n as row_id, 'unknown_user' as reject_reason,
                timestamp '2025-03-01' + interval (n // 5000) day as ingested_at
            from range(10005) as numbers (n)
            """
        )
        kept = con.execute(
            f"select count(*), min(row_id) from ({(compiled / 'rejected_rows.sql').read_text()})"
        )
        assert kept.fetchall() == [(10_000, 5)]
        counted = con.execute((compiled / "rejected_counts.sql").read_text())
        assert counted.fetchall() == [("events", "unknown_user", 10_005)]


def test_promotions_say_when_and_why(published):
    (row,) = published.execute(
        "select is_promoted, champion, reason, decided_at is not null, approved_by from promotions"
    ).fetchall()
    assert row[:2] == (True, None) and "no model is in production yet" in row[2]
    assert row[3:] == (True, None)


def test_first_week_is_said_only_where_it_fits():
    expected = {
        "churners": 24.2,
        "loss": 2422.4,
        "first_week": {"until": "2025-05-07", "leavers": 6.6, "loss": 656.06},
    }
    assert expected_losses(expected) == (
        "24 leavers (loss 2,422), 7 of them by 2025-05-07 (loss 656.06)"
    )
    large = expected | {"churners": 1e9, "loss": 1e15}
    assert expected_losses(large) == "1,000,000,000 leavers (loss 1,000,000,000,000,000)"


def test_lookup_store_has_the_newest_months_of_campaigns(tmp_path):
    """As many as the desk shows, whatever their names."""
    con = duckdb.connect()
    con.execute(
        "create table campaign_lift as select 'c' || n as campaign,"
        " cast(date '2000-01-01' + to_months(n) as date) as month"
        " from (select unnest(generate_series(0, 599))) as t (n)"
    )
    with contextlib.closing(sqlite3.connect(tmp_path / "lookup.sqlite")) as store:
        assert lookup._write(con, store, "campaign_lift") == SHOWN_ROWS
        kept = store.execute("select min(month), max(month) from campaign_lift").fetchone()
    assert kept == ("2008-05-01", "2049-12-01")
