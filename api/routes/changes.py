"""Endpoint for systems that follow the list: what changed since a version."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.http.answers import JSON
from api.http.errors import Problem, error, invalid
from api.http.query import parameters
from api.routes.contacts import contacts_of
from api.routes.openapi import CHANGES, SINCE, described
from api.store import changes
from api.store.loader import loader_of

router = APIRouter(tags=["list"])
COMPARE_SECONDS = 30


@router.get(
    "/v1/changes",
    operation_id="list_changes",
    summary="What changed in the list",
    **described(CHANGES, 410, 422, parameters=[SINCE]),
)
async def of_list(request: Request) -> Response:
    """Return who was added to the list, changed or removed since a published version.

    Keep published_version, and ask with it as `since` next time. Without `since` every user of the
    list is an `add`, and the answer replaces your list. Applying a change again does no harm: add
    or replace users of `add` and `change`, and drop those of `remove`. After 410 ask without
    `since`. Users whom somebody contacted or snoozed since then are removed, never added.
    """
    query = parameters(request)
    if unknown := query.keys() - {"since"}:
        problems = [error("query", name, "unknown parameter") for name in sorted(unknown)]
        raise invalid("The changes cannot be chosen like this.", problems)
    publication = loader_of(request).require()
    async with publication.comparing:
        try:
            content = await request.app.state.threads.call(
                changes.answer,
                request.app.state.settings.published,
                publication,
                query.get("since"),
                contacts_of(request),
                request.app.state.settings.signing_key,
                seconds=COMPARE_SECONDS,
            )
        except TimeoutError:
            raise Problem(503, "no-list", "The list cannot be read now. Ask again.") from None
    return Response(content, 200, {"Cache-Control": "no-store"}, JSON)
