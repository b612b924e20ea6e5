"""Remove one person: from raw files, all tables, saved features and predictions."""

import contextlib
import hashlib
from datetime import datetime
from pathlib import Path

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import sha256_of, sql_text
from python_jobs.ingest import raw_files, rewrite
from python_jobs.ingest.batch import RawFile
from python_jobs.ingest.contacts import read_all
from python_jobs.ingest.domain import Domain
from python_jobs.ingest.readers import format_of
from python_jobs.ingest.sources import RawFiles
from python_jobs.publication import contacts
from python_jobs.registry import store
from python_jobs.settings import Settings
from python_jobs.warehouse import exchange
from python_jobs.warehouse.engines import Engine, engine_of


def user_hash(user_id: str) -> str:
    """Return the hash of a user_id, which is all that is stored about a forgotten user."""
    return hashlib.sha256(user_id.encode()).hexdigest()


ID_COLUMNS = ("user_id", "received_user_id", "from_id", "to_id")
"""Columns that hold the id of a person, in any table."""


def ids_of(connection: duckdb.DuckDBPyConnection, user_id: str) -> list[str]:
    """Return all ids of the person who has this id, the person's own first."""
    there = connection.execute(
        "select 1 from duckdb_tables() where schema_name = 'raw' and table_name = 'identity_map'"
    ).fetchone()
    if not there:
        return [user_id]
    rows = connection.execute(
        """
        with people as (
            select coalesce(max_by(user_id, valid_to), $id) as user_id
            from raw.identity_map where from_id = $id
        )
        select user_id from people
        union
        select from_id from raw.identity_map where user_id in (select user_id from people)
        """,
        {"id": user_id},
    ).fetchall()
    found = {row[0] for row in rows} - {user_id}
    return [user_id, *sorted(found)]


def forget(settings: Settings, domain: Domain, user_id: str, *, now: datetime) -> dict[str, int]:
    """Remove every row of a user from the warehouse and from the raw files below its home.

    Returns the rows removed per table. The warehouse file is rewritten, since deleted rows stay
    readable in a database file's free space. Rows of this user that arrive later are rejected as
    `forgotten_user`, without the id. The caller prunes older published versions after publishing a
    new one. An interrupted removal is completed by running it again. Raises JobError for an
    unknown user, and for a raw file that cannot be read or rewritten.
    """
    removed = {}
    engine = engine_of(settings)
    engine.remove_broken_writes()
    with duckdb.connect(str(settings.warehouse)) as connection:
        ids = ids_of(connection, user_id)
    files = _raw_files(settings, domain)
    rewrite.check(domain, files, ids)
    read_all(settings.contacts)
    built = _rows_in_files(engine.table_folders(), ids)
    with duckdb.connect(str(settings.warehouse)) as connection:
        tables = _tables_with_users(connection)
        for table, is_owned in tables.items():
            rows = connection.execute(
                f"select count(*) from {table} where {is_owned}", {"ids": ids}
            ).fetchall()[0][0]
            if rows:
                removed[table] = rows
        known = connection.execute(
            "select count(*) from raw.forgotten where user_hash = ?", [user_hash(user_id)]
        ).fetchall()[0][0]
        if not removed and not built and not known:
            raise JobError(
                f"No table knows a user {user_id!r}.", next_step="check the id and run again."
            )
        connection.execute("begin")
        for table in removed:
            connection.execute(f"delete from {table} where {tables[table]}", {"ids": ids})
        if not known:
            connection.executemany(
                "insert into raw.forgotten values (?, ?)",
                [(user_hash(one), store.utc(now)) for one in ids],
            )
        _recount(connection, engine)
        connection.execute("commit")
    for path, rows in built.items():
        _rewrite_built(path, ids)
        removed[str(path.relative_to(settings.spark.resolve()))] = rows
    if built:
        with duckdb.connect(str(settings.warehouse)) as connection:
            _recount(connection, engine)
    with (
        duckdb.connect(config={"threads": 1}) as reader,  # row by row, in each file's order
        duckdb.connect(str(settings.warehouse)) as connection,
    ):
        for source, file in files:
            removed[file.name] = _rewrite_raw(reader, connection, domain, source, file, ids)
    removed["contacts"] = contacts.remove(settings.contacts, ids)
    contacts.sweep(settings.contacts, now=now)
    for path in _other_files(settings, [file for _, file in files]):
        removed[path.name] = _rewrite_other(path, ids)
    _rewrite_warehouse(settings)
    return {name: rows for name, rows in removed.items() if rows}


