"""Every error is a problem document that says what is wrong and reveals no internals."""

import asyncio
import json
import socket

import pytest

from api.http.errors import Problem
from api.metrics import Metrics
from api.middleware.observe import Observe

DEEP = "[" * 100_000


def _whole(server) -> dict:
    top = server.get("/v1/predictions?limit=1").json["predictions"][0]["user_id"]
    return server.post("/predict", {"user_id": top}).json["features_used"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nowhere", None, 404),
        ("GET", "/v1/predictions/nobody", None, 404),
        ("GET", "/v1/predictions/", None, 404),
        ("GET", "/v1/predictions/%00%ff", None, 404),
        ("DELETE", "/predict", None, 405),
        ("POST", "/live", "{}", 405),
        ("TRACE", "/live", None, 405),
        ("POST", "/predict", "{", 400),
        ("POST", "/predict", '{"features": {"tenure_days": NaN}}', 400),
        ("POST", "/predict", '{"features": {"tenure_days": 1%s}}' % ("0" * 400), 400),
        ("POST", "/predict", DEEP[:60_000], 400),
        ("POST", "/predict", "[]", 422),
        ("POST", "/predict", "{}", 422),
        ("POST", "/predict", '{"user_id": 7}', 422),
        ("POST", "/predict", '{"user_id": "\\ud800"}', 400),
        ("POST", "/predict", '{"features": []}', 422),
        ("POST", "/predict", '{"feature": {}}', 422),
        ("POST", "/predict", " " * 70_000, 413),
        ("POST", "/predict/batch", '{"rows": []}', 422),
        ("POST", "/predict/batch", json.dumps({"rows": [{}] * 10_001}), 422),
        ("POST", "/predict/batch", '{"rows": [1]}', 422),
        ("POST", "/v1/predictions/lookup", '{"user_ids": "u1"}', 422),
        ("POST", "/v1/predictions/lookup", '{"user_ids": []}', 422),
        ("POST", "/v1/predictions/lookup", json.dumps({"user_ids": ["u"] * 1001}), 422),
        ("GET", "/v1/predictions?limit=0", None, 422),
        ("GET", "/v1/predictions?limit=1001", None, 422),
        ("GET", "/v1/predictions?limit=x", None, 422),
        ("GET", "/v1/predictions?min_risk=2", None, 422),
        ("GET", "/v1/predictions?min_risk=nan", None, 422),
        ("GET", "/v1/predictions?colour=red", None, 422),
        ("GET", "/v1/predictions?eligible=1", None, 422),
        ("GET", "/v1/predictions?include=some", None, 422),
        ("GET", "/v1/history/nobody", None, 404),
        ("GET", "/docs/x", None, 404),
        ("GET", "/v1/predictions?cursor=%21", None, 422),
        ("GET", "/v1/predictions?cursor=dmVyc2lvbnwxMA", None, 410),
    ],
)
def test_errors_are_problem_documents(server, method, path, body, status):
    answer = server.ask(method, path, body=body)
    assert answer.status == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json
    assert problem["status"] == status
    assert problem["type"].startswith("urn:churnhouse:problem:")
    assert problem["title"] and problem["detail"]
    assert problem["instance"].endswith(answer.headers["x-request-id"])
    for word in ("Traceback", "Error(", ".py", "sqlite", "json.decoder"):
        assert word not in answer.text


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("tenure_days", "7", "must be a number"),
        ("tenure_days", True, "must be a number"),
        ("tenure_days", 7.5, "must be a whole number"),
        ("tenure_days", None, "must be a number, not null"),
        ("tenure_days", 10**18, "out of range"),
        ("watch_minutes_7d", 1e39, "out of range"),
        ("plan", 7, "must be a text or null"),
        ("plan", ["free"], "must be a text or null"),
        ("hair_colour", 1, "unknown feature"),
    ],
)
def test_a_wrong_feature_is_named(server, name, value, problem):
    answer = server.post("/predict", {"features": _whole(server) | {name: value}})
    assert answer.status == 422
    assert [(e["field"], e["problem"]) for e in answer.json["errors"]] == [
        (f"features.{name}", problem)
    ]


def test_features_of_a_known_user_that_are_no_object_are_what_is_wrong(server):
    top = server.get("/v1/predictions?limit=1").json["predictions"][0]["user_id"]
    answer = server.post("/predict", {"user_id": top, "features": None})
    assert answer.json["detail"] == "The features are not those of the model."
    assert [error["field"] for error in answer.json["errors"]] == ["features"]


def test_whole_floats_pass_as_integers_and_doubles_may_be_null(server):
    features = _whole(server)
    features |= {"tenure_days": float(features["tenure_days"]), "quiz_score_7d": None}
    assert server.post("/predict", {"features": features}).status == 200


def test_a_wrong_band_gets_those_that_there_are(server):
    (wrong,) = server.get("/v1/predictions?band=red").json["errors"]
    assert wrong["problem"] == "one of high, medium, low, gone"


def test_405_lists_the_allowed_methods(server):
    assert server.ask("PUT", "/predict").headers["allow"] == "POST"


def test_body_that_is_not_json_is_refused(server):
    answer = server.ask("POST", "/predict", body="a=1", headers={"Content-Type": "text/plain"})
    assert answer.status == 415


def test_body_without_length_is_refused_once_too_long(server):
    """The body never ends: the answer comes with the first byte beyond the cap."""
    head = {"Host": "localhost", "Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    lines = [f"{name}: {value}" for name, value in (server.headers | head).items()]
    request = "\r\n".join(["POST /predict HTTP/1.1", *lines, "", ""]).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(request + b"10000\r\n" + b" " * 65_536 + b"\r\n")
        connection.settimeout(1)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(30)
        connection.sendall(b"1\r\n \r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_bad_row_of_a_batch_is_named_by_its_index(server):
    rows = [{"features": _whole(server)}, {"features": _whole(server) | {"tenure_days": "x"}}]
    answer = server.post("/predict/batch", {"rows": rows})
    assert [e["field"] for e in answer.json["errors"]] == ["rows.1.features.tenure_days"]


def test_not_ready_without_a_version(tmp_path):
    from support.running import serving

    with serving(tmp_path / "nothing", tmp_path / "log") as server:
        assert server.get("/live").status == 200
        assert server.get("/health").json["status"] == "not_ready"
        for path in ("/ready", "/v1/predictions/u1", "/v1/model", "/v1/drift"):
            answer = server.get(path)
            assert answer.status == 503
            assert answer.headers["content-type"] == "application/problem+json"
        assert server.post("/predict", {"user_id": "u1"}).status == 503
        assert server.get("/openapi.json").status == 200


def test_unexpected_error_reveals_no_details(caplog):
    """The answer does not contain the exception's text; the log does."""

    async def fails(scope, receive, send) -> None:
        raise RuntimeError("secret of the house")

    sent = []

    async def send(message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    asyncio.run(Observe(fails, metrics=Metrics())(scope, None, send))
    start, body = sent
    assert start["status"] == 500
    assert b"secret" not in body["body"]
    assert json.loads(body["body"])["instance"].endswith(scope["request_id"])
    assert "secret of the house" in caplog.text


def test_problem_document_keeps_its_extra_members():
    answer = Problem(422, "invalid", "No.", errors=[1]).response()
    assert json.loads(answer.body)["errors"] == [1]
