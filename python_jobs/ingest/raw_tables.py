"""The raw tables: their columns, and how mapped rows are appended to them."""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import sql_name
from python_jobs.ingest import persons, times
from python_jobs.ingest.columns import is_number
from python_jobs.ingest.domain import Domain

# The columns that every canonical table has. A domain may add others.
KEYS = {
    "users": {
        "user_id": "varchar",
        "signup_date": "date",
        "updated_at": "timestamp",
        "version": "double",
        "is_deleted": "boolean",
        "reject_reason": "varchar",
    },
    "events": {
        "event_id": "varchar",
        "user_id": "varchar",
        "event_time": "timestamp",
        "event_type": "varchar",
        "updated_at": "timestamp",
        "version": "double",
        "is_deleted": "boolean",
        "reject_reason": "varchar",
    },
    "identities": {"from_id": "varchar", "to_id": "varchar", "since": "timestamp"},
    "treatments": {
        "user_id": "varchar",
        "treated_at": "timestamp",
        "campaign": "varchar",
        "channel": "varchar",
        "outcome": "varchar",
        "note": "varchar",
        "by": "varchar",
        "contact_key": "varchar",
        "action": "varchar",
        "owner": "varchar",
        "snoozed_until": "date",
        "withdraws": "varchar",
    },
}
OPTIONAL = {
    *("updated_at", "version", "is_deleted", "reject_reason", "since"),
    *("channel", "outcome", "note", "by", "contact_key", "action", "owner", "snoozed_until"),
    "withdraws",
}
"""Columns that a mapping may leave out."""
FROM_THE_API = {"contact_key", "action", "owner", "snoozed_until", "withdraws"}
"""Columns of treatments that only the API's contacts fill."""
CHANGES = ("updated_at", "version", "is_deleted")
"""Columns that say how a row changes an earlier one; unreadable, they reject it."""
ACCOUNTING = "source_row"
"""With this column, the file's row_number, a view of the mapping may give several rows per row."""
TIMES = {"signup_date", "event_time", "updated_at", "treated_at", "since"}
# row_id combines the number of the file and of the row: unique, and increasing with arrival.
ROWS_PER_FILE = 2**32
STAMPS = {"row_id": "bigint", "file_id": "integer", "ingested_at": "timestamp"}


