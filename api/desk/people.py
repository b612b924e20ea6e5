"""Pages that list users: the tabs, their filters and downloads."""

import asyncio
import csv
import io
import json
import re
import uuid
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from api.desk import contacted, worklist
from api.desk.render import page
from api.desk.sharing import say_once
from api.http.errors import Problem
from api.http.query import parameters
from api.routes.contacts import LONGEST_SNOOZE, contacts_of
from api.store import listing
from api.store.contacts import Contacts
from api.store.loader import loader_of
from api.store.publication import Publication
from python_jobs.files import harmless
from python_jobs.publication import prediction
from python_jobs.publication.ids import is_id

router = APIRouter(include_in_schema=False)
PAGE = 50
DEEPEST = 200
CSV_ROWS = 10_000
EXTRA = ("days_since_last_activity", "tenure_days", "history")
NIGHTLY = (
    *("last_contact_on", "churn_move", "moved_since", "owner", "save_rate"),
    *("expected_gain", "expected_gain_low", "expected_gain_high"),
)
"""What the nightly file of the list has after a prediction's columns, before PLACE."""

PLACE = ("is_explored", "list_probability", "list_rank")
"""The last columns of the nightly file."""

OWN = {"q", "sort", "page", "tab", "done", "undo"}
"""Parameters of the page that are no filters."""

LAST = "\U0010ffff"
"""The last character that there is."""

DONE = re.compile(r"(contacted|snoozed|withdrawn)-(\d{1,4})")
CHANNELS = ("phone", "e-mail", "message", "letter", "in person")
OUTCOMES = ("reached", "no answer", "will stay", "will leave")


