"""limits: what checks of events say of sums, averages and ratios."""

import pytest

from python_jobs.publication.limits import limits_of


def measured(agg: str, check: dict, event_type: str | None = "pay") -> tuple | None:
    measure = {"name": "spend", "agg": agg, "column": "amount", "event_type": event_type}
    settings = {"measures": [measure], "ratios": [], "checks": {"amount": check}}
    return limits_of(settings).get("spend")


@pytest.mark.parametrize(
    ("agg", "check", "limits"),
    [
        ("count", {}, (0, None)),
        ("avg", {"min": 1, "max": 5}, (1, 5)),
        ("avg", {"above": 0}, (0, None)),
        ("avg", {"min": None, "max": 5}, (None, 5)),
        ("avg", {"values": ["1", "2"]}, None),
        ("avg", {}, None),
        ("sum", {"min": 3, "max": 5}, (0, None)),  # no event, or many
        ("sum", {"min": -3, "max": 5}, None),  # many of either sign
        ("sum", {"min": -3, "max": 0}, (None, 0)),
    ],
)
def test_limits_follow_from_the_checks_of_events(agg, check, limits):
    assert measured(agg, check) == limits


@pytest.mark.parametrize(
    ("only_on", "event_type", "limits"),
    [
        (["pay"], "pay", (0, None)),
        (["pay", "refund"], "pay", (0, None)),
        (["refund"], "pay", None),
        (["pay"], None, None),  # events of other types are summed, and not checked
    ],
)
def test_a_check_of_some_events_limits_their_measures_only(only_on, event_type, limits):
    assert measured("sum", {"min": 0, "only_on": only_on}, event_type) == limits


@pytest.mark.parametrize(
    ("check", "of", "limits"),
    [
        ({"min": 0}, ["spend", "visits"], (0, 1)),
        ({"min": 0}, ["visits"], (0, None)),  # no share of it: spend per visit
        ({}, ["spend", "visits"], None),  # a refund may be more than all payments
    ],
)
def test_a_ratio_of_what_is_never_below_0_is_a_share(check, of, limits):
    spend = {"name": "spend", "agg": "sum", "column": "amount", "event_type": None}
    visits = {"name": "visits", "agg": "count", "column": None, "event_type": None}
    settings = {
        "measures": [spend, visits],
        "ratios": [{"name": "share", "part": "spend", "of": of}],
        "checks": {"amount": check},
    }
    assert limits_of(settings).get("share") == limits
