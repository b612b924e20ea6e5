"""Routes of the desk's pages."""

import asyncio
import csv
import io
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from api.desk import views
from api.desk.render import page, static_file
from api.http.body import KIB, read
from api.http.errors import Problem
from api.routes import monitoring
from api.routes.contacts import contacts_of
from api.store import listing
from api.store.loader import loader_of
from api.store.publication import Publication
from python_jobs.files import harmless
from python_jobs.publication.ids import is_id

router = APIRouter(include_in_schema=False)
PAGE = 50
DEEPEST = 200
CSV_ROWS = 10_000
EXTRA = ("days_since_last_activity", "tenure_days")
REPORT_POLICY = (
    "default-src 'none'; img-src data:; font-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; sandbox allow-scripts; frame-ancestors 'self'"
)
"""The report is one file with everything inside, so it is shut off from the desk instead."""


@router.get("/")
async def root(_: Request) -> Response:
    """Redirect the root address to the desk."""
    return RedirectResponse("/desk", 307)


@router.get("/desk/static/{name:path}")
async def static(request: Request) -> Response:
    """Serve a stylesheet, a script or the chart library."""
    return static_file(request.path_params["name"]) or _lost(request)


@router.get("/desk")
async def overview(request: Request) -> Response:
    """Show who is at risk today."""
    publication = loader_of(request).current
    if publication is None or not publication.users:
        return page(request, "empty.html", 503 if publication is None else 200)
    ranks = await listing.to_call(publication, contacts_of(request), 8)
    return page(
        request,
        "overview.html",
        publication=publication,
        age=time.time() - publication.published_at,
        bands=views.bands(publication),
        expected=views.expected(publication),
        over_time=views.bands_over_time(publication),
        precision=views.precision(publication),
        drift=views.drift(publication),
        top=listing.rows(publication, ranks, EXTRA),
        horizon=publication.metrics.get("horizon_days"),
        model=monitoring.facts(publication),
    )


