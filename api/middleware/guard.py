"""Checks key, role and rate limit of each request. Plain ASGI.

Without a key file the server listens only on loopback, and every request passes.
"""

import time
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.errors import Problem
from api.keys import Key, Keys
from api.metrics import Metrics
from api.middleware.sessions import COOKIE, Sessions
from api.settings import ApiSettings

OPEN = {
    "/",
    "/live",
    "/ready",
    "/health",
    "/openapi.json",
    "/docs",
    "/desk/sign-in",
    "/desk/sign-out",
}
OPEN_PREFIX = "/desk/static/"
OPERATOR = {"/metrics"}
WRITER = {("POST", "/v1/contacts"), ("POST", "/desk/contacts")}
SAFE = {"GET", "HEAD", "OPTIONS"}
STRANGER = "-"


class Buckets:
    """Token buckets by key name: `burst` at once, then `rate` a second."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._levels: dict[str, tuple[float, float]] = {}

    def wait(self, name: str, now: float) -> float:
        """Take a token; return 0, or the seconds until there is one."""
        level, since = self._levels.get(name, (self._burst, now))
        level = min(self._burst, level + (now - since) * self._rate)
        taken = level >= 1
        self._levels[name] = (level - 1 if taken else level, now)
        return 0.0 if taken else (1 - level) / self._rate


class Guard:
    """Passes a request on with its key's name in scope["key"], or answers it."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: ApiSettings,
        keys: Keys | None,
        sessions: Sessions | None,
        metrics: Metrics,
    ) -> None:
        self._app, self._keys, self._sessions, self._metrics = app, keys, sessions, metrics
        share = settings.api_workers
        rate, burst = settings.api_rate_per_second / share, settings.api_burst / share
        self._buckets = Buckets(rate, max(1.0, burst))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request."""
        if scope["type"] != "http" or self._keys is None:
            return await self._app(scope, receive, send)
        path = scope["path"]
        try:
            if path.startswith(OPEN_PREFIX) or (path in OPEN and path != "/desk/sign-in"):
                pass
            elif path == "/desk/sign-in":
                self._limit(STRANGER)
            else:
                key = self._judge(scope, path)
                scope["key"], scope["role"] = key.name, key.role
        except Problem as problem:
            answer = problem.response(scope.get("request_id", ""))
            if problem.status == 401 and path.startswith("/desk") and scope["method"] == "GET":
                answer = RedirectResponse(f"/desk/sign-in?next={quote(path)}", 303)
            return await answer(scope, receive, send)
        await self._app(scope, receive, send)

    def _judge(self, scope: Scope, path: str) -> Key:
        headers = Headers(scope=scope)
        key = self._key(headers, scope["method"])
        scope["key"] = key.name
        needed = "operator" if path in OPERATOR else "reader"
        needed = "writer" if (scope["method"], path) in WRITER else needed
        if not key.may(needed):
            self._metrics.refused.labels("role").inc()
            raise Problem(403, "forbidden", f"This needs a key with the role {needed}.")
        self._limit(key.name)
        return key

    def _key(self, headers: Headers, method: str) -> Key:
        presented = headers.get("x-api-key")
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if presented is None and scheme.lower() == "bearer":
            presented = token.strip()
        if presented is None and (session := _cookie(headers)):
            return self._signed_in(session, headers, method)
        key = self._keys.find(presented) if presented and self._keys else None
        if key is None:
            raise self._stranger("bad_key" if presented else "no_key")
        return key

    def _signed_in(self, session: str, headers: Headers, method: str) -> Key:
        key = self._sessions.holder(session) if self._sessions else None
        if key is None:
            raise self._stranger("bad_key")
        if method not in SAFE and headers.get("sec-fetch-site", "same-origin") != "same-origin":
            self._metrics.refused.labels("role").inc()
            raise Problem(403, "forbidden", "A page of another site cannot act for you.")
        return key

    def _limit(self, name: str) -> None:
        seconds = self._buckets.wait(name, time.monotonic())
        if seconds:
            self._metrics.refused.labels("rate").inc()
            headers = {"Retry-After": str(int(seconds) + 1)}
            raise Problem(
                429,
                "too-many-requests",
                "This key asks too often. Wait, then go on.",
                headers=headers,
            )

    def _stranger(self, reason: str) -> Problem:
        self._metrics.refused.labels(reason).inc()
        detail = "Send a valid key as `Authorization: Bearer KEY` or `X-API-Key: KEY`."
        headers = {"WWW-Authenticate": 'Bearer realm="churnhouse"'}
        return Problem(401, "unauthorized", detail, headers=headers)


def _cookie(headers: Headers) -> str | None:
    for part in headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return None
