"""Full snapshots: what is unchanged is not stored again, what is missing is gone."""

from datetime import timedelta

import pytest
from support.shop import NOW, Shop
from support.site import Site

from python_jobs.errors import JobError

YML = """
files:
  users: {path: "users*", columns: {who: text, since: date, plan: text}}
  events: {path: "events*", columns: {id: text, who: text, at: timestamp, minutes: number}}
vars:
  delivery: full_snapshot
  attributes: [plan]
  expected_weekdays: []
  min_day_share: 0
  event_types: {visit: {is_activity: true}}
  measures: [{name: minutes, event_type: visit, agg: sum, column: minutes}]
"""
SQL = """
create or replace temp view users as
select who as user_id, since as signup_date, plan from users_file;
create or replace temp view events as
select id as event_id, who as user_id, "at" as event_time, 'visit' as event_type, minutes
from events_file;
"""
USERS = "who,since,plan\nann,2026-01-01,a\nbob,2026-01-01,b\n"
EVENTS = "id,who,at,minutes\n1,ann,2026-01-02,5\n2,bob,2026-01-03,5\n3,ann,2026-01-04,5\n"
CHANGED = (
    EVENTS.replace("2,bob,2026-01-03,5\n", "").replace("04,5", "04,50") + "4,ann,2026-01-05,5\n"
)


def put(place: Shop | Site, night: int, users: str = USERS, events: str = EVENTS) -> None:
    # a column that nobody declared gives each night's files their own content
    for name, text in (("users", users), ("events", events)):
        head, _, rest = text.partition("\n")
        place.put(f"{name}-{night}.csv", f"{head},night\n" + rest.replace("\n", f",{night}\n"))


def test_only_changes_are_stored(tmp_path):
    shop = Shop(tmp_path, YML, SQL)
    put(shop, 1)
    assert shop.ingest().rows["events"] == 3
    put(shop, 2)
    done = shop.ingest(NOW + timedelta(days=1))
    assert done.rows["events"] == 0 and done.rows["users"] == 0 and done.repeated == 5
    put(shop, 3, events=CHANGED)
    done = shop.ingest(NOW + timedelta(days=2))
    assert "snapshot of events: 3 rows, 1 known, 2 new or changed, 1 gone" in done.notes
    stored = """
        select event_id, minutes, is_deleted from raw.events
        where version = (select max(version) from raw.events) order by 1
    """
    assert shop.rows(stored) == [("2", None, True), ("3", 50.0, None), ("4", 5.0, None)]
    assert shop.rows("select sum(row_count) from raw.files where table_name = 'events'") == [(6,)]


def test_a_file_that_is_written_in_place_is_a_new_snapshot(tmp_path):
    shop = Shop(tmp_path, YML, SQL)
    shop.put("users.csv", USERS)
    shop.put("events.csv", EVENTS)
    shop.ingest()
    shop.put("events.csv", CHANGED)
    done = shop.ingest(NOW + timedelta(days=1))
    assert done.loaded == ["events.csv"] and "1 gone" in done.notes[-1]


def test_snapshot_without_rows_is_refused(tmp_path):
    shop = Shop(tmp_path, YML, SQL)
    put(shop, 1)
    shop.ingest()
    put(shop, 2, events="id,who,at,minutes\n")
    with pytest.raises(JobError, match="The new files of events hold no rows"):
        shop.ingest(NOW + timedelta(days=1))
    assert shop.rows("select count(*) from raw.events") == [(3,)]


def test_tables_after_three_nights_are_those_of_the_last_night_alone(tmp_path):
    nights = Site(tmp_path / "nights", YML, SQL)
    query = """
        select user_id, day, minutes::double from user_daily
        where day <= '2026-01-05' order by 1, 2
    """
    last = {"users": USERS.replace("bob,2026-01-01,b\n", "cy,2026-01-02,c\n"), "events": CHANGED}
    for night, given in enumerate(({}, {"events": CHANGED}, last), start=1):
        put(nights, night, **given)
        nights.ingest()
        nights.build()
    alone = Site(tmp_path / "alone", YML, SQL)
    put(alone, 3, **last)
    alone.ingest()
    alone.build()
    assert nights.rows(query) == alone.rows(query)
    assert {row[0] for row in nights.rows(query)} == {"ann", "cy"}
