"""Incremental builds give the tables of one full refresh, however rows arrive."""

import gc
import random
import tempfile
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.tiny import Tiny, day, differences

from python_jobs.errors import JobError

USERS = ["ann", "bob", "cy", "di"]
LOADS = 3


@st.composite
def deliveries(draw):
    """Draw user records and events, each with its load; some events are repeated."""
    records = draw(
        st.dictionaries(
            st.tuples(st.sampled_from(USERS), st.integers(0, 9)),  # user, day of the change
            st.tuples(st.integers(0, 6), st.sampled_from("ab"), st.integers(0, LOADS - 1)),
            min_size=3,
            max_size=8,
        )
    )
    users = [
        ((user, day(signup), plan, f"{day(changed)} 00:00:00"), load)
        for (user, changed), (signup, plan, load) in sorted(records.items())
    ]
    drawn = draw(
        st.lists(
            st.tuples(
                st.sampled_from([*USERS, "nobody"]),
                st.integers(0, 11),
                st.sampled_from(["visit", "visit", "payment", "bogus"]),
                st.sampled_from([None, -1, 0.1, 0.25, 7]),
                st.integers(0, LOADS - 1),  # arrives with this load
                st.one_of(st.none(), st.integers(0, LOADS - 1)),  # repeated with this load
            ),
            min_size=10,
            max_size=40,
        )
    )
    events = []
    for number, (user, on, kind, minutes, load, again) in enumerate(drawn):
        row = (f"e{number}", user, f"{day(on)} 12:00:00", kind, minutes)
        events += [(row, load)] + ([(row, again)] if again is not None else [])
    # the last day is in the first load, so that later loads bring late rows too
    events.append((("last", "ann", f"{day(11)} 13:00:00", "payment", None), 0))
    return users, events, draw(st.integers(0, 2**16)), draw(st.integers(1, 3))


def deliver(home: Path, users, events, seed: int, files: int) -> Tiny:
    """Load the rows, shuffled and in several files, and build after each load."""
    shuffled = random.Random(seed)
    tiny = Tiny(home)
    for load in range(LOADS):
        brought = [[row for row, at in rows if at == load] for rows in (users, events)]
        for rows in brought:
            shuffled.shuffle(rows)
        tiny.load(*brought, files=files)
        tiny.build()
    return tiny


def check(delivery) -> None:
    users, events, seed, files = delivery
    with tempfile.TemporaryDirectory() as folder:
        tiny = deliver(Path(folder) / "late", users, events, seed, files)
        by_increments = tiny.tables()
        tiny.refresh()
        at_once = Tiny(Path(folder) / "at_once")
        at_once.load([row for row, _ in users], [row for row, _ in events])
        at_once.build()
        assert not differences(by_increments, tiny.tables()), "not as a full refresh"
        assert not differences(by_increments, at_once.tables()), "not as in one load"


# A build takes a second: shrinking a failing example would take minutes.
QUIET = {
    "deadline": None,
    "print_blob": True,
    "phases": [Phase.explicit, Phase.generate],
    "suppress_health_check": list(HealthCheck),
    "database": None,
}


@settings(max_examples=8, derandomize=True, **QUIET)
@given(deliveries())
def test_any_order_of_loads_gives_the_tables_of_a_full_refresh(delivery):
    check(delivery)


@pytest.mark.nightly
@settings(max_examples=50, **QUIET)
@given(deliveries())
def test_fifty_random_deliveries_give_the_tables_of_a_full_refresh(delivery):
    check(delivery)


USERS_OF_BASE = [
    ("ann", day(0), "a", f"{day(0)} 00:00:00"),
    ("bob", day(3), "b", f"{day(3)} 00:00:00"),
]


def visits(days) -> list[tuple]:
    return [
        (f"e{n}", "bob" if n % 2 else "ann", f"{day(n)} 10:00:00", "visit", 5)
        for n in days
        if n != 1
    ]


def base(tiny: Tiny) -> None:
    """Load Ann's events on even days, and Bob's on odd days from his signup on day 3."""
    tiny.load(USERS_OF_BASE, visits(range(10)))
    tiny.build()


def changed_days(tiny: Tiny, before: list[tuple], query: str) -> set:
    return {row[0] for row in set(tiny.rows(query)) ^ set(before)}


