"""Keyed hashes of user_ids, for what must not name a person and must still be found by the id.

The key is a secret of the installation, beside the warehouse: whoever has only a model version or a
copy of a table cannot tell by guessing whose row it is. A hash is made from the sha256 of the id,
so that hashes which earlier releases kept, without a key, can be changed into it.
"""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import fsync, read_bounded

KEY_FILE = "person.key"
LARGEST_KEY = 1024
"""Bytes of its file."""
RESTORE = "restore it from where you keep it; see the runbook."
BLOCK = 64
"""Bytes of a block of sha256, to which HMAC fills its key."""


def key_of(home: Path) -> bytes:
    """Return the installation's key, 32 bytes; it is made at the first call."""
    path = home / KEY_FILE
    if not path.exists():
        _make(path)
    try:
        key = bytes.fromhex(read_bounded(path, LARGEST_KEY).decode("ascii").strip())
    except OSError as error:
        raise JobError(f"{path} cannot be read ({error.strerror}).", next_step=RESTORE) from None
    except ValueError:
        key = b""
    if len(key) != 32:
        raise JobError(f"{path} holds no key.", next_step=RESTORE)
    return key


def _make(path: Path) -> None:
    """Write a new key, unless another process is faster; it exists whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{KEY_FILE}.{os.getpid()}")
    file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(file, f"{secrets.token_hex(32)}\n".encode())
        os.fsync(file)
    finally:
        os.close(file)
    try:
        os.link(unfinished, path)
    except FileExistsError:
        pass
    finally:
        unfinished.unlink()
    fsync(path.parent)


def hash_of(key: bytes, user_id: str) -> str:
    """Return the keyed hash of a user_id, in hexadecimal."""
    return keyed(key, hashlib.sha256(user_id.encode()).hexdigest())


def keyed(key: bytes, plain: str) -> str:
    """Return the keyed hash of an id of which only the sha256 is known."""
    return hmac.new(key, plain.encode(), hashlib.sha256).hexdigest()


def define(connection: duckdb.DuckDBPyConnection, home: Path) -> None:
    """Define person_hash(user_id) and keyed_hash(sha256) as temporary macros, equal to hash_of.

    The key is a variable of the connection, so no statement or plan shows it. Raises JobError if
    the warehouse was filled with another key than the one in `home`.
    """
    known = _fingerprint(connection)
    if known and not (home / KEY_FILE).exists():
        raise _lost(home)
    key = key_of(home)
    if known and known != hash_of(key, ""):
        raise _lost(home)
    _define(connection, key)


def _define(connection: duckdb.DuckDBPyConnection, key: bytes) -> None:
    padded = key.ljust(BLOCK, b"\0")
    for name, filling in (("inner", 0x36), ("outer", 0x5C)):
        pad = bytes(byte ^ filling for byte in padded)
        connection.execute(f"set variable person_{name} = $pad", {"pad": pad})
    connection.execute(
        """
        create or replace temp macro keyed_hash(plain) as sha256(
            getvariable('person_outer')
            || unhex(sha256(getvariable('person_inner') || encode(plain)))
        )
        """
    )
    connection.execute(
        "create or replace temp macro person_hash(user_id) as keyed_hash(sha256(user_id))"
    )


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Make raw.forgotten and the mark of the key, and give an earlier release's hashes the key.

    A warehouse in memory, of which nothing is kept, gets a key that is kept nowhere.
    """
    connection.execute(
        "create table if not exists raw.forgotten (person_hash varchar, forgotten_at timestamp)"
    )
    connection.execute("create table if not exists raw.person_key (fingerprint varchar)")
    if (home := _home(connection)) is None:
        _define(connection, secrets.token_bytes(32))
        return
    define(connection, home)
    if _fingerprint(connection) is None:
        # of no person: it only tells whether the key is still the same
        connection.execute("insert into raw.person_key select person_hash('')")
    if connection.execute("from raw.forgotten limit 0").description[0][0] == "user_hash":
        connection.execute(
            "create or replace table raw.forgotten as"
            " select keyed_hash(user_hash) as person_hash, forgotten_at from raw.forgotten"
        )


def _home(connection: duckdb.DuckDBPyConnection) -> Path | None:
    """Return the folder of the connection's warehouse; None if it is in memory."""
    query = "select path from duckdb_databases() where database_name = current_database()"
    (path,) = connection.execute(query).fetchall()[0]
    return Path(path).parent if path else None


def _fingerprint(connection: duckdb.DuckDBPyConnection) -> str | None:
    """Return the mark of the key that the warehouse was filled with; None before the first."""
    there = connection.execute(
        "select 1 from duckdb_tables() where schema_name = 'raw' and table_name = 'person_key'"
    ).fetchone()
    row = connection.execute("from raw.person_key").fetchone() if there else None
    return row[0] if row else None


def _lost(home: Path) -> JobError:
    return JobError(
        f"{home / KEY_FILE} is missing or is not the key of this warehouse.",
        next_step="restore it from where you keep it; without it, who was forgotten is not known.",
    )
