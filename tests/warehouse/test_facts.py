"""Facts that change: corrections, deletions, links, exclusions, outages, in any order."""

import tempfile
from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.facts import Facts, base_rows, user, visit
from support.homes import built_once, copied
from support.tiny import QUIET, day, differences

LOADS = 3
BROKEN_OFF = ("--exclude", "build_log")  # all but the mark that a build has ended


def load_base(facts: Facts) -> None:
    facts.load(**base_rows())
    facts.build()


@pytest.fixture(scope="session")
def built_facts(shared: Path) -> Path:
    return built_once(shared, "facts", lambda home: load_base(Facts(home)))


@pytest.fixture
def base(built_facts: Path, tmp_path: Path) -> Facts:
    return Facts(copied(built_facts, tmp_path / "data"))


def same_as_a_full_refresh(facts: Facts) -> None:
    by_increments = facts.tables()
    facts.build("--full-refresh")
    assert not differences(by_increments, facts.tables())


MINUTES = "select sum(minutes) from user_daily where user_id = '{}'"


def test_base_has_no_excluded_user_and_no_label_over_the_outage(base):
    assert base.rows("select distinct user_id from user_daily order by 1") == [("ann",), ("bob",)]
    excluded = "select user_id, exclude_reason from int_users where exclude_reason is not null"
    assert sorted(base.rows(excluded)) == [
        ("cy", "staff"),
        ("robot", "bots"),
    ]
    assert base.rows("select day from days where is_unknown") == [(date(2025, 3, 6),)]
    labelled = {row[0] for row in base.rows("select distinct as_of_date from churn_labels")}
    assert labelled == {day(0), day(1), day(5), day(6)}
    assert base.rows("select max(days_since_last_activity) from user_features_daily") == [(0,)]
    week = "select events_5d from user_features_daily where user_id = 'ann' and as_of_date = '{}'"
    assert base.rows(week.format(day(8))) == [(5,)]


def test_corrected_row_replaces_the_earlier_one_in_any_order(base):
    base.load(events=[visit("ann3", "ann", 3, 100, version=2)])
    base.load(events=[visit("ann3", "ann", 3, 50, version=1)])
    base.build()
    assert base.rows(MINUTES.format("ann")) == [(8 * 5 + 100,)]
    assert base.rows(
        "select reject_reason, count(*) from set_aside_events group by 1 order by 1"
    ) == [
        ("excluded_user", 18),
        ("superseded_event", 2),
    ]
    same_as_a_full_refresh(base)


def test_correction_that_moves_an_event_to_another_day_and_person(base):
    base.load(events=[visit("ann3", "bob", 7, 30, version=2)])
    base.build()
    assert base.rows(MINUTES.format("ann")) == [(40,)]
    assert base.rows(MINUTES.format("bob")) == [(75,)]
    same_as_a_full_refresh(base)


def test_deleted_event_and_deleted_user_are_gone(base):
    base.load(
        users=[user("bob", updated_at="2025-06-01 00:00:00", gone="yes")],
        events=[visit("ann3", "", 3, version=9, gone="yes")],
    )
    base.build()
    assert base.rows(MINUTES.format("ann")) == [(40,)]
    assert base.rows("select distinct user_id from user_daily") == [("ann",)]
    assert base.rows("select distinct user_id from user_features_daily") == [("ann",)]
    same_as_a_full_refresh(base)
    base.load(users=[user("bob", updated_at="2025-07-01 00:00:00")])
    base.build()
    assert base.rows(MINUTES.format("bob")) == [(45,)]
    same_as_a_full_refresh(base)


def test_deletion_without_a_version_deletes_its_id_in_any_order(base):
    base.load(events=[visit("ann4", "ann", 4, 50, version=2), visit("later", "", 3, gone="yes")])
    base.build()
    gone = [visit(name, "", 3, gone="yes") for name in ("ann3", "ann4")]
    base.load(events=[*gone, visit("later", "ann", 3)])
    base.build()
    assert base.rows(MINUTES.format("ann")) == [(7 * 5,)]
    reasons = "select reject_reason, count(*) from set_aside_events group by 1 order by 1"
    assert base.rows(reasons) == [("deleted_event", 4), ("deletion", 3), ("excluded_user", 18)]
    same_as_a_full_refresh(base)


