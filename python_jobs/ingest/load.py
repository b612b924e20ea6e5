"""Load new raw files into the raw tables, each file once, all or nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import sql_text
from python_jobs.ingest import (
    columns,
    contacts,
    databases,
    identities,
    mapping,
    preview,
    raw_files,
    raw_tables,
    readers,
    snapshots,
)
from python_jobs.ingest.batch import Batch, Loaded, RawFile, names
from python_jobs.ingest.domain import Domain
from python_jobs.ingest.explain import in_one_line
from python_jobs.ingest.raw_tables import Append
from python_jobs.ingest.sources import TABLES


@dataclass
class Ingested:
    """What one ingest did.

    `loaded`: names of the new files. `known`: files loaded before. `rows`: rows per table.
    `repeated`: rows of a full snapshot that were known already. `rejected`: rows that the build
    will reject, by reason.
    """

    loaded: list[str] = field(default_factory=list)
    known: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    repeated: int = 0
    notes: list[str] = field(default_factory=list)
    rejected: list[preview.Rejected] = field(default_factory=list)


def ingest(
    connection: duckdb.DuckDBPyConnection,
    domain: Domain,
    folder: Path,
    *,
    now: datetime,
    progress: Callable[[int, int], None] | None = None,
    received: Callable[[str], str] = str,
    contacts_folder: Path | None = None,
) -> Ingested:
    """Load the files below `folder` that were not loaded before, in one transaction.

    `contacts_folder`: where the API keeps contacts, which are loaded as treatments.

    `now` becomes the rows' ingested_at, in UTC; if it is not after the last load, a later time is
    used. `received` returns SQL that names all rows of a raw table. Raises JobError, and loads
    nothing, for a file without a required column, with a value that its column's type cannot hold,
    or changed while or after it was loaded.
    """

    def attempt(is_careful: bool) -> Ingested:
        connection.execute("begin")
        try:
            done = _ingest(connection, domain, folder, now, progress, received, is_careful)
            if contacts_folder:
                at = _stamp(connection, now.astimezone(UTC).replace(tzinfo=None))
                new = contacts.load(connection, contacts_folder, ingested_at=at, received=received)
                done.rows["treatments"] += new
        except BaseException:
            connection.execute("rollback")
            raise
        connection.execute("commit")
        return done

    (zone,) = connection.execute("select current_setting('TimeZone')").fetchall()[0]
    # texts without an offset are in the domain's time zone
    connection.execute(f"set TimeZone = {sql_text(domain.vars.timezone)}")
    try:
        return attempt(is_careful=False)
    except readers.NeedsCare:
        return attempt(is_careful=True)
    finally:
        connection.execute(f"set TimeZone = {sql_text(zone)}")


def _ingest(
    connection: duckdb.DuckDBPyConnection,
    domain: Domain,
    folder: Path,
    now: datetime,
    progress: Callable[[int, int], None] | None,
    received: Callable[[str], str],
    is_careful: bool,
) -> Ingested:
    raw_tables.create(connection)
    is_changed = raw_tables.remember_domain(connection, domain)
    ingested_at = _stamp(connection, now.astimezone(UTC).replace(tzinfo=None))
    done = Ingested(rows=dict.fromkeys(TABLES, 0))
    if is_changed:
        done.notes.append("the settings changed: the next build recomputes everything")
    by_table = domain.files.by_table()
    for table, sources in by_table.items():
        for source in sources:
            mapping.mapped(connection, domain, source, table)
    has_files = any(source.path for sources in by_table.values() for source in sources)
    found = raw_files.find(folder, domain.files) if has_files else raw_files.Found()
    done.notes += found.notes
    is_snapshot = domain.vars.delivery == "full_snapshot"
    full = frozenset(("users", "events")) if is_snapshot else frozenset[str]()
    new = raw_files.new_files(connection, found.files, snapshots=full)
    done.known = len(found.files) - len(new)
    (before,) = connection.execute("select coalesce(max(file_id), 0) from raw.files").fetchall()[0]
    for table in TABLES:
        of_table = [pair for pair in new if pair[1].table == table]
        for batch in readers.batches(connection, of_table):
            _load(connection, domain, table, batch, ingested_at, done, is_careful)
            if progress:
                progress(len(done.loaded), len(new))
        for source in (source for source in by_table[table] if not source.path):
            read = databases.read(connection, source, table, folder, progress=progress)
            if read:
                batch, loaded, position = read
                _append_batch(connection, domain, table, batch, loaded, ingested_at, done)
                databases.remember(connection, source, position, ingested_at)
                of_table.append((source, batch.files[0]))
        if of_table and table in full:
            kept = snapshots.keep_changes(connection, table, ingested_at, received(f"raw.{table}"))
            done.repeated += kept.repeated
            done.rows[table] -= kept.repeated
            done.notes += kept.notes
    if done.rows["identities"]:
        left_out = identities.update(connection, received("raw.identities"), ingested_at)
        if left_out:
            done.notes.append(
                f"{left_out:,} links are left out: a placeholder, an id to itself, or a since that "
                "cannot be read"
            )
    preview.check_scales(connection, domain, before)
    preview.check_exclude(connection, domain)
    preview.check_lists(connection, domain)
    done.rejected = preview.rejected(connection, domain, before)
    done.notes += preview.notes(connection, domain, before)
    done.notes += preview.unknown_contacts(connection, domain, before, received)
    return done


def _load(
    connection: duckdb.DuckDBPyConnection,
    domain: Domain,
    table: str,
    batch: Batch,
    ingested_at: datetime,
    done: Ingested,
    is_careful: bool,
) -> None:
    """Read the files of a batch and append their rows."""
    columns.check_columns(batch)
    loaded = readers.load_batch(connection, batch, is_careful=is_careful)
    _append_batch(connection, domain, table, batch, loaded, ingested_at, done)
    raw_files.check_unchanged(batch.files)


def _append_batch(
    connection: duckdb.DuckDBPyConnection,
    domain: Domain,
    table: str,
    batch: Batch,
    loaded: Loaded,
    ingested_at: datetime,
    done: Ingested,
) -> None:
    """Run the domain's mapping over the rows of each file of a batch, and append what it gives."""
    done.notes += columns.make_view(connection, table, batch)
    columns.show_file(connection, batch, loaded, 0)
    given = mapping.mapped(connection, domain, batch.source, table, keep_view=True)
    for name, view in given.items():
        used = mapping.used_columns(domain, name)
        unused = [c for c in view if c not in used]
        notes = [
            f"{batch.source.mapping} gives {name} a column {c!r} that nothing uses" for c in unused
        ]
        done.notes += [note for note in notes if note not in done.notes]
    appends = [raw_tables.prepare(connection, domain, name, given[name]) for name in given]
    (last,) = connection.execute("select coalesce(max(file_id), 0) from raw.files").fetchall()[0]
    try:
        rows = _append_at_once(connection, batch, loaded, appends, last, ingested_at)
    except duckdb.OutOfMemoryException:
        raise  # not the file's fault
    except duckdb.Error as error:
        raise _of_the_mapping(error, batch, names(batch)) from None
    of_files = loaded.rows
    if rows is None:
        counts = _append_one_by_one(connection, domain, batch, loaded, appends, last, ingested_at)
        rows = {append.table: sum(count[append.table] for count in counts) for append in appends}
        of_files = [count[table] for count in counts]
    for name, added in rows.items():
        done.rows[name] += added
    _remember_files(connection, batch, loaded, of_files, last, ingested_at)
    done.loaded += [file.name for file in batch.files]


