"""The webhook: signed, tried again within a bounded time, and never in a publication's way."""

import base64
import hashlib
import hmac
import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.running import deaf_port

from python_jobs import pipeline
from python_jobs.publishing import webhook
from python_jobs.settings import Settings

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # pragma: allowlist secret - of a public example
NOW = datetime(2025, 5, 1, 2, 0, tzinfo=UTC)


@dataclass
class Receiver:
    """A server that answers with the given statuses in turn, and keeps what it got."""

    statuses: list[int]
    port: int = 0
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?of=churnhouse"


@contextmanager
def receiving(*statuses: int) -> Iterator[Receiver]:
    receiver = Receiver(list(statuses))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.got.append((headers | {":path": self.path}, body))
            self.send_response(receiver.statuses[min(len(receiver.got), len(statuses)) - 1])
            self.send_header("Location", receiver.url)
            self.end_headers()

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield receiver
        server.shutdown()


def is_genuine(headers: dict[str, str], body: bytes, secret: str = SECRET) -> bool:
    """Return what a receiver finds that checks the signature as Standard Webhooks says."""
    key = base64.b64decode(secret.split("_")[1])
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    kinds = (one.split(",") for one in headers["webhook-signature"].split(" "))
    return any(kind == "v1" and hmac.compare_digest(expected, found) for kind, found in kinds)


def deliver(url: str, **limits: float) -> str:
    limits = {"seconds": 5.0, "first_pause": 0.05} | limits
    return webhook.deliver(url, SECRET, "v1", b'{"version": "v1"}', now=NOW, **limits)


def test_signature_is_that_of_the_standard():
    """The example of Standard Webhooks' reference libraries."""
    found = webhook.signature(
        SECRET,
        "msg_p5jXN8AQM9LWM0D4loKWxJek",  # pragma: allowlist secret - of a public example
        1614265330,
        b'{"test": 2432232314}',
    )
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_receiver_can_tell_a_genuine_message_from_others():
    with receiving(204) as receiver:
        assert deliver(receiver.url) == "127.0.0.1 was told, 1 attempt"
    ((headers, body),) = receiver.got
    assert (headers[":path"], headers["webhook-id"]) == ("/hook?of=churnhouse", "v1")
    assert headers["content-type"] == "application/json"
    assert headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert is_genuine(headers, body)
    assert not is_genuine(headers, body + b" ")
    assert not is_genuine(headers | {"webhook-timestamp": "1"}, body)
    assert not is_genuine(headers | {"webhook-id": "v2"}, body)
    assert not is_genuine(headers, body, "whsec_" + "A" * 32)


@pytest.mark.parametrize("first", [500, 503, 429, 408])
def test_failure_that_may_pass_is_tried_again_under_the_same_id(first):
    with receiving(first, 200) as receiver:
        assert deliver(receiver.url) == "127.0.0.1 was told, 2 attempts"
    assert [headers["webhook-id"] for headers, _ in receiver.got] == ["v1", "v1"]
    assert all(is_genuine(headers, body) for headers, body in receiver.got)


@pytest.mark.parametrize("status", [302, 307, 400, 401, 404, 410])
def test_refusal_is_final_and_no_redirect_is_followed(status):
    with receiving(status) as receiver:
        assert deliver(receiver.url) == f"127.0.0.1 was not told: {status}, 1 attempt"
    assert len(receiver.got) == 1


def test_attempts_end_with_the_time():
    with receiving(500) as receiver:
        started = time.monotonic()
        said = deliver(receiver.url, seconds=1.0, first_pause=0.1)
        assert time.monotonic() - started < 2
    assert said.startswith("127.0.0.1 was not told: 500, ")
    assert 2 < len(receiver.got) < 6  # after 0.1, 0.2 and 0.4 seconds


@contextmanager
def trickling(first: bytes, each: bytes) -> Iterator[int]:
    """Yield the port of a server that never finishes an answer; it may send a byte now and then."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.sendall(first)
                while each:
                    time.sleep(0.1)
                    connection.sendall(each)
                time.sleep(60)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


@pytest.mark.parametrize(("first", "each"), [(b"", b""), (b"HTTP/1.1 200 OK\r\nX-A: ", b"a")])
def test_server_that_hangs_or_trickles_is_left_in_time(first, each):
    with trickling(first, each) as port:
        started = time.monotonic()
        said = deliver(f"http://127.0.0.1:{port}/", seconds=1.0, first_pause=1.0)
        assert time.monotonic() - started < 3
    assert said == "127.0.0.1 was not told: no answer in 1 s, 1 attempt"


def test_nobody_at_the_address_is_said():
    with deaf_port() as port:
        said = deliver(f"http://127.0.0.1:{port}/", seconds=0.5, first_pause=0.2)
    assert said == "127.0.0.1 was not told: Connection refused, 2 attempts"


def published(home: Path, **settings: str) -> tuple[dict, str]:
    pipeline.publish(Settings(home=home, **settings))
    folder = (home / "published/current").resolve()
    return json.loads((folder / "manifest.json").read_text()), folder.name


def test_publication_is_told_without_naming_a_person(home, capsys):
    with receiving(200) as receiver:
        manifest, version = published(home, webhook_url=receiver.url, webhook_secret=SECRET)
    ((headers, body),) = receiver.got
    assert headers["webhook-id"] == version and is_genuine(headers, body)
    told = json.loads(body)
    for name in ("version", "published_at", "as_of_date", "model_version"):
        assert told[name] == manifest[name]
    assert told["changes"] == {"add": 0, "change": 0, "remove": 0}
    assert told["files"].keys() == manifest["files"].keys()
    assert told["files"]["lookup.sqlite"]["sha256"] == manifest["files"]["lookup.sqlite"]["sha256"]
    for user in manifest["riskiest"]:
        assert user["user_id"] not in body.decode()
    assert "127.0.0.1 was told, 1 attempt" in capsys.readouterr().out


def test_changes_of_the_list_are_counted(finished_home):
    folder = (finished_home / "published/current").resolve()
    manifest = json.loads((folder / "manifest.json").read_text())
    listed = manifest["files"]["activation/list_changes.csv"]["rows"]["list_changes"]
    counts = webhook.activation.counts(folder)
    assert counts == {"add": listed, "change": 0, "remove": 0} and listed > 10


def test_publication_stands_whatever_the_webhook_does(home, capsys, monkeypatch):
    first = (home / "published/current").readlink()
    with receiving(404) as receiver:
        _, version = published(home, webhook_url=receiver.url, webhook_secret=SECRET)
    assert version != first.name and "was not told: 404" in capsys.readouterr().out

    def broken(*_: object, **__: object) -> str:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr(webhook, "send", broken)
    _, last = published(home, webhook_url="http://127.0.0.1:1/", webhook_secret=SECRET)
    said = capsys.readouterr().out
    assert last != version and "nobody was told: RuntimeError" in said and "house" not in said


def test_without_a_secret_nobody_is_called(home, capsys):
    with receiving(200) as receiver:
        published(home, webhook_url=receiver.url)
    assert receiver.got == []
    assert "CHURNHOUSE_WEBHOOK_SECRET" in capsys.readouterr().out
