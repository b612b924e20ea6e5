"""Write a domain for a file of events: what can be seen is filled in, what cannot is asked."""

import fnmatch
import glob
import re
import tempfile
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import duckdb
import yaml

from python_jobs.errors import JobError
from python_jobs.files import sql_name, sql_text
from python_jobs.ingest import activity
from python_jobs.ingest.domain import Domain, default_vars
from python_jobs.ingest.look import Look, Table, choose, look, moment_of, notes_on_users
from python_jobs.ingest.sources import TABLE_COLUMNS, USER_COLUMNS
from python_jobs.settings import Settings
from python_jobs.training.history import Plan, plan_that_fits

Ask = Callable[[str, str, str, list[str]], str]
"""Return the answer to a question, given its subject, text, likely answer and all answers."""
SPELLED = {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "ø": "oe", "å": "aa", "ł": "l"}
"""Letters that are no accent on a plain one, or are written otherwise without it."""

PASSIVE = r"fail|refund|cancel|bounce|unsub|delete|system|auto|paid|pay|invoice|charge|renew"
"""Event types that a person does not do, or that prove no activity."""


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
    text = _domain_yml(name, events.name, users, seen, of_users, plan, zone, per_day, now)
    sql = _ingest_sql(seen, of_users)
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


def _domain_yml(
    name: str,
    events: str,
    users: Path | None,
    seen: Look,
    of_users: Look | None,
    plan: Plan,
    zone: str,
    per_day: float,
    now: datetime,
) -> str:
    lines = [
        f"# Domain {name}, written by `churnhouse init` from {events}.",
        "# docs/domain-reference.md has every key. Next: churnhouse doctor --domain " + name,
        "files:",
    ]
    if users is not None and of_users is not None:
        lines += ["  users:", *_source(of_users)]
    lines += ["  events:", *_source(seen), "", "vars:"]
    if users is None:
        lines.append("  users_from_events: true # a user signs up with the first event")
    lines += [
        f"  timezone: {zone} # times without an offset are in it, and days are its days",
        f"  churn_horizon_days: {plan.horizon} # days of silence that mean churn",
        f"  eligibility_days: {max(plan.horizon, 30)} # models judge who was active in these days",
        f"  feature_windows_days: [{', '.join(map(str, plan.windows))}]{_filling(seen, plan)}",
        f"  training_every_days: {plan.every}",
    ]
    if seen.first_day and seen.first_day < date(now.year - 10, now.month, 1):
        lines.append(f"  first_day: {seen.first_day} # earlier dates cannot be true")
    lines.append(
        "  expected_weekdays: [] # learned: a weekday that mostly has events should have some"
    )
    if per_day < 50:
        lines.append("  min_day_share: 0 # few events a day, so a quiet day is no fault")
    if of_users is not None:
        taken = {of_users.user, of_users.time}
        attributes = [
            _clean(p.name)
            for p in of_users.profiles.values()
            if p.kind == "text" and p.name not in taken and 1 < p.distinct <= MOST_ATTRIBUTE_VALUES
        ]
        lines.append(f"  attributes: {_flow([a for a in attributes if a not in USER_COLUMNS])}")
    lines.append("  event_types: # is_activity: does such an event show that the user is there?")
    for event_type, count in (seen.types or {"event": seen.rows}).items():
        active = "false" if re.search(PASSIVE, event_type.lower()) else "true"
        lines.append(f"    {_flow(event_type)}: {{is_activity: {active}}} # {count:,} rows")
    lines.append("  measures:")
    taken_names: set[str] = set()
    for event_type in seen.types or {"event": 0}:
        measure = _free(f"{_clean(event_type)}_count", taken_names)
        label = "" if event_type.isascii() else f", label: {_flow(event_type)}"
        lines.append(
            f"    - {{name: {_flow(measure)}, event_type: {_flow(event_type)}, agg: count{label}}}"
        )
    for column in seen.numbers:
        measure = _free(_clean(column) + "_sum", taken_names)
        lines.append(
            f"    - {{name: {_flow(measure)}, agg: sum, column: {_flow(_column(column))}}}"
        )
    return "\n".join(lines) + "\n"


MOST_ATTRIBUTE_VALUES = 50


