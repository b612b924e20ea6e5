"""Sources that are no files: queries to a database, through ADBC, and relations in DuckDB files.

A database's address is in an environment variable and appears in no file, message or log.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import sql_name, sql_text
from python_jobs.ingest.batch import FILE_COLUMN, Batch, Loaded, RawFile, Shape
from python_jobs.ingest.sources import RawFiles

DRIVERS = {
    "postgresql": "adbc_driver_postgresql",
    "postgres": "adbc_driver_postgresql",
    "sqlite": "adbc_driver_sqlite",
    "snowflake": "adbc_driver_snowflake",
    "bigquery": "adbc_driver_bigquery",
}
"""The ADBC driver for each kind of address. Tested: PostgreSQL and SQLite."""
INSTALL = "install it: pip install 'churnhouse[databases]'."
CONNECT_SECONDS = 10
Progress = Callable[[int, int], None]


def read(
    connection: duckdb.DuckDBPyConnection,
    source: RawFiles,
    table: str,
    folder: Path,
    *,
    progress: Progress | None = None,
) -> tuple[Batch, Loaded, str | None] | None:
    """Read what is new of a source into the temporary table raw_rows.

    Returns the rows as a batch of one, and the cursor's new position; None if nothing is new. A
    source with a cursor starts at the last position, included, since rows of one moment may arrive
    in two loads; known ones are repeats. Raises JobError if the source cannot be read.
    """
    position = _position(connection, source)
    if source.database:
        _read_database(connection, source, position, progress)
    else:
        _read_relation(connection, source, folder, position)
    described = connection.execute("describe raw_rows").fetchall()
    columns = tuple((row[0], row[1]) for row in described if row[0] != FILE_COLUMN)
    rows, content, first_row = connection.execute(
        "select count(*), cast(bit_xor(hash(raw_rows)) as varchar), min(rowid) from raw_rows"
    ).fetchall()[0]
    digest = f"{rows} rows, {content}"
    known = connection.execute(
        "select 1 from raw.files where table_name = ? and sha256 = ?", [table, digest]
    ).fetchall()
    if not rows or known:
        return None
    newest = None
    if source.cursor:
        if source.cursor not in dict(columns):
            raise JobError(
                f"{source.place} has no column {source.cursor!r}, which is its cursor.",
                next_step="correct `cursor` in domain.yml and run again.",
            )
        (newest,) = connection.execute(
            f"select cast(max({sql_name(source.cursor)}) as varchar) from raw_rows"
        ).fetchall()[0]
    name = f"{source.place} through {newest}" if newest else f"{source.place}, {digest}"
    file = RawFile(table, Path(name), name, rows, 0, digest)
    batch = Batch(source, Shape("database", "none", columns), [file])
    return batch, Loaded([first_row], [rows]), newest


def remember(
    connection: duckdb.DuckDBPyConnection, source: RawFiles, position: str | None, now: object
) -> None:
    """Store how far a source was read."""
    if position is not None:
        connection.execute("delete from raw.cursors where place = ?", [source.place])
        connection.execute(
            "insert into raw.cursors values (?, ?, ?)", [source.place, position, now]
        )


def _position(connection: duckdb.DuckDBPyConnection, source: RawFiles) -> str | None:
    rows = connection.execute(
        "select position from raw.cursors where place = ?", [source.place]
    ).fetchall()
    return rows[0][0] if rows and source.cursor else None


def _query(source: RawFiles, inner: str, position: str | None, quote: str = '"') -> str:
    """Return the query of a source, from the cursor's position on."""
    if position is None or source.cursor is None:
        return inner
    literal = position if re.fullmatch(r"-?\d+(\.\d+)?", position) else sql_text(position)
    column = f"{quote}{source.cursor}{quote}"
    return f"select * from ({inner}) as source_rows where {column} >= {literal}"


