"""Sources in databases: read in part, resumed at the cursor, and never half."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import duckdb
import pytest
from support.postgres import binary, postgres
from support.shop import Shop

from python_jobs.errors import JobError

pytest.importorskip("pyarrow", reason="needs the extra databases")
HIDDEN = "hush"
COLUMNS = "{id: any, customer: any, at: timestamp, what: text, amount: number}"
VARS = """
  users_from_events: true
  event_types: {buy: {is_activity: true}}
  measures: [{name: spend, event_type: buy, agg: sum, column: amount}]
"""
SQL = """create or replace temp view events as
select id as event_id, customer as user_id, "at" as event_time, what as event_type, amount
from events_file"""
ROWS = [
    (1, "ann", "2026-02-01 10:00:00", "buy", 1.5),
    (2, "bob", "2026-02-02 11:00:00", "buy", 2.25),
    (3, "ann", "2026-02-03 12:00:00", "buy", 4),
]


def source(**keys: str) -> str:
    listed = ", ".join(f"{key}: {value}" for key, value in keys.items())
    return f"source: {{events: {{{listed}, columns: {COLUMNS}}}}}\nvars:{VARS}"


@pytest.fixture(scope="module")
def server():
    if binary("initdb") is None:
        pytest.skip("needs PostgreSQL's own programs: apt-get install postgresql")
    with postgres() as address:
        yield address


@pytest.fixture
def orders(server, monkeypatch):
    """Yield a function that runs a statement in a database with a table of orders."""
    from adbc_driver_postgresql import dbapi

    def run(statement: str) -> None:
        with dbapi.connect(server) as database, database.cursor() as cursor:
            cursor.execute(statement)
            database.commit()

    run("drop table if exists orders")
    run(
        "create table orders (id bigint, customer text, at timestamptz, what text, "
        "amount numeric(12, 4), note jsonb)"
    )
    for row in ROWS:
        run(
            "insert into orders values "
            f"({row[0]}, '{row[1]}', '{row[2]}+00', 'buy', {row[4]}, '{{}}')"
        )
    monkeypatch.setenv("SHOP_DATABASE_URL", server)
    return run


def test_postgresql_table_is_read_and_resumed_at_the_cursor(tmp_path, orders):
    yml = source(database="SHOP_DATABASE_URL", table="orders", cursor="id")
    shop = Shop(tmp_path, yml, SQL)
    assert shop.ingest().rows["events"] == 3
    events = "select event_id, user_id, event_time::varchar, amount from raw.events order by row_id"
    assert shop.rows(events)[0] == ("1", "ann", "2026-02-01 10:00:00", 1.5)
    assert shop.ingest().rows["events"] in (0, 1)  # the row at the cursor may be read again
    orders("insert into orders values (4, 'cy', '2026-02-04 10:00:00+00', 'buy', 8, null)")
    shop.ingest()
    assert shop.rows("select distinct event_id from raw.events order by all") == [
        ("1",),
        ("2",),
        ("3",),
        ("4",),
    ]


def test_query_reads_what_it_selects(tmp_path, orders):
    query = "\"select *, note::text as n from orders where customer = 'ann'\""
    shop = Shop(tmp_path, source(database="SHOP_DATABASE_URL", query=query), SQL)
    assert shop.ingest().rows["events"] == 2
    assert shop.ingest().rows["events"] == 0


def test_unreachable_database_loads_nothing_and_names_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOP_DATABASE_URL", f"postgresql://me:{HIDDEN}@127.0.0.1:1/db")
    shop = Shop(tmp_path, source(database="SHOP_DATABASE_URL", table="orders"), SQL)
    with pytest.raises(JobError, match="SHOP_DATABASE_URL could not be read") as refused:
        shop.ingest()
    assert HIDDEN not in str(refused.value) and "\n" not in str(refused.value)
    assert shop.rows("select count(*) from duckdb_tables() where schema_name = 'raw'") == [(0,)]


def test_unset_variable_and_unknown_kind_of_address_are_named(tmp_path, monkeypatch):
    shop = Shop(tmp_path, source(database="SHOP_DATABASE_URL", table="orders"), SQL)
    monkeypatch.delenv("SHOP_DATABASE_URL", raising=False)
    with pytest.raises(JobError, match="SHOP_DATABASE_URL is not set"):
        shop.ingest()
    monkeypatch.setenv("SHOP_DATABASE_URL", "oracle://host/db")
    with pytest.raises(JobError, match="kind 'oracle', which is not read"):
        shop.ingest()


def test_database_that_breaks_off_in_the_middle_loads_nothing(tmp_path, orders):
    """The division fails at a late row, after many rows have been sent."""
    query = (
        "\"select n as id, 'ann' as customer, now() as at, 'buy' as what, "
        '1.0 / (200000 - n) as amount from generate_series(1, 200000) as n"'
    )
    shop = Shop(tmp_path, source(database="SHOP_DATABASE_URL", query=query), SQL)
    with pytest.raises(JobError, match="division by zero"):
        shop.ingest()
    assert shop.rows("select count(*) from duckdb_tables() where schema_name = 'raw'") == [(0,)]


def test_sqlite_and_duckdb_files_are_read_like_a_database(tmp_path, monkeypatch):
    lite, duck = tmp_path / "shop.sqlite", tmp_path / "shop.duckdb"
    with closing(sqlite3.connect(lite)) as database:
        database.execute(
            "create table orders (id int, customer text, at text, what text, amount real)"
        )
        database.executemany("insert into orders values (?, ?, ?, ?, ?)", ROWS)
        database.commit()
    with duckdb.connect(str(duck)) as database:
        database.execute(
            'create table orders (id int, customer text, "at" timestamp, what text, amount double)'
        )
        database.executemany("insert into orders values (?, ?, ?, ?, ?)", ROWS)
    results = []
    for number, address in enumerate((f"sqlite://{lite}", f"duckdb://{duck}")):
        monkeypatch.setenv("SHOP_DATABASE_URL", address)
        yml = source(database="SHOP_DATABASE_URL", table="orders", cursor="id")
        shop = Shop(tmp_path / str(number), yml, SQL)
        shop.ingest()
        results.append(
            shop.rows("select event_id, event_time, amount from raw.events order by all")
        )
    assert results[0] == results[1] and len(results[0]) == 3
    monkeypatch.setenv("SHOP_DATABASE_URL", f"sqlite://{tmp_path}/none.sqlite")
    with pytest.raises(JobError, match="names no sqlite file"):
        Shop(tmp_path / "none", yml, SQL).ingest()


def test_relation_in_the_warehouse_and_in_another_file_is_read(tmp_path):
    make = 'create table shop.orders as from (values {}) as t (id, customer, "at", what, amount)'
    values = ", ".join(str(row) for row in ROWS)
    shop = Shop(tmp_path / "own", source(relation="shop.orders"), SQL)
    shop.db.execute("create schema shop")
    shop.db.execute(make.format(values))
    assert shop.ingest().rows["events"] == 3
    assert shop.ingest(now=datetime(2026, 12, 1, tzinfo=UTC)).rows["events"] == 0
    other = Shop(tmp_path / "other", source(relation='"dwh.duckdb:shop.orders"'), SQL)
    with duckdb.connect(str(other.raw / "dwh.duckdb")) as database:
        database.execute("create schema shop")
        database.execute(make.format(values))
    assert other.ingest().rows["events"] == 3
    with pytest.raises(JobError, match=r"shop\.nothing cannot be read"):
        Shop(tmp_path / "none", source(relation="shop.nothing"), SQL).ingest()
