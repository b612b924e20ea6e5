"""Checks of a published version: its files, its users, its scores."""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from python_jobs.files import sha256_of
from python_jobs.publication import lookup_store

SPOT_CHECKED = 20
TOLERANCE = 1e-6


class BadVersion(Exception):
    """A version that must not be served; the text says why and may be shown."""


class Stamp(NamedTuple):
    """What a file that nobody touches keeps."""

    inode: int
    size: int
    modified_ns: int
    changed_ns: int


def stamp(path: Path) -> Stamp:
    """Return the stamp of a file. Raises OSError."""
    found = path.stat()
    return Stamp(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@lru_cache(maxsize=16)
def sha256_as_of(path: Path, stamped: Stamp) -> str:
    """Return the sha256 of a file; one whose stamp is another by now is read again."""
    return sha256_of(path)


def verified(path: Path, expected: dict[str, Any] | None, *, keep: bool) -> bytes:
    """Return a file's content after checking its hash; b"" if it is not kept. Raises BadVersion."""
    if expected is None or not path.is_file():
        raise BadVersion(f"{path.name} is missing")
    if keep:
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
    else:
        content = b""
        digest = sha256_of(path)
    if digest != expected["sha256"]:
        raise BadVersion(f"{path.name} is not the file that was published")
    return content


def check_users(
    store: sqlite3.Connection, parts: dict[str, dict[str, Any]], manifest: dict[str, Any]
) -> None:
    """Check every user: that all are there and no others, and that no value is impossible.

    `parts`: the tables that hold users, and what the manifest says of the file of each; versions of
    earlier releases name no ids there, and some no rows. Raises BadVersion.
    """
    for table, facts in parts.items():
        (users,) = store.execute(f"select count(*) from {table}").fetchone()
        published = facts.get("rows", {}).get("users", users)
        if users != published:
            raise BadVersion(f"its store holds {users} users instead of {published}")
        query = f"select user_id from {table} order by user_id"
        ids = lookup_store.ids_sha256(store.execute(query))
        if ids != facts.get("ids_sha256", ids):
            raise BadVersion("its store holds other users than were published")
    (others,) = store.execute(
        "select count(*) from users where model_version is not ? or as_of_date is not ?",
        (manifest["model_version"], manifest["as_of_date"]),
    ).fetchone()
    if others:
        raise BadVersion("its store was scored by another model or for another day")
    before = 1.0
    ranked = store.execute("select churn_risk, risk_rank from users order by risk_rank")
    for place, (risk, rank) in enumerate(ranked, 1):
        if rank != place or not isinstance(risk, float) or not 0 <= risk <= before:
            raise BadVersion(f"a user has the risk {risk} and the rank {rank}, out of order")
        before = risk


def check_scores(
    store: sqlite3.Connection,
    features: list[str],
    score: Callable[[list[Any]], list[float]],
    explain: Callable[[Sequence[Any], float], object],
) -> None:
    """Check that the model gives some users of all ranks their scores, and reasons can be told.

    Raises BadVersion.
    """
    columns = ", ".join(f'"{name}"' for name in features)
    (users,) = store.execute("select count(*) from users").fetchone()
    step = max(1, users // SPOT_CHECKED)
    sampled = store.execute(
        f"select churn_risk, {columns} from users where risk_rank in"
        " (select cast(1 + value * ? as integer) from json_each(?))",
        (step, json.dumps(list(range(SPOT_CHECKED)))),
    ).fetchall()
    if sampled:
        scores = np.array(score([row[1:] for row in sampled]))
        if not np.abs(scores - [row[0] for row in sampled]).max() <= TOLERANCE:
            raise BadVersion("its model does not give its users their published scores")
    try:
        for risk, *values in sampled:
            explain(values, risk)
    except Exception as error:
        raise BadVersion(f"its reasons cannot be told ({type(error).__name__})") from error
