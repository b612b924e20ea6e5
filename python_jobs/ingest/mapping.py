"""Run a domain's mapping, and check the columns that it gives."""

import re

import duckdb

from python_jobs.errors import JobError
from python_jobs.ingest import columns, raw_tables
from python_jobs.ingest.domain import Domain
from python_jobs.ingest.raw_tables import KEYS, OPTIONAL
from python_jobs.ingest.sources import RawFiles


def mapped(
    connection: duckdb.DuckDBPyConnection,
    domain: Domain,
    source: RawFiles,
    table: str,
    *,
    keep_view: bool = False,
) -> dict[str, dict[str, str]]:
    """Run the mapping of a source; return the columns with types of each view that it fills.

    With `keep_view` the view `<table>_file` stays as it is. Raises JobError if a view or a column
    is missing, or one is given that nothing takes.
    """
    where = domain.folder / source.mapping
    for other, sources in domain.files.by_table().items():
        made = connection.execute(
            "select 1 from duckdb_tables() where database_name = 'temp' and table_name = ?", [other]
        ).fetchall()
        if made:
            raise JobError(
                f"{where} makes a table {other!r}, not a view.",
                next_step=f"write `create or replace temp view {other} as select ...`.",
            )
        connection.execute(f"drop view if exists temp.{other}")
        if other == table and keep_view:
            continue
        same = [s for s in sources if s.mapping == source.mapping] or sources
        declared = source.columns if other == table else same[0].columns if same else {}
        columns.make_empty_view(connection, other, declared)
    try:
        connection.execute(domain.mapping(source))
    except duckdb.Error as error:
        line = " ".join(str(error).split("\n\n")[0].split())
        raise JobError(
            f"{where} does not run: {line}.", next_step=f"correct {source.mapping} and run again."
        ) from None
    by_table = domain.files.by_table()
    allowed = {other for other, sources in by_table.items() if sources}
    allowed |= {"users"} if domain.vars.users_from_events else set()
    for other in by_table.keys() - allowed:
        if _columns_of(connection, other):
            raise JobError(
                f"{where} makes a view {other!r}, but domain.yml names no files of {other}.",
                next_step=f"add files.{other} to domain.yml, or take the view out.",
            )
    given = {table: _columns_of(connection, table)}
    if not given[table]:
        raise JobError(
            f"{where} makes no temp view {table!r}.",
            next_step=f"add `create or replace temp view {table} as select ...` to it.",
        )
    _check_columns(domain, source, table, given[table])
    if table == "events" and domain.vars.users_from_events:
        if not _columns_of(connection, "users"):
            connection.execute(raw_tables.derived_users(domain, given[table]))
        given["users"] = _columns_of(connection, "users")
        _check_columns(domain, source, "users", given["users"])
    return given


def used_columns(domain: Domain, table: str) -> set[str]:
    """Return the columns of a table that the product, a setting or a condition uses."""
    vars_ = domain.vars
    used = {*KEYS[table], raw_tables.ACCOUNTING}
    conditions = " ".join(c for c in vars_.exclude.values() if isinstance(c, str))
    if table == "users":
        used |= {*vars_.attributes, *re.findall(r"\w+", conditions)}
    elif table == "events":
        used |= {m.column for m in vars_.measures if m.column} | vars_.checks.keys()
        used |= set(vars_.attributes) if vars_.users_from_events else set()
    return used


def _columns_of(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    """Return the columns of the mapping's view with their types; {} if there is none."""
    described = connection.execute(
        "select column_name, data_type from duckdb_columns() "
        "where database_name = 'temp' and table_name = ? order by column_index",
        [table],
    ).fetchall()
    return dict(described)


def _check_columns(domain: Domain, source: RawFiles, table: str, given: dict[str, str]) -> None:
    """Raise JobError for a column that the domain needs and a view lacks, or that nothing takes."""
    vars_, where = domain.vars, domain.folder / source.mapping
    needed = {name: "every domain" for name in KEYS[table] if name not in OPTIONAL}
    if table == "users":
        needed |= {name: "attributes" for name in vars_.attributes}
        if vars_.users_from_events:
            needed.pop("signup_date")
    elif table == "events":
        several = len(domain.files.events) > 1  # a source may lack the columns of others
        measured = {name: "checks" for name in vars_.checks if name not in vars_.attributes}
        measured |= {m.column: f"measure {m.name!r}" for m in vars_.measures if m.column}
        needed |= {} if several else measured
    if given.get("reject_reason", "VARCHAR") not in ("VARCHAR", "INTEGER"):
        raise JobError(
            f"{where} gives {table} a reject_reason that is no text.",
            next_step="give NULL for a row that counts, and a word for one that does not.",
        )
    for name, by in needed.items():
        if name not in given:
            raise JobError(
                f"{where} gives {table} no column {name!r}, which {by} needs.",
                next_step=f"add the column to {source.mapping}, or correct domain.yml.",
            )
    if table in ("identities", "treatments"):
        known = {*KEYS[table], raw_tables.ACCOUNTING} - raw_tables.FROM_THE_API
        if extra := sorted(set(given) - known):
            raise JobError(
                f"{where} gives {table} a column {extra[0]!r} that nothing takes.",
                next_step=f"take it out; {table} has "
                f"{', '.join(name for name in KEYS[table] if name in known)}.",
            )
