"""What a build will reject of the rows just loaded: counts by reason, with a sample value.

The checks are those of models/intermediate/int_events_read.sql; a test holds the two equal.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import sql_name, sql_text
from python_jobs.ingest.domain import Domain, placeholder_ids
from python_jobs.ingest.schema import Check, Vars, guess, seeded_event_types

UNREAD = "coalesce(updated_at_unread, version_unread, is_deleted_unread)"
LARGEST = 1e14
"""Amounts from here on do not fit decimal(18, 4)."""
NOISE = 1e-12
"""Amounts below are rounding errors of floating point numbers, not amounts."""


@dataclass(frozen=True)
class Rejected:
    """Rows of a table that a build will reject for one reason, and one value that shows why."""

    table: str
    reason: str
    rows: int
    sample: str | None


def rejected(
    connection: duckdb.DuckDBPyConnection, domain: Domain, after_file: int
) -> list[Rejected]:
    """Return the rejected rows of files after `after_file`, the commonest reason first.

    Repeats and unknown users are not counted: they depend on rows of other loads.
    """
    found = []
    is_there = f"not coalesce(is_deleted, false) or {UNREAD} is not null"
    for table, checks, counted in (
        ("users", user_checks(domain.vars), is_there),
        ("events", event_checks(domain), is_there),
        ("treatments", treatment_checks(domain.vars), "true"),
    ):
        whens = "\n".join(f"when {test} then {n}" for n, (_, test, _) in enumerate(checks))
        samples = "\n".join(
            f"when {n} then cast({sample} as varchar)" for n, (_, _, sample) in enumerate(checks)
        )
        rows = connection.execute(
            f"""
            select which, count(*), any_value(sample)
            from (
                select which, left(case which {samples} end, 60) as sample
                from (
                    select *, case {whens} end as which
                    from raw.{table}
                    where file_id > ? and ({counted})
                )
                where which is not null
            )
            group by which
            """,
            [after_file],
        ).fetchall()
        for which, count, sample in rows:
            name = checks[which][0]
            if name is None:  # the mapping's own reason
                found += [
                    Rejected(table, reason, n, None)
                    for reason, n in connection.execute(
                        f"select reject_reason, count(*) from (select *, case {whens} end as which "
                        f"from raw.{table} where file_id > ?) where which = ? group by 1",
                        [after_file, which],
                    ).fetchall()
                ]
            else:
                found.append(Rejected(table, name, count, sample))
    return sorted(found, key=lambda one: (-one.rows, one.table, one.reason))


def event_checks(domain: Domain) -> list[tuple[str | None, str, str]]:
    """Return the checks of an event row in order: reason, SQL of the failure, SQL of a sample.

    A reason of None is the mapping's own reject_reason.
    """
    vars_ = domain.vars
    tolerance = f"interval '{vars_.arrival_tolerance_minutes}' minute"
    checks: list[tuple[str | None, str, str]] = [
        ("unreadable_version", f"{UNREAD} is not null", UNREAD),
        ("forgotten_user", "reject_reason = 'forgotten_user'", "null"),
        (
            "missing_event_id",
            "event_id is null or (event_id < '!' and trim(event_id) = '')",
            "event_id",
        ),
        ("missing_user_id", _is_nobody("raw.events"), "user_id"),
        ("unreadable_event_time", "event_time is null", "event_time_unread"),
        ("event_time_before_first_day", _is_early("event_time", vars_), "event_time"),
        ("event_time_after_arrival", f"event_time > ingested_at + {tolerance}", "event_time"),
        (None, "reject_reason is not null", "reject_reason"),
    ]
    names = {row for m in vars_.measures if (row := m.column)}
    names |= {name for name in vars_.checks if name not in vars_.attributes}
    for name in sorted(names):
        value = sql_name(name)
        number = f"try_cast({value} as double)"
        checks.append(
            (
                f"{name}_not_a_number",
                f"coalesce(not isfinite({number}), {value} is not null)",
                value,
            )
        )
        broken = [f"{value} is not null and coalesce(abs({number}) >= {LARGEST}, true)"]
        if name in vars_.checks:
            broken.append(_is_out(number, vars_.checks[name]))
        checks.append((f"{name}_out_of_range", " or ".join(f"({b})" for b in broken), value))
    types = ", ".join(sql_text(name) for name in list(vars_.event_types) or seeded_event_types())
    checks.append(
        ("unknown_event_type", f"event_type is null or event_type not in ({types})", "event_type")
    )
    return checks


def user_checks(vars_: Vars) -> list[tuple[str | None, str, str]]:
    """Return the checks of a user record in order, as event_checks does."""
    checks: list[tuple[str | None, str, str]] = [
        ("forgotten_user", "reject_reason = 'forgotten_user'", "null"),
        ("missing_user_id", is_placeholder("user_id"), "user_id"),
        ("unreadable_updated_at", f"{UNREAD} is not null", UNREAD),
        (None, "reject_reason is not null", "reject_reason"),
    ]
    if not vars_.users_from_events:
        checks += [
            ("unreadable_signup_date", "signup_date is null", "signup_date_unread"),
            ("signup_before_first_day", _is_early("signup_date", vars_), "signup_date"),
        ]
    return checks


def treatment_checks(vars_: Vars) -> list[tuple[str | None, str, str]]:
    """Return the checks of a treatment in order, as models/staging/stg_raw__treatments.sql."""
    tolerance = f"interval '{vars_.arrival_tolerance_minutes}' minute"
    return [
        ("missing_user_id", "user_id is null or trim(user_id) = ''", "user_id"),
        ("unreadable_treated_at", "treated_at is null", "treated_at_unread"),
        ("treated_at_before_first_day", _is_early("treated_at", vars_), "treated_at"),
        ("treated_at_after_arrival", f"treated_at > ingested_at + {tolerance}", "treated_at"),
    ]


def is_placeholder(column: str) -> str:
    """Return SQL that is true for an id that names nobody."""
    words = ", ".join(sql_text(word) for word in placeholder_ids())
    return f"{column} is null or trim({column}) = '' or lower(trim({column})) in ({words})"


def _is_nobody(table: str) -> str:
    """Return the same for rows of a large table: ids are compared once each."""
    return (
        "user_id is null or user_id in (select user_id from "
        f"(select distinct user_id from {table}) as ids where {is_placeholder('user_id')})"
    )


def _is_early(column: str, vars_: Vars) -> str:
    if vars_.first_day:
        return f"{column} < date '{vars_.first_day}'"
    return f"{column} < ingested_at - interval '3653' day"


def _is_out(value: str, check: Check) -> str:
    broken = []
    if check.min is not None:
        broken.append(f"{value} < {check.min}")
    if check.max is not None:
        broken.append(f"{value} > {check.max}")
    if check.above is not None:
        broken.append(f"{value} <= {check.above}")
    if check.only_on:
        types = ", ".join(sql_text(name) for name in check.only_on)
        return f"event_type in ({types}) and ({' or '.join([*broken, f'{value} is null'])})"
    return " or ".join(broken) or "false"


def check_scales(connection: duckdb.DuckDBPyConnection, domain: Domain, after_file: int) -> None:
    """Raise JobError if a measure's scale would turn an amount of the new rows into zero."""
    for measure in domain.vars.measures:
        if not measure.column:
            continue
        amount = f"abs(try_cast({sql_name(measure.column)} as double))"
        least: Any = connection.execute(
            f"select min({amount}) from raw.events where file_id > ? and isfinite({amount}) "
            f"and {amount} >= {NOISE} and {amount} < {0.5 * 10.0**-measure.scale}",
            [after_file],
        ).fetchall()[0][0]
        if least is not None:
            needed = next(
                (
                    n
                    for n in range(16)
                    if round(least, n) and abs(round(least, n) - least) <= least / 100
                ),
                15,
            )
            raise JobError(
                f"measure {measure.name!r} keeps {measure.scale} decimals of column "
                f"{measure.column!r}, so {least:g} would become 0.",
                next_step=f"add `scale: {needed}` to the measure in domain.yml.",
            )


