"""Reads JSON bodies: limits their size on arrival and refuses all but plain JSON objects."""

from typing import Any

import orjson
from fastapi import Request
from starlette.requests import ClientDisconnect

from api.http.errors import Problem, invalid

KIB, MIB = 1024, 1024 * 1024


async def read_object(request: Request, cap: int) -> dict[str, Any]:
    """Return the body as an object; 413 above `cap` bytes, else 415, 400 or 422 if invalid."""
    kind = dict(request.scope["headers"]).get(b"content-type", b"")
    if kind.partition(b";")[0].strip().lower() != b"application/json":
        raise Problem(415, "unsupported-media-type", "Send the body as application/json.")
    body = await read(request, cap)
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        detail = "The body is not JSON, or holds a number or text that no computer type can hold."
        raise Problem(400, "malformed-json", detail) from None
    if not isinstance(content, dict):
        raise invalid("The body must be a JSON object.")
    return content


async def read(request: Request, cap: int) -> bytes:
    """Return the body, or raise 413 as soon as it exceeds `cap` bytes."""
    length = dict(request.scope["headers"]).get(b"content-length", b"0")
    if length.isdigit() and int(length) > cap:
        raise _too_large(cap)
    body = b""
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > cap:
            raise _too_large(cap)
    return body


def _too_large(cap: int) -> Problem:
    detail = f"The body is longer than the {cap // KIB} KiB that are taken here."
    return Problem(413, "body-too-large", detail, headers={"Connection": "close"})