@router.get("/desk/users")
async def users(request: Request) -> Response:
    """Show the list of users: filter, sort, search, download."""
    publication = loader_of(request).current
    if publication is None:
        return page(request, "empty.html", 503)
    query = _query(request)
    search = query.get("q", "").strip()
    if search and is_id(search) and publication.prediction(search):
        return RedirectResponse(f"/desk/users/{_quoted(search)}", 303)
    number = max(1, min(int(query.get("page", "1")), DEEPEST)) if _is_number(query) else 1
    sort = query.get("sort", "risk") if query.get("sort") in listing.SORTS else "risk"
    if search:
        ranks = listing.matching(publication, search, PAGE) if is_id(search) else []
        total = len(ranks)
    else:
        try:
            chosen = _filter(publication, query)
        except Problem as problem:
            return page(request, "lost.html", problem.status, what=problem.detail)
        best, total = await listing.top(publication, chosen, sort, number * PAGE)
        ranks = best[(number - 1) * PAGE :]
    kept = {name: value for name, value in query.items() if name != "page"}
    return page(
        request,
        "users.html",
        publication=publication,
        rows=listing.rows(publication, ranks, EXTRA),
        query=query,
        search=search,
        sort=sort,
        total=total,
        number=number,
        pages=max(1, min(-(-total // PAGE), DEEPEST)),
        first=(number - 1) * PAGE + 1,
        link=lambda **changed: f"/desk/users?{urlencode(kept | changed)}",
        csv_link=f"/desk/users.csv?{urlencode(kept)}",
    )


@router.get("/desk/users.csv")
async def users_csv(request: Request) -> Response:
    """Download the filtered and sorted list as CSV, up to 10,000 rows."""
    publication = loader_of(request).require()
    query = _query(request)
    sort = query.get("sort", "risk") if query.get("sort") in listing.SORTS else "risk"
    if search := query.get("q", "").strip():
        ranks = listing.matching(publication, search, PAGE)
    else:
        ranks, _ = await listing.top(publication, _filter(publication, query), sort, CSV_ROWS)
    name = f"churn_risk_{publication.as_of_date}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingResponse(_csv(publication, ranks), 200, headers, "text/csv")


@router.get("/desk/users/{user_id:path}")
async def user(request: Request) -> Response:
    """Show one user: risk over time, activity, features, reasons, what-if."""
    publication = loader_of(request).current
    if publication is None:
        return page(request, "empty.html", 503)
    user_id = request.path_params["user_id"]
    row = publication.prediction(user_id) if is_id(user_id) else None
    values = publication.user_features(user_id) if row else None
    if row is None or values is None:
        what = "The published version has no user with this id."
        return page(request, "lost.html", 404, what=what)
    activity, history = publication.series(user_id)
    return page(
        request,
        "user.html",
        publication=publication,
        user=row,
        activity=activity,
        history=history,
        groups=views.features(publication, values),
        horizon=publication.metrics.get("horizon_days"),
    )


@router.get("/desk/model")
async def model(request: Request) -> Response:
    """Show the production model: metrics, baselines and training data."""
    publication = loader_of(request).current
    if publication is None:
        return page(request, "empty.html", 503)
    return page(
        request,
        "model.html",
        publication=publication,
        model=monitoring.facts(publication),
        comparison=views.comparison(publication),
        names=views.COMPARED,
        features=[views.feature_words(publication, name) for name in publication.features],
    )


@router.get("/desk/model/report")
async def report(request: Request) -> Response:
    """Serve the training report in a sandbox, cut off from the desk."""
    publication = loader_of(request).require()
    if publication.report is None:
        return _lost(request)
    headers = {"Content-Security-Policy": REPORT_POLICY, "X-Frame-Options": "SAMEORIGIN"}
    return Response(publication.report, 200, headers, "text/html")


@router.get("/desk/sign-in")
async def sign_in_form(request: Request) -> Response:
    """Show the sign-in form, or go to the desk if no keys are configured."""
    if request.app.state.sessions is None:
        return RedirectResponse("/desk", 303)
    return page(
        request, "sign_in.html", next=_inside(request.query_params.get("next")), refused=False
    )


@router.post("/desk/sign-in")
async def sign_in(request: Request) -> Response:
    """Exchange a key for a session in an HttpOnly, SameSite=Strict cookie."""
    sessions, keys = request.app.state.sessions, request.app.state.keys
    if sessions is None:
        return RedirectResponse("/desk", 303)
    form = parse_qs((await read(request, 8 * KIB)).decode("utf-8", "replace"))
    following = _inside(form.get("next", [""])[0])
    key = keys.find(form.get("key", [""])[0].strip())
    if key is None or request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return page(request, "sign_in.html", 401, next=following, refused=True)
    cookie = sessions.cookie(sessions.make(key), is_https=request.url.scheme == "https")
    return RedirectResponse(following, 303, {"Set-Cookie": cookie, "Cache-Control": "no-store"})


@router.post("/desk/sign-out")
async def sign_out(request: Request) -> Response:
    """Delete the session cookie in this browser."""
    sessions = request.app.state.sessions
    headers = {"Set-Cookie": sessions.cookie("", is_https=False)} if sessions else {}
    return RedirectResponse("/desk/sign-in", 303, headers)


@router.get("/desk/{rest:path}")
async def lost(request: Request) -> Response:
    """Answer any unknown address below the desk."""
    return _lost(request)


def _lost(request: Request) -> Response:
    return page(request, "lost.html", 404, what="There is no page at this address.")


def _query(request: Request) -> dict[str, str]:
    """Return the form's query without empty fields."""
    return {name: value for name, value in request.query_params.items() if value}


def _filter(publication: Publication, query: dict[str, str]) -> listing.Filter:
    """Return the filter of the list; by default only eligible users."""
    everybody = query.get("band") == "gone"
    wanted = ({} if everybody else {"eligible": "true"}) | query
    if wanted.get("eligible") == "any":
        del wanted["eligible"]
    return listing.parse(publication, wanted, ignore={"q", "sort", "page"})


def _is_number(query: dict[str, str]) -> bool:
    text = query.get("page", "1")
    return text.isascii() and text.isdigit() and len(text) < 6


def _inside(path: str | None) -> str:
    """Return the path to go to after sign-in, never another site's."""
    path = path or ""
    safe = (path == "/desk" or path.startswith("/desk/")) and "\\" not in path
    return path if safe and path.isascii() and path.isprintable() else "/desk"


def _quoted(user_id: str) -> str:
    return quote(user_id, safe="")


async def _csv(publication: Publication, ranks: list[int]) -> AsyncIterator[str]:
    """Yield the rows as CSV; text that looks like a formula gets an apostrophe."""
    head = ["rank", "user_id", "churn_risk", "band", "eligible", "reasons", *EXTRA]
    yield _line([*head, *publication.attributes])
    for start in range(0, len(ranks), 500):
        rows = listing.rows(publication, ranks[start : start + 500], EXTRA)
        yield "".join(_line(_cells(row)) for row in rows)
        await asyncio.sleep(0)


def _cells(row: dict[str, Any]) -> list[Any]:
    fixed = [row[name] for name in ("risk_rank", "user_id", "churn_risk", "risk_band")]
    reasons = "; ".join(row["reasons"])
    extra = (row[name] for name in EXTRA)
    return [*fixed, row["is_eligible"], reasons, *extra, *row["attributes"].values()]


def _line(values: list[Any]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(map(harmless, values))
    return out.getvalue()
