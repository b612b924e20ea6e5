"""One client's connection: what it may cost, and how long the server waits for it.

uvicorn's protocol over httptools bounds neither. This adds deadlines, limits and problem documents
for what cannot be read as HTTP.
"""

import asyncio
import math
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.http.errors import Problem
from api.metrics import Metrics

HEAD, BODY, ANSWER, IDLE, CLOSING = range(5)
"""What a connection waits for; in all but ANSWER it waits for its client."""

MAX_HEAD = 64 * 1024
MAX_FIELDS = 100
"""Bytes of a request's line and header fields, and the most fields."""

CODING, LENGTH = b"transfer-encoding", b"content-length"

SLOWEST = 1024
"""Bytes a second that a client has to take of an answer that is ready."""

FLUSH_SECONDS = 5.0


class _Refused(Exception):
    """Stops the parser. What the client gets is said before, or in send_400_response."""


class Connection(HttpToolsProtocol):
    """A connection that ends by itself if its client is silent, slow or sends what is no HTTP."""

    _metrics: Metrics
    _seconds: tuple[float, ...]
    """The longest time in each phase."""

    _timer: asyncio.TimerHandle | None = None
    _phase, _since, _deadline, _head = HEAD, 0.0, 0.0, 0
    _unread: float = math.inf
    _was_drained = _is_after_chunk = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start waiting for a request; make room if there are too many connections."""
        super().connection_made(transport)
        settings, self._metrics = self.app_state["settings"], self.app_state["metrics"]
        self._most_unread = settings.api_unread_bytes
        self._seconds = (
            settings.api_head_seconds,
            settings.api_body_seconds,
            settings.api_answer_seconds,
            settings.api_idle_seconds,
            FLUSH_SECONDS,
        )
        self._enter(HEAD)
        self._timer = self.loop.call_at(self._deadline, self._look)
        if len(self.connections) > settings.api_connections:
            self._make_room(settings.api_connections // 20)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching."""
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived; refuse a head that does not end."""
        super().data_received(data)
        if self._phase == HEAD or self._is_after_chunk:
            self._head += len(data)
            if self._head > MAX_HEAD:
                self._refuse_head()

    def on_message_begin(self) -> None:
        """Begin a request, unless the answer to the one before is still under way."""
        if self._phase == ANSWER:
            raise _Refused
        super().on_message_begin()
        self._head = 0
        self._enter(HEAD)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field. Fields after the body are refused: nobody reads them."""
        if self._phase == BODY or len(self.headers) >= MAX_FIELDS:
            self._refuse_head()
            raise _Refused
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Give the request to the app, then wait for its body."""
        if len(self.url) > MAX_HEAD:
            self._refuse_head()
            raise _Refused
        is_upgrade = self.parser.should_upgrade()
        codings = [value.strip().lower() for name, value in self.headers if name == CODING]
        is_length = any(name == LENGTH and value.strip() != b"0" for name, value in self.headers)
        # after the head of an upgrade, or of CONNECT, the parser takes no body
        if codings not in ([], [b"chunked"]) or (is_upgrade and (codings or is_length)):
            detail = "Send a body plain or chunked, and offer no other protocol with it."
            self._refuse(400, "malformed-request", detail)
            raise _Refused
        super().on_headers_complete()
        if is_upgrade:
            self.cycle.keep_alive = False
        self._enter(BODY)

    def on_chunk_header(self) -> None:
        """Count what follows, until it is part of a body: fields may follow the last chunk."""
        self._is_after_chunk, self._head = True, 0

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._is_after_chunk = False
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for the app, which has the whole request now."""
        self._is_after_chunk = False
        super().on_message_complete()
        self._enter(IDLE if self.cycle.response_complete else ANSWER)

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the rest of a body that nobody reads."""
        super().on_response_complete()
        if self._phase == ANSWER:
            self._enter(IDLE)

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: the request is answered, and then the connection ends."""

    def pause_writing(self) -> None:
        """Note that answers pile up here; drop the oldest of all if they are too much."""
        super().pause_writing()
        self._bound_unread()

    def resume_writing(self) -> None:
        """Note that the client took what had piled up."""
        self._was_drained = True
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP. An answer that is under way ends first, and is the last one."""
        cycle = self.cycle
        if self._phase == ANSWER:
            cycle.keep_alive = False
            self.flow.pause_reading()
        elif self._phase == BODY and cycle.response_started:
            self.transport.close()
        else:
            self._refuse(400, "malformed-request", "This is not a valid HTTP request.")

    def _refuse_head(self) -> None:
        if self._phase == BODY and self.cycle.response_started:
            self.transport.close()
        else:
            self._refuse(431, "head-too-large", "The request has too many or too long fields.")

    def _refuse(self, status: int, name: str, detail: str) -> None:
        """Answer with a problem document and close."""
        if self.transport.is_closing():
            return
        if self._phase == BODY:  # the app is still reading
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        reason = {408: "slow", 503: "crowded"}.get(status, "malformed")
        self._metrics.refused.labels(reason).inc()
        answer = Problem(status, name, detail, headers={"Connection": "close"}).response()
        lines = [b"%s: %s\r\n" % field for field in answer.raw_headers]
        self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", answer.body]))
        self.transport.close()
        self._enter(CLOSING)

    def _enter(self, phase: int) -> None:
        self._phase, self._since, self._unread = phase, self.loop.time(), math.inf
        self._deadline = self._since + self._seconds[phase]

    def _look(self) -> None:
        """End the connection if its deadline is over; look again later if not."""
        now = self.loop.time()
        if now >= self._deadline:
            if self._is_answer_taken():
                self._deadline = now + FLUSH_SECONDS
            elif self._is_unanswered():
                self._refuse(408, "too-slow", "The request did not arrive in time.")
            else:
                self.transport.abort()
                return
        self._timer = self.loop.call_at(self._deadline, self._look)

    def _is_answer_taken(self) -> bool:
        """Return whether the client took enough of its answer since the last time."""
        unread, before = self.transport.get_write_buffer_size(), self._unread
        was_drained, self._unread, self._was_drained = self._was_drained, unread, False
        if not unread:  # all that there is; a long answer may still be in the making
            return self._phase == ANSWER and self.cycle.response_started
        return was_drained or unread < before - SLOWEST * FLUSH_SECONDS

    def _is_unanswered(self) -> bool:
        """Return whether a request has begun to arrive and has no answer yet."""
        if self._phase == BODY:
            return not self.cycle.response_started
        return self._phase == HEAD and self._head > 0

    def _bound_unread(self) -> None:
        """End the connections that wait longest with an answer that nobody reads."""
        everybody: set[Any] = self.connections
        unread = {one: one.transport.get_write_buffer_size() for one in everybody}
        total = sum(unread.values())
        for one in sorted(filter(unread.get, unread), key=lambda one: one._since):
            if total <= self._most_unread:
                return
            total -= unread[one]
            self._metrics.refused.labels("slow").inc()
            self.connections.discard(one)
            one.transport.abort()

    def _make_room(self, more: int) -> None:
        """Close the connections that wait longest for their clients, or else this one.

        `more`: how many beside one, so that not every new connection has to search.
        """
        others: set[Any] = self.connections - {self}
        waiting = [one for one in others if one._phase != ANSWER]
        for one in sorted(waiting, key=lambda one: one._since)[: 1 + more]:
            self._metrics.refused.labels("crowded").inc()
            self.connections.discard(one)
            one.transport.abort()
        if not waiting:
            detail = "The server has as many requests as it takes. Ask again later."
            self._refuse(503, "too-many-connections", detail)
