"""init, doctor --domain and horizon: from a file nobody knows to a domain that builds."""

import contextlib
import csv
import json
import os
import pty
import re
import select
import signal
from datetime import datetime, timedelta

import pytest
import yaml
from support.homes import churnhouse, refused
from support.logs import FIRST, german_csv, json_lines, visits
from support.processes import COMMAND, within

SHORT = datetime(2026, 4, 20)  # noqa: DTZ001 - the file names no zone


@pytest.mark.parametrize(("name", "write"), [("log.csv", german_csv), ("log.jsonl", json_lines)])
def test_a_file_nobody_knows_becomes_a_domain_that_builds(work, name, write):
    rows = visits()
    write(work / "raw" / name, rows)
    home = work / "home"
    said = churnhouse(home, "init", "shop", "--events", str(work / "raw" / name), "--yes").stdout
    assert "customer" in said and "came back" in said
    written = yaml.safe_load((work / "domains/shop/domain.yml").read_text())
    assert written["vars"]["event_types"]["refund"] == {"is_activity": False}
    assert written["vars"]["churn_horizon_days"] in (14, 21, 30)
    report = churnhouse(home, "doctor", "--domain", "shop", "--raw", str(work / "raw")).stdout
    assert f"{len(rows):,} rows read" in report
    assert len(re.findall(r" eligible, .*% silent", report)) == 8
    dates = int(re.search(r"Enough to train on: (\d+) dates", report)[1])
    assert f"{dates - 8} more dates" in report  # the gap between the first and the last
    churnhouse(home, "ingest", "--domain", "shop", "--raw", str(work / "raw"))
    built = churnhouse(home, "build", "--select", "+churn_labels").stdout
    assert "models" in built
    table = churnhouse(home, "horizon").stdout
    assert (
        churnhouse(home, "horizon", "--domain", "shop", "--raw", str(work / "raw")).stdout == table
    )


def test_wrong_answer_is_asked_again(work, monkeypatch):
    german_csv(work / "raw/log.csv", visits())
    keyboard, terminal = pty.openpty()
    os.write(keyboard, b"nobody\nCustomer\n\n\n\nBerlin\neurope/berlin\n")
    with os.fdopen(terminal, encoding="utf-8") as typed:
        monkeypatch.setattr("sys.stdin", typed)
        said = churnhouse(work / "home", "init", "shop", "--events", str(work / "raw/log.csv"))
    os.close(keyboard)
    assert "answer with one of id, customer, when, what, seconds, note" in said.stdout + said.stderr
    written = (work / "domains/shop/ingest.sql").read_text()
    assert '"customer" as user_id' in written
    assert "answer with one of the zones, such as Europe/Berlin" in said.stdout + said.stderr
    assert "timezone: Europe/Berlin #" in (work / "domains/shop/domain.yml").read_text()


