"""`churnhouse smoke` passes on a real API and names what is wrong with a broken one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.running import deaf_port, serving, wait_until

from api.keys import make


@pytest.fixture(scope="module")
def published(finished_home: Path, tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("smoke")
    shutil.copytree(finished_home / "published", home / "published", symlinks=True)
    return home


@pytest.fixture(scope="module")
def key(published: Path) -> str:
    text, line = make("smoke", "reader")
    (published / "keys").write_text(line + "\n")
    return text


@pytest.fixture(scope="module")
def api(published: Path, key: str):
    with serving(published, published / "log", keys=published / "keys") as running:
        wait_until(lambda: running.get("/ready").status == 200, what="a version")
        yield running


def smoke(*arguments: str, key: str = "") -> subprocess.CompletedProcess:
    command = [Path(sys.executable).with_name("churnhouse"), "smoke", *arguments]
    return subprocess.run(command, input=key, capture_output=True, text=True)


def said(done: subprocess.CompletedProcess) -> str:
    return " ".join((done.stdout + done.stderr).split())


def served(api) -> str:
    return api.get("/health").json["version"]


def test_every_answer_of_a_keyed_api_is_right(api, key):
    options = ("--version", served(api), "--max-age-hours", "10")
    done = smoke(api.url, "--key-file", "-", *options, key=key + "\n")
    assert done.returncode == 0, said(done)
    lines = done.stdout.splitlines()
    assert len(lines) == 9 and all(line.startswith("ok  ") for line in lines), done.stdout
    assert key not in done.stdout + done.stderr


def test_without_a_key_only_what_strangers_may_see_is_asked(api):
    done = smoke(api.url)
    assert done.returncode == 0 and "strangers are refused" in said(done), said(done)
    assert "the list has users" not in said(done)


def test_api_without_keys_is_asked_everything(published):
    with serving(published, published / "open.log") as running:
        done = smoke(running.url)
        assert done.returncode == 0 and "a listed user is found" in said(done), said(done)


@pytest.mark.parametrize(
    "arguments, says",
    [
        (("--version", "2020-01-01-x"), "expected 2020-01-01-x"),
        (("--max-age-hours", "0"), "hours old, allowed are 0"),
    ],
)
def test_another_or_an_old_version_is_wrong(api, key, arguments, says):
    done = smoke(api.url, "--key-file", "-", *arguments, key=key)
    assert done.returncode == 1
    assert "no it is well (/health): " in said(done) and says in said(done)
    assert "1 of 9 answers" in said(done) and "Next: " in said(done)


def test_a_wrong_key_is_named(api):
    done = smoke(api.url, "--key-file", "-", key="ch_wrong")
    assert done.returncode == 1 and "status 401" in said(done) and "ch_wrong" not in said(done)


def test_an_api_without_a_version_is_not_ready(tmp_path):
    (tmp_path / "published").mkdir()
    with serving(tmp_path, tmp_path / "log") as running:
        done = smoke(running.url)
    assert done.returncode == 1
    assert "no a version is loaded (/ready): status 503" in said(done)


def test_a_damaged_version_that_is_refused_is_told(published, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(published / "published", home / "published", symlinks=True)
    with serving(home, tmp_path / "log") as running:
        wait_until(lambda: running.get("/ready").status == 200, what="a version")
        current = home / "published/current"
        bad = home / "published/9999-bad"
        shutil.copytree(current.resolve(), bad)
        (bad / "lookup.sqlite").write_bytes(b"not a store")
        (home / "published/next").symlink_to(bad.name)
        (home / "published/next").rename(current)
        wait_until(lambda: running.get("/health").json["status"] != "ok", what="the refusal")
        done = smoke(running.url)
    assert done.returncode == 1 and "status is degraded, refused: 9999-bad" in said(done)


@pytest.mark.parametrize(
    "url, key, says",
    [
        ("churnhouse", "", "is not the address of an API"),
        ("http://churnhouse.example.com", "ch_x", "would be sent to churnhouse.example.com unenc"),
    ],
)
def test_an_address_to_which_no_key_may_go_is_refused(url, key, says):
    done = smoke(url, "--key-file", "-", key=key)
    assert done.returncode == 1 and says in said(done) and "Next: " in said(done)


def test_silence_is_one_line():
    with deaf_port() as port:
        done = smoke(f"http://127.0.0.1:{port}")
    assert done.returncode == 1 and "/live did not answer" in said(done)
    assert "Traceback" not in done.stderr
