"""A person is written into every way in, forgotten, and searched for in every byte of the home."""

import gzip
import hashlib
import json
import os
import re
import shutil
import sqlite3
from pathlib import Path

import duckdb
import pytest
from support.homes import churnhouse, rows

from python_jobs.publication import contacts
from python_jobs.settings import PROJECT

PERSON = "zq77-person@leak.example"
ALIAS = "zq77-device"
SOURCE = "Zq77vNewsletter"  # a value of an attribute that nobody else has
MAIL = "zq77-mail@leak.example"  # of an attribute with a value of its own for each user
NEEDLES = [PERSON, ALIAS, SOURCE, MAIL]
NEEDLES += [hashlib.sha256(one.encode()).hexdigest() for one in (PERSON, ALIAS)]

OTHER_SOURCES = """
  events:
    - path: events/*
      columns:
        event_id: text
        user_id: text
        event_time: timestamp
        event_type: text
        course_id: text
        watch_minutes: number
        quiz_score: number
        amount: number
    - path: log/**
      mapping: log.sql
      columns: {who: text, at: timestamp, what: text}
  identities:
    path: links/*
    mapping: links.sql
    columns: {device: text, account: text, since: timestamp}
"""
LOG = """
create or replace temp view events as
select
    who || what || cast("at" as varchar) as event_id, who as user_id, "at" as event_time,
    what as event_type, null::double as watch_minutes, null::double as quiz_score,
    null::double as amount
from events_file;
"""
LINKS = """
create or replace temp view identities as
select device as from_id, account as to_id, since from identities_file;
"""
EVENTS = "event_id,user_id,event_time,event_type,course_id,watch_minutes,quiz_score,amount\n"


def domain(folder: Path) -> None:
    """The shipped domain with one more attribute and sources whose columns have other names."""
    made = shutil.copytree(PROJECT / "domains/elearning", folder / "elearning")
    yml = (made / "domain.yml").read_text()
    yml = re.sub(r"(?ms)^  events:\n.*?(?=^  treatments)", OTHER_SOURCES.lstrip("\n"), yml)
    yml = yml.replace(
        "      plan: text\n", "      plan: text\n      email: {type: text, optional: true}\n"
    )
    yml = yml.replace("attributes: [plan, ", "attributes: [email, plan, ")
    (made / "domain.yml").write_text(yml)
    sql = (made / "ingest.sql").read_text()
    sql = sql.replace(
        "    plan,\n", "    plan,\n    coalesce(email, user_id || '@mail.example') as email,\n", 1
    )
    (made / "ingest.sql").write_text(sql)
    (made / "log.sql").write_text(LOG)
    (made / "links.sql").write_text(LINKS)


def logins(month: str, days: int, name: str = PERSON) -> str:
    """Lines of events, one a day."""
    return "".join(
        f"{name}-{month}-{n},{name},{month}-{n:02} 10:00:00,login,,,,\n" for n in range(1, days + 1)
    )


def write_person(home: Path, outside: Path) -> None:
    """The person in raw files of every format, and in some that the domain does not declare."""
    raw = home / "raw"
    for folder in ("log/day=1", "links", "treatments", "export", "events.bak"):
        (raw / folder).mkdir(parents=True)
    (raw / "users/zz.csv").write_text(
        "user_id,signup_date,plan,country,marketing_source,email,updated_at\n"
        f"{PERSON},2025-01-01,free,DE,{SOURCE},{MAIL},2025-01-01 08:00:00\n"
        f"{PERSON},soon,free,DE,{SOURCE},{MAIL},2025-01-02 08:00:00\n"
    )
    (raw / "events/zz1.csv").write_text(EVENTS + logins("2025-01", 31))
    (raw / "events/zz2.csv.gz").write_bytes(
        gzip.compress((EVENTS + logins("2025-02", 28)).encode())
    )
    (outside / "zz3.csv").write_text(EVENTS + logins("2025-03", 31))
    (raw / "events/zz3.csv").symlink_to(outside / "zz3.csv")
    (raw / "events/zz4.csv").write_text(
        f"{EVENTS}zz4,{PERSON},2025-02-01 10:00:00,no_such_type,,,,\n"
        f"zz5,{PERSON},{PERSON} at noon,login,,,,\n"
    )
    lines = [
        {"who": who, "at": f"2025-04-{n:02}T10:00:00", "what": "login"}
        for n in range(1, 31)
        for who in (PERSON, ALIAS, "u000001")
    ]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (raw / "log/zz.jsonl").write_text(text)
    (raw / "export/old_log.json").write_text(text)  # not declared
    with duckdb.connect() as writer:
        writer.execute(f"create table log as from '{raw}/export/old_log.json'")
        writer.execute("update log set what = 'quiz_attempt'")
        for name in ("log/day=1/zz.csv.zst", "export/log.csv"):
            writer.execute(f"copy log to '{raw}/{name}' (header)")
        writer.execute("update log set what = 'video_watch'")
        writer.execute(f"copy log to '{raw}/log/zz.parquet'")
    (raw / "links/zz.csv").write_text(
        f"device,account,since\n{ALIAS},{PERSON},2025-01-01 00:00:00\n"
    )
    (raw / "treatments/zz.csv").write_text(
        "user_id,treated_at,campaign,channel,outcome,note,by\n"
        f"{PERSON},2025-04-02 10:00:00,spring,mail,reached,mail to {MAIL},ann\n"
    )
    (raw / "events.bak/zz.csv").write_text(EVENTS + logins("2025-01", 2))


