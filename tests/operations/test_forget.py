"""Removing a person leaves nothing that names them, and everything else as it was."""

import gzip
import json
import tarfile
from pathlib import Path

import duckdb
import pytest
from support.homes import churnhouse, files_that_name, refused, rows

from python_jobs import pipeline
from python_jobs.ingest.persons import KEY_FILE, hash_of, key_of
from python_jobs.operations import forget as removal
from python_jobs.operations import forget_files
from python_jobs.operations.forget import forget
from python_jobs.publication import contacts
from python_jobs.registry import persons as persons_of_versions
from python_jobs.settings import Settings
from python_jobs.warehouse.connection import connect


def rejected_and_contacted(home: Path) -> str:
    """Return a listed user who has rejected rows, after a contact with a note that names them."""
    query = (
        "select user_id from churn_top_risk semi join rejected_rows using (user_id) order by all"
    )
    user = rows(home, query)[0][0]
    with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
        connection.execute(
            "insert into raw.treatments by name select ? as user_id, 'spring' as campaign,"
            " timestamp '2025-04-02' as treated_at, 'mail to ' || ? as note, now() as ingested_at",
            [user, user],
        )
    churnhouse(home, "build", "--select", "contacts+", "--exclude-resource-type", "test")
    churnhouse(home, "publish")
    published = home / "published/current/churnhouse.duckdb"
    with duckdb.connect(str(published), read_only=True) as copy:
        for table in (
            "users",
            "user_attributes_history",
            "contacts",
            "treatments",
            "rejected_rows",
        ):
            query = f"select count(*) from {table} where user_id = ?"
            assert copy.execute(query, [user]).fetchall()[0][0], table
    return user


def test_no_file_names_a_forgotten_user(home: Path):
    user = rejected_and_contacted(home)
    others = "select user_id, as_of_date, events_30d from user_features_daily where user_id <> "
    before = rows(home, f"{others} '{user}' order by all")
    assert files_that_name(home, user)
    earlier = json.loads((home / "published/current/manifest.json").read_text())
    assert earlier["forgotten_at"] is None
    churnhouse(home, "forget", user)
    now = json.loads((home / "published/current/manifest.json").read_text())
    assert earlier["published_at"] <= now["forgotten_at"] <= now["published_at"]
    assert files_that_name(home, user) == []
    assert len([p for p in (home / "published").iterdir() if p.is_dir()]) == 2  # and its link
    assert rows(home, f"{others} '{user}' order by all") == before
    theirs = hash_of(key_of(home), user)
    assert rows(home, "select person_hash from raw.forgotten") == [(theirs,)]
    rejected = rows(home, "select count(*) from int_rejected_rows")
    assert rows(home, "select sum(row_count) from rejected_counts") == rejected
    churnhouse(home, "ingest")
    churnhouse(home, "build")  # every gate still holds


def test_what_arrives_later_of_a_forgotten_user_is_rejected_without_the_id(home: Path):
    user = rows(home, "select min(user_id) from accepted_users")[0][0]
    churnhouse(home, "forget", user)
    columns = "event_id,user_id,event_time,event_type,course_id,watch_minutes,quiz_score,amount\n"
    (home / "raw/events/late.csv").write_text(
        f"{columns}{user}-1,{user},2025-04-29 10:00:00,login,,,,\n"
        f"late-2,{user},at {user}'s,login,{user}@example.com,,,\n"
    )
    (home / "raw/users/late.csv").write_text(
        "user_id,signup_date,plan,country,marketing_source,updated_at\n"
        f"{user},2025-04-29,free,{user}@example.com,ads,2025-04-29 08:00:00\n"
    )
    churnhouse(home, "ingest")
    churnhouse(home, "build", "--select", "+rejected_rows", "--exclude-resource-type", "test")
    kept = rows(home, "select user_id, reject_reason from rejected_events order by row_id desc")
    assert kept[:2] == [(None, "forgotten_user")] * 2
    kept = rows(home, "select user_id, reject_reason from rejected_users order by row_id desc")
    assert kept[0] == (None, "forgotten_user")
    (home / "raw/events/late.csv").unlink()
    (home / "raw/users/late.csv").unlink()
    assert files_that_name(home, user) == []


def test_texts_that_an_earlier_release_kept_go_with_the_next_removal(home: Path):
    first, second = (user for (user,) in rows(home, "from accepted_users select user_id limit 2"))
    with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
        connection.execute(
            "insert into raw.events by name select 0 as row_id, 0 as file_id, now() as ingested_at,"
            " ? as event_id, ? as event_time_unread, 'forgotten_user' as reject_reason",
            [f"{first}-9", f"{first} at noon"],
        )
    for user in (first, second):
        churnhouse(home, "forget", user)
    assert files_that_name(home, first) == []


