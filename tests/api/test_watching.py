"""Metrics, the log, and the API without the heavy libraries."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from support.running import PROJECT, serving, wait_until
from support.versions import change_store, make_current, publish_again, seal

from api.metrics import Metrics

HEAVY = ("dbt", "duckdb", "pandas", "sklearn", "joblib", "skl2onnx", "onnx", "scipy", "matplotlib")
HEAVY += ("typer", "rich")


def test_requests_are_counted_by_template_and_status(server):
    server.get("/v1/predictions/nobody-1")
    server.get("/v1/predictions/nobody-2")
    server.get("/not/a/page")
    text = server.get("/metrics").text
    route = 'method="GET",route="/v1/predictions/{user_id}",status="404"'
    assert f"churnhouse_requests_total{{{route}}}" in text
    assert "nobody-1" not in text and "/not/a/page" not in text
    assert 'le="0.0005",route="/v1/predictions/{user_id}"' in text
    assert 'le="10.0",route="/v1/predictions/{user_id}"' in text
    for name in ("lookups", "predictions", "reloads"):
        assert f"# TYPE churnhouse_{name}_total counter" in text
    for name in ("published_age_seconds", "model_info", "published_users"):
        assert f"\nchurnhouse_{name}" in text


def test_published_monitoring_becomes_gauges_and_pages(published_home, tmp_path):
    """Published drift and performance appear in answers and gauges; the newest date counts."""
    folder = publish_again(published_home, 1)
    change_store(
        folder,
        "drop table feature_drift",
        "create table feature_drift (feature text, as_of_date text, psi real, status text,"
        " reference_rows integer, current_rows integer, noise_psi real)",
        "insert into feature_drift values ('tenure_days', '2025-04-29', 0.9, 'fail', 9, 9, 0),"
        " ('tenure_days', '2025-04-30', 0.05, 'ok', 9, 9, 0.01),"
        " ('logins_7d', '2025-04-30', 0.31, 'fail', 9, 9, 0.01)",
        "drop table prediction_drift",
        "create table prediction_drift (as_of_date text, model_version text, psi real,"
        " status text)",
        "insert into prediction_drift values ('2025-04-30', 'm', 0.11, 'warn')",
        "drop table model_performance",
        "create table model_performance (as_of_date text, model_version text, is_mature integer,"
        " users integer, roc_auc real, precision_at_top_k real, expected_precision_at_top_k real)",
        "insert into model_performance values ('2025-03-30', 'm', 1, 9, 0.9, 0.8, 0.7),"
        " ('2025-04-30', 'm', 0, 9, null, null, 0.6)",
        "drop table performance_intervals",
        "create table performance_intervals (as_of_date text, model_version text, metric text,"
        " value real, low real, high real, users integer)",
        "insert into performance_intervals values"
        " ('2025-03-29', 'm', 'precision_at_top_k', 0.5, 0.4, 0.6, 9),"
        " ('2025-03-30', 'm', 'precision_at_top_k', 0.8, 0.65, 0.9, 9)",
    )
    seal(folder)
    make_current(folder)
    with serving(published_home, tmp_path / "log") as server:
        drift = server.get("/v1/drift").json
        assert drift["available"] and len(drift["features"]) == 3
        assert server.get("/v1/performance").json["dates"][0]["precision_at_top_k"] == 0.8
        text = server.get("/metrics").text
        assert 'churnhouse_feature_drift_psi{feature="tenure_days"} 0.05' in text
        assert 'churnhouse_feature_drift_status{feature="logins_7d"} 2.0' in text
        assert "churnhouse_prediction_drift_psi 0.11" in text
        assert "churnhouse_prediction_drift_status 1.0" in text
        assert 'churnhouse_model_performance{measure="precision_at_top_k"} 0.8' in text
        assert 'measure="expected_precision_at_top_k"} 0.7' in text
        bounds = 'churnhouse_model_performance_bound{bound="%s",measure="precision_at_top_k"} %s\n'
        assert bounds % ("low", 0.65) in text and bounds % ("high", 0.9) in text


def test_the_distribution_of_risks_counts_every_eligible_user(published_home, tmp_path):
    """A bucket holds the users with at most that risk, its own bound included."""
    folder = publish_again(published_home, 1)
    with closing(sqlite3.connect(folder / "lookup.sqlite")) as store:
        risks = store.execute("select churn_risk from users where is_eligible").fetchall()
    with serving(published_home, tmp_path / "log") as server:
        lines = server.get("/metrics").text.splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if line.startswith("churnhouse_churn_risk"))
    for tenth in range(1, 11):
        expected = sum(round(risk * 10, 9) <= tenth for (risk,) in risks)
        assert float(found[f'churnhouse_churn_risk_bucket{{le="{tenth / 10}"}}']) == expected
    assert float(found["churnhouse_churn_risk_gcount"]) == len(risks) > 0
    assert float(found["churnhouse_churn_risk_gsum"]) == pytest.approx(sum(r for (r,) in risks))


def test_lookups_and_predictions_are_counted(published_home, tmp_path):
    with serving(published_home, tmp_path / "log") as server:
        known = server.get("/v1/predictions?limit=1").json["predictions"][0]["user_id"]
        server.get(f"/v1/predictions/{known}")
        server.post("/v1/predictions/lookup", {"user_ids": [known, "a", "b"]})
        server.post("/predict", {"user_id": known})
        server.post("/predict/batch", {"rows": [{"user_id": known}] * 7})
        text = server.get("/metrics").text
        for series, value in {
            'lookups_total{result="found"}': 2,
            'lookups_total{result="missing"}': 2,
            'predictions_total{kind="single"}': 1,
            'predictions_total{kind="batch"}': 7,
        }.items():
            assert f"churnhouse_{series} {value}.0\n" in text


def test_each_request_logs_one_line_and_each_prediction_one_record(keyed):
    server, header = keyed.server, keyed.as_reader()
    page = server.ask("GET", "/v1/predictions?limit=1", headers=header).json
    user_id = page["predictions"][0]["user_id"]
    one = server.ask("POST", "/predict", {"user_id": user_id}, headers=header)
    batch = {"rows": [{"user_id": user_id}, {"user_id": user_id}]}
    many = server.ask("POST", "/predict/batch", batch, headers=header)

    def lines(answer, event: str) -> list[dict]:
        request_id = answer.headers["x-request-id"]
        found = [line for line in server.log_lines() if line.get("id") == request_id]
        return [line for line in found if line["event"] == event]

    wait_until(lambda: lines(many, "request"), what="the log line")
    (line,) = lines(one, "request")
    assert (line["method"], line["route"], line["status"]) == ("POST", "/predict", 200)
    assert line["key"] == "reader-1" and line["ms"] > 0 and line["client"] == "127.0.0.1"
    (record,) = lines(one, "prediction")
    assert record["predictions"] == [[user_id, one.json["churn_risk"]]]
    assert record["model_version"] == one.json["model_version"]
    assert record["key"] == "reader-1" and record["time"]
    (record,) = lines(many, "prediction")
    assert len(record["predictions"]) == 2


def test_the_api_runs_without_the_heavy_libraries(finished_home):
    """The app answers although the libraries of the jobs cannot be imported."""
    program = f"""
