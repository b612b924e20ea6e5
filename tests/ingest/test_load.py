"""ingest: loads each file once, all files or none, keeps every row, explains failures."""

import gzip
import os
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from python_jobs.errors import JobError
from python_jobs.ingest import domain, readers
from python_jobs.ingest.domain import Domain
from python_jobs.ingest.load import ingest
from python_jobs.settings import Settings

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
DOMAIN = """
files:
  users: {path: users/*, columns: {user_id: text, signup_date: date, plan: text}}
  events:
    path: events/*
    columns: {event_id: text, user_id: text, event_time: timestamp, kind: text, amount: number}
vars:
  attributes: [plan]
  event_types: {buy: {is_activity: true}}
  measures: [{name: spend, event_type: buy, agg: sum, column: amount}]
"""
INGEST = """
create or replace temp view users as select * from users_file;
create or replace temp view events as
select event_id, user_id, event_time, kind as event_type, amount from events_file;
"""
USERS = "user_id,signup_date,plan\nu1,2026-01-01,free\nu2,2026-01-02,\n"
HEADER = "event_id,user_id,event_time,kind,amount\n"
EVENTS = HEADER + "e1,u1,2026-02-01 10:00:00,buy,1.5\ne2,u2,2026-02-02 11:00:00,buy,\n"
MORE = HEADER + "e3,u1,2026-02-03 10:00:00,buy,2\n"
LONG = HEADER.encode() + b"".join(b"%d,u1,,buy,%d\n" % (i, i * i) for i in range(50_000))


class House:
    """A raw folder, a domain and a warehouse in memory."""

    def __init__(self, path: Path) -> None:
        self.raw, self.domains = path / "raw", path / "domains"
        self.db = duckdb.connect()
        self.db.execute("set TimeZone = 'UTC'")
        self.domain = self.make_domain()
        self.put("users/1.csv", USERS)
        self.put("events/1.csv", EVENTS)

    def make_domain(self, name="shop", yml=DOMAIN, sql=INGEST) -> Domain:
        folder = self.domains / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "domain.yml").write_text(yml)
        (folder / "ingest.sql").write_text(sql)
        return Domain(name, folder)

    def put(self, name: str, content: str | bytes) -> Path:
        path = self.raw / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def put_parquet(self, name: str, select: str) -> Path:
        path = self.put(name, b"")
        self.db.execute(f"copy ({select}) to '{path}' (format parquet)")
        return path

    def ingest(self, now=NOW, domain=None):
        return ingest(self.db, domain or self.domain, self.raw, now=now)

    def rows(self, sql: str) -> list[tuple]:
        return self.db.execute(sql).fetchall()

    def loaded(self) -> tuple[int, int, int]:
        counts = "(select count(*) from raw.files), (select count(*) from raw.users), "
        return self.rows(f"select {counts}(select count(*) from raw.events)")[0]

    def refused(self, pattern: str, **with_) -> None:
        """Check that the next ingest fails with this line and loads nothing."""
        before = self.everything()
        with pytest.raises(JobError, match=pattern) as refusal:
            self.ingest(**with_)
        assert "\n" not in str(refusal.value) and " Next: " in str(refusal.value)
        assert len(str(refusal.value)) < 500
        assert self.everything() == before

    def everything(self) -> dict[str, list[tuple]]:
        tables = self.rows("select table_name from duckdb_tables() where schema_name = 'raw'")
        return {name: self.rows(f"from raw.{name} order by all") for (name,) in tables}


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def test_changed_domain_is_checked_without_new_files(house):
    """A misspelt column would otherwise be an empty measure that nobody notices."""
    house.ingest()
    misspelt = house.make_domain(yml=DOMAIN.replace("column: amount", "column: amuont"))
    house.refused("gives events no column 'amuont', which measure 'spend' needs", domain=misspelt)


