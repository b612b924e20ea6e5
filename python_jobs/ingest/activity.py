"""Days on which users were active, from loaded rows, before any build; and what silence means."""

from dataclasses import dataclass

import duckdb

from python_jobs.files import sql_text
from python_jobs.ingest.domain import Domain
from python_jobs.ingest.preview import event_checks
from python_jobs.ingest.schema import seeded_activity

HORIZONS = (7, 14, 21, 30, 45, 60, 90)
FEW_RETURN = 0.1
"""Silence means churn where at most this share of silent users comes back anyway."""


@dataclass(frozen=True)
class Silence:
    """Spells of silence that lasted so many days: how many, and how many ended with a return."""

    days: int
    spells: int
    returned: int

    @property
    def share(self) -> float | None:
        """Return the share of silent users who came back; None without any."""
        return self.returned / self.spells if self.spells else None


def make_days(connection: duckdb.DuckDBPyConnection, domain: Domain) -> None:
    """Create the temp table active_days (user_id, day) from the valid rows of raw.events."""
    failed = " or ".join(f"coalesce({test}, false)" for _, test, _ in event_checks(domain))
    types = {name: kind.is_activity for name, kind in domain.vars.event_types.items()}
    active = [name for name, is_so in (types or seeded_activity()).items() if is_so]
    listed = ", ".join(sql_text(name) for name in active) or "null"
    zone = sql_text(domain.vars.timezone)
    connection.execute(
        f"""
        create or replace temp table active_days as
        select distinct
            coalesce(map.user_id, events.user_id) as user_id,
            cast(timezone({zone}, timezone('UTC', event_time)) as date) as day
        from (from raw.events where not ({failed}) and not coalesce(is_deleted, false)) as events
        left join raw.identity_map as map
            on events.user_id = map.from_id
            and event_time >= valid_from and event_time < valid_to
        where event_type in ({listed})
        """
    )


def silences(connection: duckdb.DuckDBPyConnection, relation: str = "active_days") -> list[Silence]:
    """Return for each horizon how many silent users came back later.

    `relation` has user_id and day. A spell of silence counts if as many days again were watched
    after it had lasted that long.
    """
    found = []
    for days in HORIZONS:
        spells, returned = connection.execute(
            f"""
            with spells as (
                select
                    day,
                    lead(day) over (partition by user_id order by day) as next_day,
                    max(day) over () as last_day
                from {relation}
            )
            select count(*), count(next_day)
            from spells
            where
                coalesce(next_day - day > $days, true)
                and last_day - day >= 2 * $days
            """,
            {"days": days},
        ).fetchall()[0]
        found.append(Silence(days, spells, returned))
    return found


def suggested(found: list[Silence]) -> int | None:
    """Return the shortest horizon after which few come back; None if there is none."""
    for one in found:
        if one.share is not None and one.spells >= 20 and one.share <= FEW_RETURN:
            return one.days
    return None
