"""Remove one person: from raw files, all tables, saved features and predictions."""

import contextlib
import hashlib
from datetime import datetime
from pathlib import Path

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import sha256_of, sql_text
from python_jobs.ingest import raw_files
from python_jobs.ingest.domain import Domain
from python_jobs.ingest.raw_files import RawFile
from python_jobs.registry import store
from python_jobs.settings import Settings
from python_jobs.warehouse import exchange
from python_jobs.warehouse.engines import Engine, engine_of


def user_hash(user_id: str) -> str:
    """Return the hash of a user_id, which is all that is stored about a forgotten user."""
    return hashlib.sha256(user_id.encode()).hexdigest()


def forget(settings: Settings, domain: Domain, user_id: str, *, now: datetime) -> dict[str, int]:
    """Remove every row of a user from the warehouse and from the raw files below its home.

    Returns the rows removed per table. The warehouse file is rewritten, since deleted rows stay
    readable in a database file's free space. Rows of this user that arrive later are rejected as
    `forgotten_user`, without the id. The caller prunes older published versions after publishing a
    new one. An interrupted removal is completed by running it again. Raises JobError for an
    unknown user, and for a raw file that cannot be read.
    """
    removed = {}
    engine = engine_of(settings)
    engine.remove_broken_writes()
    built = _rows_in_files(engine.table_folders(), user_id)
    with duckdb.connect(str(settings.warehouse)) as connection:
        tables = _tables_with_users(connection)
        for table in tables:
            rows = connection.execute(
                f"select count(*) from {table} where user_id = ?", [user_id]
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
            connection.execute(f"delete from {table} where user_id = ?", [user_id])
        if not known:
            connection.execute(
                "insert into raw.forgotten values (?, ?)", [user_hash(user_id), store.utc(now)]
            )
        _recount(connection, engine)
        connection.execute("commit")
    for path, rows in built.items():
        _rewrite_built(path, user_id)
        removed[str(path.relative_to(settings.spark.resolve()))] = rows
    if built:
        with duckdb.connect(str(settings.warehouse)) as connection:
            _recount(connection, engine)
    files = _raw_files(settings, domain)
    with (
        duckdb.connect(config={"threads": 1}) as reader,  # row by row, in each file's order
        duckdb.connect(str(settings.warehouse)) as connection,
    ):
        for file in files:
            removed[file.name] = _rewrite_raw(reader, connection, domain, file, user_id)
    for path in _other_files(settings, files):
        removed[path.name] = _rewrite_other(path, user_id)
    _rewrite_warehouse(settings)
    return {name: rows for name, rows in removed.items() if rows}


def _tables_with_users(connection: duckdb.DuckDBPyConnection) -> list[str]:
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


def _rows_in_files(folders: list[Path], user_id: str) -> dict[Path, int]:
    """Return the Parquet files with rows of a user, and the number of these rows."""
    rows_of_user: dict[Path, int] = {}
    with duckdb.connect() as reader:
        for folder in folders:
            pattern = sql_text(folder / "**/*.parquet")
            rows = f"read_parquet({pattern}, union_by_name = true, hive_partitioning = false)"
            columns = reader.execute(f"describe from {rows}").fetchall()
            if "user_id" not in {column[0] for column in columns}:
                continue
            query = f"select filename, count(*) from {rows} where user_id = ? group by all"
            counts = reader.execute(query, [user_id]).fetchall()
            rows_of_user |= {Path(name): count for name, count in counts}
    return rows_of_user


def _rewrite_built(path: Path, user_id: str) -> None:
    """Rewrite a Parquet file of a built table without a user's rows."""
    with duckdb.connect() as reader:
        rows = f"read_parquet({sql_text(path)}, hive_partitioning = false) as file"
        _, partial = _write_without(reader, path, rows, "user_id", user_id)
    # Spark's checksum beside the file is that of the old content
    path.with_name(f".{path.name}.crc").unlink(missing_ok=True)
    if partial:
        partial.replace(path)


def _raw_files(settings: Settings, domain: Domain) -> list[RawFile]:
    """Return the domain's files below the home, exported ones included."""
    files = []
    for folder in (settings.raw, settings.raw / domain.name):
        with contextlib.suppress(JobError):  # no files here: they are in a folder outside the home
            files += raw_files.find(folder, domain.files)
    return files


def _other_files(settings: Settings, known: list[RawFile]) -> list[Path]:
    """Return the data files below the home that the domain does not declare, truth included."""
    paths = [*settings.raw.rglob("*"), *settings.truth.rglob("*")]
    data = {path for path in paths if path.is_file() and path.name.endswith(raw_files.ENDINGS)}
    return sorted(data - {file.path for file in known})


def _rewrite_raw(
    reader: duckdb.DuckDBPyConnection,
    connection: duckdb.DuckDBPyConnection,
    domain: Domain,
    file: RawFile,
    user_id: str,
) -> int:
    """Rewrite a raw file without a user's rows and store its new hash in the warehouse.

    The domain's ingest.sql decides which user a raw row belongs to; it returns one row for each
    row of the file. Returns the number of rows removed.
    """
    before = sha256_of(file.path)
    for table, columns in domain.files.columns().items():
        raw_files.make_empty_view(reader, table, columns or {"none": "text"})
    raw_files.make_view(reader, file, domain.files.columns()[file.table])
    reader.execute(domain.ingest_sql)
    rows = (
        f"{raw_files.rows_of(file)} as file positional join "
        f"(select cast(user_id as varchar) as mapped_user_id from {file.table}) as mapped"
    )
    removed, partial = _write_without(reader, file.path, rows, "mapped_user_id", user_id)
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


def _rewrite_other(path: Path, user_id: str) -> int:
    """Rewrite an undeclared file without a user's rows, if it has a user_id; return the count."""
    rows = raw_files.rows_of(RawFile("", path, path.name, 0, 0))
    with duckdb.connect() as reader:
        columns = {row[0] for row in reader.execute(f"describe from {rows}").fetchall()}
        if "user_id" not in columns:
            return 0
        removed, partial = _write_without(reader, path, f"{rows} as file", "user_id", user_id)
    if partial:
        partial.replace(path)
    return removed


def _write_without(
    reader: duckdb.DuckDBPyConnection, path: Path, rows: str, owner: str, user_id: str
) -> tuple[int, Path | None]:
    """Write the rows of other users to a new file; return the number left out and the new file.

    `rows` is the SQL of all rows, in which the file is called file. `owner` is the SQL of a row's
    user. The new file is None if no row is left out.
    """
    is_owned = f"coalesce(cast({owner} as varchar) = ?, false)"
    query = f"select count(*) from {rows} where {is_owned}"
    removed: int = reader.execute(query, [user_id]).fetchall()[0][0]
    if not removed:
        return 0, None
    is_parquet = path.name.endswith(".parquet")
    options = "format parquet, compression zstd" if is_parquet else "format csv, header"
    if path.name.endswith(".gz"):
        options += ", compression gzip"
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    reader.execute(
        f"copy (select file.* from {rows} where not {is_owned}) to {sql_text(partial)} ({options})",
        [user_id],
    )
    return removed, partial


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
