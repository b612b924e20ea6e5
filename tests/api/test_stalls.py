"""Disks that hang, stores that are cut, links that break: what is served, and what is said."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.hanging import hang
from support.running import Server, serving, wait_until
from support.versions import change_manifest, current, make_current, publish_again

QUICK = {"check_seconds": 0.5, "load_seconds": 1, "retry_seconds": 0.3}


@pytest.fixture
def quick(published_home: Path, tmp_path: Path) -> Iterator[Server]:
    """A server whose disk has to answer soon, and can hang."""
    with serving(published_home, tmp_path / "log", may_hang=True, **QUICK) as running:
        yield running


def version_of(server: Server) -> str | None:
    return server.get("/ready").json.get("version")


def stalled(folder: Path) -> Path:
    """Let reading a version's manifest hang; return what to remove so that it answers again."""
    return hang(folder / "manifest.json")


def test_a_version_that_cannot_be_read_delays_no_other(quick, published_home):
    old = version_of(quick)
    good = current(published_home)
    for number in range(1, 5):
        bad = publish_again(published_home, number, source=good)
        stalled(bad)
        make_current(bad)
        wait_until(lambda: quick.get("/health").json["status"] == "degraded", what="health")
        wait_until(lambda: quick.get("/health").json["bad_version"], what="the refusal")
        bad_version = quick.get("/health").json["bad_version"]
        assert bad_version["reason"] == "it could not be read within 1 seconds"
        assert version_of(quick) == old
    started = time.monotonic()
    quick.get(f"/v1/predictions?cursor={'MjAyNS0wNC0zMC14fDEw'}")
    assert time.monotonic() - started < 12
    better = publish_again(published_home, 5, source=good)
    make_current(better)
    wait_until(lambda: version_of(quick) == better.name, what="a good version", seconds=5)


def test_the_next_version_is_served_while_one_hangs(quick, published_home):
    bad, good = publish_again(published_home, 1), publish_again(published_home, 2)
    stalled(bad)
    make_current(bad)
    wait_until(lambda: quick.get("/health").json["bad_version"], what="the refusal")
    make_current(good)
    wait_until(lambda: version_of(quick) == good.name, what="the next version", seconds=5)
    wait_until(lambda: quick.get("/health").json["status"] == "ok", what="ok", seconds=5)


def test_keys_and_contacts_are_looked_after_while_a_version_hangs(published_home, tmp_path):
    from api import keys

    good = publish_again(published_home, 2)
    (old, old_line), (new, new_line) = (keys.make("desk", "operator") for _ in range(2))
    file = tmp_path / "keys"
    file.write_text(old_line)
    options = {"keys": file, "load_seconds": 60}
    with serving(published_home, tmp_path / "log", may_hang=True, **options) as server:
        bad = publish_again(published_home, 1)
        stalled(bad)
        make_current(bad)
        time.sleep(0.5)  # the load hangs now, for a minute
        file.write_text(new_line)

        def status(key: str) -> int:
            return server.ask("GET", "/metrics", headers={"X-API-Key": key}).status

        wait_until(lambda: (status(old), status(new)) == (401, 200), what="new keys", seconds=5)
        make_current(good)
        wait_until(lambda: version_of(server) == good.name, what="the next version", seconds=5)
        process = server.process
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM or process.returncode == 0


def damaged(folder: Path) -> Path:
    (folder / "model.onnx").write_bytes(b"no model")
    return folder


def piped(folder: Path) -> None:
    """Put a pipe in place of a version's manifest."""
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")


@pytest.mark.parametrize("spoil", [piped, stalled])
def test_older_versions_that_hang_do_not_keep_a_good_one_from_serving(
    published_home, tmp_path, spoil
):
    good, bad = current(published_home), damaged(publish_again(published_home, 1))
    for number in (2, 3, 4, 5):
        spoil(publish_again(published_home, number))
    make_current(bad)
    with serving(published_home, tmp_path / "log", may_hang=True, **QUICK) as server:
        wait_until(lambda: server.get("/ready").status == 200, what="the good version", seconds=5)
        assert version_of(server) == good.name
        assert server.get("/health").json["bad_version"]["version"] == bad.name


@pytest.mark.parametrize("spoil", [piped, stalled])
def test_current_is_looked_at_while_older_versions_hang(published_home, tmp_path, spoil):
    """Nothing can be served at first; four retries later a good version is taken up at once."""
    first, bad = current(published_home), damaged(publish_again(published_home, 1))
    better = publish_again(published_home, 3, source=first)
    aside = better.rename(published_home / better.name)
    spoil(first)
    make_current(bad)
    with serving(published_home, tmp_path / "log", may_hang=True, **QUICK) as server:
        time.sleep(2.5)
        assert server.get("/ready").status == 503
        make_current(aside.rename(better))
        wait_until(lambda: version_of(server) == better.name, what="the new link", seconds=3)
        wait_until(lambda: server.get("/health").json["status"] == "ok", what="health")


def test_current_is_looked_at_while_an_older_version_is_loaded(published_home, tmp_path):
    slow, bad = current(published_home), damaged(publish_again(published_home, 1))
    better = publish_again(published_home, 2, source=slow)
    slow_aside, aside = (one.rename(published_home / one.name) for one in (slow, better))
    hang(slow_aside / "model.onnx")
    make_current(bad)
    options = QUICK | {"load_seconds": 60}
    with serving(published_home, tmp_path / "log", may_hang=True, **options) as server:
        slow_aside.rename(slow)
        time.sleep(1)  # the next retry loads it, for a minute
        make_current(aside.rename(better))
        wait_until(lambda: version_of(server) == better.name, what="the new link", seconds=5)


