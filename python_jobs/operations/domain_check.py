"""Check a domain against its data before any long run: what is read, and what it is enough for."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb

from python_jobs.files import sql_text
from python_jobs.ingest import activity, git_log, preview
from python_jobs.ingest.domain import Domain
from python_jobs.ingest.load import ingest
from python_jobs.settings import Settings
from python_jobs.training.history import Plan, missing_days, plan_that_fits, training_dates
from python_jobs.warehouse.build_notes import spans
from python_jobs.warehouse.connection import connect

LEAST_CHURNERS = 50
"""With fewer churners among the sampled rows, a model has little to learn from."""


@dataclass
class Report:
    """What a domain's data hold. `problems` are pairs of what is wrong and what to do."""

    rows: dict[str, int]
    rejected: list[preview.Rejected]
    notes: list[str]
    first_day: date | None = None
    last_day: date | None = None
    unknown: list[date] = field(default_factory=list)
    users: int = 0
    dates: list[tuple[date, int, float]] = field(default_factory=list)
    """as_of_date, eligible users, base rate."""
    silences: list[activity.Silence] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)

    @property
    def churners(self) -> int:
        """Return the sampled rows whose user churned."""
        return sum(round(users * rate) for _, users, rate in self.dates)


@contextmanager
def loaded(domain: Domain, folder: Path, *, now: datetime) -> Iterator[tuple[Any, Any]]:
    """Yield a database of its own with the domain's raw rows, and what the load did."""
    with (
        tempfile.TemporaryDirectory(prefix="churnhouse-check-") as work,
        duckdb.connect(str(Path(work) / "check.duckdb")) as connection,
    ):
        connection.execute("set TimeZone = 'UTC'")
        if any(source.reader == "git_log" for source in domain.files.events):
            folder = git_log.export(folder, Path(work) / "raw")
        yield connection, ingest(connection, domain, folder, now=now)


def examine(settings: Settings, domain: Domain, folder: Path, *, now: datetime) -> Report:
    """Load the domain's files into a database of their own, and report on them.

    Raises JobError for what `churnhouse ingest` would refuse.
    """
    with loaded(domain, folder, now=now) as (connection, done):
        report = Report(done.rows, done.rejected, done.notes)
        activity.make_days(connection, domain)
        report.notes += _alike(connection)
        if not domain.vars.users_from_events:
            report.rejected += _without_user(connection, domain)
        _days(connection, domain, report, now)
        report.silences = activity.silences(connection)
    _judge(domain, report)
    return report


