"""day_table: no partial or outdated table stays, nor tables of release 0.1."""

import duckdb
import pytest
from support.tiny import Tiny, day

from python_jobs.errors import JobError

USERS = [("ann", day(0), "a", f"{day(0)} 00:00:00"), ("bob", day(1), "b", f"{day(1)} 00:00:00")]
EVENTS = [(f"e{n}", "ann", f"{day(n)} 12:00:00", "visit", 5) for n in range(12)]


@pytest.fixture
def built(tiny: Tiny) -> Tiny:
    tiny.load(USERS, EVENTS)
    tiny.build()
    return tiny


def change(tiny: Tiny, statement: str) -> None:
    with duckdb.connect(str(tiny.settings.warehouse)) as connection:
        connection.execute(statement)


@pytest.mark.parametrize("table", ["user_daily", "sampled_features", "churn_labels"])
def test_missing_table_asks_for_a_full_refresh(built: Tiny, table: str):
    before = built.tables()
    change(built, f"drop table {table}")
    with pytest.raises(JobError, match=f"{table} is new, .*only writes days from.*--full-refresh"):
        built.build()
    built.refresh()
    assert built.tables() == before


def test_sampled_features_are_the_features_of_every_third_day(built: Tiny):
    """Counted from Sunday, 28 December 1969, also where a build starts on another day."""
    kept = "as_of_date - date '1969-12-28'"
    expected = f"select * from user_features_daily where ({kept}) % 3 = 0 order by all"
    found = built.rows("from sampled_features order by all")
    assert found == built.rows(expected)
    assert {row[0] for row in built.rows(f"select ({kept}) % 7 from sampled_features")} > {0, 3}


def test_a_table_with_other_columns_asks_for_a_full_refresh(built: Tiny):
    """Mixing rows of two definitions would be worse than failing."""
    before = built.tables()
    change(built, "alter table sampled_features add column clicks_7d integer")
    with pytest.raises(JobError, match=r"sampled_features has other columns.*--full-refresh"):
        built.build()
    built.refresh()
    assert built.tables() == before


def test_build_drops_tables_that_only_release_0_1_had(built: Tiny):
    """Nothing would update such a table, and `forget` would miss users in it."""
    change(built, "create table stg_events_checked as from accepted_events")
    change(built, "create view stg_events as from stg_events_checked")
    change(built, "create table build_marks as from build_log")
    built.build()
    names = "select table_name from information_schema.tables where table_name like 'stg_events%'"
    assert built.rows(f"{names} or table_name = 'build_marks'") == []
    assert built.rows("select count(*) from build_log") == [(1,)]  # a full refresh


def test_table_replaces_a_view_of_the_same_name(built: Tiny):
    before = built.tables()
    change(built, "drop table churn_labels; create view churn_labels as select 1 as churn_label")
    built.refresh()
    assert built.tables() == before


def test_totals_of_many_users_carry_on_from_block_to_block(tiny: Tiny):
    """Each block has more rows than a row group of DuckDB holds."""
    users = [(f"u{n}", day(0), "a", f"{day(0)} 00:00:00") for n in range(13_000)]
    first = [(f"e{n}", f"u{n}", f"{day(0)} 12:00:00", "visit", 5) for n in range(13_000)]
    tiny.load(users, [*first, ("last", "u0", f"{day(24)} 12:00:00", "visit", 5)])
    tiny.build("--select", "+user_daily", "--exclude-resource-type", "test")
    totals = "select day, sum(events_total) from user_daily group by day order by day"
    assert tiny.rows(totals) == [(day(n), 13_000) for n in range(24)] + [(day(24), 13_001)]
