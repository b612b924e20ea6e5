"""The lookup store: one SQLite file from which the API answers, without the warehouse."""

import sqlite3
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb

ACTIVITY_DAYS = 60
HISTORY_DATES = 30
# Table, its key, and the query that fills it from the warehouse.
TABLES = {
    # everything about one user in one row; `activity` is a JSON list of events per day, the last
    # one that of as_of_date; `history` is a JSON list of {as_of_date, churn_risk}, oldest first
    "users": (
        "user_id",
        f"""
        with
        activity as (
            select user_id, cast(to_json(list(events order by day)) as varchar) as activity
            from main.user_daily
            where day > (select data_through from main.build_window) - {ACTIVITY_DAYS}
            group by user_id
        ),
        dates as (
            select distinct as_of_date from main.churn_predictions
            order by as_of_date desc limit {HISTORY_DATES}
        ),
        history as (
            select
                user_id,
                cast(
                    to_json(
                        list(
                            struct_pack(as_of_date := as_of_date, churn_risk := churn_risk)
                            order by as_of_date
                        )
                    )
                    as varchar
                ) as history
            from main.churn_predictions
            where as_of_date in (from dates)
            group by user_id
        )
        select
            predictions.*,
            features.* exclude (user_id, as_of_date, is_eligible),
            activity.activity,
            history.history
        from main.churn_predictions_latest as predictions
        inner join main.user_features_latest as features using (user_id)
        left join activity using (user_id)
        left join history using (user_id)
        order by user_id
        """,
    ),
}


def write(connection: duckdb.DuckDBPyConnection, path: Path) -> dict[str, int]:
    """Write the store anew at `path`; give the rows of each table."""
    store = sqlite3.connect(path)
    try:
        store.execute("pragma journal_mode = off")
        store.execute("pragma synchronous = off")
        rows = {
            name: _write_table(connection, store, name, key, query)
            for name, (key, query) in TABLES.items()
        }
        store.execute("create unique index users_by_rank on users (risk_rank)")
        store.commit()
    finally:
        store.close()
    return rows


def count(path: Path, tables: list[str]) -> dict[str, int]:
    """Open the store as its readers do, check it, and count; {} where it is damaged."""
    store = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    try:
        if store.execute("pragma quick_check").fetchone() != ("ok",):
            return {}
        return {t: store.execute(f"select count(*) from {t}").fetchone()[0] for t in tables}
    finally:
        store.close()


def _write_table(connection, store, name: str, key: str, query: str) -> int:
    cursor = connection.execute(query)
    columns = ", ".join(f'"{column[0]}" {_kind(column[1])}' for column in cursor.description)
    store.execute(f"create table {name} ({columns}, primary key ({key})) without rowid")
    marks = ", ".join("?" * len(cursor.description))
    rows = 0
    for batch in _batches(cursor):
        store.executemany(f"insert into {name} values ({marks})", batch)
        rows += len(batch)
    return rows


def _batches(cursor, size: int = 50_000) -> Iterator[list[tuple]]:
    while batch := cursor.fetchmany(size):
        yield [tuple(_plain(value) for value in row) for row in batch]


def _plain(value: object) -> object:
    """A value as SQLite keeps it: dates and times as ISO text."""
    return value.isoformat() if isinstance(value, date) else value


def _kind(kind: object) -> str:
    name = str(kind)
    if name in ("FLOAT", "DOUBLE"):
        return "real"
    return "integer" if name in ("BOOLEAN", "INTEGER", "BIGINT") else "text"
