"""Clients keep asking while versions change: no answer fails or mixes versions."""

import json
import threading
import time
from dataclasses import dataclass, field

import pytest
from support.running import Server, serving, wait_until
from support.versions import make_current, publish_again

from python_jobs.publishing.publish import prune

CLIENTS = 4
KEPT = 3
PAUSE = 0.005
"""Between two requests of a client, so that two shared cores are not the subject."""


@dataclass
class Seen:
    """What a client saw."""

    answers: int = 0
    versions: set[str] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)


def test_clients_see_complete_versions_for_a_few_seconds(published_home, tmp_path):
    soak(published_home, tmp_path, seconds=6, publish_every=0.5)


@pytest.mark.nightly
def test_clients_see_complete_versions_for_five_minutes(published_home, tmp_path):
    soak(published_home, tmp_path, seconds=300, publish_every=5.0)


def soak(home, tmp_path, *, seconds: float, publish_every: float) -> None:
    with serving(home, tmp_path / "log") as server:
        wait_until(lambda: server.get("/ready").status == 200, what="the first version")
        numbered = publish_again(home, 0)
        make_current(numbered)
        ready = f'"{numbered.name}"'
        wait_until(lambda: ready in server.get("/ready").text, what="the first numbered version")
        ids = [
            r["user_id"]
            for r in server.get("/v1/predictions?limit=300&include=all").json["predictions"]
        ]
        stop = threading.Event()
        seen = [Seen() for _ in range(CLIENTS)]
        clients = [
            threading.Thread(target=client, args=(server, ids[i::CLIENTS], stop, seen[i]))
            for i in range(CLIENTS)
        ]
        for thread in clients:
            thread.start()
        good, bad = publish_until(home, time.monotonic() + seconds, publish_every)
        stop.set()
        for thread in clients:
            thread.join(30)
        assert [line for one in seen for line in one.failed] == []
        assert [line for one in seen for line in one.mixed] == []
        versions = set().union(*(one.versions for one in seen))
        assert good - versions == set() and versions & bad == set()
        assert len(good) >= 4 and bad
        assert min(one.answers for one in seen) > seconds * 2
        text = server.get("/metrics").text
        assert f'churnhouse_reloads_total{{result="failure"}} {len(bad)}.0' in text
        assert not [line for line in server.log_lines() if line.get("status", 0) >= 400]


def publish_until(home, deadline: float, every: float) -> tuple[set[str], set[str]]:
    """Publish at a steady pace, a broken version every fifth time; prune as publish does."""
    good, bad, number = set(), set(), 0
    while time.monotonic() < deadline:
        number += 1
        source = home / "published" / max(good) if good else None
        folder = publish_again(home, number, source)
        if number % 5 == 3:
            with (folder / "lookup.sqlite").open("r+b") as file:
                file.seek(100_000)
                file.write(b"broken")
            bad.add(folder.name)
        else:
            good.add(folder.name)
        make_current(folder)
        prune(home / "published", KEPT)
        time.sleep(every)
    return good, bad


def client(server: Server, ids: list[str], stop: threading.Event, seen: Seen) -> None:
    """Call every endpoint in turn; each answer must be complete and of one version."""
    turn, cursor = 0, None
    while not stop.is_set():
        user = ids[turn % len(ids)]
        page = f"&cursor={cursor}" if cursor else ""
        answers = {
            "one": ("GET", f"/v1/predictions/{user}", None),
            "many": ("POST", "/v1/predictions/lookup", {"user_ids": ids}),
            "predict": ("POST", "/predict", {"user_id": user}),
            "page": ("GET", f"/v1/predictions?limit=50&include=all{page}", None),
        }
        for kind, (method, path, content) in answers.items():
            try:
                answer = server.ask(method, path, content)
            except OSError as error:
                seen.failed.append(f"{kind} {error!r}")
                continue
            seen.answers += 1
            if answer.status != 200:
                seen.failed.append(f"{kind} {answer.status} {answer.text}")
                continue
            if kind == "page":
                cursor = answer.json["next_cursor"]
            judge(kind, answer.json, seen)
            time.sleep(PAUSE)
        turn += 1


def judge(kind: str, content: dict, seen: Seen) -> None:
    """Check that every value read belongs to the version that the answer names."""
    seen.versions.add(content["published_version"])
    rows = content.get("found", content.get("predictions", [content]))
    pairs = {(row["published_version"], row["model_version"]) for row in rows}
    version = content["published_version"]
    number = int(version.rsplit("T", 1)[1].rstrip("Z"))
    if pairs != {(version, f"model-{number}")}:
        seen.mixed.append(f"{kind}: {json.dumps(sorted(pairs))}")
