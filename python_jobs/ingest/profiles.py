"""Profiles of an unknown file's columns: what the values in the table `looked` are."""

import re
from dataclasses import dataclass

import duckdb

from python_jobs.files import sql_name, sql_text
from python_jobs.ingest import times

NULL_WORDS = ("NULL", "null", "\\N", "N/A", "n/a", "NA", "#N/A", "None", "none", "-", "--")
TIME_NAME = r"time|date|when|_at$|^at$|^ts$|stamp|day|created|occurred|datum|zeit|fecha"
"""Names of columns that may hold times."""
DAY_FIRST = tuple(
    f"%d{mark}%m{mark}%Y{time}"
    for mark in "./-"
    for time in (" %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p", "")
)
MONTH_FIRST = {
    written: "%m" + written[2] + "%d" + written[5:] for written in DAY_FIRST if written[2] != "."
}
"""How the same is written with the month first; nobody writes a month before dots."""
COMPACT = {"%Y%m%d": 8, "%Y%m%d%H%M": 12, "%Y%m%d%H%M%S": 14}
"""Times as one number, and how many digits they have."""
FORMATS = (
    *DAY_FIRST,
    *MONTH_FIRST.values(),
    *("%Y%m%d", "%Y-%m-%d %I:%M:%S %p", "%Y-%m-%d %H:%M:%S %z UTC"),
    *("%b %d, %Y", "%B %d, %Y", "%d %b %Y", "%B %d, %Y %I:%M %p", "%b %d, %Y %I:%M %p"),
    *("%d/%b/%Y:%H:%M:%S %z", "%a, %d %b %Y %H:%M:%S %z"),
)


@dataclass(frozen=True)
class Profile:
    """One column of the file: what its values are."""

    name: str
    kind: str
    """number, timestamp or text."""
    values: int
    distinct: int
    empty: int
    samples: tuple[str, ...]
    time_format: str | None = None
    month_first: str | None = None
    """The other format that all values fit, where time_format has the day first."""
    path: str | None = None
    """The path of a nested JSON property."""


def null_words(connection: duckdb.DuckDBPyConnection, names: list[str]) -> list[str]:
    """Return the words that stand for no number in columns of numbers; make them NULL in looked."""
    known = ", ".join(map(sql_text, NULL_WORDS))
    found: set[str] = set()
    for name in names:
        column = sql_name(name)
        words, rows, numbers, values = connection.execute(
            rf"""
            select
                list(distinct {column}) filter ({column} in ({known})),
                count(*) filter ({column} in ({known})),
                count(*) filter (regexp_full_match({column}, '[-+]?\d[\d.,]*')),
                count({column})
            from looked
            """
        ).fetchall()[0]
        if rows and numbers and rows + numbers == values:
            found.update(words)
    for name in names if found else []:
        column, listed = sql_name(name), ", ".join(map(sql_text, sorted(found)))
        connection.execute(f"update looked set {column} = null where {column} in ({listed})")
    return sorted(found)


def separators(connection: duckdb.DuckDBPyConnection, names: list[str]) -> dict[str, str]:
    """Return decimal and thousands of a source where they are not the usual ones.

    Half of some column's numbers must have a decimal comma; thousands are told by numbers with both
    separators only, since 1.234 may be either.
    """
    found: dict[str, str] = {}
    for name in names:
        column = sql_name(name)
        with_comma, in_groups, other_groups, all_values = connection.execute(
            rf"""
            select
                count(*) filter (
                    regexp_full_match({column}, '-?(\d+|\d{{1,3}}(\.\d{{3}})+),\d+')
                ),
                count(*) filter (regexp_full_match({column}, '-?\d{{1,3}}(\.\d{{3}})+,\d+')),
                count(*) filter (regexp_full_match({column}, '-?\d{{1,3}}(,\d{{3}})+\.\d+')),
                count(*) filter (regexp_full_match({column}, '-?[\d.,]+'))
            from looked
            """
        ).fetchall()[0]
        if with_comma and with_comma >= all_values / 2:
            found["decimal"] = ","
            found |= {"thousands": "."} if in_groups else {}
        elif other_groups and not found:
            found["thousands"] = ","
    return found


def profile(connection: duckdb.DuckDBPyConnection, name: str, found: dict[str, str]) -> Profile:
    """Return the profile of a column of `looked`; `found` are its file's separators."""
    column = sql_name(name)
    number = column
    if thousands := found.get("thousands"):
        grouped = rf"-?\d{{1,3}}({re.escape(thousands)}\d{{3}})+([^\d].*)?"
        plain = f"replace({number}, {sql_text(thousands)}, '')"
        number = f"if(regexp_full_match({column}, {sql_text(grouped)}), {plain}, {column})"
    if found.get("decimal") == ",":
        number = f"replace({number}, ',', '.')"
    values, distinct, empty, numbers, moments, low, high = connection.execute(
        f"""
        select
            count({column}), count(distinct {column}), count(*) - count({column}),
            count(try_cast({number} as double)), count({times.instant(column)}),
            min(try_cast({number} as double)), max(try_cast({number} as double))
        from looked
        """
    ).fetchall()[0]
    samples = connection.execute(
        f"select distinct left({column}, 40) from looked where {column} is not null "
        "order by 1 limit 3"
    ).fetchall()
    kind, written, month_first = "text", None, None
    if values and numbers == values:
        kind = "number"
        written = _epoch(low, high) if re.search(TIME_NAME, name.lower()) else None
        if written := written or _compact(connection, column, name):
            kind = "timestamp"
    elif values and moments >= 0.95 * values:
        kind = "timestamp"
    elif values:
        fitting = _fitting(connection, column)
        best = max(FORMATS, key=lambda written: fitting[written])
        if fitting[best] >= 0.95 * values:
            kind, written = "timestamp", best
            other = MONTH_FIRST.get(best)
            month_first = other if other and fitting[other] == fitting[best] else None
    shown = tuple(row[0] for row in samples)
    return Profile(name, kind, values, distinct, empty, shown, written, month_first)


def _fitting(connection: duckdb.DuckDBPyConnection, column: str) -> dict[str, int]:
    """Return how many values of a column fit each format."""
    counts = ", ".join(f"count(try_strptime({column}, {sql_text(one)}))" for one in FORMATS)
    found = connection.execute(f"select {counts} from looked").fetchall()[0]
    return dict(zip(FORMATS, found, strict=True))


def _epoch(low: float, high: float) -> str | None:
    """Return the unit of numbers that count from 1970, if all are between 1995 and 2100."""
    for unit, size in (
        ("epoch_seconds", 1),
        ("epoch_milliseconds", 1e3),
        ("epoch_microseconds", 1e6),
    ):
        if 788_918_400 * size <= low and high <= 4_102_444_800 * size:
            return unit
    return None


def _compact(connection: duckdb.DuckDBPyConnection, column: str, name: str) -> str | None:
    """Return the format of times that are written as one number, such as 20260301 or longer."""
    if not re.search(TIME_NAME, name.lower()):
        return None
    for written, digits in COMPACT.items():
        bad: int = connection.execute(
            f"select count(*) from looked where {column} is not null and "
            f"(length({column}) <> {digits} or try_strptime({column}, '{written}') is null)"
        ).fetchall()[0][0]
        if not bad:
            return written
    return None