def test_late_event_changes_only_its_day_and_windows_that_hold_it(tiny: Tiny):
    base(tiny)
    daily = "select day, user_id, visits, minutes, is_active from user_daily"
    features = "select as_of_date, user_id, visits_2d, visits_5d from user_features_daily"
    labels = "select as_of_date, user_id, churn_label from churn_labels"
    before = {query: tiny.rows(query) for query in (daily, features, labels)}
    tiny.load(events=[("late", "bob", f"{day(4)} 23:59:59", "visit", 1.5)])
    tiny.build()
    assert changed_days(tiny, before[daily], daily) == {day(4)}
    assert changed_days(tiny, before[features], features) == {day(n) for n in range(4, 9)}
    after = tiny.tables()
    tiny.refresh()
    assert not differences(after, tiny.tables())


def test_late_event_changes_the_labels_whose_windows_hold_it(tiny: Tiny):
    tiny.load(USERS_OF_BASE, visits([0, 2, 3, 9]))
    tiny.build()
    labels = "select as_of_date, user_id, churn_label from churn_labels"
    before = tiny.rows(labels)
    tiny.load(events=[("late", "ann", f"{day(5)} 12:00:00", "visit", 5)])
    tiny.build()
    assert changed_days(tiny, before, labels) == {day(2), day(3), day(4)}


def test_building_again_changes_nothing(tiny: Tiny):
    base(tiny)
    before = tiny.tables()
    tiny.build()
    assert not differences(before, tiny.tables())
    assert tiny.rows("select rewrite_from > data_through from build_window") == [(True,)]


def test_recomputing_from_a_day_changes_nothing(tiny: Tiny):
    base(tiny)
    before = tiny.tables()
    for number in (0, 5, 9):
        tiny.build(variables={"rewrite_from": str(day(number))})
        assert tiny.rows("select rewrite_from from build_window") == [(day(number),)]
        assert not differences(before, tiny.tables())


def test_blocks_of_days_leave_no_gap_and_no_overlap(tiny: Tiny):
    """This holds for any length of history and any start of a block."""
    tiny.load(USERS_OF_BASE, visits(range(4)))
    tiny.build()
    tiny.load(events=visits(range(4, 38)))
    tiny.build()
    tiny.load(events=[("late", "bob", f"{day(8)} 23:59:59", "visit", 1.5)])
    tiny.build()
    by_increments = tiny.tables()
    tiny.refresh()
    assert not differences(by_increments, tiny.tables())
    features = "select user_id, as_of_date from user_features_daily order by all"
    assert tiny.rows(features) == tiny.rows("select user_id, day from user_daily order by all")
    assert len(tiny.rows(features)) == 38 + 35


def test_late_event_writes_only_the_days_of_its_user(tiny: Tiny):
    """Rows of other users on those days are not rewritten."""
    base(tiny)
    marked = (
        ("user_daily", "set visits = visits + 100 where day"),
        ("user_features_daily", "set visits_2d = visits_2d + 100 where as_of_date"),
        ("churn_labels", "set churn_label = churn_label + 100 where as_of_date"),
    )
    with duckdb.connect(str(tiny.settings.warehouse)) as connection:
        for table, mark in marked:
            connection.execute(f"update {table} {mark} >= date '{day(4)}'")
    tiny.load(events=[("late", "bob", f"{day(6)} 23:59:59", "visit", 1.5)])
    tiny.build()
    for query, last_day, of_bob in (
        ("select user_id, day from user_daily where visits >= 100", 9, (4, 5)),
        ("select user_id, as_of_date from user_features_daily where visits_2d >= 100", 9, (4, 5)),
        # a label depends on the next three days
        ("select user_id, as_of_date from churn_labels where churn_label >= 100", 6, ()),
    ):
        of_ann = [("ann", day(n)) for n in range(4, last_day + 1)]
        assert sorted(tiny.rows(query)) == of_ann + [("bob", day(n)) for n in of_bob]


def test_each_build_in_one_process_continues_from_the_last(tiny: Tiny):
    """Nothing that a build caches stays for the next one."""
    base(tiny)
    for user in ("ann", "bob"):
        tiny.load(events=[(f"late {user}", user, f"{day(6)} 23:59:59", "visit", 1.5)])
        tiny.build()
        assert tiny.rows("select user_id from changed_users") == [(user,)]


