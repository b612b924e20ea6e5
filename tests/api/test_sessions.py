"""The desk's sessions: made by a key, ended by sign-out everywhere, closed to other sites."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlencode

import pytest
from support.running import Answer, Server, serving, wait_until

from api import keys

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Desk:
    """Two replicas over one home, and a key of each's file."""

    def __init__(self, servers: list[Server], key: str) -> None:
        self.servers, self.key = servers, key

    def sign_in(self, key: str, number: int = 0, **headers: str) -> Answer:
        sent = FORM | {name.replace("_", "-"): value for name, value in headers.items()}
        body = urlencode({"key": key, "next": "/desk/model"})
        return self.servers[number].ask("POST", "/desk/sign-in", body=body, headers=sent)

    def status(self, cookie: str, number: int = 0) -> int:
        return self.servers[number].ask("GET", "/desk", headers={"Cookie": cookie}).status


@pytest.fixture(scope="module")
def replicas(finished_home: Path, tmp_path_factory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("replicas")
    (folder / "published").symlink_to(finished_home / "published")
    key, line = keys.make("anna", "writer")
    (folder / "keys").write_text(line)
    options = {"keys": folder / "keys"}
    options["session_secret"] = "shared"  # pragma: allowlist secret - of this test alone
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHURNHOUSE_TRUSTED_PROXIES", "127.0.0.0/8, fd00::/8")
        both = [
            stack.enter_context(serving(folder, folder / f"log-{n}", **options)) for n in range(2)
        ]
        patch.undo()  # other servers start meanwhile
        yield Desk(both, key)


def cookie_of(answer: Answer) -> str:
    return answer.headers["set-cookie"].partition(";")[0]


def sign_out(server: Server, cookie: str, **headers: str) -> Answer:
    sent = {"Cookie": cookie} | {n.replace("_", "-"): v for n, v in headers.items()}
    return server.ask("POST", "/desk/sign-out", headers=sent)


def test_sign_out_ends_the_session_on_every_replica(replicas):
    cookie, other = (cookie_of(replicas.sign_in(replicas.key)) for _ in range(2))
    assert [replicas.status(cookie, n) for n in (0, 1)] == [200, 200]
    told = sign_out(replicas.servers[0], cookie)
    assert (told.status, told.headers["clear-site-data"]) == (303, '"cache"')
    assert replicas.status(cookie, 0) == 303
    wait_until(lambda: replicas.status(cookie, 1) == 303, what="the other replica", seconds=5)
    assert [replicas.status(other, n) for n in (0, 1)] == [200, 200]


def test_an_ended_session_stays_ended_after_a_restart(replicas, tmp_path):
    cookie = cookie_of(replicas.sign_in(replicas.key))
    sign_out(replicas.servers[0], cookie)
    home = replicas.servers[0].log.parent
    options = {"keys": home / "keys"}
    options["session_secret"] = "shared"  # pragma: allowlist secret - of this test alone
    with serving(home, tmp_path / "log", **options) as server:
        assert server.ask("GET", "/desk", headers={"Cookie": cookie}).status == 303


@pytest.mark.parametrize(
    "sent", [{"Sec_Fetch_Site": "cross-site"}, {"Origin": "https://evil.example"}]
)
def test_another_site_can_neither_sign_out_nor_in(replicas, sent):
    cookie = cookie_of(replicas.sign_in(replicas.key))
    assert sign_out(replicas.servers[0], cookie, **sent).status == 403
    assert replicas.status(cookie) == 200
    assert "set-cookie" not in replicas.sign_in(replicas.key, **sent).headers


def test_a_stranger_cannot_end_a_session_without_its_signature(replicas):
    cookie = cookie_of(replicas.sign_in(replicas.key))
    forged = re.sub(r".$", "x", cookie)
    assert sign_out(replicas.servers[0], forged).status == 303
    assert replicas.status(cookie) == 200


def test_cookie_is_secure_behind_a_trusted_proxy_with_tls(replicas):
    cookie = cookie_of(replicas.sign_in(replicas.key, X_Forwarded_Proto="https"))
    assert cookie.startswith("__Host-")  # no other host can set it
    sent = {"Cookie": cookie, "X-Forwarded-Proto": "https"}
    assert replicas.servers[0].ask("GET", "/desk", headers=sent).status == 200
    planted = {"Cookie": cookie.removeprefix("__Host-"), "X-Forwarded-Proto": "https"}
    assert replicas.servers[0].ask("GET", "/desk", headers=planted).status == 303

    def attributes(**headers: str) -> set[str]:
        cookie = replicas.sign_in(replicas.key, **headers).headers["set-cookie"]
        return {part.strip() for part in cookie.split(";")[1:]}

    assert {"HttpOnly", "SameSite=Strict", "Secure"} <= attributes(X_Forwarded_Proto="https")
    assert "Secure" not in attributes(X_Forwarded_Proto="http")
    answer = replicas.servers[0].get("/live", X_Forwarded_Proto="https")
    assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    assert "strict-transport-security" not in replicas.servers[0].get("/live").headers


def test_a_header_of_an_untrusted_client_counts_for_nothing(keyed):
    body, sent = urlencode({"key": keyed.reader}), FORM | {"X-Forwarded-Proto": "https"}
    sent |= {"X-Forwarded-For": "203.0.113.9"}
    answer = keyed.server.ask("POST", "/desk/sign-in", body=body, headers=sent)
    assert answer.status == 303 and "Secure" not in answer.headers["set-cookie"]
    clients = {line["client"] for line in keyed.server.log_lines() if line["event"] == "request"}
    assert clients == {"127.0.0.1"}


def test_a_client_that_is_not_the_named_proxy_is_not_believed(replicas, tmp_path, monkeypatch):
    monkeypatch.setenv("CHURNHOUSE_TRUSTED_PROXIES", "10.0.0.0/8")
    home = replicas.servers[0].log.parent
    with serving(home, tmp_path / "log", keys=home / "keys") as server:
        answer = server.get("/live", X_Forwarded_Proto="https", X_Forwarded_For="203.0.113.9")
        assert "strict-transport-security" not in answer.headers
        wait_until(lambda: "/live" in server.log.read_text(), what="the log line")
        assert "203.0.113.9" not in server.log.read_text()


def test_wrong_keys_of_strangers_lock_nobody_out(replicas):
    """A flood from one address is slowed, other addresses and good keys are not."""
    flood = [replicas.sign_in("wrong", X_Forwarded_For="203.0.113.9").status for _ in range(40)]
    assert flood[0] == 401 and 429 in flood
    assert replicas.sign_in("wrong", X_Forwarded_For="203.0.113.77").status == 401
    assert replicas.sign_in(replicas.key, X_Forwarded_For="203.0.113.9").status == 303
    assert replicas.servers[0].get("/desk/sign-in").status == 200
