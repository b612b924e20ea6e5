"""The lookup store's schema: its columns, and which shard holds a user."""

import hashlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from python_jobs.publication import candidate, prediction


class Cursor(Protocol):
    """The cursor of a query, of SQLite or of DuckDB."""

    def fetchmany(self, size: int, /) -> list[Any]:
        """Return the next rows, none at the end."""
        ...


MAX_SHARDS = 10
"""Most databases that SQLite can attach."""

SHARD = "cast('0x' || substr(md5(user_id), 1, 8) as bigint)"
"""SQL: the number that assigns a user to a shard; `shard_of` is the same in Python."""

SERIES = ("activity", "history", "contact_history")
MOVE = ("churn_move", "moved_since")
"""The user's move and its day, of churn_moves."""

# Columns that lists are filtered and sorted by, besides attributes. Index users_list covers them.
LISTED = (
    *("risk_rank", "churn_risk", "risk_band", "is_eligible", "in_holdout"),
    *("days_since_last_activity", "tenure_days", "expected_loss", "expected_gain"),
    *("left_out_because", "last_contact_on", "snoozed_until", *MOVE, "last_active_on"),
)


def shard_path(path: Path, number: int) -> Path:
    """Return the file of a shard of the store at `path`."""
    return path.with_stem(f"{path.stem}-{number}")


def shard_of(user_id: str, shards: int) -> int:
    """Return the number of the shard that holds a user, as SHARD does in SQL."""
    return int(hashlib.md5(user_id.encode(), usedforsecurity=False).hexdigest()[:8], 16) % shards


def ids_sha256(rows: Cursor) -> str:
    """Return the sha256 of all ids, one a line, of a query for user_id in its order."""
    digest = hashlib.sha256()
    while batch := rows.fetchmany(10_000):
        digest.update("".join(f"{user_id}\n" for (user_id,) in batch).encode())
    return digest.hexdigest()


def columns(store: sqlite3.Connection) -> dict[str, str]:
    """Return the columns of `users` and their SQLite types, in table order."""
    return dict(store.execute("select name, type from pragma_table_info('users')").fetchall())


def last_active_on(store: sqlite3.Connection) -> str:
    """Return SQL of a user's last active day in `users`; earlier releases kept the silence alone.

    Silence counts known days, so in their stores the day is too late after an outage.
    """
    if "last_active_on" in columns(store):
        return "last_active_on"
    return "date(as_of_date, '-' || days_since_last_activity || ' days')"


def guessed_attributes(store: sqlite3.Connection) -> list[str]:
    """Return the users' attributes in a store of an earlier release, whose manifest lacks them.

    These are the text columns that belong to nothing else.
    """
    known = {*prediction.NAMES, *candidate.COLUMNS, *MOVE, *SERIES, "last_active_on"}
    return [n for n, kind in columns(store).items() if kind.lower() == "text" and n not in known]


def list_columns(store: sqlite3.Connection, attributes: Iterable[str]) -> list[str]:
    """Return the columns that this store's lists can be filtered and sorted by, risk_rank first."""
    present = columns(store)
    return [name for name in (*LISTED, *attributes) if name in present]
