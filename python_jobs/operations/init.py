"""Write a domain for a file of events: what can be seen is filled in, what cannot is asked."""

import fnmatch
import glob
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from zoneinfo import available_timezones

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import sql_name, sql_text
from python_jobs.ingest import activity
from python_jobs.ingest.domain import Domain, default_vars
from python_jobs.ingest.look import Look, Table, choose, look, moment_of, notes_on_users
from python_jobs.operations.new_domain import PASSIVE, domain_yml, ingest_sql
from python_jobs.settings import Settings
from python_jobs.training.history import Plan, plan_that_fits

Ask = Callable[[str, str, str, list[str]], str]
"""Return the answer to a question, given its subject, text, likely answer and all answers."""


@dataclass(frozen=True)
class Made:
    """A new domain: its folder, what was seen, and the horizon's figures."""

    folder: Path
    seen: Look
    silences: list[activity.Silence]
    domain: Domain
    plan: Plan

    @property
    def returned(self) -> float | None:
        """Return the share that came back after a horizon's silence, if that is too many."""
        shares = {one.days: one.share for one in self.silences}
        share = shares.get(self.plan.horizon)
        return share if share is not None and share > activity.FEW_RETURN else None


def init(
    settings: Settings,
    name: str,
    events: Path | Table,
    *,
    users: Path | None,
    ask: Ask,
    now: datetime,
) -> Made:
    """Write domains/NAME for a file of events, and one of users if there is one.

    Raises JobError if the domain is there already, or the file cannot be read or has no time.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise JobError(
            f"{name!r} is no name for a domain.", next_step="use lower-case letters, digits and _."
        )
    folder = settings.domains / name
    if folder.exists():
        raise JobError(
            f"{folder} is there already; nothing was changed.", next_step="choose another name."
        )
    if users is not None and not (
        isinstance(events, Path) and users.resolve().parent == events.resolve().parent
    ):
        raise JobError(
            f"{users} and {events.name} are in two places.",
            next_step="put both below one folder of raw files.",
        )
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        seen = look(connection, events)
        if isinstance(events, Path):
            _take_files_alike(seen, events)
        _decide(seen, ask)
        zone = _decide_zone(ask)
        connection.execute(f"set TimeZone = {sql_text(zone)}")
        seen.notes += notes_on_users(connection, seen)
        silences, per_day = _rhythm(connection, seen)
        of_users = None
        if users is not None:
            with duckdb.connect() as other:
                other.execute("set TimeZone = 'UTC'")
                of_users = look(other, users)
                _take_files_alike(of_users, users)
                seen.notes += of_users.notes
                _decide_users(of_users, seen, ask)
    plan = _plan(seen, silences)
    text = domain_yml(name, events.name, seen, of_users, plan, zone, per_day, now)
    sql = ingest_sql(seen, of_users)
    with tempfile.TemporaryDirectory(prefix="churnhouse-init-") as work:
        trial = Path(work) / name
        trial.mkdir()
        (trial / "domain.yml").write_text(text, encoding="utf-8")
        (trial / "ingest.sql").write_text(sql, encoding="utf-8")
        Domain(name, trial)  # what is written must be valid
    folder.mkdir(parents=True)
    (folder / "domain.yml").write_text(text, encoding="utf-8")
    (folder / "ingest.sql").write_text(sql, encoding="utf-8")
    return Made(folder, seen, silences, Domain(name, folder), plan)


def _take_files_alike(seen: Look, path: Path) -> None:
    """Let the source read all files beside this one whose names differ in digits only."""
    seen.source["path"] = glob.escape(path.name)
    parts = re.split(r"\d[\d_.T-]*(?<=\d)", path.name)
    pattern = "*".join(map(glob.escape, parts))
    with_digits = r"\d[\d_.T-]*".join(map(re.escape, parts))
    names = [one.name for one in path.parent.iterdir() if fnmatch.fnmatchcase(one.name, pattern)]
    if len(names) > 1 and all(re.fullmatch(with_digits, name) for name in names):
        seen.source["path"] = pattern
        seen.notes.append(
            f"path is {pattern}, since {len(names):,} files have such names; columns and settings "
            f"are those of {path.name}"
        )


def _decide(seen: Look, ask: Ask) -> None:
    names = list(seen.profiles)
    seen.user = ask("user", "Which column is the user", seen.user or "", names)
    seen.time = ask("time", "Which column is the time", seen.time or "", names)
    for what, column in (("user", seen.user), ("time", seen.time)):
        if column not in seen.profiles:
            raise JobError(
                f"It is not clear which column is the {what}; there are {', '.join(names)}.",
                next_step=f"name it: --{what} COLUMN.",
            )
    seen.id = seen.type = None  # what was guessed may be another answer's column
    choose(seen)
    of_id, of_type = (
        f"Which column is the event's {what} ('' for none)" for what in ("id", "type")
    )
    seen.id, guessed = ask("id", of_id, seen.id or "", names) or None, seen.id
    if seen.id != guessed:
        seen.type = None
        choose(seen)
    seen.type = ask("type", of_type, seen.type or "", names) or None
    _decide_order(seen, seen.time, ask)


def _decide_users(of_users: Look, seen: Look, ask: Ask) -> None:
    names = list(of_users.profiles)
    likely = [n for n in names if n == seen.user] or [n for n in names if n == of_users.user]
    unique = [p.name for p in of_users.profiles.values() if p.distinct == p.values == of_users.rows]
    of_users.user = (likely or unique or [""])[0]
    of_users.user = ask("", "Which column of the users is their id", of_users.user, names)
    signup = "Which column of the users is the signup date"
    of_users.time = ask("", signup, of_users.time or "", names)
    for what, column in (("id", of_users.user), ("signup date", of_users.time)):
        if column not in of_users.profiles:
            raise JobError(
                f"It is not clear which column of the users is the {what}; "
                f"there are {', '.join(names)}.",
                next_step="give events alone: users are derived from them.",
            )
    _decide_order(of_users, of_users.time, ask)


def _decide_order(seen: Look, time: str, ask: Ask) -> None:
    """Ask whether the day or the month comes first, where the times of a column fit both."""
    profile = seen.profiles[time]
    if profile.month_first:
        samples = ", ".join(profile.samples)
        question = f"Column {time!r} holds {samples}: which comes first"
        first = ask("order", question, "", ["day", "month"])
        if first not in ("day", "month"):
            raise JobError(
                f"Column {time!r} holds {samples}: the day or the month may come first.",
                next_step="say which: --first day or --first month.",
            )
        if first == "month":
            seen.profiles[time] = replace(profile, time_format=profile.month_first)


def _decide_zone(ask: Ask) -> str:
    zones = sorted(available_timezones())
    zone = ask("timezone", "In which time zone are times without an offset, and days", "UTC", zones)
    if zone not in zones:
        raise JobError(
            f"{zone!r} is no time zone.", next_step="name one such as --timezone Europe/Berlin."
        )
    return zone


def _rhythm(
    connection: duckdb.DuckDBPyConnection, seen: Look
) -> tuple[list[activity.Silence], float]:
    """Return how many silent users come back, and the median of events a day."""
    moment = moment_of(seen)
    seen.first_day, seen.last_day = connection.execute(
        f"select min(cast({moment} as date)), max(cast({moment} as date)) from looked"
    ).fetchall()[0]
    if seen.first_day is None:
        raise JobError(
            f"Column {seen.time!r} holds no times that can be read, such as "
            f"{', '.join(map(repr, seen.profiles[str(seen.time)].samples))}.",
            next_step="name another column: --time COLUMN; docs/own-data.md says how a source "
            "reads other times (time_format).",
        )
    if seen.type:
        rows = connection.execute(
            f"select {sql_name(seen.type)}, count(*) from looked group by 1 order by 2 desc, 1"
        ).fetchall()
        seen.types = {str(name): count for name, count in rows if name is not None}
    passive = [sql_text(t) for t in seen.types if re.search(PASSIVE, t.lower())]
    only_active = (
        f"and {sql_name(seen.type)} not in ({', '.join(passive)})" if passive and seen.type else ""
    )
    connection.execute(
        f"""
        create or replace temp table active_days as
        select distinct {sql_name(str(seen.user))} as user_id, cast({moment} as date) as day
        from looked where {moment} is not null {only_active}
        """
    )
    (per_day,) = connection.execute(
        f"select median(n) from (select count(*) as n from looked group by cast({moment} as date))"
    ).fetchall()[0]
    return activity.silences(connection), float(per_day or 0)


def _plan(seen: Look, silences: list[activity.Silence]) -> Plan:
    """Return windows and horizon: what silence means here, as far as history allows."""
    horizon = activity.suggested(silences) or 30
    usual = default_vars()
    wanted = Plan(tuple(usual["feature_windows_days"]), horizon, usual["training_every_days"])
    if seen.first_day is None or seen.last_day is None:
        return wanted
    return plan_that_fits(wanted, seen.first_day, seen.last_day) or wanted