def test_late_event_loaded_with_new_days_counts_once(tiny: Tiny):
    """Bob's days are rewritten from the late event on; for Ann only new days are written."""
    base(tiny)
    tiny.load(events=[("late", "bob", f"{day(6)} 23:59:59", "visit", 1.5), *visits((10, 11, 12))])
    tiny.build()
    after = tiny.tables()
    tiny.refresh()
    assert not differences(after, tiny.tables())


def test_signup_moved_over_days_without_events_moves_the_first_row(tiny: Tiny):
    base(tiny)
    for signup in (1, 4):
        tiny.load(users=[("bob", day(signup), "b", f"{day(9)} 00:00:00")])
        tiny.build()
        first = "select min(day) from user_daily where user_id = 'bob'"
        assert tiny.rows(first) == [(day(signup),)]
        after = tiny.tables()
        tiny.refresh()
        assert not differences(after, tiny.tables())


def test_earlier_first_day_adds_those_days_for_every_user(tiny: Tiny):
    tiny.load(USERS_OF_BASE, visits(range(5, 10)))
    tiny.build()
    assert tiny.rows("select min(day) from user_daily") == [(day(5),)]
    tiny.load(events=[("earlier", "ann", f"{day(2)} 12:00:00", "visit", 5)])
    tiny.build()
    firsts = "select user_id, min(day) from user_daily group by user_id order by 1"
    assert tiny.rows(firsts) == [("ann", day(2)), ("bob", day(3))]
    after = tiny.tables()
    tiny.refresh()
    assert not differences(after, tiny.tables())


def test_failed_block_leaves_the_table_unchanged(tiny: Tiny):
    """A table's days are one transaction, even if several statements write them."""
    base(tiny)
    before = tiny.tables()
    # more minutes than the running total can hold, in the third block of days
    too_many = [(f"big{n}", "ann", f"{day(28)} 12:00:00", "visit", 9e13) for n in range(2)]
    late = [("late", "bob", f"{day(4)} 23:59:59", "visit", 1.5)]
    tiny.load(events=late + visits(range(10, 29)) + too_many)
    for build in (tiny.build, tiny.refresh):
        with pytest.raises(JobError, match="user_daily"):
            build()
        assert tiny.tables()["user_daily"] == before["user_daily"]


def test_failed_build_releases_the_warehouse(tiny: Tiny):
    """It is released at once, not when Python collects dbt's exception."""
    base(tiny)
    too_many = [(f"big{n}", "ann", f"{day(10)} 12:00:00", "visit", 9e13) for n in range(2)]
    tiny.load(events=too_many)
    gc.disable()
    try:
        for build in (tiny.build, tiny.refresh):
            with pytest.raises(JobError, match="user_daily"):
                build()
            assert tiny.rows("select count(*) from accepted_users") == [(2,)]
    finally:
        gc.enable()


def test_build_failed_before_its_first_node_releases_the_warehouse(tiny: Tiny, monkeypatch):
    base(tiny)
    monkeypatch.setenv("CHURNHOUSE_MEMORY_LIMIT", "plenty")
    with pytest.raises(JobError, match="Memory must have a number"):
        tiny.build()
    assert tiny.rows("select count(*) from accepted_users") == [(2,)]


def test_without_an_accepted_event_there_are_no_days(tiny: Tiny):
    """No block of days is written."""
    tiny.load(USERS_OF_BASE, [("e", "nobody", f"{day(1)} 12:00:00", "visit", 1)])
    tiny.build()
    assert tiny.rows("select data_from from build_window") == [(None,)]
    assert tiny.rows("select count(*) from user_features_daily") == [(0,)]


def test_events_wait_for_their_user(tiny: Tiny):
    base(tiny)
    tiny.load(events=[("early", "cy", f"{day(5)} 10:00:00", "visit", 3)])
    tiny.build()
    assert tiny.rows("select reject_reason from rejected_events") == [("unknown_user",)]
    tiny.load(users=[("cy", day(5), "a", f"{day(5)} 00:00:00")])
    tiny.build()
    assert tiny.rows("select reject_reason from rejected_events") == []
    assert tiny.rows("select sum(visits) from user_daily where user_id = 'cy'") == [(1,)]


def test_moved_signup_rejects_earlier_events_and_accepts_them_again(tiny: Tiny):
    base(tiny)
    for signup, rejected in ((5, 3), (0, 0)):
        tiny.load(users=[("ann", day(signup), "a", f"{day(9)} 00:00:00")])
        tiny.build()
        out = "select count(*) from rejected_events where reject_reason = 'before_signup'"
        assert tiny.rows(out) == [(rejected,)]
        after = tiny.tables()
        tiny.refresh()
        assert not differences(after, tiny.tables())


