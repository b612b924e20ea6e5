"""Routes of the desk's pages, without the list of users."""

import time
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from api import logs
from api.desk import contacted, glossary, people, results, views, worklist
from api.desk.recording import inside
from api.desk.render import page, static_file
from api.http.body import KIB, read
from api.middleware.guard import client_of, session_cookie
from api.middleware.sessions import Sessions
from api.routes import monitoring
from api.routes.contacts import contacts_of
from api.store.listing import Filter
from api.store.loader import loader_of
from python_jobs.publication.ids import is_id

router = APIRouter(include_in_schema=False)
FIRST_TO_CALL = 8
REPORT_POLICY = (
    "default-src 'none'; img-src data:; font-src data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; sandbox allow-scripts; frame-ancestors 'none'"
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
async def today(request: Request) -> Response:
    """Show what to do today: who is newly at risk, what contacts brought, whom to call first."""
    publication = loader_of(request).current
    if publication is None or not publication.users:
        return page(request, "empty.html", 503 if publication is None else 200)
    contacts = contacts_of(request)
    order = next(iter(worklist.orders(publication, "call")))
    first = await worklist.find(publication, contacts, "call", Filter(), order, FIRST_TO_CALL)
    return page(
        request,
        "today.html",
        publication=publication,
        age=time.time() - publication.published_at,
        bands=views.bands(publication),
        expected=views.expected(publication),
        compared_with=views.compared_with(publication),
        counts=await worklist.counts(publication, contacts),
        week=contacted.last_week(publication, contacts),
        over_time=views.bands_over_time(publication),
        losses=views.losses(publication),
        choices=people.choices(publication),
        rows=people.rows(publication, contacts, first.ranks),
        to_call=first.total,
        horizon=publication.metrics.get("horizon_days"),
        here="/desk",
        **people.form(request, publication),
    )


@router.get("/desk/users/{user_id:path}")
async def user(request: Request) -> Response:
    """Show one user: reasons, worth, contacts, risk over time, activity, features, what-if."""
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
    contacts, known = contacts_of(request), publication.actions(user_id)
    return page(
        request,
        "user.html",
        publication=publication,
        user=row,
        known=known,
        state=contacted.state(publication, contacts, row["user_id"], known),
        contacts=contacted.shown(publication, contacts, row["user_id"], known),
        activity=activity,
        history=history,
        groups=views.features(publication, values),
        here=request.url.path,
        **people.form(request, publication),
    )


@router.get("/desk/results")
async def show_results(request: Request) -> Response:
    """Show what contacts changed, and whether the model kept its promises."""
    publication = loader_of(request).current
    if publication is None:
        return page(request, "empty.html", 503)
    return page(
        request,
        "results.html",
        publication=publication,
        months=results.campaigns(publication),
        save_rates=results.save_rates(publication),
        promises=results.promises(publication),
        precision=views.precision(publication),
        policies=publication.monitoring.get("policy_value", []),
        lead=results.list_lead(publication),
        effect=next(iter(publication.monitoring.get("effect_model", [])), None),
        horizon=publication.metrics.get("horizon_days"),
    )


@router.get("/desk/calendar")
async def calendar(request: Request) -> Response:
    """Show how many users are expected to leave in each coming week, and what that costs."""
    publication = loader_of(request).current
    if publication is None:
        return page(request, "empty.html", 503)
    weeks = views.calendar(publication)
    return page(request, "calendar.html", publication=publication, weeks=weeks)


@router.get("/desk/model")
async def model(request: Request) -> Response:
    """Show the production model: metrics, baselines, drift and training data."""
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
        drift=views.drift(publication),
        features=[views.feature_words(publication, name) for name in publication.features],
    )


@router.get("/desk/model/report")
async def report(request: Request) -> Response:
    """Serve the training report in a sandbox, cut off from the desk."""
    publication = loader_of(request).require()
    if publication.report is None:
        return _lost(request)
    headers = {"Content-Security-Policy": REPORT_POLICY}
    return Response(publication.report, 200, headers, "text/html")


@router.get("/desk/words")
async def words(request: Request) -> Response:
    """Explain the words that the desk uses."""
    found = sorted(glossary.WORDS.items(), key=lambda item: item[1].shown.lower())
    return page(request, "words.html", words=found)


@router.get("/desk/sign-in")
async def sign_in_form(request: Request) -> Response:
    """Show the sign-in form, or go to the desk if no keys are configured."""
    if request.app.state.sessions is None:
        return RedirectResponse("/desk", 303)
    following = inside(request.query_params.get("next"))
    unsent = "unsent" in request.query_params
    return page(request, "sign_in.html", next=following, refused=None, unsent=unsent)


@router.post("/desk/sign-in")
async def sign_in(request: Request) -> Response:
    """Exchange a key for a session in an HttpOnly, SameSite=Strict cookie."""
    sessions, keys = request.app.state.sessions, request.app.state.keys
    if sessions is None:
        return RedirectResponse("/desk", 303)
    form = parse_qs(await read(request, 8 * KIB))
    following = inside(form.get("next", [""])[0])
    key = keys.find(form.get("key", [""])[0].strip())
    if key is None:  # a good key is never made to wait for those who try bad ones
        refused = request.app.state.metrics.refused
        if request.app.state.strangers.wait(client_of(request.scope), time.monotonic()):
            refused.labels("sign_in").inc()
            return page(request, "sign_in.html", 429, next=following, refused="often", unsent=False)
        refused.labels("bad_key").inc()
        return page(request, "sign_in.html", 401, next=following, refused="unknown", unsent=False)
    if request.app.state.signing_in.wait(key.name, time.monotonic()):  # each session is a file
        request.app.state.metrics.refused.labels("sign_in").inc()
        return page(request, "sign_in.html", 429, next=following, refused="key", unsent=False)
    cookie = sessions.cookie(sessions.make(key), is_https=request.url.scheme == "https")
    return RedirectResponse(following, 303, {"Set-Cookie": cookie, "Cache-Control": "no-store"})


@router.post("/desk/sign-out")
async def sign_out(request: Request) -> Response:
    """End the session, on every server and in this browser."""
    sessions: Sessions | None = request.app.state.sessions
    if sessions is None:
        return RedirectResponse("/desk", 303)
    is_https = request.url.scheme == "https"
    try:
        value = session_cookie(request.headers, is_https) or ""
        seconds = request.app.state.settings.api_check_seconds
        await request.app.state.threads.call(sessions.end, value, seconds=seconds)
    except OSError as error:
        logs.line("sign_out_not_shared", kind=type(error).__name__)
    cookie = sessions.cookie("", is_https=is_https)
    headers = {"Set-Cookie": cookie, "Clear-Site-Data": '"cache"'}
    return RedirectResponse("/desk/sign-in", 303, headers)


@router.get("/desk/{rest:path}")
async def lost(request: Request) -> Response:
    """Answer any unknown address below the desk."""
    return _lost(request)


def _lost(request: Request) -> Response:
    return page(request, "lost.html", 404, what="There is no page at this address.")
