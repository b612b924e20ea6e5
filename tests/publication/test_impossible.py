"""impossible: features that contradict one another are named; real people never are."""

import pytest
from support.homes import rows

from python_jobs.ingest import domain as domains
from python_jobs.publication.impossible import Contradictions
from python_jobs.publication.limits import limits_of
from python_jobs.settings import Settings
from python_jobs.training.feature_facts import explained_features, facts_of

ACTIVE = {
    "days_since_last_activity": 2,
    "tenure_days": 100,
    "active_days_7d": 3,
    "active_days_14d": 6,
    "active_days_30d": 12,
    "events_7d": 9,
    "events_14d": 20,
    "events_30d": 44,
    "logins_7d": 2,
    "logins_14d": 4,
    "logins_30d": 9,
    "watch_minutes_7d": 90.0,
    "watch_minutes_30d": 60.0,  # a sum may fall: its parts may be negative
    "quiz_score_7d": 80.0,
    "quiz_score_30d": None,
    "active_days_ever": 40,
    "events_ever": 200,
}
NEVER = {
    "days_since_last_activity": 5,
    "tenure_days": 5,
    **dict.fromkeys(("active_days_7d", "active_days_14d", "active_days_30d"), 0),
    "active_days_ever": 0,
}
VARS = domains.load("elearning", Settings()).vars
EXPLAINED = explained_features(VARS)
LIMITS = limits_of(VARS.model_dump())


def found(features: dict, limits: dict | None = None) -> str | None:
    facts = facts_of(features, EXPLAINED)
    doubles = ("watch_minutes", "quiz_score")
    kinds = {name: "DOUBLE" if name.startswith(doubles) else "INTEGER" for name in features}
    return Contradictions(facts, kinds, limits).first(list(features.values()))


@pytest.mark.parametrize(
    "person",
    [
        ACTIVE,
        NEVER,
        NEVER | {"tenure_days": 9},  # four days were unknown
        {"watch_minutes_7d": -5.0},
        {"days_since_last_activity": 3},
        {"days_since_last_activity": 30, "active_days_30d": 0},
        {"days_since_last_activity": 29, "active_days_30d": 1},
        {"plan": "basic", "days_since_last_activity": 0, "active_days_7d": 1, "tenure_days": 0},
    ],
)
def test_possible_people_are_let_through(person):
    assert found(person) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"logins_7d": -1}, "logins_7d is -1, and no count is below 0."),
        ({"logins_14d": 1}, "logins_14d is 1, fewer than logins_7d, which is 2."),
        (
            {"active_days_ever": 11},
            "active_days_ever is 11, fewer than active_days_30d, which is 12.",
        ),
        (
            {"active_days_7d": 8, "active_days_14d": 8},
            "active_days_7d is 8, more than 7 days.",
        ),
        ({"events_7d": 2}, "events_7d is 2, fewer than active_days_7d, 3."),
        (
            {"active_days_14d": 11},
            "active_days_14d is 11 and active_days_7d is 3, too few for the 7 days between.",
        ),
        ({"tenure_days": 38}, "active_days_ever is 40, but tenure_days is 38."),
        (
            {"days_since_last_activity": 101},
            "days_since_last_activity is 101, but tenure_days is 100.",
        ),
        (
            {"days_since_last_activity": 7},
            "days_since_last_activity is 7, but active_days_7d is 3.",
        ),
        (
            {"days_since_last_activity": 0, "active_days_7d": 0, "active_days_14d": 5},
            "days_since_last_activity is 0, but active_days_7d is 0.",
        ),
    ],
)
def test_a_contradiction_is_named_with_its_values(change, said):
    assert found(ACTIVE | change) == said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"watch_minutes_7d": 0.0, "quiz_score_7d": 100.0}, None),
        ({"quiz_score_7d": 100.00000000000001}, None),  # a quotient of floats
        ({"watch_minutes_7d": -5.0}, "watch_minutes_7d is -5; it cannot be below 0."),
        ({"quiz_score_30d": 500.5}, "quiz_score_30d is 500.5; it cannot be above 100."),
        (
            {"payment_fail_rate_30d": 1.25},
            "payment_fail_rate_30d is 1.25; it cannot be above 1.",
        ),
        ({"watch_minutes_trend": -5.0}, None),  # a quotient of windows has limits of its own
    ],
)
def test_values_that_no_events_add_up_to_are_named(change, said):
    assert found(ACTIVE | change, LIMITS) == said


def test_silence_from_signup_contradicts_nothing_unless_somebody_came():
    silent_today = NEVER | {"days_since_last_activity": 0}
    assert found(silent_today) is None
    del silent_today["active_days_ever"]
    assert found(silent_today) == "days_since_last_activity is 0, but active_days_7d is 0."


def test_nobody_in_the_warehouse_is_impossible(finished_home):
    """Of every user on three days."""
    query = (
        "from user_features_daily where as_of_date in ('2025-01-20', '2025-03-12', '2025-04-30')"
    )
    columns = {row[0]: row[1] for row in rows(finished_home, f"describe {query}")}
    kinds = {
        name: kind for name, kind in columns.items() if kind in ("INTEGER", "DOUBLE", "BIGINT")
    }
    listed = ", ".join(kinds)
    people = rows(finished_home, f"select {listed} {query}")
    facts = facts_of(kinds, EXPLAINED)
    contradictions = Contradictions(facts, kinds, LIMITS)
    assert len(people) > 500 and set(map(contradictions.first, people)) == {None}
