"""Lists of users, highest risk first, that do not block other requests.

A list is read in windows of ranks. Each window takes a few milliseconds in the covering index;
between two windows the event loop serves other requests.
"""

import asyncio
import base64
import heapq
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from api.http.errors import Problem, error, invalid
from api.store.publication import Publication
from python_jobs.publication.prediction import BANDS

WINDOW = 10_000
MANY_TOTALS, LONGEST_KEPT = 1_000, 200
SORTS = {
    "risk": ("risk_rank", False),
    "lowest_risk": ("risk_rank", True),
    "silent": ("days_since_last_activity", True),
    "recent": ("days_since_last_activity", False),
    "newest": ("tenure_days", False),
    "loss": ("expected_loss", True),
    "gain": ("expected_gain", True),
    "user_id": ("user_id", False),
}


@dataclass(frozen=True)
class Filter:
    """Selects users by exact column values, a minimum risk and a condition in SQL."""

    equal: dict[str, object] = field(default_factory=dict)
    min_risk: float = 0.0
    condition: str = ""
    values: tuple[object, ...] = ()
    """Of the condition's question marks."""

    def where(self) -> tuple[str, list[Any]]:
        """Return the SQL condition and its parameters."""
        names = "".join(f' and "{name}" = ?' for name in self.equal)
        values = list(self.equal.values())
        if self.condition:
            names, values = f"{names} and ({self.condition})", [*values, *self.values]
        return (
            (f"{names} and churn_risk >= ?", [*values, self.min_risk])
            if self.min_risk
            else (names, values)
        )


def parse(publication: Publication, query: Mapping[str, str], ignore: set[str]) -> Filter:
    """Parse the filter of a query string; 422 names what is invalid."""
    equal: dict[str, object] = {}
    min_risk, errors = 0.0, []
    flags = {"eligible": "is_eligible", "in_holdout": "in_holdout"}
    for name, text in query.items():
        if name in ignore:
            continue
        if name == "min_risk":
            min_risk, problem = _risk(text)
        elif name == "band":
            equal["risk_band"] = text
            problem = None if text in BANDS else f"one of {', '.join(BANDS)}"
        elif name in flags:
            equal[flags[name]] = int(text == "true")
            problem = None if text in ("true", "false") else "true or false"
            if flags[name] not in publication.prediction_columns:
                problem = "not published yet"
        elif name in publication.choices:
            equal[name], problem = text, None
        else:
            problem = "unknown filter"
        if problem:
            errors.append(error("query", name, problem))
    if errors:
        raise invalid("The list cannot be filtered like this.", errors)
    return Filter(equal, min_risk)


def to_contact(publication: Publication) -> Filter:
    """Return the filter for contactable users: eligible and outside the holdout.

    Versions of early releases have no holdout column and list all eligible users.
    """
    wanted = {"is_eligible": 1, "in_holdout": 0}
    return Filter({n: v for n, v in wanted.items() if n in publication.prediction_columns})


def _risk(text: str) -> tuple[float, str | None]:
    try:
        value = float(text)
    except ValueError:
        return 0.0, "must be a number"
    return (value, None) if 0 <= value <= 1 else (0.0, "must lie between 0 and 1")


async def ranks(publication: Publication, chosen: Filter, after: int, limit: int) -> list[int]:
    """Return the first `limit` ranks above `after` that pass the filter."""
    where, values = chosen.where()
    sql = (
        "select risk_rank from users where risk_rank > ? and risk_rank <= ?"
        f"{where} order by risk_rank limit ?"
    )
    passed: list[int] = []
    async for low, high in _windows(publication, chosen, after):
        left = limit - len(passed)
        passed += [row[0] for row in publication.store.execute(sql, (low, high, *values, left))]
        if len(passed) >= limit:
            break
    return passed


