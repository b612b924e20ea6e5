"""telling and sentences: what a retention manager reads of each person."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_jobs.ingest import domain as domains
from python_jobs.ingest.words import of_domain
from python_jobs.reasons import sentences, telling
from python_jobs.reasons.teller import Teller
from python_jobs.reasons.words import Words
from python_jobs.settings import Settings
from python_jobs.training.feature_facts import explained_features, facts_of

TYPICAL = {
    "days_since_last_activity": 1,
    "tenure_days": 200,
    "active_days_7d": 4,
    "active_days_14d": 7,
    "active_days_30d": 14,
    "logins_7d": 5,
    "logins_14d": 10,
    "logins_30d": 20,
    "logins_trend": 1,
    "watch_minutes_7d": 110,
    "watch_minutes_14d": 220,
    "watch_minutes_30d": 480,
    "watch_minutes_trend": 1,
    "quiz_score_7d": 71,
    "quiz_score_14d": 71,
    "quiz_score_30d": 71,
    "failed_payments_30d": 0,
    "payment_fail_rate_30d": 0,
    "active_days_ever": 90,
    "active_day_rate": 0.5,
    "observed_days_30d": 30,
}
RAISED_BY = {
    "logins": "less",
    "watch_minutes": "less",
    "quiz_score": "less",
    "failed_payments": "more",
    "payment_fail_rate": "more",
}
USUAL = {"tenure_days": 400, "active_days_ever": 200, "active_day_rate": 0.5}


def teller(name: str = "elearning", values: dict | None = None, **words: object) -> Teller:
    """Return what tells of the users of a domain, with the typical values above."""
    vars_ = domains.load(name, Settings()).vars
    facts = facts_of(["days_since_last_activity", "tenure_days"], {}) | explained_features(vars_)
    known = of_domain(vars_)
    return Teller(
        facts,
        values or {},
        np.array([TYPICAL.get(feature, np.nan) for feature in facts], dtype=float),
        Words(**{**vars(known), **words}),
        {},
        RAISED_BY,
    )


def told(found: Teller, people: list[dict], by: list[str], raises: list[bool]) -> list[str]:
    """Return the first sentence of each person, told by a feature that raises or lowers."""
    width = len(found.facts) + sum(map(len, found.values.values()))
    matrix = np.zeros((len(people), width), np.float32)
    matrix[:, : len(found.facts)] = [
        [{**USUAL, "observed_days_30d": 30, **person}.get(name, 0) for name in found.facts]
        for person in people
    ]
    moved = np.zeros_like(matrix)
    for row, (feature, rises) in enumerate(zip(by, raises, strict=True)):
        moved[row, found.places[feature]] = 1 if rises else -1
    texts: dict[str, int] = {}
    columns = telling.told(found, moved, matrix, np.full(len(people), 0.9), texts)
    listed = list(texts)
    effects = [listed[place] for place in columns["effect_1"]]
    assert effects == ["raises" if rises else "lowers" for rises in raises]
    return [listed[place] for place in columns["reason_1"]]


SILENT = {"days_since_last_activity": 25, "active_days_30d": 5, "active_day_rate": 0.9}
PEOPLE = {
    "Silent for 25 days; used to come every day.": (
        {**SILENT, "active_days_ever": 360},
        "days_since_last_activity",
        True,
    ),
    "Silent for 23 days; used to come most days.": (  # not by one visit in the week before it
        {
            **{"days_since_last_activity": 23, "active_days_30d": 1, "active_days_ever": 43},
            "active_day_rate": 0.5,
        },
        "days_since_last_activity",
        True,
    ),
    "Silent for 1 day; used to come most days.": (
        {"days_since_last_activity": 1.01, "active_days_7d": 5, "active_days_30d": 20},
        "days_since_last_activity",
        True,
    ),
    "Signed up 12 days ago and never came.": (
        {"days_since_last_activity": 12, "tenure_days": 12, "active_days_ever": 0},
        "days_since_last_activity",
        True,
    ),
    "Came on each of the last 6 days.": (
        {"active_days_7d": 6, "active_days_14d": 12, "active_days_30d": 26, "observed_days_30d": 6},
        "active_days_7d",
        False,
    ),
    "Came on 6 of the last 7 days (typical users: 4).": (
        {"active_days_7d": 6, "active_days_14d": 12, "active_days_30d": 26},
        "active_days_7d",
        False,
    ),
    "Came on each of the last 7 days; used to come twice a week.": (
        {"active_days_7d": 7, "active_days_14d": 9, "active_days_30d": 14},
        "active_days_7d",
        False,
    ),
    "Came on 1 of the last 7 days; used to come most days.": (
        {"days_since_last_activity": 1, "active_days_7d": 1, "active_days_30d": 18},
        "active_days_7d",
        True,
    ),
    "No lessons in two weeks (usually 3 hours).": (
        {"watch_minutes_30d": 205},
        "watch_minutes_14d",
        True,
    ),
    "No lessons in two weeks (usually 4.5 hours).": (  # of ten days before the silence
        {"watch_minutes_30d": 200, "days_since_last_activity": 20},
        "watch_minutes_14d",
        True,
    ),
    "No lessons in a month (typical users: 8 hours).": ({}, "watch_minutes_7d", True),
    "No lessons in two weeks (typical users: 3.5 hours).": (  # less than a minute is no habit
        {"watch_minutes_30d": 0.3},
        "watch_minutes_14d",
        True,
    ),
    "No lessons in the first 4 days.": ({"tenure_days": 3}, "watch_minutes_7d", True),
    "40 minutes of lessons in the last 7 days, half of the usual.": (
        {"watch_minutes_7d": 40, "watch_minutes_14d": 120, "watch_minutes_30d": 303},
        "watch_minutes_7d",
        True,
    ),
    "10 hours of lessons in the last 30 days (typical users: 8 hours).": (
        {"watch_minutes_7d": 140, "watch_minutes_14d": 280, "watch_minutes_30d": 600},
        "watch_minutes_30d",
        False,
    ),
    "1 login in the last 7 days (usually 12).": (
        {"logins_7d": 1, "logins_14d": 13, "logins_30d": 40},
        "logins_trend",
        True,
    ),
    "12 logins in the last 7 days, twice the usual.": (
        {"logins_7d": 12, "logins_14d": 18, "logins_30d": 32},
        "logins_7d",
        False,
    ),
    "1 failed payment in the last 30 days (typical users: none).": (
        {"failed_payments_7d": 1, "failed_payments_14d": 1, "failed_payments_30d": 1},
        "failed_payments_30d",
        True,
    ),
    "Quiz score averaged 52 over the last 7 days (70 over 30).": (
        {"quiz_score_7d": 52, "quiz_score_14d": 66, "quiz_score_30d": 70},
        "quiz_score_7d",
        True,
    ),
    "No quiz score in two weeks.": (
        {"quiz_score_7d": np.nan, "quiz_score_14d": np.nan, "quiz_score_30d": 70},
        "quiz_score_7d",
        True,
    ),
    "Share of failed payments: 40% over the last 30 days (typical users: 0%).": (
        {"payment_fail_rate_30d": 0.4},
        "payment_fail_rate_30d",
        True,
    ),
    "No payments or failed payments in a month.": (
        {"payment_fail_rate_30d": np.nan},
        "payment_fail_rate_30d",
        True,
    ),
    "Signed up 12 days ago: users this new leave more often.": (
        {"tenure_days": 12},
        "tenure_days",
        True,
    ),
    "Signed up 2 years ago: users this long with us leave less often.": (
        {"tenure_days": 800},
        "tenure_days",
        False,
    ),
}


@pytest.mark.parametrize("sentence", PEOPLE)
def test_each_person_is_told_what_a_manager_would_say(sentence):
    person, by, raises = PEOPLE[sentence]
    assert told(teller(), [person], [by], [raises]) == [sentence]


def test_many_people_at_once_are_told_what_each_is_told_alone():
    people, by, raises = zip(*PEOPLE.values(), strict=True)
    assert told(teller(), list(people), list(by), list(raises)) == list(PEOPLE)


@pytest.mark.parametrize(
    "value, raises, sentence",
    [
        ("basic", True, "Plan basic: users of this plan leave more often."),
        ("premium", False, "Plan premium: users of this plan leave less often."),
        ("unknown", True, "Plan unknown: such users leave more often."),
        (None, False, "Uncommon plan: such users leave less often."),
    ],
)
def test_an_attribute_is_told_by_the_users_own_value(value, raises, sentence):
    found = teller(values={"plan": ["basic", "premium", "unknown"]})
    matrix = np.zeros((1, len(found.facts) + 3), np.float32)
    if value:
        matrix[0, len(found.facts) + found.values["plan"].index(value)] = 1
    moved = np.zeros_like(matrix)
    moved[0, len(found.facts) + 1] = 1 if raises else -1
    texts: dict[str, int] = {}
    (place,) = telling.told(found, moved, matrix, np.array([0.9]), texts)["reason_1"]
    assert list(texts)[place] == sentence


def test_the_domains_verb_and_units_are_used():
    shop = teller("online_retail")
    person = {
        "days_since_last_activity": 40,
        "active_days_90d": 20,
        "observed_days_90d": 90,
        "spend_90d": 1200,
    }
    assert told(shop, [person] * 2, ["days_since_last_activity", "spend_30d"], [True, True]) == [
        "Silent for 40 days; used to buy three times a week.",
        "No spend in two months (usually £2,400).",
    ]


@pytest.mark.parametrize(
    "text, expected",
    [
        (sentences.counted(0, "lessons"), "0 lessons"),
        (sentences.counted(1, "failed payments"), "1 failed payment"),
        (sentences.counted(1, "lines added"), "1 line added"),
        (sentences.counted(1, "entries"), "1 entry"),
        (sentences.counted(1, "new classes"), "1 new class"),
        (sentences.counted(12345, "visits"), "12,345 visits"),
        (sentences.amount(1, "minutes"), "1 minute"),
        (sentences.amount(0.4, "minutes"), "less than 1 minute"),
        (sentences.amount(89, "minutes"), "89 minutes"),
        (sentences.amount(90, "minutes"), "1.5 hours"),
        (sentences.amount(60 * 27.4, "minutes"), "27 hours"),
        (sentences.amount(-3, "minutes"), "0 minutes"),
        (sentences.amount(7200, "seconds"), "2 hours"),
        (sentences.amount(2.9, "£"), "£2.90"),
        (sentences.amount(-35, "€"), "-€35"),
        (sentences.amount(1234.5, "EUR"), "1,234 EUR"),
        (sentences.amount(45, "%"), "45%"),
        (sentences.duration(1), "1 day"),
        (sentences.duration(400), "13 months"),
        (sentences.duration(800), "2 years"),
        (sentences.quantity("spend", "£", 20), "spend: £20"),
        (
            sentences.share("fail rate", 0.001, 30, None),
            "Fail rate: under 1% over the last 30 days.",
        ),
    ],
)
def test_numbers_and_units_have_the_grammar_of_0_1_and_many(text, expected):
    assert text == expected


def test_action_is_that_of_the_first_reason_that_raises_and_has_one():
    found = teller(actions={"logins": "write", "watch_minutes": "call", "tenure": "greet"})
    place = found.places
    moved = np.zeros((4, len(found.facts)), np.float32)
    moved[0, [place["watch_minutes_7d"], place["logins_7d"]]] = -3, 2  # the first lowers
    moved[1, [place["quiz_score_7d"], place["watch_minutes_7d"]]] = 3, 2  # the first has none
    moved[2, place["logins_7d"]] = -1
    moved[3, [place["logins_7d"], place["tenure_days"]]] = 3, 2
    texts: dict[str, int] = {}
    columns = telling.told(found, moved, np.zeros_like(moved), np.full(4, 0.5), texts)
    actions = [list(texts)[at] if at >= 0 else None for at in columns["action"]]
    assert actions == ["write", "call", None, "write"]


COUNTS = st.lists(st.integers(0, 40), min_size=3, max_size=3).map(sorted)
PERSON = st.builds(
    lambda silent, tenure, active, logins, minutes, score: {
        "days_since_last_activity": min(silent, tenure),
        "tenure_days": tenure,
        **dict(zip(("active_days_7d", "active_days_14d", "active_days_30d"), active, strict=True)),
        **dict(zip(("logins_7d", "logins_14d", "logins_30d"), logins, strict=True)),
        **{f"watch_minutes_{d}d": m for d, m in zip((7, 14, 30), minutes, strict=True)},
        "watch_minutes_trend": np.nan,
        "quiz_score_7d": score,
        "quiz_score_30d": score,
        "payment_fail_rate_30d": score,
        "active_days_ever": active[-1],
        "active_day_rate": active[-1] / (tenure + 1),
        "observed_days_30d": min(tenure + 1, 30),
    },
    st.integers(0, 900),
    st.integers(0, 3000),
    st.tuples(st.integers(0, 7), st.integers(7, 14), st.integers(14, 30)),
    COUNTS,
    st.lists(st.floats(0, 5000, width=32), min_size=3, max_size=3).map(sorted),
    st.one_of(st.just(float("nan")), st.floats(0, 1, width=32)),
)


@given(st.lists(PERSON, min_size=1, max_size=20), st.data())
def test_sentences_hold_together_whatever_the_numbers(people, data):
    """Counts in a sentence are those of the person's own windows."""
    found = teller()
    by = [data.draw(st.sampled_from(sorted(found.places))) for _ in people]
    raises = [data.draw(st.booleans()) for _ in people]
    for sentence, person in zip(told(found, people, by, raises), people, strict=True):
        assert not re.search(r"nan|None|  |-\d|inf", sentence), sentence
        assert re.fullmatch(r"[A-Z0-9].*\.", sentence), sentence
        if match := re.match(r"Silent for (\d+) days?\b", sentence):
            assert int(match[1]) == person["days_since_last_activity"]
        if match := re.match(r"(\d+) logins? in the last (\d+) days", sentence):
            assert int(match[1]) == person[f"logins_{match[2]}d"]
        if match := re.match(r"(\d+) minutes? of lessons in the last (\d+) days", sentence):
            assert abs(int(match[1]) - person[f"watch_minutes_{match[2]}d"]) <= 0.5
        if match := re.match(r"Came on (\d+) of the last (\d+) days", sentence):
            windows = {min(d, person["tenure_days"] + 1): d for d in (30, 14, 7)}
            assert int(match[1]) <= person[f"active_days_{windows[int(match[2])]}d"]


def test_the_same_people_in_another_order_are_told_the_same():
    people, by, raises = (list(reversed(part)) for part in zip(*PEOPLE.values(), strict=True))
    assert told(teller(), people, by, raises) == list(reversed(PEOPLE))
