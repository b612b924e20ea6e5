"""Only one process writes at a time, and readers always see one complete version."""

import contextlib
import json
import multiprocessing
import random
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from support.homes import churnhouse
from support.processes import running, start

from python_jobs.publishing import publish
from python_jobs.settings import Settings

READERS = 4
FIRST_DAY = datetime(2025, 4, 30, tzinfo=UTC)
# Users of each round; their number reveals a mix of two versions.
USERS = """
    user_id in (
        select user_id from base."main.churn_predictions_latest"
        where risk_rank <= (select users from main.round)
    )
"""
LIMITS = {
    "main.churn_predictions": USERS,
    "main.churn_predictions_latest": USERS,
    "main.user_features_latest": USERS,
    "main.churn_top_risk": USERS,
    "main.churn_moves": USERS,
    "main.contact_candidates": USERS,
    "main.user_daily": f"{USERS} and day > date '2025-04-23'",
}


def test_a_second_command_is_refused_until_the_holder_is_dead(home: Path):
    with running(home, "run") as holder:
        second = start(home, "build")
        out, err = second.communicate()
        assert second.returncode == 75 and out == ""
        (line,) = err.splitlines()
        assert line.startswith("churnhouse: Another run holds the warehouse: run on ")
        assert f", pid {holder.pid}, since 2" in line and " Next: wait" in line
        assert "published" in churnhouse(home, "status").stdout
        assert holder.poll() is None, "the holder was not disturbed"
        holder.kill()
        holder.wait()
        churnhouse(home, "ingest")


def users_of(day: str) -> int:
    """Return how many users the version of a day has."""
    return 5 + datetime.fromisoformat(day).toordinal() % 40


@pytest.fixture
def small(finished_home: Path):
    """Return a small warehouse in memory; `round` sets its users and its day."""
    with duckdb.connect(config={"threads": 1}) as small:
        small.execute(f"attach '{finished_home / 'warehouse.duckdb'}' as big (read_only)")
        small.execute("create schema base; create schema ml; create schema raw")
        small.execute("create table main.round (users integer, day date)")
        tables = small.execute(
            "select table_schema || '.' || table_name from information_schema.tables "
            "where table_catalog = 'big'"
        ).fetchall()
        small.execute("use big")  # views name their tables without a catalog
        for (name,) in tables:
            small.execute(f'create table memory.base."{name}" as from {name}')
        small.execute("use memory; detach big")
        for (name,) in tables:
            columns = {row[0] for row in small.execute(f'describe base."{name}"').fetchall()}
            day = "(select day from main.round)"
            moved = [f"{day} as {c}" for c in ("as_of_date", "data_through") if c in columns]
            replaced = f"replace ({', '.join(moved)})" if moved else ""
            small.execute(
                f"create view {name} as "
                f"select * {replaced} "
                f'from base."{name}" where {LIMITS.get(name, "true")}'
            )
        yield small


def publish_round(small, settings: Settings, number: int, now: datetime) -> None:
    day = (FIRST_DAY + timedelta(days=number)).date()
    small.execute("delete from main.round")
    small.execute("insert into main.round values (?, ?)", [users_of(str(day)), day])
    publish.publish(small, settings, now=now)


def read_version(folder: Path, pause: float) -> str | None:
    """Read a version slowly, as its users do; return what is wrong with it."""
    manifest = json.loads((folder / "manifest.json").read_text())
    day, users = manifest["as_of_date"], users_of(manifest["as_of_date"])
    time.sleep(pause)
    path = f"file:{folder / 'lookup.sqlite'}?mode=ro&immutable=1"
    query = "select count(*), min(as_of_date), max(as_of_date) from {}"
    with contextlib.closing(sqlite3.connect(path, uri=True)) as store:
        looked_up = store.execute(query.format("users")).fetchone()
    with duckdb.connect(str(folder / "churnhouse.duckdb"), read_only=True) as copy:
        found = copy.execute(query.format("churn_predictions_latest")).fetchone()
    said = manifest["files"]["lookup.sqlite"]["rows"]["users"]
    expected = (folder.name, users, (users, day, day), (users, day, day))
    got = (manifest["version"], said, looked_up, (found[0], str(found[1]), str(found[2])))
    return None if got == expected else f"{got} instead of {expected}"


def read_on(published: Path, stop, results, seed: int) -> None:
    """Read the version that `current` names in a loop, every tenth time slowly."""
    chance = random.Random(seed)
    seen, wrong, rounds = set(), [], 0
    while not stop.is_set():
        rounds += 1
        try:
            folder = (published / "current").resolve(strict=True)
            problem = read_version(folder, 2 if rounds % 10 == 0 else chance.uniform(0.02, 0.1))
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
        seen.add(folder.name)
        if problem:
            wrong.append(problem)
    results.put((rounds, len(seen), wrong))


@pytest.mark.parametrize("publishes", [15, pytest.param(200, marks=pytest.mark.nightly)])
def test_four_readers_see_only_complete_versions(
    publishes: int, small, finished_home: Path, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(publish, "GRACE", timedelta(seconds=20))  # limits disk use
    settings = Settings(home=tmp_path / "data")
    settings.home.mkdir()
    settings.models.symlink_to(finished_home / "models")
    publish_round(small, settings, 0, datetime.now(UTC))
    forked = multiprocessing.get_context("spawn")
    stop, results = forked.Event(), forked.Queue()
    readers = [
        forked.Process(target=read_on, args=(settings.published, stop, results, seed))
        for seed in range(READERS)
    ]
    for reader in readers:
        reader.start()
    try:
        for number in range(1, publishes + 1):
            publish_round(small, settings, number, datetime.now(UTC))
    finally:
        stop.set()
        told = [results.get(timeout=30) for _ in readers]
        for reader in readers:
            reader.join()
    assert [wrong[:3] for _, _, wrong in told] == [[]] * READERS
    assert sum(seen for _, seen, _ in told) > publishes / 2, told
    assert all(rounds >= 10 for rounds, _, _ in told), told


def test_old_versions_are_removed_after_the_grace_period(
    small, finished_home: Path, tmp_path: Path
):
    settings = Settings(home=tmp_path / "data")
    settings.home.mkdir()
    settings.models.symlink_to(finished_home / "models")
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(8):  # one per minute: none was replaced long enough ago
        publish_round(small, settings, number, moment + timedelta(minutes=number))
    assert len(list(settings.published.glob("2*"))) == 8
    publish_round(small, settings, 8, moment + timedelta(days=1))
    left = sorted(path.name for path in settings.published.glob("[!c]*"))
    assert len(left) == publish.KEPT_VERSIONS
    assert [name[:10] for name in left] == [f"2025-05-0{n}" for n in range(4, 9)]
    assert not list(settings.published.glob(".*"))
