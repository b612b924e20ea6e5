"""Incremental builds give the tables of one full refresh, however rows arrive."""

import gc
import random
import tempfile
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.homes import built_once, copied
from support.tiny import QUIET, Tiny, day, differences

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
            min_size=20,
            max_size=60,
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


@settings(max_examples=2, derandomize=True, **QUIET)
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


def load_base(tiny: Tiny) -> None:
    """Ann comes on even days from the first on, Bob on odd days from his signup on day 3 on."""
    tiny.load(USERS_OF_BASE, visits(range(10)))
    tiny.build()


@pytest.fixture(scope="session")
def built_base(shared: Path) -> Path:
    return built_once(shared, "base", lambda home: load_base(Tiny(home)))


@pytest.fixture
def base(built_base: Path, tmp_path: Path) -> Tiny:
    """A copy of the base, loaded and built."""
    return Tiny(copied(built_base, tmp_path / "data"))


def changed_days(tiny: Tiny, before: list[tuple], query: str) -> set:
    return {row[0] for row in set(tiny.rows(query)) ^ set(before)}


def test_a_late_event_changes_its_day_and_what_looks_back_on_it(base: Tiny):
    daily = "select day, user_id, visits, minutes, is_active from user_daily"
    features = "select as_of_date, user_id, visits_2d, visits_5d from user_features_daily"
    labels = "select as_of_date, user_id, churn_label from churn_labels"
    before = {query: base.rows(query) for query in (daily, features, labels)}
    base.load(events=[("late", "bob", f"{day(4)} 23:59:59", "visit", 1.5)])
    base.build()
    assert changed_days(base, before[daily], daily) == {day(4)}
    assert changed_days(base, before[features], features) == {day(n) for n in range(4, 9)}
    after = base.tables()
    base.refresh()
    assert not differences(after, base.tables())


def test_late_event_changes_the_labels_whose_windows_hold_it(tiny: Tiny):
    tiny.load(USERS_OF_BASE, visits([0, 2, 3, 9]))
    tiny.build()
    labels = "select as_of_date, user_id, churn_label from churn_labels"
    before = tiny.rows(labels)
    tiny.load(events=[("late", "ann", f"{day(5)} 12:00:00", "visit", 5)])
    tiny.build()
    assert changed_days(tiny, before, labels) == {day(2), day(3), day(4)}


def test_building_again_changes_nothing(base: Tiny):
    before = base.tables()
    base.build()
    assert not differences(before, base.tables())
    assert base.rows("select rewrite_from > data_through from build_window") == [(True,)]


def test_recomputing_from_a_day_changes_nothing(base: Tiny):
    before = base.tables()
    for number in (0, 5):
        base.build(variables={"rewrite_from": str(day(number))})
        assert base.rows("select rewrite_from from build_window") == [(day(number),)]
        assert not differences(before, base.tables())


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


def test_late_event_writes_only_the_days_of_its_user(base: Tiny):
    """On those days others have most of the rows: they stay, not even written the same again."""
    marked = (
        ("user_daily", "set visits = visits + 100 where day"),
        ("sampled_features", "set visits_2d = visits_2d + 100 where as_of_date"),
        ("churn_labels", "set churn_label = churn_label + 100 where as_of_date"),
    )
    with duckdb.connect(str(base.settings.warehouse)) as connection:
        for table, mark in marked:
            connection.execute(f"update {table} {mark} >= date '{day(4)}'")
    base.load(events=[("late", "bob", f"{day(6)} 23:59:59", "visit", 1.5)])
    base.build()
    for query, of_ann, of_bob in (
        ("select user_id, day from user_daily where visits >= 100", range(4, 10), (4, 5)),
        # every third day is sampled
        ("select user_id, as_of_date from sampled_features where visits_2d >= 100", (5, 8), (5,)),
        # a label depends on the next three days
        ("select user_id, as_of_date from churn_labels where churn_label >= 100", range(4, 7), ()),
    ):
        kept = [("ann", day(n)) for n in of_ann] + [("bob", day(n)) for n in of_bob]
        assert sorted(base.rows(query)) == kept


def test_each_build_in_one_process_continues_from_the_last(base: Tiny):
    """What a build reads once it reads anew in the next."""
    for user in ("ann", "bob"):
        base.load(events=[(f"late {user}", user, f"{day(6)} 23:59:59", "visit", 1.5)])
        base.build()
        assert base.rows("select user_id from changed_users") == [(user,)]


def test_late_event_loaded_with_new_days_counts_once(base: Tiny):
    """Bob's days are written from the late event on, Ann's new days alone."""
    base.load(events=[("late", "bob", f"{day(6)} 23:59:59", "visit", 1.5), *visits((10, 11, 12))])
    base.build()
    after = base.tables()
    base.refresh()
    assert not differences(after, base.tables())


def test_signup_moved_over_days_without_events_moves_the_first_row(base: Tiny):
    for signup in (1, 4):
        base.load(users=[("bob", day(signup), "b", f"{day(9)} 00:00:00")])
        base.build()
        first = "select min(day) from user_daily where user_id = 'bob'"
        assert base.rows(first) == [(day(signup),)]
        after = base.tables()
        base.refresh()
        assert not differences(after, base.tables())


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