def notes(connection: duckdb.DuckDBPyConnection, domain: Domain, after_file: int) -> list[str]:
    """Return what the new rows suggest about the domain's settings."""
    hours = connection.execute(
        "select max(date_diff('minute', ingested_at, event_time)) / 60 from raw.events "
        "where file_id > ?",
        [after_file],
    ).fetchall()[0][0]
    vars_ = domain.vars
    if hours is None or hours * 60 <= vars_.arrival_tolerance_minutes or hours > 24:
        return []
    return [
        f"times are up to {hours:.1f} hours ahead of their arrival: if they are local times, "
        f"set `timezone` in domain.yml (now {vars_.timezone})"
    ]


def unknown_contacts(
    connection: duckdb.DuckDBPyConnection,
    domain: Domain,
    after_file: int,
    received: Callable[[str], str],
) -> list[str]:
    """Return a note if contacts of files after `after_file` are of users whom no row names.

    `received` returns SQL that names all rows of a raw table.
    """
    tables = ["users", *(["events"] if domain.vars.users_from_events else [])]
    known = " union all ".join(f"select user_id from {received(f'raw.{t}')}" for t in tables)
    ((rows, sample),) = connection.execute(
        f"""
        with contacted as (
            select user_id from raw.treatments where file_id > ? and trim(user_id) <> ''
        )
        select count(*), min(user_id)
        from contacted
        where user_id not in (
            select user_id from ({known} union all select from_id from raw.identity_map)
            where user_id in (select user_id from contacted)
        )
        """,
        [after_file],
    ).fetchall()
    if not rows:
        return []
    return [
        f"{rows:,} contacts are of users whom no other row names, for example {sample!r}: they keep"
        " nobody off the list"
    ]