def test_repeat_is_set_aside_and_another_text_of_the_same_id_is_rejected(base):
    base.load(events=[visit("ann3", "ann", 3), visit("ann4", "ann", 4, 77)])
    base.build()
    reasons = "select reject_reason from int_events_validated where event_id in ('eann3', 'eann4') "
    assert base.rows(reasons + "and reject_reason is not null order by 1") == [
        ("duplicate_event_id",),
        ("repeated_event",),
    ]
    assert base.rows("select reject_reason from rejected_events") == [("duplicate_event_id",)]


def test_link_moves_earlier_events_and_signup_to_the_person(base):
    """Anonymous visits before the signup count once the link is known."""
    base.load(
        users=[user("dora", 6)],
        events=[visit(f"x{on}", "anon-77", on) for on in range(1, 5)]
        + [visit(f"d{on}", "dora", on) for on in range(6, 10)],
    )
    base.build()
    tenure = (
        "select tenure_days from user_features_daily where user_id = 'dora' and as_of_date = '{}'"
    )
    assert base.rows(tenure.format(day(8))) == [(2,)]
    base.load(links=[("anon-77", "dora", f"{day(6)} 00:00:00")])
    base.build()
    assert base.rows(tenure.format(day(8))) == [(7,)]
    assert base.rows(MINUTES.format("dora")) == [(40,)]
    same_as_a_full_refresh(base)


def test_merged_accounts_are_one_and_a_later_link_takes_events_along(base):
    base.load(links=[("bob", "ann", f"{day(2)} 00:00:00")])
    base.build()
    assert base.rows("select distinct user_id from user_daily") == [("ann",)]
    assert base.rows(MINUTES.format("ann")) == [(90,)]
    same_as_a_full_refresh(base)
    base.load(users=[user("eve")], links=[("ann", "eve", f"{day(20)} 00:00:00")])
    base.build()
    assert base.rows(MINUTES.format("eve")) == [(90,)]
    assert base.rows("select distinct user_id from user_daily") == [("eve",)]
    same_as_a_full_refresh(base)


def test_link_of_an_id_with_a_record_and_no_events_makes_its_person_a_user(base):
    base.load(
        users=[user("dora", 1)], events=[visit(f"x{on}", "anon-9", on) for on in range(2, 10)]
    )
    base.build()
    assert base.rows(MINUTES.format("anon-9")) == [(None,)]
    base.load(links=[("dora", "anon-9", f"{day(2)} 00:00:00")])
    base.build()
    assert base.rows(MINUTES.format("anon-9")) == [(40,)]
    same_as_a_full_refresh(base)


def test_second_link_takes_a_person_s_earliest_event_away(base):
    """Eve's own visit of day 1 counted only because a device of hers was seen that day."""
    base.load(
        users=[user("eve", 6)],
        links=[("x", "eve", f"{day(0)} 00:00:00"), ("y", "eve", f"{day(0)} 00:00:00")],
        events=[visit("x1", "x", 1), visit("own1", "eve", 1), visit("y2", "y", 2)],
    )
    base.build()
    assert base.rows(MINUTES.format("eve")) == [(15,)]
    base.load(links=[("x", "ann", f"{day(1)} 00:00:00")])
    base.build()
    assert base.rows(MINUTES.format("eve")) == [(5,)]
    same_as_a_full_refresh(base)


def test_second_link_takes_a_person_s_newest_record_away(base):
    """Dora's phone has the newer record: after the second link only the older one is hers."""
    base.load(
        users=[
            user("phone", 2, plan="b", updated_at=f"{day(6)} 00:00:00"),
            user("tablet", 3, updated_at=f"{day(2)} 00:00:00"),
        ],
        links=[(one, "dora", f"{day(0)} 00:00:00") for one in ("phone", "tablet")],
        events=[visit(f"d{on}", "dora", on) for on in range(10)],
    )
    base.build()
    assert base.rows(MINUTES.format("dora")) == [(8 * 5,)]
    base.load(links=[("phone", "ann", f"{day(5)} 00:00:00")])
    base.build()
    assert base.rows(MINUTES.format("dora")) == [(7 * 5,)]
    same_as_a_full_refresh(base)