def _tables_with_users(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return each table with ids of people, and SQL that is true for the rows of $ids."""
    listed = ", ".join(sql_text(name) for name in ID_COLUMNS)
    rows = connection.execute(
        f"""
        select table_schema || '.' || table_name, list(column_name)
        from information_schema.columns
        inner join information_schema.tables using (table_schema, table_name)
        where column_name in ({listed}) and table_type = 'BASE TABLE'
        group by all
        order by all
        """
    ).fetchall()
    return {
        table: " or ".join(f"coalesce(list_contains($ids, {name}), false)" for name in names)
        for table, names in rows
    }


def _recount(connection: duckdb.DuckDBPyConnection, engine: Engine) -> None:
    """Update the row counts of files, which must still match the rows in the raw tables."""
    for table in exchange.INBOX:
        connection.execute(
            f"""
            update raw.files
            set row_count = (
                select count(*) from {engine.received_rows(table)} as held
                where held.file_id = files.file_id
            )
            where table_name = '{table.removeprefix("raw.")}'
            """
        )


def _rows_in_files(folders: list[Path], ids: list[str]) -> dict[Path, int]:
    """Return the Parquet files with rows of a user, and the number of these rows."""
    rows_of_user: dict[Path, int] = {}
    with duckdb.connect() as reader:
        for folder in folders:
            pattern = sql_text(folder / "**/*.parquet")
            rows = f"read_parquet({pattern}, union_by_name = true, hive_partitioning = false)"
            columns = reader.execute(f"describe from {rows}").fetchall()
            owners = [column[0] for column in columns if column[0] in ID_COLUMNS]
            if not owners:
                continue
            is_owned = " or ".join(f"list_contains($ids, {name})" for name in owners)
            query = f"select filename, count(*) from {rows} where {is_owned} group by all"
            counts = reader.execute(query, {"ids": ids}).fetchall()
            rows_of_user |= {Path(name): count for name, count in counts}
    return rows_of_user


def _rewrite_built(path: Path, ids: list[str]) -> None:
    """Rewrite a Parquet file of a built table without a person's rows."""
    with duckdb.connect() as reader:
        rows = f"read_parquet({sql_text(path)}, hive_partitioning = false)"
        columns = [row[0] for row in reader.execute(f"describe from {rows}").fetchall()]
        reader.execute(f"create temp table raw_rows as from {rows}")
        owners = [name for name in columns if name in ID_COLUMNS]
        is_owned = " or ".join(f"coalesce(list_contains($ids, {name}), false)" for name in owners)
        partial = path.with_name(f".{path.name}.partial")
        partial.unlink(missing_ok=True)
        reader.execute(f"delete from raw_rows where {is_owned}", {"ids": ids})
        reader.execute(f"copy raw_rows to {sql_text(partial)} (format parquet, compression zstd)")
    # Spark's checksum beside the file is that of the old content
    path.with_name(f".{path.name}.crc").unlink(missing_ok=True)
    partial.replace(path)


def _raw_files(settings: Settings, domain: Domain) -> list[tuple[RawFiles, RawFile]]:
    """Return the domain's files below the home, exported ones included."""
    files = []
    for folder in (settings.raw, settings.raw / domain.name):
        with contextlib.suppress(JobError):  # no files here: they are in a folder outside the home
            files += raw_files.find(folder, domain.files).files
    return files


def _other_files(settings: Settings, known: list[RawFile]) -> list[Path]:
    """Return the data files below the home that the domain does not declare, truth included."""
    paths = [*settings.raw.rglob("*"), *settings.truth.rglob("*")]
    data = {path for path in paths if path.is_file() and format_of(path.name)}
    return sorted(data - {file.path for file in known})


def _rewrite_raw(
    reader: duckdb.DuckDBPyConnection,
    connection: duckdb.DuckDBPyConnection,
    domain: Domain,
    source: RawFiles,
    file: RawFile,
    ids: list[str],
) -> int:
    """Rewrite a raw file without a person's rows and store its new hash in the warehouse.

    Returns the number of rows removed.
    """
    before = sha256_of(file.path)
    removed, partial = rewrite.without(reader, domain, source, file, ids)
    if partial:
        stat = partial.stat()
        new = [sha256_of(partial), stat.st_size, stat.st_mtime_ns]
        connection.execute(
            "update raw.files set sha256 = ?, size = ?, modified_ns = ? "
            "where table_name = ? and sha256 = ?",
            [*new, file.table, before],
        )
        partial.replace(file.path)  # last, so that an interrupted removal can be repeated
    return removed


def _rewrite_other(path: Path, ids: list[str]) -> int:
    """Rewrite an undeclared file without a person's rows, if it has a user_id; return the count."""
    with duckdb.connect() as reader:
        removed, partial = rewrite.undeclared(reader, path, ids)
    if partial:
        partial.replace(path)
    return removed


def _rewrite_warehouse(settings: Settings) -> None:
    """Copy the warehouse into a new file, whose free space holds no deleted rows."""
    fresh = settings.warehouse.with_suffix(".fresh")
    fresh.unlink(missing_ok=True)
    with duckdb.connect() as copier:
        # views refer to their tables by the database name `warehouse`
        copier.execute(f"attach {sql_text(settings.warehouse)} as warehouse (read_only)")
        copier.execute(f"attach {sql_text(fresh)} as fresh")
        copier.execute("copy from database warehouse to fresh")
    fresh.replace(settings.warehouse)
