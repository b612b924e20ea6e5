"""Endpoints for published predictions: one user, several users, and the ranked list."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.http.answers import answer, tagged
from api.http.body import KIB, read_object
from api.http.errors import error, invalid, unknown_user
from api.http.query import parameters
from api.routes.openapi import (
    LOOKUP_BODY,
    PREDICTION,
    PREDICTION_LIST,
    PREDICTIONS,
    USER_ID,
    described,
)
from api.store import listing
from api.store.changes import names_forgotten
from api.store.loader import loader_of
from python_jobs.publication.ids import LENGTH, is_id

router = APIRouter(tags=["predictions"])
MAX_IDS = 1_000
DEFAULT_LIMIT, MAX_LIMIT = 100, 1_000


@router.get(
    "/v1/predictions",
    operation_id="list_predictions",
    summary="The list, top risk first",
    **described(PREDICTION_LIST, 304, 410, 422),
)
async def predictions(request: Request) -> Response:
    """Page through users by falling risk; `next_cursor` continues exactly where a page ended.

    Only eligible users are listed, unless `include=all`, `eligible` or `band=gone` says otherwise.
    `total` counts the users of all pages.
    A cursor belongs to one published version. That version stays readable for a while after the
    next one is published, so paging has no gaps or repeats.
    """
    query = _query(request)
    loader = loader_of(request)
    publication, after = loader.require(), 0
    if cursor := query.get("cursor"):
        version, after = listing.read_cursor(cursor)
        pinned = await loader.pinned(version)
        if pinned is None or names_forgotten(publication.manifest, pinned.manifest):
            raise listing.expired()
        publication = pinned
    limit = _limit(query.get("limit", str(DEFAULT_LIMIT)))
    chosen = listing.parse(publication, query, ignore={"cursor", "limit"})
    ranks = await listing.ranks(publication, chosen, after, limit + 1)
    following = (
        listing.cursor_of(publication.version, ranks[limit - 1]) if len(ranks) > limit else None
    )
    content = {
        "published_version": publication.version,
        "as_of_date": publication.as_of_date,
        "timezone": publication.timezone,
        "total": await listing.total(publication, chosen),
        "predictions": listing.rows(publication, ranks[:limit]),
        "next_cursor": following,
    }
    return tagged(request, publication.etag, content)


@router.post(
    "/v1/predictions/lookup",
    operation_id="lookup_predictions",
    summary="Up to 1,000 users at once",
    **described(PREDICTIONS, 400, 413, 415, 422, body=LOOKUP_BODY),
)
async def lookup(request: Request) -> Response:
    """Return the published rows of these users in the given order, and unknown ids."""
    content = await read_object(request, 1024 * KIB)
    publication = loader_of(request).require()
    ids = content.get("user_ids")
    if not isinstance(ids, list) or not all(is_id(one) for one in ids) or len(content) > 1:
        message = f"a list of ids, each a text of 1 to {LENGTH} characters, and nothing else"
        raise invalid("Send user_ids.", [error("body", "user_ids", message)])
    if not 0 < len(ids) <= MAX_IDS:
        raise invalid("Send 1 to 1,000 ids.", [error("body", "user_ids", f"{len(ids)} ids")])
    rows = {user_id: publication.prediction(user_id) for user_id in ids}
    missing = [user_id for user_id, row in rows.items() if row is None]
    metrics = request.app.state.metrics
    metrics.found.inc(len(rows) - len(missing))
    metrics.missing.inc(len(missing))
    return answer(
        {
            "published_version": publication.version,
            "found": [row for row in rows.values() if row],
            "missing": missing,
        }
    )


@router.get(
    "/v1/predictions/{user_id:path}",
    operation_id="get_prediction",
    summary="One user",
    **described(PREDICTION, 304, 404, parameters=[USER_ID]),
)
async def prediction(request: Request) -> Response:
    """Return the published row of a user, with the reasons in words."""
    publication = loader_of(request).require()
    user_id = request.path_params["user_id"]
    row = publication.prediction(user_id) if is_id(user_id) else None
    metrics = request.app.state.metrics
    if row is None:
        metrics.missing.inc()
        raise unknown_user()
    metrics.found.inc()
    return tagged(request, publication.etag, row)


def _query(request: Request) -> dict[str, str]:
    """Return the filters of a list; they say `eligible` where the request leaves that open."""
    query = parameters(request)
    include = query.pop("include", None)
    if include not in (None, "all"):
        raise invalid("The list cannot be filtered like this.", [error("query", "include", "all")])
    if include is None and query.get("band") != "gone":
        query.setdefault("eligible", "true")
    return query


def _limit(text: str) -> int:
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
    if not 1 <= limit <= MAX_LIMIT:
        problem = error("query", "limit", f"a whole number from 1 to {MAX_LIMIT:,}")
        raise invalid("This is no limit.", [problem])
    return limit