def leave_what_killed_jobs_leave(home: Path) -> None:
    (home / "warehouse.duckdb.tmp").mkdir()
    (home / "warehouse.duckdb.tmp/spill.tmp").write_text(PERSON)
    (home / "warehouse.fresh").write_text(PERSON)
    for folder in (
        ".reproduce",
        "models/.writing-1",
        "published/.1.partial",
        "published/.1.removed",
    ):
        (home / folder).mkdir()
        (home / folder / "rows.csv").write_text(f"{PERSON},{MAIL}\n")
    (home / "contacts/.0123").write_text(json.dumps({"user_id": PERSON}))
    with (home / "dbt/logs/dbt.log").open("a") as log:
        log.write(f"Could not convert string '{PERSON}' to INT32\n")
    with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
        connection.execute(
            "insert into ml.dbt_run_results (node, message) values ('a', ?)", [f"Error: '{PERSON}'"]
        )


def contact(home: Path) -> None:
    kept = dict.fromkeys(contacts.FIELDS) | {
        "contact_key": "key-1",
        "user_id": ALIAS,
        "treated_at": "2025-04-03T10:00:00",
        "action": "contacted",
        "note": f"asked {PERSON}",
    }
    (home / "contacts").mkdir(exist_ok=True)
    contacts.keep(home / "contacts", kept)


def texts(path: Path) -> list[bytes]:
    """What is in a file: its bytes, and what they mean."""
    found = [os.fsencode(path.name), path.read_bytes()]
    if path.suffix == ".gz":
        found.append(gzip.decompress(found[1]))
    with duckdb.connect() as reader:
        queries = []
        if path.suffix == ".zst":
            queries = [f"from read_csv('{path}', all_varchar = true, header = false)"]
        elif path.suffix == ".parquet":
            queries = [f"from '{path}'"]
        elif path.suffix == ".duckdb":
            reader.execute(f"attach '{path}' as looked_at (read_only)")
            names = reader.execute(
                "select schema_name || '.' || table_name from duckdb_tables()"
                " where database_name = 'looked_at'"
            ).fetchall()
            queries = [f"from looked_at.{name}" for (name,) in names]
        for query in queries:
            values = reader.execute(f"select cast(t as varchar) from ({query}) as t").fetchall()
            found.append("\n".join(value for (value,) in values).encode())
    if path.suffix == ".sqlite":
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as store:
            found.append("\n".join(store.iterdump()).encode())
    return found


def where(needles: list[str], *folders: Path) -> dict[str, set[str]]:
    """The needles that stand in each file below some folders; every byte is looked at."""
    found = {}
    for path in (p for folder in folders for p in sorted(folder.rglob("*"))):
        if path.is_file():
            content = texts(path)
            named = {one for one in needles if any(one.encode() in text for text in content)}
            if named:
                found[str(path)] = named
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> tuple[Path, Path, Path]:
    """A home after a run with the person, a folder outside it, and the domains."""
    folder = tmp_path_factory.mktemp("everywhere")
    home, outside, domains = (folder / name for name in ("home", "outside", "domains"))
    outside.mkdir()
    domain(domains)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CHURNHOUSE_DOMAINS", str(domains))
        churnhouse(home, "generate", "--users", 300)
        write_person(home, outside)
        churnhouse(home, "run", "--domain", "elearning", "--time-budget", 0)
        contact(home)
        churnhouse(home, "daily")
    leave_what_killed_jobs_leave(home)
    return home, outside, domains


def test_nothing_names_a_forgotten_person(world, monkeypatch):
    home, outside, domains = world
    monkeypatch.setenv("CHURNHOUSE_DOMAINS", str(domains))
    before = where(NEEDLES, home, outside)
    kinds = {Path(name).suffix for name in before}
    assert kinds >= {".csv", ".gz", ".zst", ".jsonl", ".parquet", ".duckdb", ".sqlite", ".json"}
    assert {name for named in before.values() for name in named} >= set(NEEDLES[:4])
    others = (
        "select count(*), sum(hash(t)) from accepted_events as t where user_id not like 'zq77%'"
    )
    kept = rows(home, others)
    raw_others = (home / "raw/export/log.csv").read_text().count("u000001")

    churnhouse(home, "forget", PERSON)

    assert where(NEEDLES, home, outside) == {}
    assert rows(home, others) == kept
    assert (home / "raw/export/log.csv").read_text().count("u000001") == raw_others == 30
    assert (home / "raw/events/zz3.csv").is_symlink()
    for manifest in home.glob("models/*/manifest.json"):
        for name, digest in json.loads(manifest.read_text())["files"].items():
            content = (manifest.parent / name).read_bytes()
            assert hashlib.sha256(content).hexdigest() == digest, name
    loaded = rows(home, "select count(*) from raw.events")
    churnhouse(home, "ingest")  # no file counts as new or as changed
    assert rows(home, "select count(*) from raw.events") == loaded
    churnhouse(home, "build")  # every gate still holds