def _alike(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Return a note if ids of active users differ only in how they are written."""
    people, samples = connection.execute(
        r"""
        select count(*), min(ids) from (
            select list(distinct user_id order by user_id) as ids from active_days
            group by regexp_replace(lower(trim(user_id)), '^0*(\d+)(\.0+)?$', '\1')
            having count(distinct user_id) > 1
        )
        """
    ).fetchall()[0]
    if not people:
        return []
    return [
        f"{people:,} ids differ from another only in case, blanks, leading zeros or a final .0, "
        f"such as {' and '.join(map(repr, samples[:2]))}, and count as users of their own; if they "
        "are one person, give them one spelling as user_id in ingest.sql, such as lower(trim(...))"
    ]


def silences(
    settings: Settings, domain: Domain | None, folder: Path, *, now: datetime
) -> list[activity.Silence]:
    """Return how many silent users came back, by days of silence.

    With a domain its files are read, else the warehouse's accepted events.
    """
    if domain is not None:
        with loaded(domain, folder, now=now) as (connection, _):
            activity.make_days(connection, domain)
            return activity.silences(connection)
    with connect(settings, read_only=True) as connection:
        return activity.silences(
            connection,
            "(select distinct user_id, event_date as day from main.accepted_events "
            "where is_activity)",
        )


def _without_user(connection: duckdb.DuckDBPyConnection, domain: Domain) -> list[preview.Rejected]:
    """Take out of active_days who is no user, is excluded, or had not signed up yet.

    Returns the events of unknown users, as models/intermediate/int_events_to_validate.sql has them.
    """
    vars_ = domain.vars
    failed = " or ".join(f"coalesce({test}, false)" for _, test, _ in preview.user_checks(vars_))
    tests = vars_.exclude.values()
    excluded = [f"({test})" for test in tests if isinstance(test, str)]
    ids = [sql_text(user) for test in tests if not isinstance(test, str) for user in test]
    connection.execute(
        f"""
        create temp table checked_users as
        with records as (
            select
                coalesce(map.user_id, users.user_id) as user_id,
                signup_date,
                coalesce(is_deleted, false) as is_deleted,
                is_excluded,
                row_number() over (
                    partition by coalesce(map.user_id, users.user_id)
                    order by
                        map.user_id is null desc,
                        coalesce(version, epoch_us(coalesce(updated_at, ingested_at))) desc,
                        row_id desc
                ) as place
            from (
                select *, coalesce({" or ".join(excluded) or "false"}, false) as is_excluded
                from raw.users
                where not ({failed}) or coalesce(is_deleted, false)
            ) as users
            left join raw.identity_map as map
                on users.user_id = map.from_id
                and coalesce(updated_at, ingested_at) >= valid_from
                and coalesce(updated_at, ingested_at) < valid_to
        )
        select
            user_id, signup_date,
            is_excluded or user_id in ({", ".join(ids) or "null"}) is true as is_excluded
        from records
        where place = 1 and not is_deleted
        """
    )
    event_failed = " or ".join(
        f"coalesce({test}, false)" for _, test, _ in preview.event_checks(domain)
    )
    ((rows, sample),) = connection.execute(
        f"""
        select count(*), min(coalesce(map.user_id, events.user_id))
        from (
            from raw.events where not ({event_failed}) and not coalesce(is_deleted, false)
        ) as events
        left join raw.identity_map as map
            on events.user_id = map.from_id
            and event_time >= valid_from and event_time < valid_to
        where coalesce(map.user_id, events.user_id) not in (select user_id from checked_users)
        """
    ).fetchall()
    connection.execute(
        """
        create or replace temp table active_days as
        select active_days.*
        from active_days
        inner join checked_users using (user_id)
        where day >= signup_date and not is_excluded
        """
    )
    return [preview.Rejected("events", "unknown_user", rows, sample)] if rows else []


def _days(
    connection: duckdb.DuckDBPyConnection, domain: Domain, report: Report, now: datetime
) -> None:
    vars_ = domain.vars
    report.users, report.first_day, report.last_day = connection.execute(
        "select count(distinct user_id), min(day), max(day) from active_days"
    ).fetchall()[0]
    if report.first_day is None:
        return
    named = ", ".join(f"date '{day}'" for day in vars_.unknown_days) or "null::date"
    expected = ", ".join(map(str, vars_.expected_weekdays))
    usual = f"isodow(day) in ({expected})" if expected else "share > 0.5"
    silent = f"(not is_there and {usual})" if vars_.silent_days == "unknown" else "false"
    report.unknown = [
        row[0]
        for row in connection.execute(
            f"""
            with days as (
                select cast(unnest(
                    generate_series(min(day), max(day), interval 1 day)
                ) as date) as day
                from active_days
            ),
            seen as (
                select day, day in (select day from active_days) as is_there from days
            ),
            shares as (
                select *, avg(cast(is_there as int)) over (partition by isodow(day)) as share
                from seen
            )
            select day from shares where day in ({named}) or {silent} order by day
            """
        ).fetchall()
    ]
    plan = plan_of(domain)
    listed = ", ".join(sql_text(day) for day in report.unknown) or "null"
    report.dates = connection.execute(
        f"""
        with dates as (
            select cast(unnest(generate_series(
                (select min(day) from active_days) + interval '{plan.windows[0] - 1} days',
                (select max(day) from active_days) - interval '{vars_.churn_horizon_days} days',
                interval 1 day
            )) as date) as as_of_date
        ),
        sampled as (
            select as_of_date from dates
            where (as_of_date - date '1970-01-01' + 4) % {vars_.training_every_days} = 0
            and not exists (
                select 1 from (select unnest([{listed}])::date as day) as unknown
                where unknown.day > as_of_date
                and unknown.day <= as_of_date + {vars_.churn_horizon_days}
            )
        ),
        eligible as (
            select as_of_date, user_id
            from sampled
            inner join active_days
                on day > as_of_date - {vars_.eligibility_days} and day <= as_of_date
            group by all
        )
        select as_of_date, count(*), avg(case when later.user_id is null then 1 else 0 end)
        from eligible
        left join (
            select distinct as_of_date, user_id
            from sampled
            inner join active_days
                on day > as_of_date and day <= as_of_date + {vars_.churn_horizon_days}
        ) as later using (as_of_date, user_id)
        group by as_of_date
        order by as_of_date
        """
    ).fetchall()
    known = [
        (day, (day - report.first_day).days + 1 - sum(d <= day for d in report.unknown))
        for day, _, _ in report.dates
        if report.first_day
    ]
    trained_on = set(training_dates(known, plan))
    report.dates = [row for row in report.dates if row[0] in trained_on]


def plan_of(domain: Domain) -> Plan:
    """Return the settings of a domain that decide how much history is needed."""
    windows, horizon = domain.vars.feature_windows_days, domain.vars.churn_horizon_days
    return Plan(tuple(windows), horizon, domain.vars.training_every_days)


def _judge(domain: Domain, report: Report) -> None:
    """Add the problems that the figures show, each with what to do."""
    vars_ = domain.vars
    events = report.rows["events"]
    rejected = sum(one.rows for one in report.rejected if one.table == "events")
    if not events:
        report.problems.append(("no rows were read", "look at the files and at `path`."))
        return
    if rejected > vars_.max_rejected_share * events:
        report.problems.append(
            (
                f"{rejected / events:.1%} of the events are rejected, "
                f"{vars_.max_rejected_share:.1%} are allowed",
                "correct the mapping, or raise max_rejected_share.",
            )
        )
    if report.first_day is None or report.last_day is None:
        report.problems.append(
            ("no event makes a user active", "look at the rejected rows and at event_types.")
        )
        return
    plan = plan_of(domain)
    missing = missing_days(plan, report.first_day, report.last_day, len(report.unknown))
    if missing:
        fits = plan_that_fits(plan, report.first_day, report.last_day, len(report.unknown))
        report.problems.append(
            (
                f"history is too short: {missing} days are missing for one training and one test "
                "date",
                f"wait, load older data, or set {fits}." if fits else "load more days of events.",
            )
        )
    stayers = sum(users for _, users, _ in report.dates) - report.churners
    if report.dates and min(report.churners, stayers) < LEAST_CHURNERS:
        report.problems.append(
            (
                f"only {report.churners:,} churned and {stayers:,} stayed among all sampled rows",
                "choose another churn_horizon_days: see `churnhouse horizon`.",
            )
        )
    if report.unknown:
        report.notes.append(f"{len(report.unknown)} unknown days: {spans(report.unknown)}")
