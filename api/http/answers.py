"""JSON answers with entity tags; the tag is the published version."""

import orjson
from fastapi import Request
from starlette.responses import Response

JSON = "application/json"


def answer(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON answer that depends on more than the version."""
    return Response(orjson.dumps(content), status, headers or {"Cache-Control": "no-store"}, JSON)


def tagged(request: Request, etag: str, content: object) -> Response:
    """Return a JSON answer with its entity tag; 304 to a client that already has it."""
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    wanted = request.headers.get("if-none-match")
    if wanted and _matches(wanted, etag):
        return Response(None, 304, headers)
    return answer(content, headers=headers)


def _matches(wanted: str, etag: str) -> bool:
    tags = (tag.strip().removeprefix("W/") for tag in wanted.split(","))
    return wanted.strip() == "*" or etag in tags
