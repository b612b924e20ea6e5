"""API keys: access, roles, rate limits and storage."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.hanging import hang
from support.running import PROJECT, serving, wait_until

from api import keys
from api.middleware.guard import Buckets
from api.middleware.sessions import Sessions
from api.serve import check
from api.settings import ApiSettings
from python_jobs.errors import JobError
from python_jobs.settings import is_loopback


def test_without_a_key_only_the_probes_answer(keyed):
    server = keyed.server
    for path in ("/live", "/ready", "/health"):
        assert server.get(path).status == 200
    for path in ("/v1/predictions", "/v1/predictions/u1", "/metrics", "/nowhere", "/v1/model"):
        answer = server.get(path)
        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["content-type"] == "application/problem+json"
    assert server.post("/predict", {}).status == 401


@pytest.mark.parametrize("key", ["", "x", "ch_wrong", "reader-1", "ünï"])
def test_wrong_key_is_refused(keyed, key):
    header = {"Authorization": f"Bearer {key}".encode()}
    assert keyed.server.ask("GET", "/v1/model", headers=header).status == 401


def test_readers_key_cannot_use_operator_routes(keyed):
    for header in (keyed.as_reader(), {"X-API-Key": keyed.reader}):
        assert keyed.server.ask("GET", "/v1/model", headers=header).status == 200
    answer = keyed.server.ask("GET", "/metrics", headers=keyed.as_reader())
    assert answer.status == 403
    assert answer.headers["content-type"] == "application/problem+json"


def test_operators_key_opens_reader_and_operator_routes(keyed):
    for path in ("/v1/model", "/metrics"):
        assert keyed.server.ask("GET", path, headers=keyed.as_operator()).status == 200


def test_the_file_and_the_log_never_hold_a_key(keyed):
    keyed.server.ask("GET", "/v1/model", headers=keyed.as_reader())
    log = keyed.server.log.read_text()
    assert '"key":"reader-1"' in log
    file = (keyed.server.log.parent / "keys").read_text()
    for key in (keyed.reader, keyed.operator):
        assert key not in log and key not in file


def test_too_many_requests_get_a_retry_after(finished_home, tmp_path):
    made = [keys.make(name, "reader") for name in ("eager", "calm")]
    (tmp_path / "keys").write_text("\n".join(line for _, line in made))
    options = {"keys": tmp_path / "keys", "rate_per_second": 2, "burst": 5}
    with serving(finished_home, tmp_path / "log", **options) as server:

        def ask(key: str):
            return server.ask("GET", "/v1/model", headers={"X-API-Key": key})

        answers = [ask(made[0][0]) for _ in range(8)]
        assert [a.status for a in answers[:5]] == [200] * 5
        late = answers[-1]
        assert late.status == 429 and int(late.headers["retry-after"]) >= 1
        assert late.headers["content-type"] == "application/problem+json"
        assert ask(made[1][0]).status == 200  # another key has its own bucket
        time.sleep(int(late.headers["retry-after"]))
        assert ask(made[0][0]).status == 200


def test_changed_key_file_counts_at_once(finished_home, tmp_path):
    (old, old_line), (new, new_line) = (keys.make("desk", "reader") for _ in range(2))
    file = tmp_path / "keys"
    file.write_text(old_line)
    with serving(finished_home, tmp_path / "log", keys=file) as server:

        def status(key: str) -> int:
            return server.ask("GET", "/v1/model", headers={"X-API-Key": key}).status

        assert (status(old), status(new)) == (200, 401)
        file.write_text(new_line)
        wait_until(lambda: status(new) == 200, what="the new key")
        assert status(old) == 401


def _emptied(file: Path) -> None:
    file.write_text("", encoding="utf-8")


def _deleted(file: Path) -> None:
    file.unlink()


def _damaged(file: Path) -> None:
    file.write_bytes(b"\xff\xfe no keys")


def _piped(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _stalled(file: Path) -> None:
    _damaged(file)
    hang(file)


@pytest.mark.parametrize("lose", [_emptied, _deleted, _damaged, _piped, _stalled])
def test_keys_that_cannot_be_checked_open_nothing(finished_home, tmp_path, lose):
    key, line = keys.make("desk", "reader")
    file = tmp_path / "keys"
    file.write_text(line)
    options = {"keys": file, "check_seconds": 0.5}
    with serving(finished_home, tmp_path / "log", may_hang=True, **options) as server:

        def status() -> int:
            return server.ask("GET", "/v1/model", headers={"X-API-Key": key}).status

        assert status() == 200
        lose(file)
        wait_until(lambda: status() == 401, what="the end of the key", seconds=5)
        health = server.get("/health").json
        assert health["status"] == "degraded" and "no key is accepted" in health["problems"]["keys"]
        assert '"duty":"keys"' in server.log.read_text()
        (tmp_path / "keys.hangs").unlink(missing_ok=True)
        file.unlink(missing_ok=True)
        file.write_text(line)
        wait_until(lambda: status() == 200, what="the key again", seconds=5)
        wait_until(lambda: server.get("/health").json["problems"] == {}, what="health")


def test_a_broken_line_revokes_its_key_alone(finished_home, tmp_path):
    (one, one_line), (two, two_line) = (keys.make(name, "reader") for name in ("one", "two"))
    file = tmp_path / "keys"
    file.write_text(f"{one_line}\n{two_line}\n")
    with serving(finished_home, tmp_path / "log", keys=file) as server:

        def status(key: str) -> int:
            return server.ask("GET", "/v1/model", headers={"X-API-Key": key}).status

        file.write_text(f"{one_line}\n{two_line[:-1]}\n")
        wait_until(lambda: status(two) == 401, what="the end of the broken line's key")
        assert status(one) == 200
        assert server.get("/health").json["problems"]["keys"].endswith("do not count: 2")


def test_token_bucket_refills_up_to_its_size():
    buckets = Buckets(rate=2, burst=3)
    assert [buckets.wait("a", 0.0) for _ in range(3)] == [0, 0, 0]
    assert buckets.wait("a", 0.0) == pytest.approx(0.5)
    assert buckets.wait("b", 0.0) == 0
    assert buckets.wait("a", 0.5) == 0
    assert [bool(buckets.wait("a", 100.0)) for _ in range(4)] == [False, False, False, True]


@pytest.mark.parametrize(
    "text", ["", "# nobody\n", "a:reader:123", "a:king:" + "0" * 64, f"a:reader:{'0' * 64}\n" * 2]
)
def test_invalid_key_file_is_refused_without_quoting_it(tmp_path, text):
    (tmp_path / "keys").write_text(text)
    with pytest.raises(JobError) as raised:
        keys.Keys(tmp_path / "keys")
    assert "0000" not in str(raised.value)


@pytest.mark.parametrize(
    ("host", "is_safe"),
    [
        *((host, True) for host in ("127.0.0.1", "::1", "localhost", "127.8.8.8")),
        *((host, False) for host in ("0.0.0.0", "::", "10.1.2.3", "", "churn")),
    ],
)
def test_without_keys_only_loopback_is_served(tmp_path, host, is_safe):
    assert is_loopback(host) == is_safe
    settings = ApiSettings(home=tmp_path, api_keys=None)
    if is_safe:
        check(settings, host)
    else:
        with pytest.raises(JobError, match=r"Without API keys .* Next: make a key"):
            check(settings, host)


def test_public_address_without_keys_is_refused_in_one_line(tmp_path):
    command = [sys.executable, "-m", "api", "--host", "0.0.0.0", "--port", "1"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("churnhouse: Without API keys only this machine may ask")


def test_the_key_maker_prints_the_line_and_shows_the_key_once():
    command = [sys.executable, "-m", "api.keys", "desk", "reader"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    key = done.stderr.strip().rsplit(" ", 1)[-1]
    assert done.stdout.strip() == f"desk:reader:{keys.hash_of(key)}"
    wrong = subprocess.run([*command[:-1], "king"], cwd=PROJECT, capture_output=True, check=False)
    assert wrong.returncode == 1 and not wrong.stdout


def test_a_session_is_bound_to_its_key_its_age_and_its_secret(tmp_path, monkeypatch):
    file = tmp_path / "keys"
    file.write_text(keys.make("desk", "reader")[1])
    held = keys.Keys(file)
    ended = tmp_path / "ended"
    sessions = Sessions(held, "secret", 1, ended)
    value = sessions.make(held.named("desk"))
    assert sessions.holder(value).name == "desk"
    name, until, signature = value.split(".")
    for forged in (
        f"{name}.9{until}.{signature}",
        f"other.{until}.{signature}",
        "x",
        "é.1.é",
    ):
        assert sessions.holder(forged) is None
    assert Sessions(held, "other", 1, ended).holder(value) is None
    over = Sessions(held, "secret", -1, ended)
    assert over.holder(over.make(held.named("desk"))) is None
    file.write_text(keys.make("desk", "reader")[1])  # the key was replaced
    assert held.refresh() is None
    assert sessions.holder(value) is None


def test_ended_sessions_are_forgotten_when_they_are_over_by_age(tmp_path):
    (tmp_path / "keys").write_text(keys.make("desk", "reader")[1])
    held, ended = keys.Keys(tmp_path / "keys"), tmp_path / "ended"
    sessions = Sessions(held, "secret", 1 / 3600, ended)
    sessions.end(value := sessions.make(held.named("desk")))
    assert sessions.holder(value) is None and len(list(ended.iterdir())) == 1
    wait_until(lambda: not (sessions.refresh() or list(ended.iterdir())), what="their end")
