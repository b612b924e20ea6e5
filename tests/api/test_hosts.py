"""Whose requests are answered: this server's own, and none that another site sends."""

import sys

import pytest
from support.running import serving

from api import keys
from api.middleware.guard import MOST_BUCKETS, Buckets
from api.serve import check_files
from api.settings import ApiSettings
from python_jobs.errors import JobError

SAME, CROSS = {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "cross-site"}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *((host, 200) for host in ("127.0.0.1", "127.0.0.1:8000", "LOCALHOST:1", "[::1]:80")),
        *((host, 421) for host in ("evil.example", "evil.example:8000", "localhost.evil.example")),
        *((host, 421) for host in ("10.0.0.1", "localhost@evil.example", "[", "", "a b", "\xff")),
    ],
)
def test_a_server_without_keys_answers_only_its_own_name(server, host, status):
    answer = server.ask("GET", "/v1/predictions?limit=1", headers={"Host": host.encode("latin-1")})
    assert answer.status == status, answer.text
    if status == 421:
        assert answer.headers["content-type"] == "application/problem+json"
        assert "churn_risk" not in answer.text


def test_two_hosts_in_one_request_are_refused(server):
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.putrequest("GET", "/v1/predictions", skip_host=True)
    for host in ("localhost", "evil.example"):
        connection.putheader("Host", host)
    connection.endheaders()
    assert connection.getresponse().status == 400


def test_named_hosts_hold_with_keys_and_probes_go_by_any(finished_home, tmp_path, monkeypatch):
    key, line = keys.make("crm", "reader")
    (tmp_path / "keys").write_text(line)
    monkeypatch.setenv("CHURNHOUSE_ALLOWED_HOSTS", "churn.example.com")
    with serving(finished_home, tmp_path / "log", keys=tmp_path / "keys") as server:

        def status(path: str, host: str) -> int:
            return server.ask("GET", path, headers={"Host": host, "X-API-Key": key}).status

        assert status("/v1/model", "churn.example.com:443") == 200
        assert status("/v1/model", "10.1.2.3:8000") == 200  # an address, as Prometheus asks
        assert status("/v1/model", "evil.example") == 421
        assert status("/ready", "evil.example") == 200


@pytest.mark.parametrize("path", ["/desk/contacts", "/desk/sign-out", "/v1/contacts", "/predict"])
@pytest.mark.parametrize("sent", [CROSS, {"Origin": "https://evil.example"}, {"Origin": "null"}])
def test_another_site_changes_nothing_on_a_server_without_keys(server, path, sent):
    assert server.ask("POST", path, {}, headers=sent).status == 403


@pytest.mark.parametrize("sent", [{}, SAME, {"Origin": "http://127.0.0.1:{port}"}])
def test_own_pages_and_programs_may_post(server, sent):
    headers = {name: value.format(port=server.port) for name, value in sent.items()}
    headers |= {"Host": f"127.0.0.1:{server.port}"}
    user = server.get("/v1/predictions?limit=1").json["predictions"][0]["user_id"]
    assert server.ask("POST", "/predict", {"user_id": user}, headers=headers).status == 200


def test_buckets_do_not_pile_up():
    buckets = Buckets(rate=1, burst=1)
    for number in range(3 * MOST_BUCKETS):
        buckets.wait(str(number), 0.001 * number)
    assert sys.getsizeof(buckets._levels) < 2_000_000 and len(buckets._levels) <= MOST_BUCKETS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("allowed_hosts", "https://churn.example.com"),
        ("allowed_hosts", "churn example"),
        ("allowed_hosts", "a.example,,b.example"),
        ("trusted_proxies", "proxy"),
        ("trusted_proxies", "10.0.0.0/33"),
        ("trusted_proxies", "*"),
    ],
)
def test_a_wrong_name_or_network_is_named_at_start(monkeypatch, name, value):
    monkeypatch.setenv(f"CHURNHOUSE_{name.upper()}", value)
    with pytest.raises(JobError, match=f"CHURNHOUSE_{name.upper()}="):
        ApiSettings()


def test_more_connections_than_open_files_are_refused():
    with pytest.raises(JobError, match=r"need \d+ open files.* Next: raise `ulimit -n`"):
        check_files(10**9)
