"""Remove persons: from raw files, all tables, saved features, model versions and predictions."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import fsync, sql_name, sql_text
from python_jobs.ingest import persons, rewrite
from python_jobs.ingest.contacts import read_all
from python_jobs.ingest.domain import Domain
from python_jobs.ingest.rewrite import ID_COLUMNS
from python_jobs.operations import forget_files, forget_left
from python_jobs.publication import contacts
from python_jobs.publishing import publish
from python_jobs.registry import persons as persons_of_versions
from python_jobs.registry import store
from python_jobs.settings import Settings
from python_jobs.warehouse import exchange
from python_jobs.warehouse.engines import Engine, engine_of

MOMENTS = {
    "raw.users": "coalesce(updated_at, ingested_at)",
    "raw.events": "event_time",
    "raw.treatments": "treated_at",
}
"""When a row of a raw table happened: the time by which it belongs to a person."""


@dataclass(frozen=True)
class Forgotten:
    """What a removal did.

    `removed`: rows by table and kind of file. `persons`: how many of the given ids are known.
    `unknown`: the places, from 1, of those that are not. `left`: what it could not reach, each with
    what to do.
    """

    removed: dict[str, int]
    persons: int
    unknown: list[int]
    left: list[str]


def ids_of(connection: duckdb.DuckDBPyConnection, user_id: str) -> list[str]:
    """Return all ids of the person who has this id, and of nobody else."""
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
        union
        select $id
        except
        select from_id from raw.identity_map where user_id not in (select user_id from people)
        """,
        {"id": user_id},
    ).fetchall()
    return sorted(row[0] for row in rows)