def _append_one_by_one(
    connection: duckdb.DuckDBPyConnection,
    domain: Domain,
    batch: Batch,
    loaded: Loaded,
    appends: list[Append],
    last: int,
    ingested_at: datetime,
) -> list[dict[str, int]]:
    """Append the rows of a batch file by file; return the rows of each by table."""
    counts = []
    for n, file in enumerate(batch.files):
        columns.show_file(connection, batch, loaded, n)
        rows_read, file_id = loaded.rows[n], last + n + 1
        try:
            counts.append(
                _append(connection, domain, file, rows_read, appends, file_id, ingested_at)
            )
        except duckdb.OutOfMemoryException:
            raise  # not the file's fault
        except duckdb.Error as error:
            raise _of_the_mapping(error, batch, file.name) from None
    return counts


def _of_the_mapping(error: duckdb.Error, batch: Batch, name: str) -> JobError:
    """Return the error for rows on which the mapping fails."""
    return JobError(
        f"{batch.source.mapping} fails on {name}: {in_one_line(error)}.",
        next_step=f"correct {batch.source.mapping} or the file; nothing was loaded.",
    )


def _append_at_once(
    connection: duckdb.DuckDBPyConnection,
    batch: Batch,
    loaded: Loaded,
    appends: list[Append],
    last: int,
    ingested_at: datetime,
) -> dict[str, int] | None:
    """Append the rows of all files of a batch in one statement; return the rows by table.

    Returns None where that would not be the same as one after the other: the mapping does more than
    compute values of a row, or a value depends on the file.
    """
    table = batch.files[0].table
    if len(batch.files) == 1 or columns.depends_on_the_file(batch):
        return None
    columns.show_all(connection, batch, loaded)
    if not raw_tables.is_row_by_row(connection, table):
        return None
    columns.number_files(connection, batch, loaded, last)
    counts = {}
    for append in appends:
        if append.table == table:
            counts[table] = append.run_at_once(connection, columns.positions(batch), ingested_at)
        else:  # users, which are derived from the events of the whole batch
            counts[append.table] = append.run(connection, last + 1, ingested_at)
    return counts if counts[table] == sum(loaded.rows) else None


