"""Load new raw files into raw.users and raw.events, each file once, all or nothing."""

import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from python_jobs.errors import JobError
from python_jobs.ingest import raw_files
from python_jobs.ingest.domain import Domain
from python_jobs.ingest.raw_files import RawFile

# The columns that every canonical table has. A domain may add others.
KEYS = {
    "users": {"user_id": "varchar", "signup_date": "date", "updated_at": "timestamp"},
    "events": {
        "event_id": "varchar",
        "user_id": "varchar",
        "event_time": "timestamp",
        "event_type": "varchar",
        "reject_reason": "varchar",
    },
    "treatments": {"user_id": "varchar", "treated_at": "timestamp", "campaign": "varchar"},
}
OPTIONAL = {"updated_at", "reject_reason"}
TIMES = {"signup_date", "event_time", "updated_at", "treated_at"}
# row_id combines the number of the file and of the row: unique, and increasing with arrival.
ROWS_PER_FILE = 2**32
STAMPS = {"row_id": "bigint", "file_id": "integer", "ingested_at": "timestamp"}


@dataclass(frozen=True)
class Ingested:
    """What one ingest did: files loaded and known before, rows per canonical table, notes."""

    loaded: list[str] = field(default_factory=list)
    known: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def ingest(
    connection: duckdb.DuckDBPyConnection,
    domain: Domain,
    folder: Path,
    *,
    now: datetime,
    progress: Callable[[int, int], None] | None = None,
) -> Ingested:
    """Load the files below `folder` that were not loaded before, in one transaction.

    `now` becomes the rows' ingested_at, in UTC; if it is not after the last load, a later time is
    used.
    Raises JobError, and loads nothing, for a file without a required column, with a
    value that its column's type cannot hold, or changed after it was loaded.
    """
    connection.execute("begin")
    try:
        done = _ingest(connection, domain, folder, now, progress)
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")
    return done


def _ingest(
    connection: duckdb.DuckDBPyConnection,
    domain: Domain,
    folder: Path,
    now: datetime,
    progress: Callable[[int, int], None] | None,
) -> Ingested:
    _create_tables(connection)
    is_changed = remember_domain(connection, domain)
    files = raw_files.find(folder, domain.files)
    new, known = raw_files.new_files(connection, files)
    ingested_at = _stamp(connection, now.astimezone(UTC).replace(tzinfo=None))
    columns = domain.files.columns()
    done = Ingested(known=known, rows=dict.fromkeys(columns, 0))
    if is_changed:
        done.notes.append("the settings changed: the next build recomputes everything")
    for table, declared in columns.items():
        raw_files.make_empty_view(connection, table, declared or {"none": "text"})
    _run_mapping(connection, domain)
    for table in _mapped_tables(domain):
        _check_mapping(domain, table, _columns_of(connection, domain, table))
    for number, file in enumerate(new, start=1):
        try:
            done.notes.extend(raw_files.make_view(connection, file, columns[file.table]))
            _load(connection, domain, file, ingested_at, done)
        except duckdb.OutOfMemoryException:
            raise  # not the file's fault
        except duckdb.Error as error:
            raise JobError(
                f"{file.name} cannot be loaded: {_in_one_line(error)}.",
                next_step="correct or replace the file and run again; nothing was loaded.",
            ) from None
        if progress:
            progress(number, len(new))
    return done


def _load(
    connection: duckdb.DuckDBPyConnection,
    domain: Domain,
    file: RawFile,
    ingested_at: datetime,
    done: Ingested,
) -> None:
    """Run the domain's mapping over one file and append its rows to the raw tables."""
    _run_mapping(connection, domain)
    file_rows = connection.execute(f"select count(*) from {file.table}_file").fetchall()[0][0]
    file_id = connection.execute(
        """
        insert into raw.files
        select coalesce(max(file_id), 0) + 1, ?, ?, ?, ?, ?, ?, ?
        from raw.files
        returning file_id
        """,
        [file.table, file.name, file.sha256, file.size, file.modified_ns, file_rows, ingested_at],
    ).fetchall()[0][0]
    derives = domain.vars.users_from_events and file.table == "events"
    tables = ["events", "users"] if derives else [file.table]
    for table in tables:
        rows = _append(connection, domain, table, file_id, ingested_at)
        done.rows[table] += rows
        if table == file.table and rows != file_rows:
            raise JobError(
                f"{file.name} has {file_rows} rows, but ingest.sql of domain {domain.name} makes "
                f"{rows} {table} of them.",
                next_step="keep every row and give those that cannot count a reject_reason.",
            )
    done.loaded.append(file.name)


