"""Bodies and queries: their cost is bounded before it arises, and they say everything once."""

import json
import re
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from support.running import Answer, Server, serving

from api.http.body import FOR_SMALL, IN_MEMORY, Budget
from api.http.errors import Problem
from api.routes.predict import MAX_BODY

MIB = 1024 * 1024
MOST_MEGABYTES = 300
START, END = b'{"rows": [', b"]}"


@pytest.fixture
def measured(finished_home: Path, tmp_path: Path) -> Iterator[Server]:
    """A server of its own, whose memory no other test has used."""
    with serving(finished_home, tmp_path / "log") as running:
        yield running


def peak_megabytes(server: Server) -> float:
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def filled(part: bytes, size: int = MAX_BODY) -> bytes:
    """Return a body of this size: rows of this part."""
    count = (size - len(START) - len(END)) // len(part)
    return START + (part * count).rstrip(b",") + END


def status_of(server: Server, body: bytes) -> int:
    """Post a batch as a client that looks for an early answer while it sends."""
    head = (
        b"POST /predict/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        with suppress(OSError):  # it may be refused before it is read to the end
            client.sendall(b"%s%x\r\n%s\r\n0\r\n\r\n" % (head, len(body), body))
        return int(client.recv(65_536).split(b" ")[1])


def at_once(server: Server, count: int, body: bytes) -> list[int]:
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(status_of(server, body))) for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(found) == count
    return found


def test_20_bodies_of_32_mib_of_empty_rows_stay_below_300_mb(measured):
    assert set(at_once(measured, 20, filled(b"{},", 32 * MIB))) == {413}
    assert peak_megabytes(measured) < MOST_MEGABYTES
    assert measured.get("/ready").status == 200


@pytest.mark.parametrize(
    "part",
    [
        b"[],",
        b"1,",
        b" ",
        b'"' + b"x" * 1000 + b'",',
        b'"' + b"x" * 1000 + "\N{PILE OF POO}".encode() + b'",',
        b'{"features": {' + b",".join(b'"k%d": 1.5' % n for n in range(10_000)) + b"}},",
        b'{"features": {' + b'"k": 1.5,' * 10_000 + b'"k": 1}},',
    ],
    ids=["lists", "numbers", "blanks", "texts", "emoji", "many keys", "repeated keys"],
)
def test_no_other_large_body_takes_more(measured, part):
    assert set(at_once(measured, 8, filled(part))) <= {400, 413, 422, 503}
    assert peak_megabytes(measured) < MOST_MEGABYTES
    assert measured.get("/ready").status == 200


def test_names_that_the_model_does_not_know_are_not_all_told(measured):
    names = b",".join(b'"k%d":1' % n for n in range(4900))
    row = b'{"features":{' + names + b"}},"
    assert set(at_once(measured, 3, filled(row, 200 * len(row)))) == {422}
    assert peak_megabytes(measured) < MOST_MEGABYTES


def test_one_key_leaves_room_for_others_and_large_bodies_for_small_ones(keyed):
    """A reader holds as much as it may; then everybody's small bodies are still read."""
    head = (
        f"POST /v1/predict/batch HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {keyed.reader}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {MAX_BODY}\r\n\r\n"
    ).encode()
    with ExitStack() as stack:
        waiting = []
        for _ in range(3):
            address = ("127.0.0.1", keyed.server.port)
            client = stack.enter_context(socket.create_connection(address, timeout=60))
            with suppress(OSError):
                client.sendall(head + b" " * (MAX_BODY - 1))
            waiting.append(client)
        readable, _, _ = select.select(waiting, [], [], 20)
        assert {client.recv(65_536).split(b" ")[1] for client in readable} == {b"429"}
        assert 1 <= len(waiting) - len(readable) < 3
        body = json.dumps({"user_ids": ["nobody"]})
        for headers in (keyed.as_reader(), keyed.as_operator()):
            told = keyed.server.ask("POST", "/v1/predictions/lookup", body=body, headers=headers)
            assert told.status == 200
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        told = keyed.server.ask("POST", "/desk/sign-in", body="key=x", headers=form)
        assert told.status == 401