def _append(
    connection: duckdb.DuckDBPyConnection,
    domain: Domain,
    file: RawFile,
    rows_read: int,
    appends: list[Append],
    file_id: int,
    ingested_at: datetime,
) -> dict[str, int]:
    """Append the mapped rows of one file; return the rows by table.

    Raises JobError if the mapping lost or added rows.
    """
    counts = {}
    for append in appends:
        counts[append.table] = append.run(connection, file_id, ingested_at)
        if append.table != file.table:
            continue
        accounted = counts[append.table]
        if append.counts_rows:
            (accounted,) = connection.execute(
                f"select count(distinct source_row) from {append.table}"
            ).fetchall()[0]
        if accounted != rows_read:
            made = "" if append.counts_rows else f" {append.table}"
            raise JobError(
                f"{file.name} has {rows_read} rows, but the mapping of domain {domain.name} makes "
                f"{accounted}{made} of them.",
                next_step="keep every row and give those that cannot count a reject_reason; where "
                "one row gives several, select the file's row_number as source_row.",
            )
    return counts


def _remember_files(
    connection: duckdb.DuckDBPyConnection,
    batch: Batch,
    loaded: Loaded,
    counts: list[int],
    last: int,
    ingested_at: datetime,
) -> None:
    files = batch.files
    connection.execute(
        """
        insert into raw.files (
            file_id, table_name, name, sha256, size, modified_ns, row_count, rows_read, ingested_at
        )
        select unnest(?), ?, unnest(?), unnest(?), unnest(?), unnest(?), unnest(?), unnest(?), ?
        """,
        [
            [last + n for n in range(1, len(files) + 1)],
            files[0].table,
            [file.name for file in files],
            [file.sha256 for file in files],
            [file.size for file in files],
            [file.modified_ns for file in files],
            counts,
            loaded.rows,
            ingested_at,
        ],
    )


def _stamp(connection: duckdb.DuckDBPyConnection, now: datetime) -> datetime:
    last = connection.execute("select max(ingested_at) from raw.files").fetchall()[0][0]
    return now if last is None else max(now, last + timedelta(microseconds=1))
