"""Lists of users, top risk first, over a store of any size without holding up anybody else.

A list is found in windows of ranks. Each window is a few milliseconds in the covering index, and
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
SORTS = {
    "risk": ("risk_rank", False),
    "lowest_risk": ("risk_rank", True),
    "silent": ("days_since_last_activity", True),
    "newest": ("tenure_days", False),
    "user_id": ("user_id", False),
}


@dataclass(frozen=True)
class Filter:
    """Which users are listed: exact values of columns, and a smallest risk."""

    equal: dict[str, object] = field(default_factory=dict)
    min_risk: float = 0.0

    def where(self) -> tuple[str, list[Any]]:
        """The SQL condition and its parameters."""
        names = "".join(f' and "{name}" = ?' for name in self.equal)
        values = list(self.equal.values())
        return (
            (f"{names} and churn_risk >= ?", [*values, self.min_risk])
            if self.min_risk
            else (names, values)
        )


def parse(publication: Publication, query: Mapping[str, str], ignore: set[str]) -> Filter:
    """The filter that a query string asks for; 422 names what is not understood."""
    equal: dict[str, object] = {}
    min_risk, errors = 0.0, []
    flags = {"eligible": "is_eligible", "in_holdout": "in_holdout"}
    for name, text in query.items():
        if name in ignore:
            continue
        if name == "min_risk":
            min_risk, problem = _risk(text)
        elif name == "band":
            equal["risk_band"], problem = text, None if text in BANDS else f"one of {BANDS}"
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
    """Whom somebody may contact: eligible users outside the holdout, as in churn_top_risk.

    Versions of early releases do not say who is in the holdout.
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
    """The first `limit` ranks above `after` that the filter lets through."""
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
    """The ranks of the first `limit` users in any order of SORTS, and how many match in all."""
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
        key = _reversed if descending else None
        best = list(heapq.merge(best, of_window, key=key))[:limit]
    return [row[1] for row in best], total


def _reversed(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return (-row[0], row[1])


async def _windows(
    publication: Publication, chosen: Filter, after: int
) -> AsyncIterator[tuple[int, int]]:
    """Windows of ranks, from the top; none below the smallest risk asked for."""
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
    """The users at these ranks, in this order, as the API shows them; `extra` columns as well."""
    columns = [*publication.prediction_columns, *publication.attributes]
    named = ", ".join(f'"{name}"' for name in [*columns, *extra])
    sql = f"select {named} from users where risk_rank = ?"
    shown = []
    for rank in wanted:
        row = publication.store.execute(sql, (rank,)).fetchone()
        more = dict(zip(extra, row[len(columns) :], strict=True))
        shown.append(publication.shown(row[: len(columns)]) | more)
    return shown


def matching(publication: Publication, prefix: str, limit: int) -> list[int]:
    """The ranks of users whose id begins with a text, by id."""
    sql = "select risk_rank from users where user_id >= ? and user_id < ? order by user_id limit ?"
    return [
        row[0] for row in publication.store.execute(sql, (prefix, prefix + "\U0010ffff", limit))
    ]


def cursor_of(version: str, rank: int) -> str:
    """Where a list goes on: the version it is a list of, and the last rank shown."""
    return base64.urlsafe_b64encode(f"{version}|{rank}".encode()).decode().rstrip("=")


def read_cursor(text: str) -> tuple[str, int]:
    """The version and rank of a cursor; 422 where it is none."""
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
    """The cursor's version is not open any more."""
    detail = "The list this cursor belongs to has been replaced. Start again without a cursor."
    return Problem(410, "cursor-expired", detail)