def test_current_is_looked_at_while_the_served_version_hangs(quick, published_home):
    old, new = current(published_home), publish_again(published_home, 1)
    mark = hang(old / "lookup.sqlite")
    wait_until(lambda: quick.get("/health").json["problems"], what="the problem")
    assert "does not answer" in quick.get("/health").json["problems"]["versions"]
    time.sleep(2)
    assert version_of(quick) == old.name and quick.get("/health").json["unchecked_seconds"] < 1
    make_current(new)
    wait_until(lambda: version_of(quick) == new.name, what="the new version", seconds=3)
    wait_until(lambda: quick.get("/health").json["status"] == "ok", what="health")
    mark.unlink()


def test_a_link_that_is_gone_is_said_and_the_version_stays(quick, published_home):
    old = version_of(quick)
    link = published_home / "published" / "current"
    target = link.readlink()
    link.unlink()
    wait_until(lambda: quick.get("/health").json["status"] == "degraded", what="health")
    assert quick.get("/health").json["problems"]["versions"].endswith("names no version")
    assert 'churnhouse_duty_failing{duty="versions"} 1.0' in quick.get("/metrics").text
    assert version_of(quick) == old
    link.symlink_to(target)
    wait_until(lambda: quick.get("/health").json["status"] == "ok", what="health")
    assert 'churnhouse_duty_failing{duty="versions"} 0.0' in quick.get("/metrics").text


def test_unchecked_time_is_shown(quick):
    wait_until(lambda: quick.get("/health").json["unchecked_seconds"] < 0.4, what="a look")
    lines = quick.get("/metrics").text.splitlines()
    (line,) = [line for line in lines if line.startswith("churnhouse_unchecked_seconds ")]
    assert float(line.split()[1]) < 2


@pytest.mark.parametrize("left", [0.0, 0.5], ids=["emptied", "halved"])
def test_a_store_that_is_cut_kills_nobody_and_is_replaced(quick, published_home, left):
    """Reads of a mapped file that is cut end a process with SIGBUS."""
    earlier, cut = current(published_home), publish_again(published_home, 1)
    make_current(cut)
    wait_until(lambda: version_of(quick) == cut.name, what="the new version")
    users = [row["user_id"] for row in quick.get("/v1/predictions?limit=300").json["predictions"]]
    store = cut / "lookup.sqlite"
    os.truncate(store, int(store.stat().st_size * left))
    for user in users:
        assert quick.get(f"/v1/predictions/{user}").status in (200, 500, 503)
    wait_until(lambda: quick.get("/health").json["bad_version"], what="the refusal")
    wait_until(lambda: quick.get("/ready").status == 200, what="an earlier version", seconds=5)
    assert version_of(quick) == earlier.name
    assert quick.get("/health").json["status"] == "degraded"
    assert all(quick.get(f"/v1/predictions/{user}").status == 200 for user in users[:20])
    assert quick.process.poll() is None


def test_at_start_the_newest_good_version_replaces_a_broken_one(published_home, tmp_path):
    old, good = current(published_home), publish_again(published_home, 1)
    for number in (2, 3):
        change_manifest(publish_again(published_home, number), version="another")
    stalled(newest := publish_again(published_home, 4))
    make_current(newest)
    with serving(published_home, tmp_path / "log", may_hang=True, **QUICK) as server:
        assert version_of(server) == good.name != old.name
        health = server.get("/health").json
        assert health["status"] == "degraded" and health["bad_version"]["version"] == newest.name
        make_current(old)
        wait_until(lambda: version_of(server) == old.name, what="the link's version")
        wait_until(lambda: server.get("/health").json["status"] == "ok", what="health")


HANGING = """
import time
from pathlib import Path
from python_jobs.publication import contacts

def hang(path: Path):
    time.sleep(600 if path.name == contacts.file_name("elsewhere") else 0)
    return read(path)

read, contacts.read = contacts.read, hang
"""
"""A sitecustomize.py: one contact's file hangs, as on a network volume that does not answer."""


def test_a_contact_that_cannot_be_looked_up_is_a_503_in_time(published_home, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(HANGING)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    with serving(published_home, tmp_path / "log", **QUICK) as server:
        user = server.get("/v1/predictions?limit=1").json["predictions"][0]["user_id"]
        withdrawal = {"user_id": user, "action": "withdrawn", "withdraws": "elsewhere"}
        started = time.monotonic()
        for _ in range(4):
            told = server.post("/v1/contacts", withdrawal)
            assert told.status == 503 and "does not answer" in told.json["detail"], told.text
        form = f"form={'1' * 32}&withdrawn=elsewhere"
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        told = server.ask("POST", "/desk/contacts", body=form, headers=kind)
        assert told.status == 503 and "does not answer" in told.text, told.text
        assert time.monotonic() - started < 20
        contacted = server.post("/v1/contacts", {"user_id": user, "action": "contacted"})
        assert contacted.status == 201
        assert server.post("/v1/contacts", withdrawal | {"withdraws": "x"}).status == 404
        wait_until(lambda: server.get("/health").json["status"] == "ok", what="health")
