"""The lookup store's schema: its columns, and how its users are spread over shards."""

import hashlib
import sqlite3
from pathlib import Path

MAX_SHARDS = 10
"""SQLite attaches no more."""

SHARD = "cast('0x' || substr(md5(user_id), 1, 8) as bigint)"
"""SQL: a number that spreads users over shards; see `shard_of` for the same in Python."""

# Columns of `users` that come from the prediction; every other text column is an attribute.
PREDICTION = (
    *("user_id", "as_of_date", "churn_risk", "risk_rank", "risk_decile", "risk_band"),
    *("is_eligible", "in_holdout", "reason_1", "reason_2", "reason_3"),
    *("model_version", "scored_at"),
)
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


def attributes(store: sqlite3.Connection) -> list[str]:
    """The users' attributes (plan, country, ...), in table order."""
    known = {*PREDICTION, *SERIES}
    columns = store.execute("select name, type from pragma_table_info('users')").fetchall()
    return [name for name, kind in columns if kind.lower() == "text" and name not in known]


def list_columns(store: sqlite3.Connection) -> list[str]:
    """What this store's lists can be filtered and sorted by, risk_rank first."""
    present = {row[0] for row in store.execute("select name from pragma_table_info('users')")}
    return [name for name in LISTED if name in present] + attributes(store)