def test_of_an_id_that_several_use_only_the_persons_time_goes(home: Path):
    """A tablet is one person's in March and another's from April; the second is forgotten."""
    other, person = (user for (user,) in rows(home, "from accepted_users select user_id limit 2"))
    columns = "event_id,user_id,event_time,event_type,course_id,watch_minutes,quiz_score,amount\n"
    (home / "raw/events/tablet.csv").write_text(
        columns
        + "".join(f"t{month},tablet,2025-{month:02}-10 10:00:00,login,,,,\n" for month in (3, 4))
    )
    churnhouse(home, "ingest")
    with connect(Settings(home=home)) as connection:
        domain = pipeline.warehouse_domain(connection, Settings(home=home))
        connection.execute(
            "insert into raw.identity_map (from_id, valid_from, valid_to, user_id) values"
            " ('tablet', '2025-03-01', '2025-04-01', ?), ('tablet', '2025-04-01', '9999-12-31', ?)",
            [other, person],
        )
    done = forget(Settings(home=home), domain, [person], by="ann", now=pipeline.now())
    assert rows(home, "select event_id from raw.events where user_id = 'tablet'") == [("t3",)]
    assert rows(home, "select user_id from raw.identity_map") == [(other,)]
    assert "t4" in (home / "raw/events/tablet.csv").read_text()
    assert any("with rows of tablet, which others use" in line for line in done.left)
    hidden = rows(home, "select person_hash from raw.forgotten")
    assert hidden == [(hash_of(key_of(home), person),)]


def test_texts_of_others_that_name_the_person_are_named(home: Path, tmp_path: Path):
    friend, person = (user for (user,) in rows(home, "from accepted_users select user_id limit 2"))
    settings = Settings(home=home)
    note = dict.fromkeys(contacts.FIELDS) | {"contact_key": "k", "user_id": friend}
    note |= {"action": "contacted", "treated_at": "2025-04-20T10:00:00.000", "campaign": "spring"}
    settings.contacts.mkdir()
    assert contacts.keep(settings.contacts, note | {"note": f"friend of {person}"}) is None
    (settings.contacts / "mine.txt").write_text(person)
    (settings.published / "own").mkdir()
    (settings.published / "own/list.txt").write_text(f"{person}\n")
    (home / "warehouse.duckdb.bak").write_bytes((home / "warehouse.duckdb").read_bytes())
    with tarfile.open(home / "backup.tgz", "w:gz") as archive:
        archive.add(settings.published / "own/list.txt")
    with tarfile.open(home / "raw/links.tar", "w") as archive:
        link = tarfile.TarInfo("old")
        link.type, link.linkname = tarfile.SYMTYPE, "/nowhere"
        archive.addfile(link)
    with tarfile.open(home / "whole.tar", "w") as archive:
        archive.add(home / "warehouse.duckdb", arcname="warehouse.duckdb")
    (home / "raw/broken.gz").write_bytes(b"\x1f\x8b\x08" + b"x" * 99)
    with connect(settings) as connection:
        domain = pipeline.warehouse_domain(connection, settings)
        connection.execute(
            "insert into raw.treatments by name select ? as user_id, ? as campaign,"
            " 0 as row_id, 0 as file_id, now() as ingested_at",
            [friend, f"referral {person}"],
        )
        excluded = json.dumps({"exclude": {"staff": [person, "somebody"]}})
        connection.execute("update raw.domain set settings = ?", [excluded])
    left = " ".join(forget(settings, domain, [person], by="ann", now=pipeline.now()).left)
    for place in (
        "backup.tgz names",
        "warehouse.duckdb.bak cannot be searched (it is a copy of a warehouse)",
        "whole.tar cannot be searched (it holds warehouse.duckdb, which is packed)",
        "broken.gz cannot be searched",
        "contacts/mine.txt names",
        "published/own/list.txt names",
        "raw.treatments.campaign, where 1 rows",
        "domain.yml: take",
        "where 1 contacts of others",
    ):
        assert place in left, (place, left)
    assert "links.tar" not in left


def test_while_a_gate_keeps_the_person_published_that_is_said(home: Path):
    user = rows(home, "select min(user_id) from accepted_users")[0][0]
    columns = "event_id,user_id,event_time,event_type,course_id,watch_minutes,quiz_score,amount\n"
    bad = "".join(f"bad{n},,2025-04-29 10:00:00,login,,,,\n" for n in range(20_000))
    (home / "raw/events/bad.csv").write_text(columns + bad)
    assert churnhouse(home, "daily", check=False).returncode == 1
    done = churnhouse(home, "forget", user, check=False)
    assert done.returncode == 1 and "not reached: backups" in done.stdout
    assert "the published versions still do. Next: mend what is said above" in done.stderr
    assert files_that_name(home / "published", user)


