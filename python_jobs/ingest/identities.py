"""Identities: which ids are one person, at which time.

A link says that from_id is to_id from a moment on; the first link of an id counts for all time
before it too. Links form chains, which are followed at the event's time. In a cycle the least id
stands for all.
"""

from collections.abc import Iterable
from datetime import datetime

import duckdb

from python_jobs.ingest.preview import is_placeholder

Link = tuple[str, str, datetime | None]
"""from_id, to_id, since; no since is since ever."""
Segment = tuple[str, datetime, datetime, str]
"""from_id, valid_from (included), valid_to (not included), the person's id."""

EVER, NEVER = datetime(1, 1, 1), datetime(9999, 12, 31)  # noqa: DTZ001 - UTC, as all raw times


def resolve(links: Iterable[Link]) -> list[Segment]:
    """Return the person of each id of the links over time, sorted.

    Of two links of one id at the same moment, the later one given counts.
    """
    ids: set[str] = set()
    steps: dict[str, list[tuple[datetime, str]]] = {}
    for from_id, to_id, since in links:
        steps.setdefault(from_id, []).append((since or EVER, to_id))
        ids |= {from_id, to_id}
    for from_id, links_of_id in steps.items():
        newest = dict(sorted(links_of_id, key=lambda link: link[0]))
        ordered = sorted(newest.items())
        steps[from_id] = [(EVER if n == 0 else since, to) for n, (since, to) in enumerate(ordered)]
    segments: list[Segment] = []
    for from_id in sorted(ids):
        moments = sorted(_moments(from_id, steps))
        for start, end in zip(moments, [*moments[1:], NEVER], strict=True):
            person = _person(from_id, start, steps)
            if segments and segments[-1][0] == from_id and segments[-1][3] == person:
                segments[-1] = (from_id, segments[-1][1], end, person)
            else:
                segments.append((from_id, start, end, person))
    return segments


def _moments(from_id: str, steps: dict[str, list[tuple[datetime, str]]]) -> set[datetime]:
    """Return the moments at which the person of an id may change."""
    moments, seen, waiting = {EVER}, {from_id}, [from_id]
    while waiting:
        for since, to_id in steps.get(waiting.pop(), []):
            moments.add(since)
            if to_id not in seen:
                seen.add(to_id)
                waiting.append(to_id)
    return moments


def _person(from_id: str, at: datetime, steps: dict[str, list[tuple[datetime, str]]]) -> str:
    """Follow the links that hold at a moment to their end, or to a cycle's least id."""
    path = [from_id]
    while path[-1] in steps:
        to_id = next(to for since, to in reversed(steps[path[-1]]) if since <= at)
        if to_id in path:
            return min(path[path.index(to_id) :])
        path.append(to_id)
    return path[-1]


def moved_ids(known: dict[str, list[Segment]], current: dict[str, list[Segment]]) -> set[str]:
    """Return the ids of which some event may count for another person, or for one who changed.

    A person who loses or gains an id may lose or gain signup and record, so that the events of
    all other ids of the person may be accepted or rejected.
    """
    persons = {
        person
        for from_id, segments in current.items()
        for *_, person in set(segments) ^ set(known.get(from_id, []))
    }
    return {i for i, segments in current.items() if any(s[3] in persons for s in segments)}


def by_id(segments: Iterable[Segment]) -> dict[str, list[Segment]]:
    """Return the segments of each id."""
    found: dict[str, list[Segment]] = {}
    for segment in segments:
        found.setdefault(segment[0], []).append(segment)
    return found


def update(connection: duckdb.DuckDBPyConnection, received: str, now: datetime) -> int:
    """Bring raw.identity_map up to date; ids that moved get `now` as linked_at.

    `received` is SQL that names all rows of raw.identities. Returns how many links are left out:
    of a placeholder, of an id to itself, or with a `since` that cannot be read.
    """
    links = connection.execute(
        f"""
        select from_id, to_id, since from {received} as links
        where not ({is_placeholder("from_id")}) and not ({is_placeholder("to_id")})
            and from_id <> to_id and since_unread is null
        order by row_id
        """
    ).fetchall()
    (received_links,) = connection.execute(f"select count(*) from {received} as l").fetchall()[0]
    current = by_id(resolve(links))
    stored = connection.execute("from raw.identity_map order by from_id, valid_from").fetchall()
    known = by_id([row[:4] for row in stored])
    stamps = {from_id: linked_at for from_id, *_, linked_at in stored}
    for from_id in known.keys() - current.keys():
        current[from_id] = [(from_id, EVER, NEVER, from_id)]
    moved = moved_ids(known, current)
    connection.execute("delete from raw.identity_map")
    rows = [
        (*segment, now if from_id in moved else stamps[from_id])
        for from_id, of_id in current.items()
        for segment in of_id
    ]
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        connection.execute(
            "insert into raw.identity_map select unnest(?::varchar[]), unnest(?::timestamp[]), "
            "unnest(?::timestamp[]), unnest(?::varchar[]), unnest(?::timestamp[])",
            columns,
        )
    left_out: int = received_links - len(links)
    return left_out