import asyncio, json, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
from pathlib import Path
import api.serve, api.__main__
from api import ApiSettings, create_app
app = create_app(ApiSettings(home=Path({str(finished_home)!r})))
async def ask():
    sent = []
    async def send(message): sent.append(message)
    async def receive(): return {{"type": "http.request", "body": b"", "more_body": False}}
    async with app.router.lifespan_context(app):
        for path in ("/ready", "/v1/predictions", "/desk"):
            scope = {{"type": "http", "method": "GET", "path": path,
                     "headers": [(b"host", b"localhost")],
                     "query_string": b"", "client": None, "app": app, "scheme": "http",
                     "server": ("127.0.0.1", 80), "root_path": "", "http_version": "1.1"}}
            await app(scope, receive, send)
    print([m["status"] for m in sent if m["type"] == "http.response.start"], file=sys.stderr)
asyncio.run(ask())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == "[200, 200, 200]"


def test_metrics_without_requests_start_at_zero():
    text = Metrics().registry
    assert text.get_sample_value("churnhouse_reloads_total", {"result": "failure"}) == 0
    assert (
        json.dumps(text.get_sample_value("churnhouse_lookups_total", {"result": "found"})) == "0.0"
    )


def test_a_quieter_log_keeps_failures_and_records(published_home, tmp_path):
    with serving(published_home, tmp_path / "log", log_level="warning") as server:
        known = server.get("/v1/predictions?limit=1").json["predictions"][0]["user_id"]
        server.post("/predict", {"user_id": known})
        assert server.get("/metrics").status == 200
    events = [line["event"] for line in server.log_lines()]
    assert "prediction" in events
    assert "request" not in events and "log" not in events


def test_a_quieter_log_says_which_request_failed(tmp_path):
    with serving(tmp_path / "empty", tmp_path / "log", log_level="warning") as server:
        assert server.get("/ready").status == 503
        wait_until(lambda: server.log_lines(), what="the log line")
    (line,) = server.log_lines()
    assert (line["event"], line["route"], line["status"]) == ("request", "/ready", 503)