def test_view_that_ingest_sql_does_not_make_is_named(house):
    half = house.make_domain(sql=INGEST.replace("temp view events", "temp view event"))
    house.refused(r"ingest\.sql makes no temp view 'events'", domain=half)


# Each file once


def test_loaded_rows_keep_values_load_time_and_source_file(house):
    done = house.ingest()
    assert (done.loaded, done.known) == (["users/1.csv", "events/1.csv"], 0)
    assert (
        done.rows == {"users": 2, "identities": 0, "events": 2, "treatments": 0}
        and done.notes == []
    )
    stamp = NOW.replace(tzinfo=None)
    assert house.rows(
        "select file_id, ingested_at, user_id, signup_date, plan from raw.users order by row_id"
    ) == [
        (1, stamp, "u1", date(2026, 1, 1), "free"),
        (1, stamp, "u2", date(2026, 1, 2), None),
    ]
    assert house.rows("select file_id, event_id, event_type, amount from raw.events") == [
        (2, "e1", "buy", 1.5),
        (2, "e2", "buy", None),
    ]


def test_a_second_run_loads_nothing_and_changes_nothing(house):
    house.ingest()
    before = house.everything()
    done = house.ingest(NOW + timedelta(hours=1))
    assert (done.loaded, done.known, done.rows) == (
        [],
        2,
        {"users": 0, "identities": 0, "events": 0, "treatments": 0},
    )
    assert house.everything() == before


def test_same_content_under_another_name_is_skipped(house):
    house.put("events/0.csv", EVENTS)
    assert house.ingest().loaded == ["users/1.csv", "events/0.csv"]
    house.put("events/2.csv", EVENTS)
    house.put("users/2.csv", USERS)
    assert house.ingest().known == 5
    assert house.loaded() == (2, 2, 2)


def test_same_content_is_loaded_into_the_other_table(house):
    house.put("events/1.csv", USERS)
    sql = INGEST.replace(
        "select event_id, user_id, event_time, kind as event_type, amount from events_file",
        "select user_id as event_id, user_id, signup_date as event_time, plan as event_type, "
        "1 as amount from events_file",
    )
    columns = "event_id: text, user_id: text, event_time: timestamp, kind: text, amount: number"
    yml = DOMAIN.replace(columns, "user_id: text, signup_date: date, plan: text")
    domain = house.make_domain(yml=yml, sql=sql)
    assert house.ingest(domain=domain).rows == {
        "users": 2,
        "identities": 0,
        "events": 2,
        "treatments": 0,
    }
    house.put("events/2.csv", USERS.replace("u1", "u3"))
    house.ingest(domain=domain)
    house.put("users/2.csv", USERS.replace("u1", "u3"))
    assert house.ingest(domain=domain).rows == {
        "users": 2,
        "identities": 0,
        "events": 0,
        "treatments": 0,
    }


def test_file_touched_without_a_change_is_skipped(house):
    house.ingest()
    os.utime(house.raw / "events/1.csv", (1, 1))
    assert house.ingest().known == 2


def test_a_changed_file_under_an_old_name_is_refused(house):
    house.ingest()
    time.sleep(0.01)
    house.put("events/2.csv", MORE)
    house.put("events/1.csv", EVENTS.replace("1.5", "1.6"))
    house.refused("events/1.csv has changed since it was loaded")


def test_new_file_is_appended_and_load_numbers_continue(house):
    house.ingest()
    house.put("events/2.csv", MORE)
    house.ingest(NOW + timedelta(days=1))
    assert house.rows("select file_id, event_id from raw.events order by row_id") == [
        (2, "e1"),
        (2, "e2"),
        (3, "e3"),
    ]
    assert house.rows("select count(distinct row_id) from raw.events") == [(3,)]


def test_ingestion_time_always_rises_even_if_the_clock_does_not(house):
    for day in range(3):
        house.put(f"events/2{day}.csv", MORE.replace("e3", f"e3{day}"))
        house.ingest(NOW - timedelta(days=day))
    stamps = [row[0] for row in house.rows("select ingested_at from raw.files order by file_id")]
    assert len(stamps) == 5
    assert sorted(set(stamps)) == list(dict.fromkeys(stamps)) and len(set(stamps)) == 3