def test_a_file_may_lose_its_only_row(home: Path):
    (home / "raw/users/one.csv").write_text(
        "user_id,signup_date,plan,country,marketing_source,updated_at\n"
        "only,2025-04-29,free,DE,ads,2025-04-29 08:00:00\n"
    )
    churnhouse(home, "ingest")
    churnhouse(home, "build", "--select", "+accepted_users", "--exclude-resource-type", "test")
    with connect(Settings(home=home)) as connection:
        domain = pipeline.warehouse_domain(connection, Settings(home=home))
    done = forget(Settings(home=home), domain, ["only"], by="ann", now=pipeline.now())
    assert done.removed["raw files"] == 1
    churnhouse(home, "build", "--full-refresh", "--select", "received_rows_are_all_judged")


def test_an_unknown_user_is_one_clear_line(home: Path):
    done = churnhouse(home, "forget", "nobody", check=False)
    assert done.returncode == 1
    assert "'nobody'" in done.stderr and "Traceback" not in done.stderr


LINES = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"


def test_raw_files_of_any_shape_lose_the_rows_of_the_user_and_no_others(tmp_path: Path):
    """Whose row it is says the domain's mapping: there is no user_id in these files."""
    home = tmp_path / "data"
    kept = '1,a,"Bowl, ""big""",17850,2010-12-01 08:26:00,1.5,13047.0,France\n'
    gone = "2,b,Cup,2,2010-12-01 08:27:00,1.5,17850.0,France\n"
    nobody = "3,c,Cup,1,2010-12-01 08:28:00,1.5,,France\n"
    (home / "raw").mkdir(parents=True)
    (home / "raw/one.csv").write_text(LINES + kept + gone + nobody)
    (home / "raw/copy.csv").write_text(LINES + kept + gone + nobody)
    with duckdb.connect() as writer:
        parquet = f"copy (from '{home}/raw/one.csv' limit 2) to '{home}/raw/two.parquet'"
        writer.execute(parquet)
    churnhouse(home, "ingest", "--domain", "online_retail")
    (home / "raw/not_loaded_yet.csv.gz").write_bytes(gzip.compress((LINES + gone).encode()))
    churnhouse(home, "forget", "17850")
    for name in ("one.csv", "copy.csv"):
        assert (home / "raw" / name).read_text() == LINES + kept + nobody
    with duckdb.connect() as reader:
        left = reader.execute(f"select CustomerID from '{home}/raw/two.parquet'").fetchall()
    assert left == [(13047,)]
    assert gzip.decompress((home / "raw/not_loaded_yet.csv.gz").read_bytes()).decode() == LINES
    before = rows(home, "from raw.events order by all")
    churnhouse(home, "ingest", "--domain", "online_retail")  # no file counts as changed
    assert rows(home, "from raw.events order by all") == before


def test_a_removal_that_broke_off_is_finished_by_the_next(home: Path):
    user = rows(home, "select min(user_id) from accepted_users")[0][0]
    bad = home / "raw/events/zz_damaged.csv"
    bad.write_text("event_id,what\n")
    done = churnhouse(home, "forget", user, check=False)
    assert done.returncode == 1 and "zz_damaged.csv has no column" in done.stderr
    bad.unlink()
    churnhouse(home, "forget", user)
    assert files_that_name(home, user) == []
    assert rows(home, "select count(*) from raw.forgotten") == [(1,)]


def test_several_persons_go_at_once_and_the_audit_names_none(home: Path, tmp_path: Path):
    users = [row[0] for row in rows(home, "select user_id from accepted_users order by 1 limit 2")]
    file = tmp_path / "ids.txt"
    file.write_text("\n".join([users[0], "nobody", "", users[1], users[0]]))
    done = churnhouse(home, "forget", "--from-file", file, "--by", "ann")
    assert "2 of 3 persons" in done.stdout and "places 2" in done.stdout
    assert not any(user in done.stdout + done.stderr for user in users)
    for user in users:
        assert files_that_name(home, user) == []
    ((at, by, persons, touched),) = rows(home, "from raw.removals")
    assert (by, persons) == ("ann", 2) and at <= pipeline.now().replace(tzinfo=None)
    counts = json.loads(touched)
    assert counts["raw.users"] >= 2 and counts["raw files"] >= 2 and counts["model versions"]
    assert not any(user in touched for user in [*users, "nobody"])


