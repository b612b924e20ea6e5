"""Write the lookup store: SQLite files from which the API answers, without the warehouse.

Up to a number of users, one file holds everything. With more users, they are in shards beside it,
by a hash of the user_id. A reader attaches the shards and sees one table.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from python_jobs.publication import candidate
from python_jobs.publication.lookup_store import (
    MAX_SHARDS,
    SHARD,
    ids_sha256,
    list_columns,
    shard_path,
)

if TYPE_CHECKING:
    import duckdb

ACTIVITY_DAYS = 60
HISTORY_DATES = 30
CONTACTS_SHOWN = 20
CAMPAIGN_MONTHS = 500
CANDIDATE = {name: "listed" if name == "list_rank" else "candidates" for name in candidate.COLUMNS}
"""Columns of a candidate, and the relation below that has each."""
# Table, its key, and the query that fills it from the warehouse.
TABLES = {
    # everything about one user in one row; `activity` is a JSON list of events per day, 0 where the
    # user was not active, the last one that of as_of_date; `history` is a JSON list of
    # {as_of_date, churn_risk, risk_band}, and `contact_history` one of the newest contacts, both
    # oldest first; NULL where there are none
    "users": (
        "user_id",
        f"""
        with
        activity as (
            select
                user_id,
                cast(to_json(list(
                    case when is_active then events else 0 end order by day
                )) as varchar) as activity
            from main.user_daily
            where
                day > (select data_through from main.build_window) - {ACTIVITY_DAYS}
                and in_shard(user_id)
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
                            struct_pack(
                                as_of_date := as_of_date,
                                churn_risk := churn_risk,
                                risk_band := risk_band
                            )
                            order by as_of_date
                        )
                    )
                    as varchar
                ) as history
            from main.churn_predictions
            where as_of_date in (from dates) and in_shard(user_id)
            group by user_id
        ),
        contacts as (
            select
                user_id,
                cast(
                    to_json(
                        list(
                            struct_pack(
                                treated_at := treated_at, action := action, campaign := campaign,
                                channel := channel, outcome := outcome, note := note,
                                "by" := contacted_by, owner := owner,
                                snoozed_until := snoozed_until
                            )
                            order by treated_at, action, campaign
                        )[-{CONTACTS_SHOWN}:]
                    )
                    as varchar
                ) as contact_history
            from main.contacts
            where in_shard(user_id)
            group by user_id
        )
        select
            predictions.*,
            {", ".join(f"{part}.{name}" for name, part in CANDIDATE.items())},
            features.* exclude (user_id, as_of_date, is_eligible),
            people.last_active_on,
            activity.activity,
            history.history,
            contacts.contact_history
        from main.churn_predictions_latest as predictions
        inner join main.user_features_latest as features using (user_id)
        left join main.contact_candidates as candidates using (user_id)
        left join main.churn_top_risk as listed using (user_id)
        left join main.users as people using (user_id)
        left join contacts using (user_id)
        left join activity using (user_id)
        left join history using (user_id)
        where in_shard(user_id)
        order by user_id
        """,
    ),
    # other ids of the users, by which they are found too
    "identities": (
        "from_id",
        """
        select from_id, max_by(user_id, valid_to) as user_id
        from raw.identity_map
        group by from_id
        having from_id <> max_by(user_id, valid_to)
        order by from_id
        """,
    ),
    # whom to act on; the API compares it with that of another version
    "churn_top_risk": ("user_id", "from main.churn_top_risk order by user_id"),
    # number of users in each band at each date, for "change since the last publication"
    "risk_bands": (
        "as_of_date, risk_band",
        f"""
        select
            as_of_date,
            risk_band,
            count(*) as users,
            count(*) filter (where is_eligible) as eligible_users,
            coalesce(sum(churn_risk) filter (where is_eligible), 0) as expected_churners
        from main.churn_predictions
        where as_of_date in (
            select distinct as_of_date from main.churn_predictions
            order by as_of_date desc limit {HISTORY_DATES}
        )
        group by as_of_date, risk_band
        order by as_of_date, risk_band
        """,
    ),
    # the last run of each step; a time after the publication is one of a clock that was ahead
    "job_runs": (
        "job, step",
        """
        select
            job,
            step,
            seconds,
            is_done,
            "rows" as row_count,
            rejected_rows,
            peak_memory_bytes,
            least(epoch(started_at) + seconds, published_at()) as ended_at
        from ml.job_runs
        qualify
            row_number() over (
                partition by job, step order by step_number desc nulls last, started_at desc
            ) = 1
        order by job, step
        """,
    ),
    "churn_calendar": ("as_of_date, week_start", "from main.churn_calendar order by week_start"),
    # `place` orders an attribute's values; a value may be NULL, so it is no key
    "risk_by_attribute": (
        "as_of_date, attribute, place",
        """
        select
            as_of_date,
            attribute,
            row_number() over by_loss as place,
            * exclude (as_of_date, attribute)
        from main.risk_by_attribute
        window by_loss as (partition by attribute order by expected_loss desc, value)
        order by attribute, place
        """,
    ),
    "policy_value": ("policy", "from main.policy_value order by policy"),
    "effect_model": ("decided_at", "from main.effect_model"),
    "feature_drift": (
        "as_of_date, feature",
        # the key first: SQLite 3.40's quick_check misreads a key at the end of a table
        """
        select as_of_date, feature, * exclude (as_of_date, feature)
        from main.feature_drift
        where as_of_date in (
            select distinct as_of_date from main.feature_drift order by as_of_date desc limit 30
        )
        order by as_of_date, feature
        """,
    ),
    "prediction_drift": ("as_of_date", "from main.prediction_drift order by as_of_date"),
    "model_performance": ("as_of_date", "from main.model_performance order by as_of_date"),
    "performance_intervals": (
        "as_of_date, model_version, metric",
        "from main.performance_intervals order by as_of_date, model_version, metric",
    ),
    "campaign_lift": (
        "campaign, month",
        f"""
        from (from main.campaign_lift order by month desc, campaign limit {CAMPAIGN_MONTHS})
        order by campaign, month
        """,
    ),
    "save_rates": (
        "risk_band, silence_group",
        "from main.save_rates order by risk_band, silence_group",
    ),
}

WRITTEN = """
    select user_id from main.churn_predictions_latest where in_shard(user_id) order by user_id