@pytest.mark.parametrize("key", [b"\x03", b"\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_question_that_is_not_answered_ends_in_one_line(work, key):
    german_csv(work / "raw/log.csv", visits())
    pid, keyboard = pty.fork()
    if not pid:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a job in the background ignores Ctrl-C
        os.environ["CHURNHOUSE_HOME"] = str(work / "home")
        log = str(work / "raw/log.csv")
        os.execv(COMMAND, [COMMAND, "init", "shop", "--events", log])
    said = b""
    while b"user?" not in said.replace(b"\r\n", b" "):
        said += os.read(keyboard, 1024)
    with (
        within(120),
        contextlib.suppress(OSError),
    ):  # Linux says so where a terminal has no more readers
        while True:
            os.write(keyboard, key)  # again: a key is lost while the prompt sets up the terminal
            while select.select([keyboard], [], [], 5)[0]:
                said += os.read(keyboard, 1024)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
    assert b"Interrupted; nothing has to be cleaned up." in said and b"Traceback" not in said


@pytest.mark.parametrize("other", ["7.0", "007", " 7"])
def test_doctor_names_ids_that_are_written_in_two_ways(work, other):
    rows = [row for row in visits() if row[1] in ("c007", "c008", "c009")]
    twice = [(n, other if i % 2 else "7", *rest) for i, (n, _, *rest) in enumerate(rows)]
    german_csv(work / "raw/log.csv", twice)
    churnhouse(work / "home", "init", "shop", "--events", str(work / "raw/log.csv"), "--yes")
    raw = ("--domain", "shop", "--raw", str(work / "raw"))
    said = churnhouse(work / "home", "doctor", *raw, check=False).stdout
    assert f"such as {' and '.join(map(repr, sorted(['7', other])))}" in " ".join(said.split())


@pytest.mark.parametrize(
    "odd", ["a, b", "{a}: [b", "a\r\nb: c", "a\u2028b: c", "a\x85b: c", "bell \x07"]
)
def test_any_sample_and_type_leave_valid_yaml(work, odd):
    with (work / "raw/log.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["customer", "when", "note", "what"])
        for n, (_, who, when, *_) in enumerate(visits()):
            writer.writerow((who, when, f"{odd} {n}", f"{odd} {n % 3}"))
    churnhouse(work / "home", "init", "shop", "--events", str(work / "raw/log.csv"), "--yes")
    raw = ("--domain", "shop", "--raw", str(work / "raw"))
    assert "60 users" in churnhouse(work / "home", "ingest", *raw).stdout


def test_init_says_which_time_zone_it_took(work):
    with (work / "raw/log.csv").open("w", encoding="utf-8") as file:
        file.write("customer,at\n")
        file.writelines(f"c{n % 9},2026-03-{n // 20 + 1:02}T23:30:00Z\n" for n in range(200))
    told = ("--events", str(work / "raw/log.csv"), "--yes")
    said = churnhouse(work / "home", "init", "shop", *told).stdout
    assert "timezone  UTC; if times or days are local" in said and "2026-03-01 to" in said
    local = ("--timezone", "europe/berlin")
    said = churnhouse(work / "home", "init", "local", *told, *local).stdout
    assert "timezone  Europe/Berlin  " in said and "2026-03-02 to" in said
    written = yaml.safe_load((work / "domains/local/domain.yml").read_text())
    assert written["vars"]["timezone"] == "Europe/Berlin"
    line = refused(work / "home", "init", "other", *told, "--timezone", "Berlin")
    assert "'Berlin' is no time zone. Next: name one such as --timezone Europe/Berlin." in line


def test_init_names_other_columns_with_ids_of_users(work):
    with (work / "raw/log.csv").open("w", encoding="utf-8") as file:
        file.write("customer_id,email,anonymous_id,at,what\n")
        for n, (_, who, when, what, _) in enumerate(visits()):
            ids = f"{who},{who}@shop.example" if n % 2 else ","
            file.write(f"{ids},a{who},{when},{what}\n")
    told = ("--events", str(work / "raw/log.csv"), "--yes")
    said = " ".join(churnhouse(work / "home", "init", "shop", *told).stdout.split())
    assert "'email' names the same users as 'customer_id', one for one" in said
    rows = f"{(len(visits()) + 1) // 2:,}"
    assert f"'customer_id' is empty in {rows} rows, which will be rejected; {rows} of" in said
    assert "of them have 'anonymous_id': link the ids with files.identities" in said
    german_csv(work / "raw/plain.csv", visits())
    told = ("--events", str(work / "raw/plain.csv"), "--yes")
    assert "note" not in churnhouse(work / "home", "init", "plain", *told).stdout


@pytest.mark.parametrize("rest", ["all", "some"])
def test_user_column_that_holds_objects_is_named(work, rest):
    with (work / "raw/log.jsonl").open("w", encoding="utf-8") as file:
        for n, (_, who, when, *_) in enumerate(visits()):
            user = who if rest == "some" and n % 2 else {f"id{n % 60}": who}
            file.write(json.dumps({"user": user, "at": str(when)}) + "\n")
    told = ("--events", str(work / "raw/log.jsonl"), "--user", "user", "--yes")
    said = " ".join(churnhouse(work / "home", "init", "shop", *told).stdout.split())
    assert "'user' holds objects such as {" in said and "as user_id in ingest.sql" in said


def test_column_named_by_an_option_has_no_other_role(work):
    with (work / "raw/log.csv").open("w", encoding="utf-8") as file:
        file.write("nr,who,at,verb\n")
        for number, (_, who, when, what, _) in enumerate(visits(users=40)):
            file.write(f"{number},{who},{when},{what}\n")
    told = ("--events", str(work / "raw/log.csv"), "--user", "who", "--yes")
    churnhouse(work / "home", "init", "shop", *told)
    sql = (work / "domains/shop/ingest.sql").read_text()
    assert '"verb" as event_type' in sql and '"who" as user_id' in sql
    churnhouse(work / "home", "init", "other", *told, "--id", "verb", "--time", "at")
    assert "'event' as event_type" in (work / "domains/other/ingest.sql").read_text()


@pytest.mark.parametrize(
    ("header", "user"),
    [("Nr;Kundenname;Kundennummer;Datum", "Kundennummer"), ("no;member;member_id;at", "member_id")],
)
def test_ids_of_users_are_preferred_to_their_names(work, header, user):
    with (work / "raw/log.csv").open("w", encoding="utf-8") as file:
        file.write(header + "\n")
        for number, (_, who, when, _, _) in enumerate(visits()):
            file.write(f"{number};Ann {who[:3]};{who};{when}\n")
    churnhouse(work / "home", "init", "shop", "--events", str(work / "raw/log.csv"), "--yes")
    assert f'"{user}" as user_id' in (work / "domains/shop/ingest.sql").read_text()


def test_horizon_that_users_outlast_is_named(work):
    monthly = [
        (f"{user} {day}", f"c{user:03}", FIRST + timedelta(days=user % 10 + day), "visit", 1)
        for user in range(60)
        for day in (0, 30, 44)
    ]
    german_csv(work / "raw/log.csv", monthly)
    said = churnhouse(work / "home", "init", "shop", "--events", str(work / "raw/log.csv"), "--yes")
    assert "came back: choose a longer one as soon as the history" in " ".join(said.stdout.split())
    assert "60 and 90 fill as history grows" in (work / "domains/shop/domain.yml").read_text()


def test_init_changes_no_domain_that_is_there(work):
    german_csv(work / "raw/log.csv", visits())
    churnhouse(work / "home", "init", "shop", "--events", str(work / "raw/log.csv"), "--yes")
    before = (work / "domains/shop/domain.yml").read_bytes()
    line = refused(work / "home", "init", "shop", "--events", str(work / "raw/log.csv"), "--yes")
    assert "is there already; nothing was changed" in line
    assert (work / "domains/shop/domain.yml").read_bytes() == before


def test_init_names_the_columns_it_cannot_tell(work):
    (work / "raw/log.csv").write_text("a,b,c\n1,2,3\n4,5,6\n")
    line = refused(work / "home", "init", "shop", "--events", str(work / "raw/log.csv"), "--yes")
    assert "It is not clear which column is the user; there are a, b, c." in line
    line = refused(work / "home", "init", "shop", "--events", str(work / "raw/log.csv"))
    assert "Nobody can be asked here. Next: add --yes" in line
    assert not (work / "domains/shop").exists()


def test_users_file_gives_signup_and_attributes(work):
    german_csv(work / "raw/log.csv", visits())
    with (work / "raw/people.csv").open("w", encoding="utf-8") as file:
        file.write("customer,joined,plan\n")
        file.writelines(f"c{n:03},2026-02-{n % 28 + 1:02},{'ab'[n % 2]}\n" for n in range(60))
    files = ["--events", str(work / "raw/log.csv"), "--users", str(work / "raw/people.csv")]
    churnhouse(work / "home", "init", "shop", *files, "--yes")
    written = yaml.safe_load((work / "domains/shop/domain.yml").read_text())
    assert written["vars"]["attributes"] == ["plan"]
    raw = ["--domain", "shop", "--raw", str(work / "raw")]
    assert "60 users" in churnhouse(work / "home", "ingest", *raw).stdout


def test_column_named_null_stays_a_name(work):
    german_csv(work / "raw/log.csv", visits())
    text = (work / "raw/log.csv").read_text(encoding="cp1252")
    (work / "raw/log.csv").write_text(text.replace("seconds;", "null;", 1), encoding="cp1252")
    churnhouse(work / "home", "init", "shop", "--events", str(work / "raw/log.csv"), "--yes")
    raw = ("--domain", "shop", "--raw", str(work / "raw"))
    churnhouse(work / "home", "ingest", *raw)
    assert "rows read" in churnhouse(work / "home", "doctor", *raw).stdout


def test_doctor_says_how_many_days_are_missing_and_what_would_do(work):
    rows = [row for row in visits() if row[2] < SHORT]
    german_csv(work / "raw/log.csv", rows)
    churnhouse(work / "home", "init", "shop", "--events", str(work / "raw/log.csv"), "--yes")
    yml = work / "domains/shop/domain.yml"
    settings = yaml.safe_load(yml.read_text())
    settings["vars"] |= {"churn_horizon_days": 30, "feature_windows_days": [7, 14, 30]}
    yml.write_text(yaml.safe_dump(settings))
    line = refused(work / "home", "doctor", "--domain", "shop", "--raw", str(work / "raw"))
    assert "days are missing" in line and "set feature_windows_days: [" in line


def test_doctor_names_what_a_log_without_use_lacks(work):
    german_csv(work / "raw/log.csv", visits())
    home, raw = work / "home", ("--domain", "shop", "--raw", str(work / "raw"))
    churnhouse(home, "init", "shop", "--events", str(work / "raw/log.csv"), "--yes")
    yml = work / "domains/shop/domain.yml"
    text = yml.read_text()
    yml.write_text(text.replace("is_activity: true", "is_activity: false"))
    line = refused(home, "doctor", *raw)
    assert (
        "no event makes a user active. Next: look at the rejected rows and at event_types" in line
    )
    yml.write_text(text)
    rows = (work / "raw/log.csv").read_text(encoding="cp1252").splitlines(keepends=True)
    (work / "raw/log.csv").write_text(rows[0] + "".join(f"x{n};;;;;\n" for n in range(3)))
    assert "100.0% of the events are rejected, 5.0% are" in refused(home, "doctor", *raw)
    (work / "raw/log.csv").write_text(rows[0])
    assert "no rows were read. Next: look at the files" in refused(home, "doctor", *raw)


def test_init_reads_a_database_table_and_writes_no_address(work, monkeypatch):
    import sqlite3
    from contextlib import closing

    pytest.importorskip("pyarrow", reason="needs the extra databases")
    path = work / "shop.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute(
            "create table visits (id int, customer text, ts text, what text, seconds real)"
        )
        rows = [(n, who, str(at), what, s) for n, (_, who, at, what, s) in enumerate(visits())]
        database.executemany("insert into visits values (?, ?, ?, ?, ?)", rows)
        database.commit()
    monkeypatch.setenv("SHOP_DATABASE_URL", f"sqlite://{path}")
    given = ["--events", "SHOP_DATABASE_URL", "--table", "visits", "--yes"]
    churnhouse(work / "home", "init", "shop", *given)
    text = (work / "domains/shop/domain.yml").read_text()
    assert "database: SHOP_DATABASE_URL" in text and "cursor: id" in text
    assert str(path) not in text
    said = churnhouse(
        work / "home", "ingest", "--domain", "shop", "--raw", str(work / "raw")
    ).stdout
    assert f"{len(rows):,} events" in said
