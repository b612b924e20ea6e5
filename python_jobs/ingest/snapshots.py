"""Full snapshots: keep of a delivery what is new or changed, and note what is gone.

A row that is known stays as it is; a changed one replaces it, since its version is the delivery's
time; an id that is missing gets a row with is_deleted. So raw tables grow by changes only, and a
build needs to know nothing of snapshots.
"""

from dataclasses import dataclass, field
from datetime import datetime

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import sql_name
from python_jobs.ingest.raw_tables import STAMPS

ID = {"users": "user_id", "events": "event_id"}


@dataclass
class Kept:
    """What a delivery held: rows that were known already, ids that are gone, and notes."""

    repeated: int = 0
    gone: int = 0
    notes: list[str] = field(default_factory=list)


def keep_changes(
    connection: duckdb.DuckDBPyConnection, table: str, ingested_at: datetime, received: str
) -> Kept:
    """Reduce the rows that were just loaded into raw.`table` to the changes since earlier ones.

    `received` is SQL that names all rows of the table, earlier ones included. Raises JobError for
    a delivery without any row.
    """
    key = ID[table]
    described = connection.execute(f"describe raw.{table}").fetchall()
    values = [row[0] for row in described if row[0] not in {*STAMPS, "version", "is_deleted"}]
    content = ", ".join(sql_name(name) for name in values)
    connection.execute(
        f"update raw.{table} set version = epoch_us(ingested_at) where ingested_at = $at",
        {"at": ingested_at},
    )
    connection.execute(
        f"create or replace temp table delivered as select row_id, {key}, "
        f"hash({content}) as content from raw.{table} where ingested_at = $at",
        {"at": ingested_at},
    )
    # each delivery would bring the forgotten again, as rows that are all alike
    connection.execute(
        f"delete from raw.{table} where ingested_at = $at and reject_reason = 'forgotten_user'",
        {"at": ingested_at},
    )
    (delivered,) = connection.execute("select count(*) from delivered").fetchall()[0]
    if not delivered:
        raise JobError(
            f"The new files of {table} hold no rows, but a full snapshot holds all of them.",
            next_step="replace the files, or set `delivery: append` in domain.yml.",
        )
    connection.execute(
        f"""
        create or replace temp table standing as
        select {key}, is_deleted, hash({content}) as content
        from {received} as earlier
        where ingested_at < $at and reject_reason is distinct from 'forgotten_user'
        qualify version is not distinct from max(version) over (partition by {key})
        """,
        {"at": ingested_at},
    )
    repeated = connection.execute(
        f"""
        delete from raw.{table} where ingested_at = $at and row_id in (
            select delivered.row_id from delivered
            inner join standing
                on delivered.{key} is not distinct from standing.{key}
                and delivered.content = standing.content
            where not coalesce(standing.is_deleted, false)
        )
        """,
        {"at": ingested_at},
    ).fetchall()[0][0]
    gone = connection.execute(
        f"""
        insert into raw.{table} (row_id, file_id, ingested_at, {key}, version, is_deleted)
        select
            files.first_free + row_number() over (order by missing.{key}),
            files.file_id, cast($at as timestamp), missing.{key},
            epoch_us(cast($at as timestamp)), true
        from (
            select distinct {key} from standing
            where not coalesce(is_deleted, false) and {key} is not null
            and {key} not in (select {key} from delivered where {key} is not null)
        ) as missing
        cross join (
            select
                max(file_id) as file_id,
                max(file_id) * 4294967296 + max(rows_read) + 1 as first_free
            from raw.files where table_name = '{table}' and ingested_at = $at
        ) as files
        """,
        {"at": ingested_at},
    ).fetchall()[0][0]
    connection.execute(
        f"""
        update raw.files set row_count = (
            select count(*) from raw.{table} as held where held.file_id = files.file_id
        )
        where table_name = '{table}' and ingested_at = $at
        """,
        {"at": ingested_at},
    )
    kept = Kept(repeated, gone)
    if repeated or gone:
        kept.notes.append(
            f"snapshot of {table}: {delivered:,} rows, {repeated:,} known, "
            f"{delivered - repeated:,} new or changed, {gone:,} gone"
        )
    return kept