def _filling(seen: Look, plan: Plan) -> str:
    """Return a comment where the history does not fill the longest window yet."""
    if seen.first_day is None or seen.last_day is None:
        return ""
    days = (seen.last_day - seen.first_day).days + 1
    longer = [str(window) for window in plan.windows if window > days]
    return (
        f" # {' and '.join(longer)} fill as history grows: there are {days} days" if longer else ""
    )


def _source(seen: Look) -> list[str]:
    """Return the lines of a source: where it is, how to read it, and its columns."""
    lines = [f"    {key}: {_flow(value)}" for key, value in seen.source.items()]
    if "database" in seen.source and seen.id and seen.profiles[seen.id].kind == "number":
        lines.append(f"    cursor: {_flow(seen.id)} # a load reads on from the last one")
    lines.append("    columns:")
    for profile in seen.profiles.values():
        kind: Any = profile.kind
        if profile.name in (seen.user, seen.id):
            kind = "any"
        elif profile.month_first and profile.name != seen.time:
            kind = "text"
        elif profile.time_format:
            kind = {"type": "timestamp", "format": profile.time_format}
        if profile.path:
            kind = {**(kind if isinstance(kind, dict) else {"type": kind}), "path": profile.path}
        shown = ", ".join(profile.samples[:2])
        plain = "".join(letter if letter.isprintable() else " " for letter in shown)
        comment = f" # {plain}"[:60] if plain else " # always empty"
        lines.append(f"      {_flow(profile.name)}: {_flow(kind)}{comment}")
    return lines


def _ingest_sql(seen: Look, of_users: Look | None) -> str:
    """Return the mapping: the columns that the product needs, and those that are measured."""
    event_id = (
        f"cast({sql_name(seen.id)} as varchar)" if seen.id else "md5(cast(events_file as varchar))"
    )
    event_type = sql_name(seen.type) if seen.type else "'event'"
    columns = [
        f"    {event_id} as event_id",
        f"    {sql_name(str(seen.user))} as user_id",
        f"    {sql_name(str(seen.time))} as event_time",
        f"    {event_type} as event_type",
        *(f"    {sql_name(name)} as {_column(name)}" for name in seen.numbers),
    ]
    text = (
        "-- Maps each row of events_file to an event. Keep every row; one that cannot count gets\n"
        "-- a reject_reason. docs/own-data.md says more.\n"
        "create or replace temp view events as\nselect\n"
        + ",\n".join(columns)
        + "\nfrom events_file;\n"
    )
    if of_users is not None:
        taken = {of_users.user, of_users.time}
        attributes = [
            p.name
            for p in of_users.profiles.values()
            if p.kind == "text"
            and p.name not in taken
            and 1 < p.distinct <= MOST_ATTRIBUTE_VALUES
            and _clean(p.name) not in USER_COLUMNS
        ]
        columns = [
            f"    {sql_name(str(of_users.user))} as user_id",
            f"    {sql_name(str(of_users.time))} as signup_date",
            *(f"    {sql_name(name)} as {sql_name(_clean(name))}" for name in attributes),
        ]
        text += (
            "\ncreate or replace temp view users as\nselect\n"
            + ",\n".join(columns)
            + "\nfrom users_file;\n"
        )
    return text


def _column(name: str) -> str:
    clean = _clean(name)
    return f"{clean}_value" if clean in TABLE_COLUMNS else clean


def _clean(name: str) -> str:
    """Return a name as domain.yml takes it: lower case, digits and underscores."""
    spelled = "".join(SPELLED.get(letter, letter) for letter in name.lower())
    plain = unicodedata.normalize("NFKD", spelled).encode("ascii", "ignore").decode()
    text = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    return text if text[:1].isalpha() else f"c_{text}".rstrip("_")


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_2"
    taken.add(name)
    return name


def _flow(value: Any) -> str:
    """Return a value as YAML in one line, as it may stand within braces."""

    def dumped(style: str | None) -> str:
        text = yaml.safe_dump(
            [value], default_flow_style=True, default_style=style, allow_unicode=True, width=10_000
        )
        return text.strip().removeprefix("[").removesuffix("]")

    plain = dumped(None)
    return dumped('"') if len(plain.splitlines()) > 1 else plain