@router.get("/desk/users")
async def users(request: Request) -> Response:
    """Show a tab of the list: filter, sort, search, record contacts, download."""
    publication = loader_of(request).current
    if publication is None:
        return page(request, "empty.html", 503)
    contacts, query = contacts_of(request), _query(request)
    search = query.get("q", "")
    if search and is_id(search) and publication.prediction(search):
        return RedirectResponse(f"/desk/users/{quote(search, safe='')}", 303)
    number = max(1, min(int(query.get("page", "1")), DEEPEST)) if _is_number(query) else 1
    tab, order = _tab(publication, query)
    try:
        found = await _found(publication, contacts, query, number * PAGE)
    except Problem as problem:
        return page(request, "lost.html", problem.status, what=problem.detail)
    kept = {name: value for name, value in query.items() if name not in ("page", "done", "undo")}
    pages = max(1, min(-(-found.total // PAGE), DEEPEST))
    number = min(number, pages)  # who was contacted leaves the list, and with the last one a page
    return page(
        request,
        "users.html",
        publication=publication,
        rows=rows(publication, contacts, found.ranks[(number - 1) * PAGE : number * PAGE]),
        query=query,
        search=search,
        tab=tab,
        tabs=worklist.tabs(publication),
        counts=await worklist.counts(publication, contacts),
        order=order,
        orders=worklist.orders(publication, tab),
        choices=choices(publication),
        has_filter=bool(kept.keys() - {"tab", "sort"}),
        total=found.total,
        number=number,
        pages=pages,
        first=(number - 1) * PAGE + 1,
        link=lambda **changed: f"/desk/users?{urlencode(kept | changed)}",
        here=f"/desk/users?{urlencode(kept | ({'page': str(number)} if number > 1 else {}))}",
        csv_link=f"/desk/users.csv?{urlencode(kept)}",
        **form(request, publication),
    )


@router.get("/desk/users.csv")
async def users_csv(request: Request) -> Response:
    """Download the list as shown, up to 10,000 rows, with the columns of the nightly file."""
    publication = loader_of(request).require()
    query = _query(request)
    found = await _found(publication, contacts_of(request), query, CSV_ROWS)
    name = f"churn_{_tab(publication, query)[0]}_{publication.as_of_date}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingResponse(_csv(publication, found.ranks), 200, headers, "text/csv")


def rows(publication: Publication, contacts: Contacts, ranks: list[int]) -> list[dict[str, Any]]:
    """Return the users at these ranks as the list shows them, each with the state of contacts."""
    extra = (*EXTRA, *publication.action_columns)
    shown = listing.rows(publication, ranks, extra)
    drawn = _drawn(publication)
    for row in shown:
        row["is_drawn"] = row["risk_rank"] in drawn
        row["contact_history"] = json.loads(row.get("contact_history") or "[]")
        row["state"] = contacted.state(publication, contacts, row["user_id"], row)
        row["heading"] = None
    return say_once(shown)


def choices(publication: Publication) -> dict[str, dict[str, int]]:
    """Return the attributes that the list can be filtered by, with the users of each value."""
    return {name: values for name, values in publication.choices.items() if name not in OWN}


def _drawn(publication: Publication) -> set[int]:
    """Return the ranks of those on the list whose place was drawn at random."""
    if not publication.has_call_list:
        return set()
    found = publication.store.execute("select risk_rank from churn_top_risk where is_explored")
    return {rank for (rank,) in found}


def form(request: Request, publication: Publication) -> dict[str, Any]:
    """Return what a form that records contacts needs."""
    rules = publication.manifest.get("list", {})
    today = datetime.now(publication.zone).date()
    known = (row["campaign"] for row in publication.monitoring.get("campaign_lift", []))
    outcomes = (outcome for outcome, *_ in publication.contacted if outcome)
    done = DONE.fullmatch(request.query_params.get("done", ""))
    undo = request.query_params.get("undo", "")
    return {
        "form": {
            "key": uuid.uuid4().hex,
            "campaigns": rules.get("campaigns") or [],
            "owners": rules.get("owners") or [],
            "known_campaigns": sorted(set(known) - {"unnamed"}),
            "channels": CHANNELS,
            "outcomes": list(dict.fromkeys([*OUTCOMES, *sorted(outcomes)])),
            "snooze": (today + timedelta(days=7)).isoformat(),
            "first_day": (today + timedelta(days=1)).isoformat(),
            "last_day": (today + timedelta(days=LONGEST_SNOOZE)).isoformat(),
        },
        "done": {"action": done[1], "users": int(done[2]), "undo": undo} if done else None,
    }


def _tab(publication: Publication, query: dict[str, str]) -> tuple[str, str]:
    """Return the tab and the order that are asked for, or the nearest that there are.

    A search looks at everybody.
    """
    tab = query.get("tab", "all") if "q" not in query else "all"
    tab = tab if tab in worklist.tabs(publication) else "all"
    orders = worklist.orders(publication, tab)
    first = "recent" if query.get("band") == "gone" else next(iter(orders))
    first = "user_id" if "q" in query else first
    order = query.get("sort", "")
    return tab, order if order in orders else first


async def _found(
    publication: Publication, contacts: Contacts, query: dict[str, str], limit: int
) -> worklist.Found:
    """Return the users that a query asks for. Raises Problem for a filter that there is not."""
    tab, order = _tab(publication, query)
    chosen = _filter(publication, query, tab)
    if search := query.get("q"):
        if not is_id(search):
            return worklist.Found([], 0)
        condition = "user_id >= ? and user_id < ?"
        chosen = replace(chosen, condition=condition, values=(search, search + LAST))
    return await worklist.find(publication, contacts, tab, chosen, order, limit)


def _query(request: Request) -> dict[str, str]:
    """Return the form's query without empty fields; a search also finds those who are gone."""
    query = {name: value for name, value in parameters(request).items() if value}
    if search := query.pop("q", "").strip():
        query = {"eligible": "any"} | query | {"q": search}
    return query


def _filter(publication: Publication, query: dict[str, str], tab: str) -> listing.Filter:
    """Return the filter of the list; everybody who is gone is left out of everybody by default."""
    is_narrowed = tab == "all" and query.get("band") != "gone"
    wanted = ({"eligible": "true"} if is_narrowed else {}) | query
    if wanted.get("eligible") == "any":
        del wanted["eligible"]
    return listing.parse(publication, wanted, ignore=OWN)


def _is_number(query: dict[str, str]) -> bool:
    text = query.get("page", "1")
    return text.isascii() and text.isdigit() and len(text) < 6


async def _csv(publication: Publication, ranks: list[int]) -> AsyncIterator[str]:
    """Yield the rows as CSV; text that looks like a formula gets an apostrophe."""
    known = [name for name in NIGHTLY if name in publication.action_columns]
    columns = [*publication.prediction_columns, *known]
    nobody, places = _places(publication)
    yield _line([*columns, *nobody])
    named = ", ".join(f'"{name}"' for name in columns)
    sql = f"select {named} from users where risk_rank = ?"
    for start in range(0, len(ranks), 500):
        lines = []
        for rank in ranks[start : start + 500]:
            row = publication.store.execute(sql, (rank,)).fetchone()
            lines.append(_line([*map(_cell, columns, row), *places.get(rank, nobody).values()]))
        yield "".join(lines)
        await asyncio.sleep(0)


def _places(publication: Publication) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
    """Return the columns of a place on the list, without values, and those of listed users."""
    if not publication.has_call_list:
        return dict.fromkeys(PLACE), {}
    listed = publication.store.execute(f"select risk_rank, {', '.join(PLACE)} from churn_top_risk")
    places = {rank: dict(zip(PLACE, values, strict=True)) for rank, *values in listed}
    for place in places.values():
        place["is_explored"] = _flag(place["is_explored"])
    return dict.fromkeys(PLACE), places


def _flag(value: object) -> str:
    return str(value == 1).lower()


def _cell(name: str, value: object) -> object:
    """Return a value as the nightly file writes it."""
    if name in prediction.FLAGS:
        return _flag(value)
    return str(value).replace("T", " ") if name == "scored_at" else value


def _line(values: Iterable[Any]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(map(harmless, values))
    return out.getvalue()
