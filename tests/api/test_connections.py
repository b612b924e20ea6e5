"""Slow, silent and broken clients: their connections end, and nobody else waits for them."""

import json
import re
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from support.running import Server, serving, wait_until

HEAD_SECONDS, BODY_SECONDS, IDLE_SECONDS, CONNECTIONS = 1.0, 1.5, 2.0, 200
BEGUN = b"GET /live HTTP/1.1\r\nHost: localhost\r\nX-Begun: "
LONG = "/v1/predictions?include=all&limit=1000"
WHOLE = b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = (
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 1000\r\n\r\n{"
)


@pytest.fixture(scope="module")
def strict(finished_home: Path, tmp_path_factory) -> Iterator[Server]:
    """A server with short deadlines and few connections."""
    limits = {
        "head_seconds": HEAD_SECONDS,
        "body_seconds": BODY_SECONDS,
        "idle_seconds": IDLE_SECONDS,
        "answer_seconds": 2,
        "connections": CONNECTIONS,
    }
    folder = tmp_path_factory.mktemp("strict")
    with serving(finished_home, folder / "log", **limits) as running:
        yield running


def connected(server: Server, sent: bytes = b"") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    client.sendall(sent)
    return client


@contextmanager
def crowd(server: Server, size: int, sent: bytes) -> Iterator[list[socket.socket]]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    with ExitStack() as stack:
        yield [stack.enter_context(connected(server, sent)) for _ in range(size)]


def ask_without_reading(server: Server, *, every: float) -> None:
    """Ask for long answers, every so many seconds, until the server ends the connection."""
    with socket.socket() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # one request at a time
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.settimeout(10)
        with pytest.raises(OSError):
            for _ in range(500):
                client.sendall(f"GET {LONG} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                time.sleep(every)


def everything(client: socket.socket) -> bytes:
    """Return what arrives until the server closes; a reset is an end too."""
    found = b""
    try:
        while part := client.recv(65_536):
            found += part
    except ConnectionResetError:
        pass
    return found


def until(client: socket.socket, end: bytes) -> bytes:
    found = b""
    while not found.endswith(end):
        part = client.recv(65_536)
        assert part, found
        found += part
    return found


def problem(answer: bytes) -> dict:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head, answer
    assert b"connection: close" in head
    return json.loads(body)


def open_sockets(server: Server) -> int:
    count = 0
    for fd in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            count += fd.readlink().name.startswith("socket:")
    return count


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [(b"", HEAD_SECONDS), (BEGUN, HEAD_SECONDS), (POST, BODY_SECONDS), (WHOLE, IDLE_SECONDS)],
    ids=["silent", "half a head", "half a body", "idle"],
)
def test_a_connection_ends_at_its_deadline(strict, sent, seconds):
    started = time.monotonic()
    with connected(strict, sent) as client:
        answer = everything(client)
    assert seconds - 0.2 < time.monotonic() - started < seconds + 1.5
    if sent in (BEGUN, POST):
        assert problem(answer)["status"] == 408
    else:
        assert answer.count(b"HTTP/1.1") == (sent == WHOLE)


@pytest.mark.parametrize("drop", [b"a", b"\r\n"], ids=["bytes", "empty lines"])
def test_a_trickle_does_not_extend_a_deadline(strict, drop):
    started, sent = time.monotonic(), BEGUN if drop == b"a" else WHOLE
    with connected(strict, sent) as client, pytest.raises(OSError):
        while time.monotonic() - started < 10:
            client.sendall(drop)
            time.sleep(0.1)
    assert time.monotonic() - started < IDLE_SECONDS + 1.5


@pytest.mark.parametrize("sent", [b"", BEGUN, POST], ids=["silent", "half a head", "half a body"])
def test_450_waiting_connections_delay_nobody_and_go_away(strict, sent):
    before = open_sockets(strict)
    with crowd(strict, 450, sent):
        times = []
        for _ in range(20):
            started = time.monotonic()
            assert strict.get("/ready").status == 200
            times.append(time.monotonic() - started)
        assert max(times) < 1
        wait_until(lambda: open_sockets(strict) <= before, what="their end", seconds=5)


@pytest.mark.parametrize("sent", [b"", BEGUN, POST], ids=["silent", "half a head", "half a body"])
def test_1100_connections_do_not_shut_the_server(finished_home, tmp_path, sent):
    """Their deadlines are not over yet."""
    limits = {"connections": CONNECTIONS, "head_seconds": 60, "body_seconds": 60}
    with serving(finished_home, tmp_path / "log", **limits) as server, crowd(server, 1100, sent):
        assert open_sockets(server) < CONNECTIONS + 30
        for _ in range(50):
            assert server.get("/ready").status == 200
        text = server.get("/metrics").text
        (line,) = [n for n in text.splitlines() if 'refused_total{reason="crowded"}' in n]
        assert float(line.split()[1]) >= 1100 - CONNECTIONS


def test_client_that_reads_no_answer_is_dropped(strict):
    """Its answers do not fit into the kernel's buffers, and it reads none of them."""
    before = open_sockets(strict)
    ask_without_reading(strict, every=0.1)
    wait_until(lambda: open_sockets(strict) <= before, what="its end")


MALFORMED = {
    "no HTTP": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "space in a name": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "folded line": b"GET / HTTP/1.1\r\nHost: x\r\n y: z\r\n\r\n",
    "zero byte": b"GET / HTTP/1.1\r\nHost: x\0y\r\n\r\n",
    "length and coding": (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "coding and length": (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Length: 5\r\n\r\n0\r\n\r\n"
    ),
    "two lengths": (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345"
    ),
    "length below zero": b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    "other coding": b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
    "chunk without size": (
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n"
    ),
    "CONNECT": b"CONNECT evil:443 HTTP/1.1\r\nHost: evil\r\n\r\n",
    "bytes in the path": b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_http_gets_a_problem_document_and_an_end(strict, sent):
    with connected(strict, sent) as client:
        assert problem(everything(client))["status"] == 400
    assert strict.get("/live").status == 200


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000,
        b"GET /" + b"a" * 200_000,
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"\r\n",
    ],
    ids=["long field", "long path", "many fields"],
)
def test_a_head_that_is_too_large_is_refused(strict, head):
    with connected(strict, head) as client:
        assert problem(everything(client))["status"] == 431


@pytest.mark.parametrize("following", [WHOLE, b"no HTTP\r\n\r\n"], ids=["request", "rubbish"])
def test_an_answer_under_way_is_whole_and_the_last_one(strict, following):
    """A client may not send the next request early; the answer it waits for is not garbled."""
    with connected(strict, WHOLE + following) as client:
        answer = everything(client)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200") and b"connection: close" in head
    assert json.loads(body) == {"status": "live"}


def test_requests_in_turn_share_a_connection(strict):
    with connected(strict) as client:
        for _ in range(3):
            client.sendall(WHOLE)
            assert until(client, b'{"status":"live"}').count(b"HTTP/1.1 200") == 1


def test_an_offered_upgrade_is_not_taken_and_the_request_answered(strict):
    """Java's client offers HTTP/2 with its first request."""
    sent = WHOLE[:-2] + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"
    with connected(strict, sent) as client:
        answer = everything(client)
    assert answer.startswith(b"HTTP/1.1 200") and b"connection: close" in answer
    assert answer.endswith(b'{"status":"live"}')


SMUGGLED = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("together", [True, False], ids=["together", "apart"])
@pytest.mark.parametrize(
    "head",
    [
        b"POST /desk/sign-in HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
        b"POST /predict HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n",
        b"CONNECT /live HTTP/1.1\r\n",
        b"GET /live HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: x\r\n",
    ],
    ids=["websocket", "h2c", "connect", "get"],
)
def test_a_body_after_an_offered_upgrade_is_no_second_request(strict, head, together):
    size = b"Host: localhost\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED)
    with connected(strict, head + size + (SMUGGLED if together else b"")) as client:
        if not together:
            time.sleep(0.1)
            with suppress(OSError):
                client.sendall(SMUGGLED)
        answer = everything(client)
    assert answer.count(b"HTTP/1.1") == 1 and problem(answer)["status"] == 400


def test_requests_after_one_that_offers_an_upgrade_are_not_read(strict):
    sent = b"CONNECT /live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connected(strict, sent) as client:
        answer = client.recv(65_536)
        with suppress(OSError):
            client.sendall(SMUGGLED)
        assert (answer + everything(client)).count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("coding", ["gzip, chunked", "identity, chunked", "gzip"])
def test_other_codings_of_a_body_are_refused(strict, coding):
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: {coding}\r\n\r\n"
    with connected(strict, head.encode() + b"2\r\n{}\r\n0\r\n\r\n") as client:
        assert problem(everything(client))["status"] == 400


def test_while_all_connections_are_worked_on_a_new_one_is_refused(finished_home, tmp_path):
    with serving(finished_home, tmp_path / "log", connections=10) as server:
        user = server.get("/v1/predictions?limit=1").json["predictions"][0]["user_id"]
        body = json.dumps({"rows": [{"user_id": user}] * 10_000}).encode()
        head = POST.partition(b"Content-Length")[0].replace(b"/predict", b"/predict/batch")
        batch = head + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        with crowd(server, 10, batch) as clients:
            # worked off one by one from now on
            wait_until(lambda: unread_bytes(server) == [0] * 10, what="reading of all")
            with connected(server, WHOLE) as client:
                assert problem(everything(client))["status"] == 503
            answers = [everything(client) for client in clients]
        assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
        assert server.get("/ready").status == 200


def unread_bytes(server: Server) -> list[int]:
    """Return what each open connection has sent and the server has not read yet."""
    lines = Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()[1:]
    rows = [line.split() for line in lines]
    is_open = "01"
    port = f":{server.port:04X}"
    return [
        int(queues.partition(":")[2], 16)
        for _, local, _, state, queues, *_ in rows
        if local.endswith(port) and state == is_open
    ]


def peak_megabytes(server: Server) -> float:
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


CHUNKED = POST.partition(b"Content-Length")[0] + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 15_000,
        CHUNKED + b"0\r\n" + b"a:\r\n" * 15_000,
        CHUNKED + b"0\r\na: " + b"b" * 500_000,
        CHUNKED.replace(b"/predict", b"/live") + b"0\r\na: " + b"b" * 500_000,
    ],
    ids=["tiny fields", "tiny fields after a body", "a long one", "after an answer"],
)
def test_many_unfinished_heads_take_no_memory(finished_home, tmp_path, sent):
    limits = {"connections": 400, "head_seconds": 60, "body_seconds": 60}
    with serving(finished_home, tmp_path / "log", **limits) as server:
        before = peak_megabytes(server)
        with ExitStack() as stack:
            for _ in range(300):
                client = stack.enter_context(connected(server))
                with suppress(OSError):
                    client.sendall(sent)
            assert server.get("/ready").status == 200
        assert peak_megabytes(server) < before + 60


def test_answers_that_nobody_reads_are_dropped_beyond_their_bound(finished_home, tmp_path):
    """Long before a deadline: the bound is nothing here, and what the kernel takes is no memory."""
    with serving(finished_home, tmp_path / "log", unread_bytes=0) as server:
        assert len(server.get(LONG).body) > 100_000

        def is_refused() -> bool:
            ask_without_reading(server, every=0.02)
            text = server.get("/metrics").text
            (line,) = [n for n in text.splitlines() if 'refused_total{reason="slow"}' in n]
            return float(line.split()[1]) == 1

        # a busy machine joins requests, and such a connection ends for another reason
        wait_until(is_refused, what="an answer that is dropped")


def test_a_probe_needs_no_host(strict):
    with connected(strict, b"GET /live HTTP/1.0\r\n\r\n") as client:
        assert everything(client).startswith(b"HTTP/1.1 200")