# All or nothing


def test_a_bad_third_file_leaves_nothing_loaded(house):
    house.put("events/2.csv", MORE.replace(",2\n", ",two\n"))
    house.refused(r"events/2.csv, column 'amount', row 1: 'two' is not a number")
    assert house.everything() == {}


def test_after_a_bad_file_is_corrected_all_is_loaded(house):
    house.ingest()
    house.put("events/2.csv", "event_id\n")
    house.refused("events/2.csv has no column 'user_id'")
    house.put("events/2.csv", MORE)
    assert house.ingest().loaded == ["events/2.csv"]
    assert house.loaded() == (3, 2, 3)


# Formats


def test_csv_gzipped_csv_and_parquet_give_the_same_rows(house, tmp_path):
    results = []
    for ending in ("csv", "csv.gz", "parquet"):
        other = House(tmp_path / ending)
        for table, content in (("users", USERS), ("events", EVENTS)):
            (other.raw / table / "1.csv").unlink()
            if ending == "parquet":
                source = tmp_path / f"{table}.csv"
                source.write_text(content)
                other.put_parquet(f"{table}/1.parquet", f"from read_csv('{source}')")
            else:
                data = content.encode()
                packed = gzip.compress(data) if ending == "csv.gz" else data
                other.put(f"{table}/1.{ending}", packed)
        other.ingest()
        results.append([other.rows(f"from raw.{table}") for table in ("users", "events")])
    assert results[0] == results[1] == results[2]
    assert len(results[0][1]) == 2


def test_a_file_without_rows_is_loaded_once(house):
    house.put("events/2.csv", HEADER)
    house.put_parquet("events/3.parquet", f"from read_csv('{house.raw}/events/1.csv') limit 0")
    assert house.ingest().rows["events"] == 2
    assert house.ingest().known == 4


def test_undeclared_column_is_ignored_with_a_note(house):
    house.put("events/2.csv", HEADER.strip() + ",colour\ne3,u1,2026-02-03,buy,2,red\n")
    assert house.ingest().notes == ["events/2.csv: column 'colour' is not declared and was ignored"]
    assert "colour" not in [row[0] for row in house.rows("describe raw.events")]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("2.csv", b"", "does not begin with a line of column names"),
        ("2.csv.gz", gzip.compress(b"", mtime=0), "does not begin with a line of column names"),
        ("2.csv.gz", b"not gzip", "cannot be read .*gzip"),
        ("2.csv.gz", gzip.compress(LONG, mtime=0)[:-999], "Unexpected end of GZIP stream"),
        ("2.csv", (HEADER + "e3,u1\n").encode(), ", line 2: 2 columns instead of 5: .e3,u1"),
        (
            "2.csv",
            (EVENTS + "e3,u1,2026-02-03,buy,1,2\n").encode(),
            ", line 4: 6 columns instead of 5",
        ),
        (
            "2.csv",
            (HEADER + "e\xe4,u1,2026-02-03,buy,1\n").encode("latin-1"),
            ": it is not UTF-8 text",
        ),
        (
            "2.csv",
            (HEADER + 'e3,"u1,2026-02-03,buy,1\n').encode(),
            "a quote is opened and not closed",
        ),
        ("2.parquet", b"", "too small to be a Parquet file"),
        ("2.parquet", b"PAR1 and then nothing of use PAR1", "cannot be loaded"),
    ],
)
def test_an_empty_or_damaged_file_is_named_and_refused(house, name, content, says):
    house.put(f"events/{name}", content)
    house.refused(f"^events/{name}.*({says})")


