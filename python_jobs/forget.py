"""Remove one person: from raw files, every table, kept features, predictions and publications."""

import contextlib
import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import duckdb

from python_jobs import raw_files, registry
from python_jobs.domain import Domain
from python_jobs.errors import JobError
from python_jobs.settings import Settings


def user_hash(user_id: str) -> str:
    """What is kept of a person who was forgotten: that somebody of this hash was."""
    return hashlib.sha256(user_id.encode()).hexdigest()


def forget(settings: Settings, domain: Domain, user_id: str, *, now: datetime) -> dict[str, int]:
    """Remove every row of a user from the warehouse and from the raw files below its home.

    Gives the rows removed per table. The warehouse file is written anew, since a deleted row stays
    readable in a database file's free space. Rows of this user that arrive later are rejected as
    `forgotten_user`, without the id. What was published before has to be pruned by the caller,
    after the next version is out. Raises JobError for a user nobody knows.
    """
    if settings.target == "spark":
        raise JobError(
            "On Spark nobody can be forgotten by this command yet; nothing was removed.",
            next_step="delete the person from the raw files and load them into a fresh home.",
        )
    removed = {}
    with duckdb.connect(str(settings.warehouse)) as connection:
        tables = _tables_with_users(connection)
        for table in tables:
            found = connection.execute(
                f"select count(*) from {table} where user_id = ?", [user_id]
            ).fetchone()[0]
            if found:
                removed[table] = found
        if not removed:
            raise JobError(
                f"No table knows a user {user_id!r}.", next_step="check the id and run again."
            )
        connection.execute("begin")
        for table in removed:
            connection.execute(f"delete from {table} where user_id = ?", [user_id])
        connection.execute(
            "insert into raw.forgotten values (?, ?)", [user_hash(user_id), registry.utc(now)]
        )
        _recount(connection)
        connection.execute("commit")
    for path in _raw_files(settings, domain):
        removed_rows = _rewrite_raw(settings, path, user_id)
        if removed_rows:
            removed[path.name] = removed_rows
    _rewrite_warehouse(settings)
    return removed


def _tables_with_users(connection) -> list[str]:
    rows = connection.execute(
        """
        select table_schema || '.' || table_name
        from information_schema.columns
        inner join information_schema.tables using (table_schema, table_name)
        where column_name = 'user_id' and table_type = 'BASE TABLE'
        order by all
        """
    ).fetchall()
    return [row[0] for row in rows]


def _recount(connection) -> None:
    """Files hold fewer rows now: every row of a file must still be accounted for."""
    connection.execute(
        """
        update raw.files set row_count = counted.row_count
        from (
            select 'users' as table_name, file_id, count(*) as row_count
            from raw.users group by all
            union all
            select 'events' as table_name, file_id, count(*) as row_count
            from raw.events group by all
        ) as counted
        where files.table_name = counted.table_name and files.file_id = counted.file_id
        """
    )


def _raw_files(settings: Settings, domain: Domain) -> Iterator[Path]:
    """Data files below the home that may name users: raw files, and the generator's own truth."""
    for folder in (settings.raw, settings.truth):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name.endswith(raw_files.ENDINGS):
                yield path


def _rewrite_raw(settings: Settings, path: Path, user_id: str) -> int:
    """Write a raw file without a user's rows; the warehouse learns its new hash."""
    partial = path.with_name(f".{path.name}.partial")
    text = str(path).replace("'", "''")
    is_parquet = path.name.endswith(".parquet")
    scan = f"read_parquet('{text}')" if is_parquet else f"read_csv('{text}', all_varchar = true)"
    with duckdb.connect() as reader:
        columns = {row[0] for row in reader.execute(f"describe from {scan}").fetchall()}
        if "user_id" not in columns:
            return 0
        where = "cast(user_id as varchar) = ?"
        found = reader.execute(f"select count(*) from {scan} where {where}", [user_id]).fetchone()
        if not found[0]:
            return 0
        options = "format parquet, compression zstd" if is_parquet else "format csv, header"
        if path.name.endswith(".gz"):
            options += ", compression gzip"
        target = str(partial).replace("'", "''")
        reader.execute(
            f"copy (from {scan} where ({where}) is not true) to '{target}' ({options})", [user_id]
        )
    partial.replace(path)
    with duckdb.connect(str(settings.warehouse)) as connection:
        stat = path.stat()
        with path.open("rb") as file, contextlib.suppress(ValueError):
            name = path.relative_to(settings.raw).as_posix()
            connection.execute(
                "update raw.files set sha256 = ?, size = ?, modified_ns = ? where name = ?",
                [
                    hashlib.file_digest(file, "sha256").hexdigest(),
                    stat.st_size,
                    stat.st_mtime_ns,
                    name,
                ],
            )
    return found[0]


def _rewrite_warehouse(settings: Settings) -> None:
    """Copy the warehouse into a fresh file, which has no free space that remembers."""
    fresh = settings.warehouse.with_suffix(".fresh")
    fresh.unlink(missing_ok=True)
    old, new = (str(path).replace("'", "''") for path in (settings.warehouse, fresh))
    with duckdb.connect() as copier:
        # views name their tables by the warehouse's own name
        copier.execute(f"attach '{old}' as warehouse (read_only)")
        copier.execute(f"attach '{new}' as fresh")
        copier.execute("copy from database warehouse to fresh")
    fresh.replace(settings.warehouse)