def _run_mapping(connection: duckdb.DuckDBPyConnection, domain: Domain) -> None:
    try:
        connection.execute(domain.ingest_sql)
    except duckdb.Error as error:
        line = str(error).splitlines()[0]
        raise JobError(
            f"{domain.folder / 'ingest.sql'} does not run: {line}.",
            next_step="correct ingest.sql and run again.",
        ) from None


def _mapped_tables(domain: Domain) -> list[str]:
    """Return the canonical tables that ingest.sql must give a view of."""
    declared = domain.files.columns()
    derives = domain.vars.users_from_events
    return [table for table in declared if declared[table] or (table == "users" and derives)]


def _columns_of(
    connection: duckdb.DuckDBPyConnection, domain: Domain, table: str
) -> dict[str, str]:
    """Return the columns of the mapping's view with their types; JobError if there is none."""
    try:
        described = connection.execute(f"describe temp.{table}").fetchall()
    except duckdb.CatalogException:
        raise JobError(
            f"{domain.folder / 'ingest.sql'} makes no temp view {table!r}.",
            next_step=f"add `create or replace temp view {table} as select ...` to it.",
        ) from None
    return {row[0]: row[1] for row in described}


def _append(
    connection: duckdb.DuckDBPyConnection,
    domain: Domain,
    table: str,
    file_id: int,
    ingested_at: datetime,
) -> int:
    """Append the mapping's view `table` to raw.`table`; add columns that are new."""
    given = _columns_of(connection, domain, table)
    columns = {
        name: _canonical(table, name, given.get(name, "VARCHAR"))
        for name in [*KEYS[table], *(name for name in given if name not in KEYS[table])]
    }
    times = [name for name in columns if name in TIMES]
    selected = [_select(name, kind, given.get(name)) for name, kind in columns.items()]
    if connection.execute("select count(*) from raw.forgotten").fetchall()[0][0]:
        selected = [
            _without_the_forgotten(text, name) for text, name in zip(selected, columns, strict=True)
        ]
    selected += [_select_unread(name, columns[name], given.get(name)) for name in times]
    columns |= {f"{name}_unread": "varchar" for name in times}
    there = {row[0] for row in connection.execute(f"describe raw.{table}").fetchall()}
    for name in [name for name in columns if name not in there]:
        connection.execute(f'alter table raw.{table} add column "{name}" {columns[name]}')
    names = ", ".join(f'"{name}"' for name in columns)
    rows: int = connection.execute(
        f"""
        insert into raw.{table} (row_id, file_id, ingested_at, {names})
        select
            {file_id * ROWS_PER_FILE} + row_number() over (),
            {file_id},
            cast(? as timestamp),
            {", ".join(selected)}
        from {table}
        """,
        [ingested_at],
    ).fetchall()[0][0]
    return rows


def _without_the_forgotten(selected: str, name: str) -> str:
    """Return the column's SELECT entry, without the user_id of a forgotten user.

    The row's reject_reason becomes `forgotten_user`.
    """
    is_forgotten = "sha256(cast(user_id as varchar)) in (select user_hash from raw.forgotten)"
    if name == "user_id":
        return f"case when not coalesce({is_forgotten}, false) then {selected} end"
    if name == "reject_reason":
        return f"case when {is_forgotten} then 'forgotten_user' else {selected} end"
    return selected


def _canonical(table: str, name: str, given: str) -> str:
    """Return the column's type in raw: the canonical one if there is one, else number or text."""
    return KEYS[table].get(name) or ("double" if raw_files.is_number(given) else "varchar")


def _select(name: str, kind: str, given: str | None) -> str:
    if given is None:
        return f"cast(null as {kind})"
    return _read_time(name, kind, given) if name in TIMES else f'cast("{name}" as {kind})'