def test_file_that_grows_while_it_is_read_loads_nothing(house, monkeypatch):
    """Its last row may be half of one, and its hash that of other bytes."""
    path = house.put("events/2.csv", MORE)
    read = readers.load_batch

    def read_and_grow(connection, batch, **how):
        loaded = read(connection, batch, **how)
        with path.open("a") as file:
            file.write("e4,u1,2026-02-03 10:00:00,buy,2\n")
        return loaded

    with monkeypatch.context() as growing:
        growing.setattr(readers, "load_batch", read_and_grow)
        house.refused(r"^events/2.csv changed while it was read; nothing was loaded. Next: ")
    assert house.ingest().loaded == ["users/1.csv", "events/1.csv", "events/2.csv"]


def test_a_folder_where_a_file_should_be_is_named_and_refused(house):
    (house.raw / "events/2.parquet").mkdir()
    house.refused(r"events/2.parquet cannot be read \(Is a directory\)")


def test_a_link_to_nothing_is_named_and_refused(house):
    (house.raw / "events/2.csv").symlink_to("gone.csv")
    house.refused(r"events/2.csv cannot be read \(No such file or directory\)")


def test_a_missing_and_an_empty_folder_each_say_so(house, tmp_path):
    house.raw = tmp_path / "nowhere"
    house.refused("raw folder .*nowhere does not exist.* Next: .*--raw")
    house.raw.mkdir()
    house.refused(r"No readable file for users at .*nowhere/users/\*")
    house.put("users/notes.pdf", "nothing to read")
    house.refused("No readable file for users .*files ending in .pdf")


# Times


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-02-01 10:00:00", "2026-02-01 10:00:00"),
        ("2026-02-01T10:00:00Z", "2026-02-01 10:00:00"),
        ("2026-02-01 00:30:00+02:00", "2026-01-31 22:30:00"),
        ("2026-01-31T23:30:00-0500", "2026-02-01 04:30:00"),
        ("2026-02-01", "2026-02-01 00:00:00"),
    ],
)
def test_time_written_as_text_becomes_utc(house, text, utc):
    house.put("events/1.csv", HEADER + f"e1,u1,{text},buy,1\n")
    house.ingest()
    assert house.rows("select event_time::varchar, event_time_unread from raw.events") == [
        (utc, None)
    ]


@pytest.mark.parametrize("text", ["soon", "2026-02-30", "31.01.2026", "infinity", "1769940000"])
def test_unreadable_time_is_kept_as_text(house, text):
    house.put("events/1.csv", HEADER + f"e1,u1,{text},buy,1\n")
    house.put("users/1.csv", USERS.replace("2026-01-01", text))
    house.ingest()
    assert house.rows("select event_time, event_time_unread from raw.events") == [(None, text)]
    assert house.rows("select signup_date, signup_date_unread from raw.users") == [
        (None, text),
        (date(2026, 1, 2), None),
    ]


@pytest.mark.parametrize(
    "value", ["'2026-02-01T12:00:00+02:00'", "timestamptz '2026-02-01 12:00:00+02'"]
)
def test_time_with_an_offset_ignores_the_session_time_zone(house, value):
    sql = INGEST.replace(" event_time, kind", f" {value} as event_time, kind")
    house.db.execute("set TimeZone = 'Asia/Kolkata'")
    house.ingest(domain=house.make_domain(sql=sql))
    times = house.rows("select distinct event_time::varchar from raw.events")
    assert times == [("2026-02-01 10:00:00",)]


def test_missing_time_does_not_count_as_unreadable(house):
    house.put("events/1.csv", HEADER + "e1,u1,,buy,1\n")
    house.ingest()
    assert house.rows("select event_time, event_time_unread from raw.events") == [(None, None)]


