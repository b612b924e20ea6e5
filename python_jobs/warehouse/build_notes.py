"""What a build found that a person should know: unknown days, and ids of too many events."""

from datetime import date, timedelta

from python_jobs.settings import Settings
from python_jobs.warehouse.connection import connect
from python_jobs.warehouse.dbt_settings import domain_vars
from python_jobs.warehouse.engines import engine_of

LEAST_USERS = 1000
"""With fewer users, one of them may well have a large share of all events."""


def notes(settings: Settings) -> list[str]:
    """Return notes on the tables that the last build made."""
    engine = engine_of(settings)
    with connect(settings, read_only=True) as connection:
        query = "select day from main.days where is_unknown order by day"
        days = [row[0] for row in engine.rows(connection, query)]
        share = domain_vars(connection)["max_user_share"]
        large = engine.rows(
            connection,
            f"""
            select user_id, events_total, all_events
            from (
                select
                    user_id,
                    events_total,
                    sum(events_total) over () as all_events,
                    count(*) over () as all_users
                from main.user_daily
                where day = (select max(day) from main.days)
            ) as totals
            where all_users >= {LEAST_USERS} and events_total > {share} * all_events
            order by events_total desc, user_id
            limit 5
            """,
        )
    found = []
    if days:
        found.append(
            f"{len(days)} unknown days, without data: {spans(days)}. They count as no silence, and "
            "labels whose window touches them are not made"
        )
    found += [
        f"{user_id!r} has {events / total:.0%} of all events: a shared account, a bot, or a "
        "placeholder for seeds/placeholder_ids.csv? `exclude` in domain.yml leaves it out"
        for user_id, events, total in large
    ]
    return found


def spans(days: list[date], limit: int = 5) -> str:
    """Return sorted dates as text, neighbours as one span."""
    pairs: list[tuple[date, date]] = []
    for day in days:
        if pairs and day - pairs[-1][1] == timedelta(1):
            pairs[-1] = (pairs[-1][0], day)
        else:
            pairs.append((day, day))
    texts = [f"{a}" if a == b else f"{a}..{b}" for a, b in pairs[:limit]]
    return ", ".join(texts) + (" and more" if len(pairs) > limit else "")