def check_exclude(connection: duckdb.DuckDBPyConnection, domain: Domain) -> None:
    """Raise JobError for a condition of `exclude` that the columns of users do not allow."""
    for name, condition in domain.vars.exclude.items():
        if isinstance(condition, str):
            try:
                connection.execute(
                    f"select count(*) filter ({condition}) from raw.users where {condition}"
                )
            except duckdb.Error as error:
                raise JobError(
                    f"{domain.folder / 'domain.yml'}: exclude.{name} does not run: "
                    f"{str(error).splitlines()[0]}.",
                    next_step="correct the condition; it may use the columns of users.",
                ) from None


def check_lists(connection: duckdb.DuckDBPyConnection, domain: Domain) -> None:
    """Raise JobError for SQL of `value` or `list` that user_features_latest does not allow.

    The table need not be there yet: its columns follow from the settings and from users.
    """
    vars_ = domain.vars
    users = {name: kind for name, kind, *_ in connection.execute("describe raw.users").fetchall()}
    columns = {"user_id": "varchar", "as_of_date": "date", "is_eligible": "boolean"}
    columns |= {name: users[name] for name in vars_.attributes}
    columns |= dict.fromkeys(("days_since_last_activity", "tenure_days"), "integer")
    columns |= dict.fromkeys(vars_.features, "double")
    typed = ", ".join(f"cast(null as {kind}) as {sql_name(n)}" for n, kind in columns.items())
    table = f"with features as (select {typed})"  # one row, so that all is computed
    # twice, so that neither parentheses nor a comment can end the expression
    for key, sql, query in (
        (
            "value.sql",
            vars_.value.sql,
            "select user_id, cast(({0}) as double), ({0}) from features",
        ),
        ("list.where", vars_.list.where, "select user_id, ({0}) from features where {0}"),
    ):
        if sql is None:
            continue
        try:
            connection.execute(f"{table} {query.format(sql)}")
        except duckdb.Error as error:
            what = str(error).splitlines()[0]
            unknown = re.search('column "([^"]+)" not found', what)
            hint = guess(unknown[1], [*columns]) if unknown else ""
            raise JobError(
                f"{domain.folder / 'domain.yml'}: {key} does not run: {what}{hint}.",
                next_step="correct it; it may use the columns of user_features_latest, such as "
                f"{', '.join([*columns][3:8])}.",
            ) from None