def _keep_times_of_shared_ids(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Note when an id that others have too was the person's; return these ids."""
    rows = connection.execute(
        """
        create temp table shared as
        select from_id, valid_from, valid_to
        from raw.identity_map
        where user_id in (select id from wanted) and from_id not in (select id from wanted);
        select distinct from_id from shared order by from_id
        """
    ).fetchall()
    return [row[0] for row in rows]


def forget(
    settings: Settings, domain: Domain, user_ids: Sequence[str], *, by: str, now: datetime
) -> Forgotten:
    """Remove every row of these users from the home, and keep a keyed hash of their ids.

    The warehouse file is rewritten, since deleted rows stay readable in a database file's free
    space. Rows that arrive later are rejected as `forgotten_user`, without the id. raw.removals
    gets a line: when, who (`by`), how many, what was touched. The caller publishes anew and removes
    older versions. Files go first and the tables, by which all ids of a person are found, last: so
    an interrupted removal is completed by running it again. Raises JobError, and removes nothing,
    if nobody is known, or for a file that cannot be read.
    """
    engine = engine_of(settings)
    engine.remove_broken_writes()
    _sweep(settings)
    with duckdb.connect(str(settings.warehouse)) as connection:
        persons.prepare(connection)
        of_each = [ids_of(connection, user_id) for user_id in user_ids]
        everybody = sorted({one for ids in of_each for one in ids})
        built, found = _rows_in_files(engine.table_folders(), everybody)
        found |= _known(connection, everybody)
    found |= {contact["user_id"] for contact in read_all(settings.contacts)}
    unknown = [place for place, ids in enumerate(of_each, 1) if not found & set(ids)]
    if len(unknown) == len(user_ids):
        who = f"a user {user_ids[0]!r}" if len(user_ids) == 1 else "any of these users"
        raise JobError(f"No table knows {who}.", next_step="check the id and run again.")
    ids = sorted({one for each in of_each if found & set(each) for one in each})

    files = forget_files.raw_files_of(settings, domain)
    rewrite.check(domain, files, ids)
    removed = {"model versions": persons_of_versions.remove(settings, ids)}
    with duckdb.connect(str(settings.warehouse)) as connection:
        touched, left = forget_files.remove(settings, domain, connection, files, ids)
    removed |= touched | {"contacts": contacts.remove(settings.contacts, ids)}
    contacts.sweep(settings.contacts, now=now)
    for path, rows in built.items():
        _rewrite_built(path, ids)
        name = str(path.relative_to(settings.spark.resolve()).parent)
        removed[name] = removed.get(name, 0) + rows
    with duckdb.connect(str(settings.warehouse)) as connection:
        persons.define(connection, settings.home)
        left += forget_left.elsewhere(connection, domain, files)
        connection.execute("create temp table wanted as select unnest($ids) as id", {"ids": ids})
        left += [
            f"raw files, and Spark's tables, with rows of {one}, which others use too: remove the"
            " person's rows there"
            for one in _keep_times_of_shared_ids(connection)
        ]
        connection.execute("begin")
        removed |= _delete(connection)
        left += forget_left.mentions(connection, settings, MOMENTS, ids)
        _recount(connection, engine)
        number = len(user_ids) - len(unknown)
        _remember(connection, removed, persons=number, by=by, now=store.utc(now))
        connection.execute("commit")
    _rewrite_warehouse(settings)
    return Forgotten({name: n for name, n in removed.items() if n}, number, unknown, left)


def _sweep(settings: Settings) -> None:
    """Remove what killed jobs left behind, and what dbt wrote of its last runs.

    Messages and compiled statements may hold values of rows.
    """
    for folder in (
        *settings.models.glob(".writing-*"),
        settings.reproduction,
        *(settings.home / "dbt" / name for name in ("logs", "target/compiled", "target/run")),
        Path(f"{settings.warehouse}.tmp"),  # where DuckDB puts what its memory cannot hold
    ):
        shutil.rmtree(folder, ignore_errors=True)
    for name in (".fresh", ".fresh.wal"):
        settings.warehouse.with_suffix(name).unlink(missing_ok=True)
    if settings.published.exists():
        publish.sweep(settings.published)


def _tables_with_users(connection: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """Return each table with ids of people, and the columns that hold them."""
    listed = ", ".join(sql_text(name) for name in ID_COLUMNS)
    rows = connection.execute(
        f"""
        select table_schema || '.' || table_name, list(column_name order by column_name)
        from information_schema.columns
        inner join information_schema.tables using (table_schema, table_name)
        where column_name in ({listed}) and table_type = 'BASE TABLE'
        group by all
        order by all
        """
    ).fetchall()
    return dict(rows)


def _known(connection: duckdb.DuckDBPyConnection, ids: list[str]) -> set[str]:
    """Return which ids a table holds, or a removal before."""
    found: set[str] = set()
    for table, columns in _tables_with_users(connection).items():
        for name in columns:
            query = f"select distinct {name} from {table} where list_contains($ids, {name})"
            found |= {row[0] for row in connection.execute(query, {"ids": ids}).fetchall()}
    rows = connection.execute(
        "select id from (select unnest($ids) as id) where person_hash(id) in"
        " (select person_hash from raw.forgotten)",
        {"ids": ids},
    ).fetchall()
    return found | {row[0] for row in rows}


def _delete(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Delete the rows of the persons in `wanted` from all tables; return how many of each."""
    removed = {}
    tables = _tables_with_users(connection)
    for table, columns in tables.items():
        is_theirs = " or ".join(
            f"coalesce({name} in (select id from wanted), false)" for name in columns
        )
        (rows,) = connection.execute(f"delete from {table} where {is_theirs}").fetchall()[0]
        removed[table] = int(rows)
    for table, moment in MOMENTS.items():
        (rows,) = connection.execute(
            f"delete from {table} using shared where user_id = from_id"
            f" and {moment} >= valid_from and {moment} < valid_to"
        ).fetchall()[0]
        removed[table] = removed.get(table, 0) + int(rows)
    if "ml.training_reference" in tables:
        # an earlier release did not keep whose rows these are
        connection.execute("delete from ml.training_reference where user_id is null")
    else:
        connection.execute("drop table if exists ml.training_reference")
    query = "select schema_name || '.' || table_name from duckdb_tables()"
    there = {row[0] for row in connection.execute(query).fetchall()}
    if "main.risk_by_attribute" in there:  # it may name a value; the publication makes it anew
        connection.execute("delete from main.risk_by_attribute")
    _empty_the_rejected(connection)
    if "ml.dbt_run_results" in there:  # an engine's message may quote a value
        connection.execute(
            "update ml.dbt_run_results set message = null"
            " where exists (select 1 from wanted where contains(message, id))"
        )
    return removed


def _empty_the_rejected(connection: duckdb.DuckDBPyConnection) -> None:
    """Take all texts out of rows that came after a removal; earlier releases kept them."""
    tables = connection.execute(
        """
        select table_schema || '.' || table_name, list(column_name)
        from information_schema.columns
        inner join information_schema.tables using (table_schema, table_name)
        where table_type = 'BASE TABLE' and data_type = 'VARCHAR'
        group by all
        having list_contains(list(column_name), 'reject_reason')
        """
    ).fetchall()
    for table, columns in tables:
        empty = ", ".join(f"{sql_name(n)} = null" for n in columns if n != "reject_reason")
        if empty:
            connection.execute(f"update {table} set {empty} where reject_reason = 'forgotten_user'")


def _remember(
    connection: duckdb.DuckDBPyConnection,
    removed: dict[str, int],
    *,
    persons: int,
    by: str,
    now: datetime,
) -> None:
    """Keep the hashes of the ids in `wanted`, and the line that says what was done."""
    connection.execute(
        "insert into raw.forgotten select person_hash(id), $now from wanted"
        " where person_hash(id) not in (select person_hash from raw.forgotten)",
        {"now": now},
    )
    connection.execute(
        "create table if not exists raw.removals"
        " (removed_at timestamp, removed_by varchar, persons integer, touched varchar)"
    )
    touched = json.dumps({name: rows for name, rows in sorted(removed.items()) if rows})
    connection.execute("insert into raw.removals values (?, ?, ?, ?)", [now, by, persons, touched])


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


def _rows_in_files(folders: list[Path], ids: list[str]) -> tuple[dict[Path, int], set[str]]:
    """Return the Parquet files with rows of the ids and how many, and the ids that they hold."""
    rows_of_user: dict[Path, int] = {}
    found: set[str] = set()
    with duckdb.connect() as reader:
        for folder in folders:
            pattern = sql_text(folder / "**/*.parquet")
            rows = f"read_parquet({pattern}, union_by_name = true, hive_partitioning = false)"
            columns = reader.execute(f"describe from {rows}").fetchall()
            owners = [column[0] for column in columns if column[0] in ID_COLUMNS]
            if not owners:
                continue
            is_owned = " or ".join(f"list_contains($ids, {name})" for name in owners)
            for name in owners:
                query = f"select distinct {name} from {rows} where list_contains($ids, {name})"
                found |= {row[0] for row in reader.execute(query, {"ids": ids}).fetchall()}
            query = f"select filename, count(*) from {rows} where {is_owned} group by all"
            counts = reader.execute(query, {"ids": ids}).fetchall()
            rows_of_user |= {Path(name): count for name, count in counts}
    return rows_of_user, found


def _rewrite_built(path: Path, ids: list[str]) -> None:
    """Rewrite a Parquet file of a built table without the persons' rows."""
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


def _rewrite_warehouse(settings: Settings) -> None:
    """Copy the warehouse into a new file, whose free space holds no deleted rows."""
    fresh = settings.warehouse.with_suffix(".fresh")
    log = Path(f"{settings.warehouse}.wal")
    with duckdb.connect(str(settings.warehouse)) as connection:
        connection.execute("force checkpoint")
    with duckdb.connect() as copier:
        # views refer to their tables by the database name `warehouse`
        copier.execute(f"attach {sql_text(settings.warehouse)} as warehouse (read_only)")
        copier.execute(f"attach {sql_text(fresh)} as fresh")
        copier.execute("copy from database warehouse to fresh")
    fsync(fresh)
    fresh.replace(settings.warehouse)
    log.unlink(missing_ok=True)  # of the file before
    fsync(settings.home)