async def top(
    publication: Publication, chosen: Filter, sort: str, limit: int
) -> tuple[list[int], int]:
    """Return ranks of the first `limit` users in an order of SORTS, and the match count."""
    column, descending = SORTS[sort]
    where, values = chosen.where()
    order = f'"{column}" {"desc" if descending else "asc"}, risk_rank'
    scope = f"from users where risk_rank > ? and risk_rank <= ?{where}"
    best: list[tuple[Any, ...]] = []
    total = 0
    async for low, high in _windows(publication, chosen, 0):
        bounds = (low, high, *values)
        total += publication.store.execute(f"select count(*) {scope}", bounds).fetchone()[0]
        if sort == "risk" and len(best) >= limit:
            continue  # ranks only grow from here
        sql = f'select "{column}", risk_rank {scope} order by {order} limit ?'
        of_window = publication.store.execute(sql, (*bounds, limit)).fetchall()
        key = _falling if descending else _rising
        best = list(heapq.merge(best, of_window, key=key))[:limit]
    return [row[1] for row in best], total


async def total(publication: Publication, chosen: Filter) -> int:
    """Return how many users pass the filter. One filter at a time is counted, each once."""
    where, values = chosen.where()
    asked = (where, *values)
    async with publication.scanning:
        if asked not in publication.totals:
            sql = f"select count(*) from users where risk_rank > ? and risk_rank <= ?{where}"
            found = 0
            async for low, high in _windows(publication, chosen, 0):
                found += publication.store.execute(sql, (low, high, *values)).fetchone()[0]
            if any(len(str(value)) > LONGEST_KEPT for value in values):
                return found
            if len(publication.totals) >= MANY_TOTALS:
                publication.totals.clear()
            publication.totals[asked] = found
        return publication.totals[asked]


def _rising(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what sorts rows as SQLite does: nothing is less than any value."""
    value, rank = row
    return (value is not None, value, rank)


def _falling(row: tuple[Any, ...]) -> tuple[Any, ...]:
    value, rank = row
    return (value is None, value if value is None else -value, rank)


async def _windows(
    publication: Publication, chosen: Filter, after: int
) -> AsyncIterator[tuple[int, int]]:
    """Yield windows of ranks from the top, down to the minimum risk."""
    sql = "select churn_risk from users where risk_rank = ?"
    for low in range(after, publication.max_rank, WINDOW):
        row = publication.store.execute(sql, (low + 1,)).fetchone()
        if row and row[0] < chosen.min_risk:
            return
        yield low, low + WINDOW
        await asyncio.sleep(0)


def rows(
    publication: Publication, wanted: list[int], extra: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """Return the users at these ranks, in this order, with the `extra` columns."""
    columns = publication.shown_columns
    named = ", ".join(f'"{name}"' for name in [*columns, *extra])
    sql = f"select {named} from users where risk_rank = ?"
    shown = []
    for rank in wanted:
        row = publication.store.execute(sql, (rank,)).fetchone()
        more = dict(zip(extra, row[len(columns) :], strict=True))
        shown.append(publication.shown(row[: len(columns)]) | more)
    return shown


def cursor_of(version: str, rank: int) -> str:
    """Return the cursor for the next page: the version and the last rank shown."""
    return base64.urlsafe_b64encode(f"{version}|{rank}".encode()).decode().rstrip("=")


def read_cursor(text: str) -> tuple[str, int]:
    """Return the version and rank of a cursor; 422 if it is invalid."""
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        version, rank = content.decode("ascii").split("|")
        if not (rank.isdigit() and len(rank) < 12):
            raise ValueError
    except ValueError:
        message = "take it from next_cursor of an answer"
        raise invalid("This is no cursor.", [error("query", "cursor", message)]) from None
    return version, int(rank)


def expired() -> Problem:
    """Return the error for a cursor whose version is no longer open."""
    detail = "The list this cursor belongs to has been replaced. Start again without a cursor."
    return Problem(410, "cursor-expired", detail)
