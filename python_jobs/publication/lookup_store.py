"""The lookup store's schema: its columns, and how its users are spread over shards."""

import hashlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from python_jobs.publication import prediction

MAX_SHARDS = 10
"""SQLite attaches no more."""

SHARD = "cast('0x' || substr(md5(user_id), 1, 8) as bigint)"
"""SQL: a number that spreads users over shards; see `shard_of` for the same in Python."""

SERIES = ("activity", "history")
# What lists are filtered and sorted by, beside the attributes; users_list covers all of it.
LISTED = (
    *("risk_rank", "churn_risk", "risk_band", "is_eligible", "in_holdout"),
    *("days_since_last_activity", "tenure_days"),
)


def shard_path(path: Path, number: int) -> Path:
    """The file of a shard of the store at `path`."""
    return path.with_stem(f"{path.stem}-{number}")


def shard_of(user_id: str, shards: int) -> int:
    """The number of the shard that holds a user, as SHARD gives it."""
    return int(hashlib.md5(user_id.encode(), usedforsecurity=False).hexdigest()[:8], 16) % shards


def columns(store: sqlite3.Connection) -> dict[str, str]:
    """The columns of `users` and their SQLite types, in table order."""
    return dict(store.execute("select name, type from pragma_table_info('users')").fetchall())


def guessed_attributes(store: sqlite3.Connection) -> list[str]:
    """The users' attributes in a store of an earlier release, whose manifest does not name them.

    They are the text columns that are neither the prediction's nor a series.
    """
    known = {*prediction.NAMES, *SERIES}
    return [n for n, kind in columns(store).items() if kind.lower() == "text" and n not in known]


def list_columns(store: sqlite3.Connection, attributes: Iterable[str]) -> list[str]:
    """What this store's lists can be filtered and sorted by, risk_rank first."""
    present = columns(store)
    return [name for name in (*LISTED, *attributes) if name in present]
