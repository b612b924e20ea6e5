"""Checks host, origin, key, role and rate limit of each request. Plain ASGI.

Without a key file the server listens only on loopback, and every request of this machine passes.
"""

import ipaddress
import time
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import parse_qs, quote, urlsplit

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.errors import Problem
from api.keys import Key, Keys
from api.metrics import Metrics
from api.middleware.sessions import Sessions, cookie_name
from api.settings import ApiSettings
from python_jobs.publication.ids import CONTROL_CHARACTERS

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
PROBES = {"/live", "/ready", "/health"}
OPEN_PREFIX = "/desk/static/"
OPERATOR = {"/metrics"}
WRITER = {("POST", "/v1/contacts"), ("POST", "/desk/contacts")}
SAFE = {"GET", "HEAD", "OPTIONS"}
LONGEST_HOST = 261
"""Bytes of a name with its port."""

LONGEST_QUERY, MOST_PARAMETERS = 8192, 100
"""Bytes of a query, and its parameters: to read them costs milliseconds before a key is known."""

MOST_BUCKETS = 10_000
SIGN_INS_PER_SECOND, SIGN_INS_AT_ONCE = 0.5, 20
"""Wrong keys that one address may try at the desk, and sessions that one key may begin."""


class Buckets:
    """Token buckets by name: `burst` at once, then `rate` a second."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._levels: dict[str, tuple[float, float]] = {}

    def wait(self, name: str, now: float) -> float:
        """Take a token; return 0, or the seconds until there is one."""
        if len(self._levels) >= MOST_BUCKETS:
            self._forget_full(now)
        level, since = self._levels.get(name, (self._burst, now))
        level = min(self._burst, level + (now - since) * self._rate)
        taken = level >= 1
        self._levels[name] = (level - 1 if taken else level, now)
        return 0.0 if taken else (1 - level) / self._rate

    def _forget_full(self, now: float) -> None:
        """Forget the buckets that are full again, or all if that is not half of them."""
        kept = {
            name: (level, since)
            for name, (level, since) in self._levels.items()
            if level + (now - since) * self._rate < self._burst
        }
        self._levels = kept if len(kept) < MOST_BUCKETS / 2 else {}


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
        self._hosts, self._origins = settings.allowed_hosts, settings.cors_origins or ()
        self._is_own = lru_cache(maxsize=1000)(self._is_own_host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        path = scope["path"]
        try:
            if CONTROL_CHARACTERS.search(path):  # a route may match without the last of them
                raise Problem(404, "not-found", "There is nothing here.")
            self._check_host(scope, path)
            self._check_query(scope["query_string"])
            if scope["method"] not in SAFE and (self._keys is None or path.startswith("/desk")):
                is_for_others = self._keys is None and not path.startswith("/desk")
                self._check_site(Headers(scope=scope), self._origins if is_for_others else ())
            if not (self._keys is None or path.startswith(OPEN_PREFIX) or path in OPEN):
                key = self._judge(scope, path)
                scope["key"], scope["role"] = key.name, key.role
        except Problem as problem:
            answer = problem.response(scope.get("request_id", ""))
            if problem.status == 401 and path.startswith("/desk"):
                answer = _to_sign_in(scope) or answer
            return await answer(scope, receive, send)
        await self._app(scope, receive, send)

    def _check_host(self, scope: Scope, path: str) -> None:
        """Refuse a request that names another server: a page may have redirected its own name."""
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) <= 1 and path in PROBES:  # a load balancer may name none
            return
        if len(hosts) == 1 and len(hosts[0]) <= LONGEST_HOST and self._is_own(hosts[0]):
            return
        self._metrics.refused.labels("host").inc()
        if len(hosts) != 1:
            raise Problem(400, "malformed-request", "Name the host once.")
        detail = "This server is not called that. CHURNHOUSE_ALLOWED_HOSTS names what it is called."
        raise Problem(421, "other-host", detail)

    def _check_query(self, query: bytes) -> None:
        if len(query) > LONGEST_QUERY or query.count(b"&") >= MOST_PARAMETERS:
            self._metrics.refused.labels("malformed").inc()
            raise Problem(414, "query-too-long", "The address has too long a query.")

    def _is_own_host(self, text: bytes) -> bool:
        """Return whether a Host field names this server.

        An address always does where keys are asked for: only names can be redirected.
        """
        if self._hosts is None and self._keys is not None:
            return True
        try:
            host = urlsplit(f"//{text.decode('ascii')}").hostname or ""
        except ValueError:
            return False
        if host == "localhost" or host in (self._hosts or ()):
            return b"@" not in text
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return address.is_loopback or self._keys is not None

    def _check_site(self, headers: Headers, origins: Collection[str] = ()) -> None:
        """Refuse what a browser sends for a page of another site, except of these origins."""
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site is None and origin is not None:
            is_ours = _netloc(origin) == headers.get("host")
        else:
            is_ours = site in (None, "same-origin")
        if not (is_ours or origin in origins):
            self._metrics.refused.labels("other_site").inc()
            raise Problem(403, "forbidden", "A page of another site cannot act for you.")

    def _judge(self, scope: Scope, path: str) -> Key:
        headers = Headers(scope=scope)
        key = self._key(headers, scope["method"], is_https=scope["scheme"] == "https")
        scope["key"] = key.name
        needed = "operator" if path in OPERATOR else "reader"
        needed = "writer" if (scope["method"], path) in WRITER else needed
        if not key.may(needed):
            self._metrics.refused.labels("role").inc()
            raise Problem(403, "forbidden", f"This needs a key with the role {needed}.")
        self._limit(key.name)
        return key

    def _key(self, headers: Headers, method: str, *, is_https: bool) -> Key:
        presented = headers.get("x-api-key")
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if presented is None and scheme.lower() == "bearer":
            presented = token.strip()
        if presented is None and (session := session_cookie(headers, is_https)):
            return self._signed_in(session, headers, method)
        key = self._keys.find(presented) if presented and self._keys else None
        if key is None:
            raise self._stranger("bad_key" if presented else "no_key")
        return key

    def _signed_in(self, session: str, headers: Headers, method: str) -> Key:
        key = self._sessions.holder(session) if self._sessions else None
        if key is None:
            raise self._stranger("bad_key")
        if method not in SAFE:
            self._check_site(headers)
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


def _netloc(origin: str) -> str:
    """Return host and port of an origin; nothing, which no Host field equals, if it is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def client_of(scope: Scope) -> str:
    """Return whom wrong keys are counted for: an address, or a network of one household."""
    client = scope.get("client")
    try:
        address = ipaddress.ip_address(client[0] if client else "")
    except ValueError:
        return "-"
    prefix = 64 if address.version == 6 else 32
    return str(ipaddress.ip_network((address, prefix), strict=False))


def _to_sign_in(scope: Scope) -> Response | None:
    """Return the way to sign in and back to the page; None for a request that no browser shows.

    A form names in its address the page to go back to: its body is not read for a stranger.
    """
    query = scope["query_string"].decode("latin-1")
    if scope["method"] == "GET":
        back = quote(f"{scope['path']}?{query}" if query else scope["path"])
        return RedirectResponse(f"/desk/sign-in?next={back}", 303)
    if scope["method"] != "POST" or "text/html" not in Headers(scope=scope).get("accept", ""):
        return None
    back = quote(parse_qs(query).get("next", ["/desk"])[0])
    return RedirectResponse(f"/desk/sign-in?unsent=yes&next={back}", 303)


def session_cookie(headers: Headers, is_https: bool) -> str | None:
    """Return the value of the session's cookie."""
    wanted = cookie_name(is_https)
    for part in headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == wanted:
            return value
    return None
