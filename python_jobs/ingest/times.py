"""SQL that reads times. The session's time zone is the domain's while files are loaded."""

import re

from python_jobs.files import sql_text
from python_jobs.ingest.sources import EPOCHS

# An offset may follow a space: 2025-03-10 01:59:59 -0500.
SPACED_OFFSET = r"^(.*\d:\d\d(?:[:.,\d]*)) +([+-]\d\d):?(\d\d)?$"
LOOKS_LIKE_A_TIME = re.compile(r"\d{4}-\d\d-\d\d|\d{1,2}[./]\d{1,2}[./]\d{2,4}")
EARLIEST = "timestamptz '1000-01-01 00:00:00+00'"
"""A year of fewer than four digits is no year."""


def tidied(text: str) -> str:
    """Return SQL of a time as text, without the space before its offset."""
    return (
        f"case when {text} like '% +%' or {text} like '% -%' "
        rf"then regexp_replace({text}, {sql_text(SPACED_OFFSET)}, '\1\2\3') else {text} end"
    )


def formatted(text: str, written: str) -> str:
    """Return SQL of a time as ISO text, from a strptime format or an epoch.

    Text that does not fit keeps its words and says so, and no cast will take it for a time.
    """
    if written in EPOCHS:
        micros = f"try_cast(round(try_cast({text} as double) * {EPOCHS[written]}) as bigint)"
        read = f"strftime(make_timestamp({micros}), '%Y-%m-%d %H:%M:%S.%f') || '+00:00'"
    else:
        read = f"cast(try_strptime({text}, {sql_text(written)}) as varchar)"
    return f"coalesce({read}, {text} || {sql_text(f' (not {written})')})"


def instant(text: str) -> str:
    """Return SQL that reads text as a timestamptz; NULL for what is no time."""
    read = f"try_cast({tidied(text)} as timestamptz)"
    return f"case when isfinite({read}) and {read} >= {EARLIEST} then {read} end"


def read(column: str, kind: str, given: str, zone: str) -> str:
    """Return SQL of a column as UTC time, or as a date of the zone.

    `kind` is timestamp or date; `given` is the type that the mapping gives.
    """
    if given == "VARCHAR":
        moment = instant(column)
    elif given == "TIMESTAMP WITH TIME ZONE":
        moment = column
    elif given == "DATE" and kind == "date":
        return column
    else:
        moment = f"timezone({sql_text(zone)}, cast({column} as timestamp))"
    if kind == "date":
        return f"cast({moment} as date)"
    return f"cast(timezone('UTC', {moment}) as timestamp)"