def _read_time(name: str, kind: str, given: str) -> str:
    """Return SQL that reads a time as UTC: text without an offset is UTC, unreadable text NULL."""
    if given == "VARCHAR":
        instant = f'try_cast("{name}" as timestamptz)'
        return f"case when isfinite({instant}) then cast(timezone('UTC', {instant}) as {kind}) end"
    if given == "TIMESTAMP WITH TIME ZONE":
        return f"cast(timezone('UTC', \"{name}\") as {kind})"
    return f'cast("{name}" as {kind})'


def _select_unread(name: str, kind: str, given: str | None) -> str:
    """Return SQL for the original text of an unreadable time, for the rejected tables."""
    if given != "VARCHAR":
        return "cast(null as varchar)"
    return f'case when {_read_time(name, kind, given)} is null then "{name}" end'


def _check_mapping(domain: Domain, table: str, given: dict[str, str]) -> None:
    vars_ = domain.vars
    needed = {name: "every domain" for name in KEYS[table] if name not in OPTIONAL}
    if table == "users":
        needed |= {name: "attributes" for name in vars_.attributes}
    elif table == "events":
        needed |= {name: "checks" for name in vars_.checks if name not in vars_.attributes}
        needed |= {m.column: f"measure {m.name!r}" for m in vars_.measures if m.column}
    for name, by in needed.items():
        if name not in given:
            raise JobError(
                f"{domain.folder / 'ingest.sql'} gives {table} no column {name!r}, "
                f"which {by} needs.",
                next_step="add the column to ingest.sql, or correct domain.yml.",
            )


def _create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("create schema if not exists raw")
    connection.execute("create table if not exists raw.domain (name varchar, settings varchar)")
    connection.execute(
        """
        create table if not exists raw.files (
            file_id integer, table_name varchar, name varchar, sha256 varchar,
            size bigint, modified_ns bigint, row_count bigint, ingested_at timestamp
        )
        """
    )
    connection.execute(
        "create table if not exists raw.forgotten (user_hash varchar, forgotten_at timestamp)"
    )
    for table, keys in KEYS.items():
        columns = ", ".join(f"{name} {kind}" for name, kind in (STAMPS | keys).items())
        connection.execute(f"create table if not exists raw.{table} ({columns})")


def remember_domain(connection: duckdb.DuckDBPyConnection, domain: Domain) -> bool:
    """Store which domain fills this warehouse; return True if its settings changed.

    Raises JobError if another domain fills it already.
    """
    row = connection.execute("select name, settings from raw.domain").fetchone()
    if row and row[0] != domain.name:
        raise JobError(
            f"This warehouse was filled by domain {row[0]!r}, not {domain.name!r}.",
            next_step=f"use --domain {row[0]}, or another CHURNHOUSE_HOME.",
        )
    if row != (domain.name, domain.settings_json):
        connection.execute("delete from raw.domain")
        connection.execute(
            "insert into raw.domain values (?, ?)", [domain.name, domain.settings_json]
        )
        if row:
            _add_declared_columns(connection, domain)
            return True
    return False


def _add_declared_columns(connection: duckdb.DuckDBPyConnection, domain: Domain) -> None:
    """Add the columns that domain.yml declares and raw does not have yet; old rows get NULL.

    Without them, every build would fail until a file with these columns arrives.
    """
    vars_, given = domain.vars, domain.files.events.columns
    measured = {m.column for m in vars_.measures if m.column}
    measured |= vars_.checks.keys() - set(vars_.attributes)
    declared = [("users", name, "varchar") for name in vars_.attributes]
    for name in sorted(measured):
        declared.append(("events", name, "varchar" if given.get(name) == "text" else "double"))
    for table, name, kind in declared:
        connection.execute(f'alter table raw.{table} add column if not exists "{name}" {kind}')


def _in_one_line(error: duckdb.Error) -> str:
    """Return DuckDB's error message in one line, without its hints and quoted rows."""
    said = re.split(r"\n\s*(?:Possible|LINE \d|file =)", str(error), maxsplit=1)[0]
    return textwrap.shorten(said, 240, placeholder=" ...").rstrip(".")


def _stamp(connection: duckdb.DuckDBPyConnection, now: datetime) -> datetime:
    last = connection.execute("select max(ingested_at) from raw.files").fetchall()[0][0]
    return now if last is None else max(now, last + timedelta(microseconds=1))