@pytest.mark.parametrize(
    "value",
    [
        "timestamp '2026-02-01 10:00:00'",
        "timestamp_ns '2026-02-01 10:00:00'",
        "timestamptz '2026-02-01 12:00:00+02'",
        "'2026-02-01T12:00:00+02:00'",
    ],
)
def test_parquet_time_of_any_type_becomes_utc(house, value):
    select = (
        f"select 'e1' as event_id, 7 as user_id, {value} as event_time, 'buy' as kind, 1 as amount"
    )
    house.put_parquet("events/1.parquet", select)
    (house.raw / "events/1.csv").unlink()
    house.ingest()
    assert house.rows("select event_time::varchar, user_id from raw.events") == [
        ("2026-02-01 10:00:00", "7")
    ]


# The domain and its mapping


def test_a_warehouse_remembers_its_domain_and_refuses_another(house):
    house.ingest()
    other = house.make_domain("portal")
    house.refused(r"filled by domain 'shop', not 'portal'.* or use --domain shop", domain=other)


def test_changed_settings_announce_a_full_rebuild(house):
    assert house.ingest().notes == []
    weekly = house.make_domain(yml=DOMAIN + "  churn_horizon_days: 7\n")
    (note,) = house.ingest(domain=weekly).notes
    assert note == "the settings changed: the next build recomputes everything"
    assert house.ingest(domain=weekly).notes == []


def test_new_settings_of_the_same_domain_are_stored(house):
    house.ingest()
    before = house.rows("from raw.domain")
    changed = house.make_domain(yml=DOMAIN + "  churn_horizon_days: 60\n")
    house.ingest(domain=changed)
    assert len(before) == 1
    assert (
        house.rows("from raw.domain")
        == [("shop", changed.settings_json, changed.built_with_json)]
        != before
    )


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("from events_file", "from events_file where amount > 1", "has 2 rows, but .* makes 1 ev"),
        ("from events_file", "from events_file, range(2)", "has 2 rows, but .* makes 4 events"),
        (", amount from", " from", "gives events no column 'amount', which measure 'spend' needs"),
        ("event_time, ", "", "gives events no column 'event_time', which every domain needs"),
        ("* from users_file", "user_id, signup_date from users_file", "'plan', which attributes"),
        ("from events_file", "fro events_file", "domains/shop/ingest.sql does not run: Parser Err"),
        ("amount from", "nothing from", 'domains/shop/ingest.sql does not run: .*"nothing" not'),
        ("temp view events", "temp table events", "makes a table 'events', not a view"),
        ("kind as", "error(kind) as", "ingest.sql fails on events/1.csv: .* buy. Next: correct"),
        ("amount from", "amount, true as reject_reason from", "a reject_reason that is no text"),
    ],
)
def test_ingest_sql_that_changes_row_count_or_lacks_columns_is_refused(house, old, new, says):
    assert old in INGEST
    house.refused(says, domain=house.make_domain(sql=INGEST.replace(old, new)))


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ('exclude: {staff: "(plan = 1"}', "exclude.staff does not run: .*syntax error"),
        ('exclude: {staff: "plan = 1) or (true"}', "exclude.staff does not run: .*syntax error"),
        ('exclude: {staff: "plan = 1 -- all"}', "exclude.staff does not run: .*syntax error"),
        ("exclude: {staff: \"mail like '%@us'\"}", 'exclude.staff .*: .*"mail" not found'),
        (
            'list: {where: "plam = 1"}',
            'list.where does not run: .*"plam" not found.*mean .plan.* Next: .*plan,',
        ),
        ('list: {where: "plan = "}', "list.where does not run: .*syntax error"),
        ('list: {where: "spend_30d > 1) or (true"}', "list.where does not run: .*syntax error"),
        ('list: {where: "true -- all"}', "list.where does not run: .*syntax error"),
        ('list: {where: "count(*) > 1"}', "list.where does not run: .*aggregates"),
        ('value: {sql: "spend_99d"}', 'value.sql does not run: .*"spend_99d" not found'),
        ('value: {sql: "spend_30d * plan"}', "value.sql does not run: .*No function matches"),
        ('value: {sql: "sum(spend_30d)"}', "value.sql does not run: .*GROUP BY"),
        ('value: {sql: "1, 2"}', "value.sql does not run: .*cast"),
        ("list: {where: \"plan = 'free' and spend_30d > 1 and tenure_days > 3\"}", None),
        (
            "value: {sql: \"coalesce(spend_trend, 0) * case plan when 'free' then 0 else 9 end\"}",
            None,
        ),
    ],
)
def test_sql_of_settings_is_tried_when_rows_arrive(house, setting, says):
    domain = house.make_domain(yml=f"{DOMAIN}  {setting}\n")
    if says:
        house.refused(says, domain=domain)
    else:
        assert house.ingest(domain=domain).rows["users"] == 2


