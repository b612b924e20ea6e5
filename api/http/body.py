"""Reads bodies: counts them as they arrive, and refuses all but plain JSON objects."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from fastapi import Request
from starlette.requests import ClientDisconnect

from api.http.errors import Problem, invalid

KIB, MIB = 1024, 1024 * 1024
SMALL = 64 * KIB
"""A body up to this size is checked on the event loop; it costs a millisecond."""

MOST_KEYS = 10_000
"""Of one object. To look for repeated keys costs several times the object's memory."""

IN_MEMORY, FOR_SMALL, OF_ONE_KEY = 64 * MIB, 16 * MIB, 32 * MIB
"""Bytes of bodies in memory: of all, of these for small bodies alone, and of one key."""

AGAIN = {"Retry-After": "1", "Connection": "close"}


class Budget:
    """Bytes of bodies that may be in memory at one time, over all requests of a worker.

    Large bodies leave room for small ones, and for those of other keys.
    """

    def __init__(self, size: int = IN_MEMORY) -> None:
        self.left = size
        self._of_key: Counter[str] = Counter()

    def take(self, key: str | None, held: int, size: int) -> None:
        """Count bytes in of a body that holds some already. Raises 429 or 503 if it may not."""
        if key is not None and self._of_key[key] + size > OF_ONE_KEY:
            detail = "This key has as many bodies under way as it may. Wait for an answer."
            raise Problem(429, "too-many-requests", detail, headers=AGAIN)
        if size > self.left - (0 if held + size <= SMALL else FOR_SMALL):
            detail = "The server holds as many bodies as it takes. Ask again."
            raise Problem(503, "busy", detail, headers=AGAIN)
        self.left -= size
        if key is not None:
            self._of_key[key] += size

    def give(self, key: str | None, size: int) -> None:
        """Count bytes out again."""
        self.left += size
        if key is not None:
            self._of_key[key] -= size
            if not self._of_key[key]:
                del self._of_key[key]


def _forget(request: Request, body: bytearray) -> None:
    """Give a body's bytes back to the budget."""
    request.app.state.bodies.give(request.scope.get("key"), len(body))


@asynccontextmanager
async def reading(request: Request, cap: int, most_parts: int) -> AsyncIterator[bytearray]:
    """Yield the body, which counts towards the budget until the context ends.

    Raises 413 as soon as it exceeds `cap` bytes, or holds more JSON values than `most_parts`.
    """
    body = bytearray()
    try:
        await _fill(body, request, cap, most_parts)
        yield body
    finally:
        _forget(request, body)


async def _fill(body: bytearray, request: Request, cap: int, most_parts: int | None = None) -> None:
    """Read the body; each byte is taken from the budget."""
    length = dict(request.scope["headers"]).get(b"content-length", b"0")
    if length.isdigit() and int(length) > cap:
        raise _too_large(cap)
    budget: Budget = request.app.state.bodies
    key = request.scope.get("key")
    parts, more = 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece, more = message.get("body", b""), message.get("more_body", False)
        if len(body) + len(piece) > cap:
            raise _too_large(cap)
        budget.take(key, len(body), len(piece))
        body += piece
        if most_parts is not None:
            # a container costs some twenty times its text, another value some ten times
            parts += 10 * (piece.count(b"{") + piece.count(b"[")) + piece.count(b",")
            if parts > most_parts:
                raise _too_many()


async def read_object(request: Request, cap: int) -> dict[str, Any]:
    """Return the body as an object; 413 above `cap` bytes, else 415, 400 or 422 if invalid."""
    check_type(request)
    body = bytearray()
    try:
        await _fill(body, request, cap)
        return await parse(body)
    finally:
        _forget(request, body)


def check_type(request: Request) -> None:
    """Refuse a body that does not say that it is JSON."""
    kind = dict(request.scope["headers"]).get(b"content-type", b"")
    if kind.partition(b";")[0].strip().lower() != b"application/json":
        raise Problem(415, "unsupported-media-type", "Send the body as application/json.")


async def parse(body: bytes | bytearray) -> dict[str, Any]:
    """Return a JSON object whose keys occur once each; else 400 or 422."""
    try:
        content = orjson.loads(body)
        # orjson keeps the last of equal keys. Every key has a colon of its own in the text; only
        # if there are more colons than keys can a key occur twice, or a text hold a colon.
        if _keys(content) != body.count(b":"):
            if len(body) > SMALL:
                await asyncio.to_thread(_refuse_repeated_keys, body)
            else:
                _refuse_repeated_keys(body)
    except (orjson.JSONDecodeError, RecursionError):
        detail = "The body is not JSON, or holds a number or text that no computer type can hold."
        raise Problem(400, "malformed-json", detail) from None
    if not isinstance(content, dict):
        raise invalid("The body must be a JSON object.")
    return content


def _keys(value: object) -> int:
    """Return the number of keys of all objects in a JSON value; 413 if one has far too many."""
    if isinstance(value, dict):
        if len(value) > MOST_KEYS:
            raise _too_many()
        inside = [part for part in value.values() if isinstance(part, dict | list)]
        return len(value) + sum(map(_keys, inside))
    if isinstance(value, list):
        return sum(_keys(part) for part in value if isinstance(part, dict | list))
    return 0


def _refuse_repeated_keys(body: bytes | bytearray) -> None:
    def once(pairs: list[tuple[str, Any]]) -> None:
        if len(dict(pairs)) < len(pairs):
            detail = "A key occurs twice in one object of the body."
            raise Problem(400, "repeated-key", detail)

    json.loads(body, object_pairs_hook=once)


async def read(request: Request, cap: int) -> str:
    """Return the body as text, or raise 413 as soon as it exceeds `cap` bytes."""
    body = bytearray()
    try:
        await _fill(body, request, cap)
        return body.decode("utf-8", "replace")
    finally:
        _forget(request, body)


def _too_large(cap: int) -> Problem:
    detail = f"The body is longer than the {cap // KIB} KiB that are taken here."
    return Problem(413, "body-too-large", detail, headers={"Connection": "close"})


def _too_many() -> Problem:
    detail = "The body holds more rows or values than are taken here."
    return Problem(413, "body-too-large", detail, headers={"Connection": "close"})