def test_either_one_id_or_a_file_of_them(home: Path, tmp_path: Path):
    (tmp_path / "none.txt").write_text("\n")
    assert "names nobody" in refused(home, "forget", "--from-file", tmp_path / "none.txt")
    assert "cannot be read" in refused(home, "forget", "--from-file", tmp_path / "missing.txt")
    for arguments in ((), ("u000001", "--from-file", tmp_path / "none.txt")):
        assert "give one id, or --from-file" in refused(home, "forget", *arguments)


def test_what_cannot_be_reached_is_named_with_what_to_do(home: Path, monkeypatch):
    user = rows(home, "select min(user_id) from accepted_users")[0][0]
    (home / "raw/notes.txt.old").write_text(f"call {user}, not {user}0\n")
    (home / "raw/notes_of_others.old").write_text(f"call {user}0\n")
    moved = next(path for path in sorted((home / "raw/events").iterdir()))
    moved.unlink()  # loaded, and no longer here
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with connect(Settings(home=home)) as connection:
        domain = pipeline.warehouse_domain(connection, Settings(home=home))
    left = forget(Settings(home=home), domain, [user], by="ann", now=pipeline.now()).left
    assert [line.split(":")[0].split(" (")[0] for line in left] == [
        f"{home}/raw/notes.txt.old names the person",
        "1 loaded files are not below the home's raw folder",
        "MLflow",
        "backups, and copies that others took of published files",
    ]


def test_a_removal_that_is_killed_at_any_step_is_finished_by_the_next(home: Path, monkeypatch):
    """Both ids of a person go, though the tables that link them may be gone already."""
    user, alias = "linked-user", "linked-device"
    columns = "event_id,user_id,event_time,event_type,course_id,watch_minutes,quiz_score,amount\n"
    for one in (user, alias):
        (home / f"raw/events/{one[-4:]}.csv").write_text(
            f"{columns}{one[-4:]},{one},2025-04-29 10:00:00,login,,,,\n"
        )
    churnhouse(home, "ingest")
    with connect(Settings(home=home)) as connection:
        domain = pipeline.warehouse_domain(connection, Settings(home=home))
        connection.execute(
            "insert into raw.identity_map (from_id, valid_to, user_id) values (?, now(), ?)",
            [alias, user],
        )
    steps = [
        (persons_of_versions, "remove"),
        (forget_files, "remove"),
        (forget_files, "_replace"),
        (contacts, "remove"),
        (removal, "_delete"),
        (removal, "_remember"),
        (removal, "_rewrite_warehouse"),
    ]

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for module, name in steps:
        with monkeypatch.context() as change, pytest.raises(KeyboardInterrupt):
            change.setattr(module, name, killed)
            forget(Settings(home=home), domain, [user], by="ann", now=pipeline.now())
    forget(Settings(home=home), domain, [user], by="ann", now=pipeline.now())
    for one in (user, alias):
        assert files_that_name(home, one) == []


def test_with_the_key_lost_nothing_is_done(home: Path):
    """Else who was forgotten would come back with the next file."""
    user = rows(home, "select min(user_id) from accepted_users")[0][0]
    (home / KEY_FILE).unlink()
    assert KEY_FILE in refused(home, "forget", user)
    assert KEY_FILE in refused(home, "ingest")
    assert not (home / KEY_FILE).exists() and files_that_name(home, user)


def test_a_home_of_an_earlier_release_is_brought_up_and_forgets(home: Path):
    """Plain hashes get the key, and a sample of training rows that names nobody is drawn anew."""
    user, other = (
        row[0]
        for row in rows(home, "select user_id from training_set group by all order by 1 limit 2")
    )
    with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
        connection.execute("drop table raw.person_key; drop table raw.forgotten")
        connection.execute(
            "create table raw.forgotten as"
            " select sha256('long gone') as user_hash, timestamp '2025-05-01' as forgotten_at"
        )
        connection.execute("alter table ml.training_reference drop user_id")
        before = connection.execute("select count(*) from ml.training_reference").fetchall()
    churnhouse(home, "forget", user)
    key = key_of(home)
    hashes = {row[0] for row in rows(home, "select person_hash from raw.forgotten")}
    assert hashes == {hash_of(key, "long gone"), hash_of(key, user)}
    whose = {row[0] for row in rows(home, "select user_id from ml.training_reference")}
    assert other in whose and user not in whose
    after = rows(home, "select count(*) from ml.training_reference")
    assert before[0][0] - 20 < after[0][0] < before[0][0]
