"""Gives every request an id, a log line and metrics. Plain ASGI.

It also turns uncaught exceptions into a 500 without details, and adds the security headers.
"""

import logging
import os
import time
from itertools import count

from prometheus_client import Counter, Histogram
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import logs
from api.http.errors import failed
from api.metrics import Metrics

log = logging.getLogger("churnhouse.api")

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
NO_SNIFFING = (b"x-content-type-options", b"nosniff")
ONLY_TLS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
ON_PAGES = [
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]
CLIENT_LEFT = 499
"""Counted for a client that went away, or was too slow, before it had sent its request."""

METHODS = {"GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"}


class Observe:
    """The outermost middleware."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics
        self._numbers = count(1)
        self._prefix = f"{os.getpid():x}-{int(time.time()):x}-"
        self._counters: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request to the app; answer 500 if it fails."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = time.perf_counter()
        scope["request_id"] = request_id = f"{self._prefix}{next(self._numbers):x}"
        status = 0
        headers = [NO_SNIFFING, (b"x-request-id", request_id.encode())]

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] += headers
                if scope.get("scheme") == "https":  # a trusted proxy says so
                    message["headers"].append(ONLY_TLS)
                if scope["path"].startswith(("/desk", "/docs")):
                    message["headers"] += _page_headers(message)
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            status = CLIENT_LEFT
        except Exception:
            log.exception("request %s failed", request_id)
            if not status:
                await failed().response(request_id)(scope, receive, watched)
        finally:
            self._note(scope, status, time.perf_counter() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path_format", None) or "(no such page)"
        method = scope["method"] if scope["method"] in METHODS else "(other)"
        kind = (method, route, status)
        if kind not in self._counters:
            counter = self._metrics.requests.labels(*kind)
            self._counters[kind] = (counter, self._metrics.latency.labels(route))
        counter, latency = self._counters[kind]
        counter.inc()
        latency.observe(seconds)
        if status < 500 and not log.isEnabledFor(logging.INFO):
            return
        logs.line(
            "request",
            id=scope["request_id"],
            method=method,
            route=route,
            status=status,
            ms=round(seconds * 1000, 3),
            key=scope.get("key"),
            client=scope["client"][0] if scope.get("client") else None,
        )


def _page_headers(message: Message) -> list[tuple[bytes, bytes]]:
    """Add a content security policy to pages that do not set their own."""
    present = dict(message["headers"])
    if not present.get(b"content-type", b"").startswith(b"text/html"):
        return []
    return [header for header in ON_PAGES if header[0] not in present]