def test_failed_block_leaves_the_table_unchanged(base: Tiny):
    """The days of a table are one transaction, however many statements write them."""
    before = base.tables()
    # more minutes than the running total can hold, in the third block of days
    too_many = [(f"big{n}", "ann", f"{day(28)} 12:00:00", "visit", 9e13) for n in range(2)]
    late = [("late", "bob", f"{day(4)} 23:59:59", "visit", 1.5)]
    base.load(events=late + visits(range(10, 29)) + too_many)
    for build in (base.build, base.refresh):
        with pytest.raises(JobError, match="user_daily"):
            build()
        assert base.tables()["user_daily"] == before["user_daily"]


def test_failed_build_releases_the_warehouse(base: Tiny):
    """At once, and not when Python happens to collect what dbt caught."""
    too_many = [(f"big{n}", "ann", f"{day(10)} 12:00:00", "visit", 9e13) for n in range(2)]
    base.load(events=too_many)
    gc.disable()
    try:
        for build in (base.build, base.refresh):
            with pytest.raises(JobError, match="user_daily"):
                build()
            assert base.rows("select count(*) from accepted_users") == [(2,)]
    finally:
        gc.enable()


def test_build_failed_before_its_first_node_releases_the_warehouse(base: Tiny, monkeypatch):
    monkeypatch.setenv("CHURNHOUSE_MEMORY_LIMIT", "plenty")
    with pytest.raises(JobError, match="Memory must have a number"):
        base.build()
    assert base.rows("select count(*) from accepted_users") == [(2,)]


def test_without_an_accepted_event_there_are_no_days(tiny: Tiny):
    """No block of days is written."""
    tiny.load(USERS_OF_BASE, [("e", "nobody", f"{day(1)} 12:00:00", "visit", 1)])
    tiny.build()
    assert tiny.rows("select data_from from build_window") == [(None,)]
    assert tiny.rows("select count(*) from user_features_daily") == [(0,)]


def test_events_wait_for_their_user(base: Tiny):
    base.load(events=[("early", "cy", f"{day(5)} 10:00:00", "visit", 3)])
    base.build()
    assert base.rows("select reject_reason from rejected_events") == [("unknown_user",)]
    base.load(users=[("cy", day(5), "a", f"{day(5)} 00:00:00")])
    base.build()
    assert base.rows("select reject_reason from rejected_events") == []
    assert base.rows("select sum(visits) from user_daily where user_id = 'cy'") == [(1,)]


def test_a_moved_signup_takes_earlier_events_out_and_in_again(base: Tiny):
    for signup, rejected in ((5, 3), (0, 0)):
        base.load(users=[("ann", day(signup), "a", f"{day(9)} 00:00:00")])
        base.build()
        out = "select count(*) from rejected_events where reject_reason = 'before_signup'"
        assert base.rows(out) == [(rejected,)]
        after = base.tables()
        base.refresh()
        assert not differences(after, base.tables())


def test_attributes_are_as_of_the_date(base: Tiny):
    base.load(users=[("ann", day(0), "gold", f"{day(6)} 08:00:00")])
    for build in (base.build, base.refresh):  # the latter writes the earlier days again too
        build()
        plans = base.rows(
            "select as_of_date, plan from user_features_daily where user_id = 'ann' order by 1"
        )
        assert plans == [(day(n), "a" if n < 6 else "gold") for n in range(10)]


def test_corrected_resend_of_a_rejected_event_is_accepted(base: Tiny):
    base.load(events=[("again", "ann", f"{day(4)} 10:00:00", "visit", -5)])
    base.build()
    base.load(events=[("again", "ann", f"{day(4)} 10:00:00", "visit", 5)])
    base.build()
    assert base.rows("select minutes from accepted_events where event_id = 'again'") == [(5,)]


def test_first_valid_row_of_an_id_counts(base: Tiny):
    visit = ("twice", "ann", f"{day(4)} 10:00:00", "visit")
    for minutes in ([5, 7], [9]):
        base.load(events=[(*visit, each) for each in minutes])
        base.build()
        assert base.rows("select minutes from accepted_events where event_id = 'twice'") == [(5,)]
    rejected = "select reject_reason from rejected_events where event_id = 'twice'"
    assert base.rows(rejected) == [("duplicate_event_id",)] * 2


def test_later_row_of_an_id_counts_once_the_first_is_invalid(base: Tiny):
    """In one load the user's signup moves past the first row, and another row with its id comes."""
    base.load(events=[("moved", "ann", f"{day(2)} 10:00:00", "visit", 5)])
    base.build()
    base.load(
        users=[("ann", day(4), "a", f"{day(9)} 00:00:00")],
        events=[("moved", "ann", f"{day(6)} 10:00:00", "visit", 7)],
    )
    for build in (base.build, base.refresh):
        build()
        assert base.rows("select minutes from accepted_events where event_id = 'moved'") == [(7,)]


def test_interrupted_build_is_done_again(base: Tiny):
    base.load(events=[("late", "bob", f"{day(4)} 23:59:59", "visit", 1.5)])
    base.build("--select", "+user_daily", "--exclude-resource-type", "test")  # and no further
    base.build()
    after = base.tables()
    base.refresh()
    assert not differences(after, base.tables())


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


def test_features_do_not_see_what_happens_later(base: Tiny):
    """The canary: other events after day 5, the same features up to day 5."""
    query = f"from user_features_daily where as_of_date <= date '{day(5)}' order by all"
    before = base.rows(query)
    other = Tiny(base.settings.home.with_name("scrambled"))
    scrambled = [
        (f"x{n}", "ann" if n % 2 else "bob", f"{day(n)} 20:00:00", "payment", 99)
        for n in range(6, 12)
    ]
    other.load(USERS_OF_BASE, visits(range(6)) + scrambled)
    other.build()
    assert other.rows(query) == before
