"""What the desk says of campaigns, in words that follow from the numbers."""

import math
from types import SimpleNamespace

import pytest

from api.desk.render import by_direction, number
from api.desk.results import NORMAL, PLANNED, campaigns, lift, list_lead, missing_contacts


def campaign(low=None, high=None, *, treated=200, holdout=100, churn=0.5) -> dict:
    middle = None if low is None else (low + high) / 2
    return {
        "difference": middle,
        "difference_low": low,
        "difference_high": high,
        "treated_measured": treated,
        "holdout_measured": holdout,
        "treated_churn": churn,
        "holdout_churn": churn,
    }


SAID = {
    (-0.4, -0.02): ("kept", "2 of 10 fewer left; between 0 and 4."),
    (-0.29, -0.13): ("kept", "21 of 100 fewer left; between 13 and 29."),
    (0.02, 0.1): ("lost", "6 of 100 more left; between 2 and 10."),
    (-0.05, 0.03): (
        "same",
        "No clear difference: of 100 contacted, between 5 fewer and 3 more left.",
    ),
    (-0.13, 0.09): (
        "few",
        "Too few to tell: of 10 contacted, between 1 fewer and 1 more left;"
        " about 160 more contacts needed.",
    ),
}


@pytest.mark.parametrize("bounds", SAID)
def test_a_campaign_is_said_as_precisely_as_it_is_known(bounds):
    told = lift(campaign(*bounds))
    assert (told["verdict"], told["sentence"]) == SAID[bounds]


def version(rows: list[dict], as_of_date: str = "2025-05-31") -> SimpleNamespace:
    monitoring = {"campaign_lift": rows}
    return SimpleNamespace(
        monitoring=monitoring, as_of_date=as_of_date, metrics={"horizon_days": 30}
    )


@pytest.mark.parametrize(
    ("as_of_date", "said"), [("2025-04-30", "Not known yet"), ("2025-05-01", "Cannot be told")]
)
def test_outcomes_that_will_never_be_known_are_not_waited_for(as_of_date, said):
    """March's last contact is known 30 days after the 31st."""
    row = campaign(treated=0, holdout=0) | {"started_on": "2025-03-03", "campaign": "spring"}
    (month,) = campaigns(version([row], as_of_date))
    assert month["campaigns"][0]["sentence"].startswith(said)


def test_a_campaign_of_two_months_stands_under_both_with_its_own_result():
    kept = campaign(-0.29, -0.13) | {"started_on": "2025-03-03"}
    lost = campaign(0.02, 0.1) | {"started_on": "2025-04-01"}
    rows = [row | {"campaign": "unnamed"} for row in (kept, lost)]
    told = campaigns(version(rows))
    assert [
        (month["month"], row["campaign"], row["verdict"])
        for month in told
        for row in month["campaigns"]
    ] == [("April 2025", "unnamed", "lost"), ("March 2025", "unnamed", "kept")]


def test_a_campaign_without_outcomes_is_not_known_yet():
    assert lift(campaign(treated=0, holdout=0))["sentence"].startswith("Not known yet")
    assert "no contacted user compares" in lift(campaign(treated=3, holdout=0))["sentence"]


@pytest.mark.parametrize(("holdout", "churn"), [(100, 0.5), (300, 0.2), (2000, 0.0)])
def test_the_missing_contacts_would_show_the_planned_difference(holdout: int, churn: float):
    """The contacted count as campaign_lift counts them; what the holdout adds stays as it is."""
    share, of_holdout = (churn * 20 + 1) / 22, churn * (1 - churn) / holdout

    def half_width(treated: int) -> float:
        return NORMAL * math.sqrt(share * (1 - share) / treated + of_holdout)

    width = half_width(20)
    row = campaign(-width, width, treated=20, holdout=holdout, churn=churn)
    missing = missing_contacts(row)
    assert half_width(20 + missing) <= PLANNED
    assert missing == 1 or half_width(20 + missing - 1) > PLANNED


def test_no_number_of_contacts_makes_up_for_a_small_holdout():
    row = campaign(-0.4, 0.3, holdout=14)
    assert missing_contacts(row) is None
    assert "the holdout is too small to tell" in lift(row)["sentence"]


def test_reasons_that_lower_the_risk_stand_apart():
    user = {"reasons": ["silent", "no lessons", "paid"], "effects": ["raises", "raises", "lowers"]}
    assert by_direction(user) == (["silent", "no lessons"], ["paid"])


def test_reasons_of_earlier_releases_are_all_shown():
    assert by_direction({"reasons": ["silent", "paid"], "effects": []}) == (["silent", "paid"], [])


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(50.0, 0, "50"), (1200.4, 0, "1,200"), (0.4, 0, "0"), (50.0, 2, "50"), (0.5, 2, "0.5")],
)
def test_numbers_keep_the_zeros_that_count(value: float, digits: int, text: str):
    assert number(value, digits) == text


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        (
            (2.0, 0.5, 3.5),
            {"amount": 2.0, "word": "more", "low": 0.5, "high": 3.5, "is_clear": True},
        ),
        ((-1.0, -2.5, 0.5), {"amount": 1.0, "word": "less", "is_clear": False}),
        ((0.0, 0.0, 0.0), None),  # the list is the riskiest first
        ((None, None, None), None),
    ],
)
def test_the_lists_lead_is_told_where_it_is_measured(bounds, expected):
    row = dict(zip(("list_lead", "list_lead_low", "list_lead_high"), bounds, strict=True))
    publication = SimpleNamespace(monitoring={"policy_value": [{"policy": "risk"} | row]})
    found = list_lead(publication)
    assert found is None if expected is None else expected.items() <= found.items()
