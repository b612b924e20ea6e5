"""Write a domain.yml and an ingest.sql for data that were looked at."""

import re
import unicodedata
from datetime import date, datetime
from typing import Any

import yaml

from python_jobs.files import sql_name
from python_jobs.ingest.look import Look
from python_jobs.ingest.sources import TABLE_COLUMNS, USER_COLUMNS
from python_jobs.training.history import Plan

MOST_ATTRIBUTE_VALUES = 50
SPELLED = {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "ø": "oe", "å": "aa", "ł": "l"}
"""Letters that are no accent on a plain one, or are written otherwise without it."""

PASSIVE = r"fail|refund|cancel|bounce|unsub|delete|system|auto|paid|pay|invoice|charge|renew"
"""Event types that a person does not do, or that prove no activity."""


def domain_yml(
    name: str,
    events: str,
    seen: Look,
    of_users: Look | None,
    plan: Plan,
    zone: str,
    per_day: float,
    now: datetime,
) -> str:
    """Return domain.yml, with comments that say why.

    `events` is what its source is called, `per_day` the median of events a day.
    """
    lines = [
        f"# Domain {name}, written by `churnhouse init` from {events}.",
        "# docs/domain-reference.md has every key. Next: churnhouse doctor --domain " + name,
        "files:",
    ]
    if of_users is not None:
        lines += ["  users:", *_source(of_users)]
    lines += ["  events:", *_source(seen), "", "vars:"]
    if of_users is None:
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
        lines.append(f"  attributes: {_flow([_clean(name) for name in _attributes(of_users)])}")
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


def _attributes(of_users: Look) -> list[str]:
    """Return the columns of users that may be attributes: texts with few values."""
    return [
        p.name
        for p in of_users.profiles.values()
        if p.kind == "text"
        and p.name not in (of_users.user, of_users.time)
        and 1 < p.distinct <= MOST_ATTRIBUTE_VALUES
        and _clean(p.name) not in USER_COLUMNS
    ]


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


def ingest_sql(seen: Look, of_users: Look | None) -> str:
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
        columns = [
            f"    {sql_name(str(of_users.user))} as user_id",
            f"    {sql_name(str(of_users.time))} as signup_date",
            *(
                f"    {sql_name(name)} as {sql_name(_clean(name))}"
                for name in _attributes(of_users)
            ),
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
