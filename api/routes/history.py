"""Endpoint for one user's risk at earlier dates."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.http.answers import tagged
from api.http.errors import unknown_user
from api.routes.openapi import HISTORY, USER_ID, described
from api.store.loader import loader_of
from python_jobs.publication.ids import is_id

router = APIRouter(tags=["predictions"])


@router.get(
    "/v1/history/{user_id:path}",
    operation_id="get_history",
    summary="The risk of one user over time",
    **described(HISTORY, 304, 404, parameters=[USER_ID]),
)
async def history(request: Request) -> Response:
    """Return the user's risk at the newest scored dates, up to 30, the oldest first."""
    publication = loader_of(request).require()
    user_id = request.path_params["user_id"]
    row = publication.prediction(user_id) if is_id(user_id) else None
    if row is None:
        raise unknown_user()
    _, dates = publication.series(user_id)
    content = {
        "user_id": row["user_id"],
        "published_version": publication.version,
        "dates": [date | {"risk_band": date.get("risk_band")} for date in dates],
    }
    return tagged(request, publication.etag, content)