"""


def write(
    connection: "duckdb.DuckDBPyConnection",
    path: Path,
    shard_users: int,
    attributes: list[str],
    published_at: datetime,
) -> tuple[dict[str, dict[str, int]], dict[str, str]]:
    """Write a new store at `path`; return the rows of each table, {file: {table: rows}}, and the
    ids_sha256 of the users that were to be written to each file, from the warehouse.

    `attributes`: the columns of user_features_latest that lists can be filtered by. More than
    `shard_users` users are written in shards beside it: lookup-0.sqlite ... A job's step that ended
    after `published_at`, by a clock that was ahead, is told as ended then.
    """
    users = connection.execute("select count(*) from main.churn_predictions_latest").fetchall()[0][
        0
    ]
    shards = min(-(-users // shard_users), MAX_SHARDS)
    files = {path: list(TABLES)}
    if shards > 1:
        files = {path: [name for name in TABLES if name != "users"]}
        files |= {shard_path(path, number): ["users"] for number in range(shards)}
    moment = f"cast({published_at.timestamp()} as double)"
    connection.execute(f"create or replace temp macro published_at() as {moment}")
    rows, ids = {}, {}
    for number, (file, tables) in enumerate(files.items(), start=-1):
        chosen = f"{SHARD} % {shards} = {number}" if shards > 1 else "true"
        connection.execute(f"create or replace temp macro in_shard(user_id) as {chosen}")
        with new_store(file, attributes) as store:
            counts = {name: _write(connection, store, name) for name in tables}
        rows[file.name] = counts
        if "users" in tables:
            ids[file.name] = ids_sha256(connection.execute(WRITTEN))
    return rows, ids


def _write(connection: "duckdb.DuckDBPyConnection", store: sqlite3.Connection, name: str) -> int:
    key, query = TABLES[name]
    cursor = connection.execute(query)
    columns = {column[0]: _kind(column[1]) for column in cursor.description}
    return write_table(store, name, key, columns, _batches(cursor))


@contextlib.contextmanager
def new_store(path: Path, attributes: Iterable[str]) -> Iterator[sqlite3.Connection]:
    """Yield a new store to fill with write_table; afterwards add the indexes and close it."""
    store = sqlite3.connect(path)
    try:
        store.execute("pragma journal_mode = off")
        store.execute("pragma synchronous = off")
        yield store
        if listed := ", ".join(f'"{name}"' for name in list_columns(store, attributes)):
            store.execute("create unique index users_by_rank on users (risk_rank)")
            store.execute(f"create index users_list on users ({listed})")
        store.commit()
    finally:
        store.close()


def write_table(
    store: sqlite3.Connection,
    name: str,
    key: str,
    columns: dict[str, str],
    batches: Iterable[list[tuple[Any, ...]]],
) -> int:
    """Create a table of these columns (name -> SQLite type), fill it, return its row count."""
    typed = ", ".join(f'"{column}" {kind}' for column, kind in columns.items())
    store.execute(f"create table {name} ({typed}, primary key ({key})) without rowid")
    marks = ", ".join("?" * len(columns))
    rows = 0
    for batch in batches:
        store.executemany(f"insert into {name} values ({marks})", batch)
        rows += len(batch)
    return rows


def count(path: Path, tables: list[str]) -> dict[str, int]:
    """Open the store as its readers do and return its row counts; {} if it is damaged."""
    store = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
    try:
        if store.execute("pragma quick_check").fetchone() != ("ok",):
            return {}
        return {t: store.execute(f"select count(*) from {t}").fetchone()[0] for t in tables}
    finally:
        store.close()


def ids(path: Path) -> str:
    """Return the ids_sha256 of the users in a store."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as store:
        return ids_sha256(store.execute("select user_id from users order by user_id"))


def _batches(
    cursor: "duckdb.DuckDBPyConnection", size: int = 50_000
) -> Iterator[list[tuple[Any, ...]]]:
    while batch := cursor.fetchmany(size):
        yield [tuple(_plain(value) for value in row) for row in batch]


def _plain(value: object) -> object:
    """Return a value as SQLite stores it: dates and times as ISO text."""
    return value.isoformat() if isinstance(value, date) else value


def _kind(kind: object) -> str:
    name = str(kind)
    if name in ("FLOAT", "DOUBLE"):
        return "real"
    return "integer" if name in ("BOOLEAN", "INTEGER", "BIGINT") else "text"