def loaded_files(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Return {domain, files}: each file of users, identities and events in the order of loading.

    A file is {table, name, sha256, rows, ingested_at}; what was read from a database has a name of
    its own. Treatments are left out, since models do not learn from them.
    """
    (domain,) = connection.execute("select name from raw.domain").fetchall()[0]
    names = ("table", "name", "sha256", "rows", "ingested_at")
    rows = connection.execute(
        "select table_name, name, sha256, row_count, ingested_at from raw.files "
        "where table_name <> 'treatments' order by file_id"
    ).fetchall()
    files = [dict(zip(names, row, strict=True)) for row in rows]
    return {
        "domain": domain,
        "files": [file | {"ingested_at": file["ingested_at"].isoformat()} for file in files],
    }


def create(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the raw tables that are missing, and add columns that older ones lack."""
    connection.execute("create schema if not exists raw")
    connection.execute("create table if not exists raw.domain (name varchar, settings varchar)")
    connection.execute("alter table raw.domain add column if not exists built_with varchar")
    connection.execute(
        """
        create table if not exists raw.files (
            file_id integer, table_name varchar, name varchar, sha256 varchar,
            size bigint, modified_ns bigint, row_count bigint, ingested_at timestamp
        )
        """
    )
    connection.execute("alter table raw.files add column if not exists rows_read bigint")
    persons.prepare(connection)
    connection.execute(
        """
        create table if not exists raw.identity_map (
            from_id varchar, valid_from timestamp, valid_to timestamp, user_id varchar,
            linked_at timestamp
        )
        """
    )
    connection.execute(
        "create table if not exists raw.cursors (place varchar, position varchar, "
        "ingested_at timestamp)"
    )
    for table, keys in KEYS.items():
        columns = ", ".join(f"{sql_name(name)} {kind}" for name, kind in (STAMPS | keys).items())
        connection.execute(f"create table if not exists raw.{table} ({columns})")
        unread = {f"{name}_unread": "varchar" for name in (*CHANGES, *TIMES) if name in keys}
        for name, kind in (keys | unread).items():
            connection.execute(
                f"alter table raw.{table} add column if not exists {sql_name(name)} {kind}"
            )


@dataclass(frozen=True)
class Append:
    """The statement that appends the mapping's view of a table to the raw table, file by file."""

    table: str
    columns: dict[str, str]
    """Name and SQL of each column, over the mapping's view."""
    counts_rows: bool
    source: str
    """SQL of that view."""

    def run(
        self, connection: duckdb.DuckDBPyConnection, file_id: int, ingested_at: datetime
    ) -> int:
        """Append the rows of the file that is shown; return how many."""
        rows: int = connection.execute(
            f"{self._insert()} select $first + row_number() over (), $file, "
            f"cast($at as timestamp), {', '.join(self.columns.values())} from {self.source}",
            {"file": file_id, "first": file_id * ROWS_PER_FILE, "at": ingested_at},
        ).fetchall()[0][0]
        return rows

    def run_at_once(
        self, connection: duckdb.DuckDBPyConnection, positions: str, ingested_at: datetime
    ) -> int:
        """Append the rows of all files that are shown; return how many.

        `positions` is SQL of path and position of each row, in the view's order; batch_files has
        the file_id of each path.
        """
        named = ", ".join(f"{text} as {sql_name(name)}" for name, text in self.columns.items())
        listed = ", ".join(f"mapped.{sql_name(name)}" for name in self.columns)
        rows: int = connection.execute(
            f"""
            {self._insert()}
            select
                files.file_id * {ROWS_PER_FILE} + mapped.position - files.first_row + 1,
                files.file_id,
                cast($at as timestamp),
                {listed}
            from (
                select * from (select {named} from {self.source}) as values_of_rows
                positional join ({positions}) as places
            ) as mapped
            inner join batch_files as files on mapped.path = files.path
            """,
            {"at": ingested_at},
        ).fetchall()[0][0]
        return rows

    def _insert(self) -> str:
        listed = ", ".join(sql_name(name) for name in self.columns)
        return f"insert into raw.{self.table} (row_id, file_id, ingested_at, {listed})"


def is_row_by_row(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    """Return True if a view of the mapping gives for each row one, in order, from its values alone.

    That is so where DuckDB's plan only computes values over a scan.
    """
    ((_, text),) = connection.execute(f"explain (format json) from temp.{table}").fetchall()
    waiting, operators = list(json.loads(text)), []
    while waiting:
        node = waiting.pop()
        operators.append(node["name"].strip())
        waiting += node.get("children", [])
    scans = [name for name in operators if name != "PROJECTION"]
    return len(scans) == 1 and scans[0].endswith(("SCAN", "READ_PARQUET"))


def prepare(
    connection: duckdb.DuckDBPyConnection, domain: Domain, table: str, given: dict[str, str]
) -> Append:
    """Return the statement for a view with the columns `given`; add columns that are new."""
    names = [*KEYS[table], *(n for n in given if n not in KEYS[table] and n != ACCOUNTING)]
    columns = {name: _canonical(table, name, given.get(name, "VARCHAR")) for name in names}
    zone = domain.vars.timezone
    moments = [name for name in columns if name in TIMES]
    selected = {n: _select(n, kind, given.get(n), zone) for n, kind in columns.items()}
    if "version" in columns and "version" not in given and "updated_at" in given:
        moment = _select("updated_at", "timestamp", given["updated_at"], zone)
        selected["version"] = f"cast(epoch_us({moment}) as double)"
    for name in moments:
        selected[f"{name}_unread"] = _unread(name, columns[name], given.get(name), zone)
        columns[f"{name}_unread"] = "varchar"
    for name, kind in (("version", "double"), ("is_deleted", "boolean")):
        if given.get(name) == "VARCHAR":
            text = sql_name(name)
            selected[f"{name}_unread"] = (
                f"case when try_cast({text} as {kind}) is null then {text} end"
            )
            columns[f"{name}_unread"] = "varchar"
    source = table
    if connection.execute("select count(*) from raw.forgotten").fetchall()[0][0]:
        selected = {n: _without_the_forgotten(text, n, table) for n, text in selected.items()}
        source = _marked(table)
    there = {row[0] for row in connection.execute(f"describe raw.{table}").fetchall()}
    for name in [name for name in columns if name not in there]:
        connection.execute(f"alter table raw.{table} add column {sql_name(name)} {columns[name]}")
    return Append(table, selected, ACCOUNTING in given, source)


OWNERS = {"identities": ("from_id", "to_id")}
"""Columns whose person a row may have to lose; user_id for all other tables."""


def _marked(table: str) -> str:
    """Return SQL of the mapping's view that says of each row whether it is of a forgotten person.

    Each id is hashed once.
    """
    marks = ", ".join(
        f"""coalesce(cast({owner} as varchar) in (
            select id from (select distinct cast({owner} as varchar) as id from {table})
            where person_hash(id) in (select person_hash from raw.forgotten)
        ), false) as {sql_name(f"forgotten {owner}")}"""
        for owner in OWNERS.get(table, ("user_id",))
    )
    return f"(select *, {marks} from {table})"


def _without_the_forgotten(selected: str, name: str, table: str) -> str:
    """Return the column's SELECT entry, of which a forgotten person's row keeps nothing.

    Its reject_reason becomes `forgotten_user`. A link of ids loses the ids that are forgotten.
    """
    owners = OWNERS.get(table, ("user_id",))
    mark = sql_name(f"forgotten {name if name in owners else owners[0]}")
    kept = "'forgotten_user'" if name == "reject_reason" else "null"
    return f"case when {mark} then {kept} else {selected} end"


def _canonical(table: str, name: str, given: str) -> str:
    """Return the column's type in raw: the canonical one if there is one, else number or text."""
    return KEYS[table].get(name) or ("double" if is_number(given) else "varchar")


def _select(name: str, kind: str, given: str | None, zone: str) -> str:
    if given is None:
        return f"cast(null as {kind})"
    if name in TIMES:
        return times.read(sql_name(name), kind, given, zone)
    if name == "reject_reason":
        return f"nullif(trim(cast({sql_name(name)} as varchar)), '')"
    if kind in ("double", "boolean") and given == "VARCHAR":
        return f"try_cast({sql_name(name)} as {kind})"
    return f"cast({sql_name(name)} as {kind})"


def _unread(name: str, kind: str, given: str | None, zone: str) -> str:
    """Return SQL for the original text of an unreadable time, for the rejected tables."""
    if given != "VARCHAR":
        return "cast(null as varchar)"
    column = sql_name(name)
    return f"case when {times.read(column, kind, given, zone)} is null then {column} end"


@dataclass(frozen=True)
class FilledBy:
    """The domain that fills a warehouse, and the release that last did."""

    domain: str
    release: str


def filled_by(connection: duckdb.DuckDBPyConnection) -> FilledBy:
    """Return who fills this warehouse. Raises JobError if nothing was ingested yet."""
    row = connection.execute("select name, settings from raw.domain").fetchone()
    if row is None:
        raise JobError("Nothing was ingested yet.", next_step="run `churnhouse ingest`.")
    return FilledBy(row[0], json.loads(row[1]).get("product_version", "0"))


def check_release(connection: duckdb.DuckDBPyConnection) -> None:
    """Raise JobError if a newer release than the installed one filled the warehouse."""
    try:
        release = filled_by(connection).release
    except (duckdb.CatalogException, duckdb.BinderException, JobError):
        return  # nothing was ingested
    installed = version("churnhouse")
    if _numbers(release) > _numbers(installed):
        raise JobError(
            f"Release {release} filled this warehouse; this is {installed}, which may misread it.",
            next_step=f"install {release} again, or restore a backup of before.",
        )


def _numbers(release: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", release)[:3]]


def remember_domain(connection: duckdb.DuckDBPyConnection, domain: Domain) -> bool:
    """Store which domain fills this warehouse; return True if the next build starts from scratch.

    Raises JobError if another domain fills it already.
    """
    row = connection.execute("select name, settings, built_with from raw.domain").fetchone()
    if row and row[0] != domain.name:
        raise JobError(
            f"This warehouse was filled by domain {row[0]!r}, not {domain.name!r}.",
            next_step=f"set CHURNHOUSE_HOME to another folder, or use --domain {row[0]}.",
        )
    if row:
        _check_zone(connection, domain, json.loads(row[1] or "{}").get("timezone", "UTC"))
    known = (domain.name, domain.settings_json, domain.built_with_json)
    if row != known:
        connection.execute("delete from raw.domain")
        connection.execute("insert into raw.domain values (?, ?, ?)", known)
        if row:
            _add_declared_columns(connection, domain)
    return row is not None and row[2] != known[2]


def _check_zone(connection: duckdb.DuckDBPyConnection, domain: Domain, before: str) -> None:
    """Raise JobError if rows are loaded whose times may have been read in another zone."""
    zone = domain.vars.timezone
    query = "select count(*) from raw.files where table_name in ('users', 'events')"
    if zone != before and connection.execute(query).fetchall()[0][0]:
        raise JobError(
            f"{domain.folder / 'domain.yml'}: timezone is {zone}, but times without an offset were "
            f"read as those of {before} when the rows were loaded.",
            next_step=f"set it back to {before}; or move warehouse.duckdb away and run "
            "`churnhouse run`, which loads all files anew.",
        )


def _add_declared_columns(connection: duckdb.DuckDBPyConnection, domain: Domain) -> None:
    """Add the columns that domain.yml declares and raw does not have yet; old rows get NULL.

    Without them, every build would fail until a file with these columns arrives.
    """
    vars_ = domain.vars
    texts = {n for s in domain.files.events for n, c in s.columns.items() if c.type == "text"}
    measured = {m.column for m in vars_.measures if m.column}
    measured |= vars_.checks.keys() - set(vars_.attributes)
    declared = [("users", name, "varchar") for name in vars_.attributes]
    for name in sorted(measured):
        declared.append(("events", name, "varchar" if name in texts else "double"))
    for table, name, kind in declared:
        connection.execute(
            f"alter table raw.{table} add column if not exists {sql_name(name)} {kind}"
        )


def derived_users(domain: Domain, given: dict[str, str]) -> str:
    """Return SQL of the view `users` for a domain that derives users from the view `events`.

    `given` are the columns of `events`; attributes come from the newest event that has them.
    """
    moment = times.read("event_time", "timestamp", given["event_time"], domain.vars.timezone)
    attributes = "".join(
        f", arg_max({sql_name(name)}, {moment}) as {sql_name(name)}"
        for name in domain.vars.attributes
        if name in given
    )
    rejected = "where user_id is not null"
    if "reject_reason" in given:
        rejected += " and reject_reason is null"
    first = f"timezone('UTC', min({moment}))"
    return (
        f"create or replace temp view users as select user_id, {first} as signup_date, "
        f"{first} as updated_at{attributes} from events {rejected} group by user_id "
        "order by user_id"
    )
