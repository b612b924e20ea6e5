"""Load the contacts that the API kept as rows of raw.treatments."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import sql_name
from python_jobs.ingest.raw_tables import ROWS_PER_FILE
from python_jobs.publication import contacts


def load(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    *,
    ingested_at: datetime,
    received: Callable[[str], str] = str,
) -> int:
    """Append the contacts in `folder` that raw.treatments lacks, as one load; return how many.

    `ingested_at` is UTC; a contact that a clock ahead stamped later happened then. `received`
    returns SQL that names all rows of a raw table. Contacts of forgotten people are removed. Raises
    JobError for a file that is damaged.
    """
    contacts.sweep(folder, now=ingested_at.replace(tzinfo=UTC))
    connection.execute(
        "create or replace temp table kept_contacts "
        f"({', '.join(f'{sql_name(name)} {kind}' for name, kind in contacts.FIELDS.items())})"
    )
    rows = [[contact[name] for name in contacts.FIELDS] for contact in read_all(folder)]
    if rows:
        marks = ", ".join("?" * len(contacts.FIELDS))
        connection.executemany(f"insert into kept_contacts values ({marks})", rows)
    gone = connection.execute(
        "select list(distinct user_id) from kept_contacts"
        " where person_hash(user_id) in (select person_hash from raw.forgotten)"
    ).fetchall()[0][0]
    if gone:
        connection.execute("delete from kept_contacts where list_contains(?, user_id)", [gone])
        contacts.remove(folder, gone)
    connection.execute(
        f"delete from kept_contacts where contact_key in"
        f" (select contact_key from {received('raw.treatments')} where contact_key is not null)"
    )
    (new, digest) = connection.execute(
        "select count(*), sha256(coalesce(string_agg(contact_key order by contact_key), ''))"
        " from kept_contacts"
    ).fetchall()[0]
    if new:
        query = "select coalesce(max(file_id), 0) from raw.files"
        (last,) = connection.execute(query).fetchall()[0]
        listed = ", ".join(sql_name(name) for name in contacts.FIELDS)
        taken = listed.replace('"treated_at"', 'least("treated_at", $at)')
        connection.execute(
            f"insert into raw.treatments (row_id, file_id, ingested_at, {listed})"
            f" select $file * {ROWS_PER_FILE} + row_number() over (order by contact_key), $file,"
            f" $at, {taken} from kept_contacts",
            {"file": last + 1, "at": ingested_at},
        )
        connection.execute(
            """
            insert into raw.files (
                file_id, table_name, name, sha256, size, modified_ns, row_count, rows_read,
                ingested_at
            )
            values ($file, 'treatments', $name, $sha256, 0, 0, $rows, $rows, $at)
            """,
            {
                "file": last + 1,
                "name": f"contacts of {ingested_at:%Y-%m-%d %H:%M}",
                "sha256": digest,
                "rows": new,
                "at": ingested_at,
            },
        )
    return int(new)


def read_all(folder: Path) -> list[dict[str, Any]]:
    """Return all contacts of a folder. Raises JobError for a file that is damaged."""
    found = []
    for path in contacts.files(folder):
        try:
            found.append(contacts.read(path))
        except (OSError, ValueError):
            raise JobError(
                f"The contact {path} cannot be read.",
                next_step="restore it from the backup, or move it away, and run again.",
            ) from None
    return found