def test_large_bodies_leave_room_for_small_ones():
    budget = Budget()
    with pytest.raises(Problem, match="as many bodies"):
        for key in ("a", "b", "c"):
            for _ in range(24):
                budget.take(key, MIB, MIB)
    assert budget.left == FOR_SMALL
    budget.take("c", 0, 1000)
    budget.take(None, 0, 1000)
    budget.give("c", 1000)
    budget.give("a", 24 * MIB)
    budget.take("c", MIB, MIB)
    with pytest.raises(Problem, match="This key has as many"):
        budget.take("b", MIB, 9 * MIB)


def test_an_honest_batch_of_full_rows_is_answered_at_any_time(measured):
    user = measured.get("/v1/predictions?limit=1").json["predictions"][0]["user_id"]
    features = measured.post("/predict", {"user_id": user}).json["features_used"]
    rows = [{"user_id": f"u:{n}", "features": features} for n in range(10_000)]
    body = json.dumps({"rows": rows}).encode()
    answers: list[Answer] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(measured.ask("POST", "/predict/batch", body=body))
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    told = [len(answer.json["predictions"]) for answer in answers if answer.status == 200]
    assert told and set(told) == {10_000}
    refused = [answer for answer in answers if answer.status != 200]
    assert all((a.status, a.headers["retry-after"]) == (503, "1") for a in refused)
    assert len(body) * 3 > IN_MEMORY or not refused
    assert peak_megabytes(measured) < MOST_MEGABYTES


def test_what_was_refused_gives_its_room_back(measured):
    for _ in range(3):
        at_once(measured, 4, filled(b" "))
    body = START + b'{"user_id": 1}' + b" " * (20 * MIB) + END
    assert status_of(measured, body) == 422


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predict", '{"user_id": "a", "user_id": "b"}'),
        ("/predict", '{"user_id": "a", "features": {"x": 1, "x": 2}}'),
        ("/predict", '{"user_id": "a", "user\\u005fid": "b"}'),
        ("/predict", '{"user_id" : "a", "user_id" \n: "b:c"}'),
        ("/predict/batch", '{"rows": [{"user_id": "a", "user_id": "b"}]}'),
        ("/predict/batch", '{"rows": [], "rows": [{"user_id": "a"}]}'),
        ("/v1/predictions/lookup", '{"user_ids": ["a"], "user_ids": ["b"]}'),
        ("/v1/contacts", '{"user_id": "a", "note": "x", "note": "y"}'),
    ],
)
def test_a_key_that_occurs_twice_is_refused(server, path, body):
    answer = server.ask("POST", path, body=body)
    assert answer.status == 400, answer.text
    assert answer.json["type"].endswith(":repeated-key")


def test_repeated_keys_of_a_large_batch_are_found(server):
    rows = json.dumps([{"user_id": f"u:{n}"} for n in range(9000)])
    body = f'{{"rows": {rows[:-1]}, {{"user_id": "a", "user_id": "b"}}]}}'
    assert server.ask("POST", "/predict/batch", body=body).json["type"].endswith(":repeated-key")


def test_texts_with_colons_are_no_repeated_keys(server):
    answer = server.post("/v1/predictions/lookup", {"user_ids": ["a:b", '"c":', ":"]})
    assert answer.status == 200 and len(answer.json["missing"]) == 3


@pytest.mark.parametrize(
    "path",
    [
        "/v1/predictions?limit=1&limit=2",
        "/v1/predictions?band=high&band=low",
        "/v1/predictions?limit=1&%6Cimit=2",
        "/v1/changes?since=a&since=b",
        "/desk/users?band=high&band=low",
    ],
)
def test_a_parameter_that_stands_twice_is_refused(server, path):
    answer = server.get(path)
    assert answer.status == 422
    assert [e["problem"] for e in answer.json["errors"]] == ["given more than once"]