def test_empty_reject_reason_is_no_reason(house):
    sql = INGEST.replace("amount from", "amount, if(amount is null, ' ', '') as reject_reason from")
    done = house.ingest(domain=house.make_domain(sql=sql))
    assert done.rejected == []
    assert house.rows("select distinct reject_reason from raw.events") == [(None,)]


def test_links_that_link_nothing_are_counted_in_a_note(house):
    links = "{path: links/*, columns: {from_id: text, to_id: text, since: timestamp}}"
    linked = house.make_domain(
        yml=DOMAIN.replace("vars:", f"  identities: {links}\nvars:"),
        sql=INGEST + "create or replace temp view identities as from identities_file;",
    )
    house.put("links/1.csv", "from_id,to_id,since\nx1,u1,\nx2,x2,\nnull,u1,\nx3,u2,soon\n")
    (note,) = house.ingest(domain=linked).notes
    assert note.startswith("3 links are left out: a placeholder, an id to itself, or a since")
    persons = house.rows("select from_id, user_id from raw.identity_map order by 1")
    assert persons == [("u1", "u1"), ("x1", "u1")]


def test_checked_column_must_exist(house):
    domain = house.make_domain(yml=DOMAIN + "  checks: {weight: {min: 0}}\n")
    house.refused("gives events no column 'weight', which checks needs", domain=domain)


def test_users_derived_from_events_come_with_each_load_of_events(house):
    yml = DOMAIN.replace("vars:", "vars:\n  users_from_events: true").replace("[plan]", "[]")
    yml = "\n".join(line for line in yml.splitlines() if "users:" not in line)
    sql = INGEST.split("\n", 2)[2] + (
        "create or replace temp view users as select user_id, min(event_time) as signup_date "
        "from events group by user_id order by user_id;"
    )
    house.put("events/2.csv", MORE)
    of_events = house.make_domain(yml=yml, sql=sql)
    done = house.ingest(domain=of_events)
    assert done.rows == {"users": 2, "identities": 0, "events": 3, "treatments": 0}
    house.put("events/3.csv", MORE.replace("e3", "e4"))
    house.ingest(domain=of_events)
    assert house.rows("select file_id, user_id, signup_date from raw.users order by row_id") == [
        (1, "u1", date(2026, 2, 1)),
        (1, "u2", date(2026, 2, 2)),
        (3, "u1", date(2026, 2, 3)),
    ]


def test_reject_reason_is_stored_with_its_row(house):
    sql = INGEST.replace(
        "amount from", "amount, if(amount is null, 'no_amount', null) as reject_reason from"
    )
    house.ingest(domain=house.make_domain(sql=sql))
    assert house.rows("select reject_reason from raw.events") == [(None,), ("no_amount",)]


def test_online_retail_signup_compares_times_not_text(house):
    """Times in CSV are text, and as text 2010-12-10 sorts before 2010-12-9."""
    header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    house.put(
        "lines.csv",
        f"{header}1,a,Bowl,2,2010-12-10 08:26:00,1.5,17850,France\n"
        "2,b,Cup,2,2010-12-9 08:26:00,1.5,17850,Norway\n",
    )
    ingest(house.db, domain.load("online_retail", Settings()), house.raw, now=NOW)
    (user,) = house.rows("select user_id, signup_date, country from raw.users")
    assert user == ("17850", date(2010, 12, 9), "Norway")