def test_later_first_day_changes_the_silence_of_everybody(base):
    """The unknown day before the new first day no longer shortens the silence of the quiet one."""
    base.load(
        users=[user("old", -3), user("quiet", -3)],
        events=[visit("early", "old", -3), *(visit(f"o{on}", "old", on) for on in range(6, 14))],
    )
    base.build()
    silence = (
        "select days_since_last_activity from user_features_daily where user_id = 'quiet' "
        f"and as_of_date = '{day(4)}'"
    )
    assert base.rows("select min(day) from days where is_unknown") == [(day(-1),)]
    assert base.rows(silence) == [(6,)]
    base.load(events=[visit("early", "", -3, version=9, gone="yes")])
    base.build()
    assert base.rows("select min(day) from days") == [(day(0),)]
    assert base.rows(silence) == [(7,)]
    same_as_a_full_refresh(base)


def test_reject_without_an_id_follows_its_link(base):
    base.load(events=[("", "anon-5", f"{day(3)} 12:00:00", "visit", 5, "", "")])
    base.build()
    base.load(links=[("anon-5", "ann", f"{day(0)} 00:00:00")])
    base.build()
    rejects = "select user_id, reject_reason from rejected_events"
    assert base.rows(rejects) == [("ann", "missing_event_id")]


def test_unknown_day_survives_a_build_that_broke_off(base):
    base.load(events=[visit("mid", "ann", 5)])
    base.build(*BROKEN_OFF)
    base.load(events=[visit("mid", "", 5, version=2, gone="yes")])
    base.build()
    assert base.rows("select day from days where is_unknown") == [(day(5),)]
    same_as_a_full_refresh(base)


def test_first_days_that_a_broken_off_build_removed_come_back(base):
    base.load(users=[user("old", -2)], events=[visit("early", "old", -2)])
    base.build()
    base.load(events=[visit("early", "", -2, version=2, gone="yes")])
    base.build(*BROKEN_OFF)
    base.load(events=[visit("early", "old", -2, version=3)], users=[user("new", -2)])
    base.build()
    assert base.rows("select min(day) from user_daily") == [(day(-2),)]
    same_as_a_full_refresh(base)


def test_user_who_leaves_after_a_first_build_that_broke_off_has_no_rows(tmp_path):
    """No build has ended, so none knows who changed."""
    facts = Facts(tmp_path / "data")
    facts.load(**base_rows())
    facts.build(*BROKEN_OFF)
    facts.load(users=[user("bob", email="bob@us", updated_at="2025-06-01 00:00:00")])
    facts.build()
    assert facts.rows("select distinct user_id from user_daily") == [("ann",)]
    same_as_a_full_refresh(facts)


def test_all_days_are_written_again_after_a_build_without_any_event(base):
    of_two = base_rows()["events"]
    base.load(events=[visit(event[0][1:], "", 0, version=2, gone="yes") for event in of_two])
    base.build()
    assert base.rows("select count(*) from user_daily") == [(0,)]
    base.load(events=[visit(f"ann{on}", "ann", on, version=3) for on in (0, 9)])
    base.build()
    assert base.rows("select count(*) from user_daily where user_id = 'bob'") == [(10,)]
    same_as_a_full_refresh(base)


def test_user_who_becomes_staff_is_taken_out_and_may_come_back(base):
    base.load(users=[user("bob", email="bob@us", updated_at="2025-06-01 00:00:00")])
    base.build()
    assert base.rows("select distinct user_id from user_daily") == [("ann",)]
    same_as_a_full_refresh(base)
    base.load(users=[user("bob", email="bob@x", updated_at="2025-06-02 00:00:00")])
    base.build()
    assert base.rows(MINUTES.format("bob")) == [(45,)]
    same_as_a_full_refresh(base)


def test_older_version_of_a_user_that_arrives_late_changes_nothing_newer(base):
    base.load(users=[user("ann", plan="c", updated_at="2025-03-08 00:00:00")])
    base.load(users=[user("ann", plan="b", updated_at="2025-03-05 00:00:00")])
    base.build()
    plans = "select as_of_date, plan from user_features_daily where user_id = 'ann' order by 1"
    assert [plan for _, plan in base.rows(plans)] == ["a"] * 4 + ["b"] * 3 + ["c"] * 3
    same_as_a_full_refresh(base)