def test_attributes_are_as_of_the_date(tiny: Tiny):
    base(tiny)
    tiny.load(users=[("ann", day(0), "gold", f"{day(6)} 08:00:00")])
    for build in (tiny.build, tiny.refresh):  # the latter writes the earlier days again too
        build()
        plans = tiny.rows(
            "select as_of_date, plan from user_features_daily where user_id = 'ann' order by 1"
        )
        assert plans == [(day(n), "a" if n < 6 else "gold") for n in range(10)]


def test_corrected_resend_of_a_rejected_event_is_accepted(tiny: Tiny):
    base(tiny)
    tiny.load(events=[("again", "ann", f"{day(4)} 10:00:00", "visit", -5)])
    tiny.build()
    tiny.load(events=[("again", "ann", f"{day(4)} 10:00:00", "visit", 5)])
    tiny.build()
    assert tiny.rows("select minutes from accepted_events where event_id = 'again'") == [(5,)]


def test_first_valid_row_of_an_id_counts(tiny: Tiny):
    base(tiny)
    visit = ("twice", "ann", f"{day(4)} 10:00:00", "visit")
    for minutes in ([5, 7], [9]):
        tiny.load(events=[(*visit, each) for each in minutes])
        tiny.build()
        assert tiny.rows("select minutes from accepted_events where event_id = 'twice'") == [(5,)]
    rejected = "select reject_reason from rejected_events where event_id = 'twice'"
    assert tiny.rows(rejected) == [("duplicate_event_id",)] * 2


def test_later_row_of_an_id_counts_once_the_first_is_invalid(tiny: Tiny):
    """One load moves the signup past the first row and brings another row with its id."""
    base(tiny)
    tiny.load(events=[("moved", "ann", f"{day(2)} 10:00:00", "visit", 5)])
    tiny.build()
    tiny.load(
        users=[("ann", day(4), "a", f"{day(9)} 00:00:00")],
        events=[("moved", "ann", f"{day(6)} 10:00:00", "visit", 7)],
    )
    for build in (tiny.build, tiny.refresh):
        build()
        assert tiny.rows("select minutes from accepted_events where event_id = 'moved'") == [(7,)]


def test_interrupted_build_is_done_again(tiny: Tiny):
    base(tiny)
    tiny.load(events=[("late", "bob", f"{day(4)} 23:59:59", "visit", 1.5)])
    tiny.build("--select", "+user_daily", "--exclude-resource-type", "test")  # and no further
    tiny.build()
    after = tiny.tables()
    tiny.refresh()
    assert not differences(after, tiny.tables())


def test_days_removed_by_an_interrupted_build_come_back(tiny: Tiny):
    """The last events become invalid and their days are deleted, but the mark is older."""
    days = [(f"c{n}", "bob", f"{day(n)} 09:00:00", "visit", 5) for n in range(3, 7)]
    last = [("last", "ann", f"{day(9)} 09:00:00", "visit", 5)]
    tiny.load(USERS_OF_BASE, days + last)
    tiny.build()
    tiny.load(users=[("ann", day(10), "a", f"{day(9)} 00:00:00")])
    tiny.build("--select", "+user_daily", "--exclude-resource-type", "test")  # and no further
    assert tiny.rows("select max(day) from user_daily") == [(day(6),)]
    tiny.load(events=[("late", "bob", f"{day(12)} 09:00:00", "visit", 5)])
    tiny.build()
    after = tiny.tables()
    tiny.refresh()
    assert not differences(after, tiny.tables())


def test_features_do_not_see_what_happens_later(tiny: Tiny):
    """Changing events after day 5 leaves features up to day 5 unchanged."""
    base(tiny)
    query = f"from user_features_daily where as_of_date <= date '{day(5)}' order by all"
    before = tiny.rows(query)
    other = Tiny(tiny.settings.home.with_name("scrambled"))
    scrambled = [
        (f"x{n}", "ann" if n % 2 else "bob", f"{day(n)} 20:00:00", "payment", 99)
        for n in range(6, 12)
    ]
    other.load(USERS_OF_BASE, visits(range(6)) + scrambled)
    other.build()
    assert other.rows(query) == before