def _read_relation(
    connection: duckdb.DuckDBPyConnection, source: RawFiles, folder: Path, position: str | None
) -> None:
    path, _, relation = str(source.relation).rpartition(":")
    named = ".".join(sql_name(part) for part in relation.split("."))
    try:
        if path:
            other = folder / path
            if not other.is_file():
                raise JobError(
                    f"There is no DuckDB file {other}.",
                    next_step="correct `relation` in domain.yml.",
                )
            connection.execute(f"attach if not exists {sql_text(other)} as other_file (read_only)")
            named = f"other_file.{named}"
        query = _query(source, f"select * from {named}", position)
        _fill(connection, query, source.place)
    except duckdb.Error as error:
        raise JobError(
            f"{source.place} cannot be read: {str(error).splitlines()[0]}.",
            next_step="correct `relation` in domain.yml, or run what makes it.",
        ) from None


def _fill(connection: duckdb.DuckDBPyConnection, query: str, place: str) -> None:
    connection.execute(
        f"create or replace temp table raw_rows as select *, {sql_text(place)} as "
        f"{sql_name(FILE_COLUMN)} from ({query}) as source_rows"
    )


def _read_database(
    connection: duckdb.DuckDBPyConnection,
    source: RawFiles,
    position: str | None,
    progress: Progress | None,
) -> None:
    variable = str(source.database)
    address = os.environ.get(variable)
    if not address:
        raise JobError(
            f"The environment variable {variable} is not set.",
            next_step=f"set it to the database's address, for example {variable}="
            "postgresql://USER@HOST/DATABASE.",
        )
    inner = source.query.strip().rstrip(";") if source.query else f"select * from {source.table}"
    quote = "`" if urlsplit(address).scheme == "bigquery" else '"'
    query = _query(source, inner, position, quote)
    with _no_secrets(variable, address), _rows(address, variable, query) as reader:
        connection.register("database_rows", _counted(reader, progress))
        _fill(connection, "from database_rows", source.place)
        connection.unregister("database_rows")


def _counted(reader: Any, progress: Progress | None) -> Any:
    """Return the reader, reporting the rows that have arrived."""
    import pyarrow

    def batches() -> Iterator[Any]:
        rows = 0
        for batch in reader:
            rows += batch.num_rows
            if progress:
                progress(rows, rows)
            yield batch

    return pyarrow.RecordBatchReader.from_batches(reader.schema, batches())


@contextmanager
def _rows(address: str, variable: str, query: str) -> Iterator[Any]:
    """Yield the rows of a query as an Arrow reader. Raises JobError if the driver is missing."""
    scheme = urlsplit(address).scheme
    if scheme == "duckdb":
        path = _existing(address, "duckdb", variable)
        with duckdb.connect(path, read_only=True) as other:
            yield other.sql(query).to_arrow_reader()
        return
    driver = _driver(scheme, variable)
    given = address
    if DRIVERS[scheme] == "adbc_driver_postgresql" and "connect_timeout" not in address:
        given += ("&" if "?" in address else "?") + f"connect_timeout={CONNECT_SECONDS}"
    elif scheme == "sqlite":
        given = f"file:{_existing(address, 'sqlite', variable)}?mode=ro"
    with driver.connect(given) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        yield cursor.fetch_record_batch()


def _existing(address: str, scheme: str, variable: str) -> str:
    """Return the path of a database file, which opening must not create."""
    path = address.removeprefix(f"{scheme}://").removeprefix(f"{scheme}:")
    if not Path(path).is_file():
        raise JobError(f"{variable} names no {scheme} file.", next_step="correct the variable.")
    return path


def _driver(scheme: str, variable: str) -> ModuleType:
    import importlib

    if scheme not in DRIVERS:
        raise JobError(
            f"{variable} has an address of kind {scheme or 'no kind'!r}, which is not read.",
            next_step=f"use one of {', '.join(DRIVERS)} and duckdb.",
        )
    try:
        importlib.import_module("pyarrow")
        return importlib.import_module(f"{DRIVERS[scheme]}.dbapi")
    except ImportError:
        raise JobError(f"{DRIVERS[scheme]} is not installed.", next_step=INSTALL) from None


@contextmanager
def _no_secrets(variable: str, address: str) -> Iterator[None]:
    """Turn an error of the database into one line without its address or password."""
    try:
        yield
    except JobError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())
        parts = urlsplit(address)
        for secret in filter(None, (address, parts.netloc, parts.password, parts.username)):
            said = said.replace(secret, "...")
        raise JobError(
            f"The database of {variable} could not be read: {said[:300].rstrip('.')}.",
            next_step="see that it answers and the query runs, then run again; nothing was loaded.",
        ) from None