def test_days_are_those_of_the_domain_s_time_zone(base):
    """Text without an offset is local time: 23:00 in Tokyo is 14:00 in UTC, on one day."""
    base.load(
        events=[visit("late", "ann", 8, 1000, hour=23), visit("early", "ann", 8, 2000, hour=0)]
    )
    base.build()
    query = "select minutes from user_daily where user_id = 'ann' and day = '{}'"
    assert base.rows(query.format(day(8))) == [(3005,)]
    stored = "select event_time from accepted_events where event_id = 'elate'"
    assert base.rows(stored) == [(datetime(2025, 3, 9, 14),)]  # noqa: DTZ001 - UTC, as all raw times


BUILDS = [(), (), BROKEN_OFF, ("--exclude", "user_daily+", "build_log"), None]
NAMES = ["ann", "bob", "cy", "anon1", "anon2"]


@st.composite
def histories(draw):
    """Draw users, links and events with versions and deletions, each with its load.

    Also draw what follows each load but the last: a build, one that breaks off, or none.
    """
    loads = st.integers(0, LOADS - 1)
    records = draw(
        st.dictionaries(
            st.tuples(st.sampled_from(NAMES[:4]), st.integers(0, 9)),
            st.tuples(
                st.integers(0, 6), st.sampled_from("ab"), st.sampled_from("xxu"), st.booleans()
            ),
            min_size=4,
            max_size=9,
        )
    )
    users = [
        (
            user(
                name,
                signup,
                plan=plan,
                email=f"{name}@{'us' if mail == 'u' else 'x'}",
                updated_at=f"{day(changed)} 01:00:00",
                gone="yes" if gone and changed % 3 == 0 else "",
            ),
            draw(loads),
        )
        for (name, changed), (signup, plan, mail, gone) in sorted(records.items())
    ]
    pairs = st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES), st.integers(0, 9))
    drawn = draw(
        st.lists(pairs.filter(lambda p: p[0] != p[1]), max_size=4, unique_by=lambda p: (p[0], p[2]))
    )
    links = [((a, b, f"{day(on)} 00:00:00"), draw(loads)) for a, b, on in drawn]
    versions = draw(
        st.lists(
            st.tuples(
                st.integers(0, 14),  # the event
                st.integers(1, 3),  # its version
                st.sampled_from(NAMES),
                st.integers(0, 10),
                st.sampled_from([1, 2, 5]),
                st.sampled_from(["", "", "", "yes"]),
            ),
            min_size=15,
            max_size=40,
            unique_by=lambda row: row[:2],
        )
    )
    events = [
        (
            visit(number, who, on, minutes, "" if gone and version == 3 else version, gone),
            draw(loads),
        )
        for number, version, who, on, minutes, gone in versions
    ]
    events.append((visit("last", "ann", 11), 0))
    builds = draw(st.lists(st.sampled_from(BUILDS), min_size=LOADS - 1, max_size=LOADS - 1))
    return {"users": users, "links": links, "events": events}, [*builds, ()]


def check(drawn) -> None:
    history, builds = drawn
    with tempfile.TemporaryDirectory() as folder:
        late = Facts(Path(folder) / "late")
        for number in range(LOADS):
            late.load(
                **{t: [row for row, at in rows if at == number] for t, rows in history.items()}
            )
            if builds[number] is not None:
                late.build(*builds[number])
        by_increments = late.tables()
        late.build("--full-refresh")
        at_once = Facts(Path(folder) / "at_once")
        in_order = {t: sorted(rows, key=lambda pair: pair[1]) for t, rows in history.items()}
        at_once.load(**{table: [row for row, _ in rows] for table, rows in in_order.items()})
        at_once.build()
        assert not differences(by_increments, late.tables()), "not as a full refresh"
        assert not differences(by_increments, at_once.tables()), "not as in one load"


@settings(max_examples=4, derandomize=True, **QUIET)
@given(histories())
def test_any_order_of_changes_gives_the_tables_of_a_full_refresh(history):
    check(history)


@pytest.mark.nightly
@settings(max_examples=50, **QUIET)
@given(histories())
def test_fifty_random_histories_give_the_tables_of_a_full_refresh(history):
    check(history)
