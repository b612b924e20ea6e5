"""Totals: the calendar's weeks and each attribute's values add up to what the overview shows."""

from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.homes import rows

from api.store.publication import Publication, load

HORIZON = 30
AS_OF = date(2025, 3, 31)


@pytest.fixture(scope="module")
def publication(finished_home: Path) -> Publication:
    published = finished_home / "published"
    return load(published, (published / "current").resolve().name)


@pytest.fixture(scope="module")
def calendar_sql(finished_home: Path) -> str:
    """The model's SQL as dbt ran it, for the horizon of 30 days."""
    compiled = finished_home / "dbt/target/compiled/churnhouse/models/predictions"
    return (compiled / "churn_calendar.sql").read_text(encoding="utf-8")


def expected_churners(publication: Publication) -> float:
    return sum(band["expected_churners"] for band in publication.bands.values())


def test_weeks_add_up_to_the_overview(publication: Publication):
    weeks = publication.monitoring["churn_calendar"]
    assert [week["week_start"] for week in weeks] == [
        f"2025-05-{day:02}" for day in (1, 8, 15, 22, 29)
    ]
    assert weeks[-1]["week_end"] == "2025-05-30"
    total = sum(week["expected_leavers"] for week in weeks)
    assert total == pytest.approx(expected_churners(publication), rel=1e-9)
    assert sum(week["users"] for week in weeks) == sum(
        band["eligible_users"] for band in publication.bands.values()
    )


def test_silence_of_a_horizon_decides_the_week(finished_home: Path, publication: Publication):
    """Every day of this world has data, so the silence began on the last active day."""
    found = rows(
        finished_home,
        f"""
        select days.last_active_on + {HORIZON} as lost_on, sum(predictions.expected_loss)
        from churn_predictions_latest as predictions
        inner join user_daily as days
            on predictions.user_id = days.user_id and predictions.as_of_date = days.day
        where predictions.is_eligible
        group by all
        """,
    )
    for week in publication.monitoring["churn_calendar"]:
        loss = sum(
            loss for day, loss in found if week["week_start"] <= str(day) <= week["week_end"]
        )
        assert week["expected_loss"] == pytest.approx(loss, rel=1e-9)


def test_values_of_each_attribute_add_up_to_the_overview(
    finished_home: Path, publication: Publication
):
    totals = publication.monitoring["risk_by_attribute"]
    assert {row["attribute"] for row in totals} == {"country", "marketing_source", "plan"}
    (listed,) = rows(finished_home, "select count(*) from churn_top_risk")[0]
    for attribute in publication.attributes:
        own = [row for row in totals if row["attribute"] == attribute]
        named = {row["value"]: row["users"] for row in own if row["value"] not in (None, "other")}
        choices = publication.choices[attribute]
        assert named == {value: users for value, users in choices.items() if users >= 20}
        assert all(row["users"] >= 20 for row in own)
        assert sum(row["users"] for row in own) == publication.users
        assert sum(row["listed_users"] for row in own) == listed
        assert sum(row["expected_churners"] for row in own) == pytest.approx(
            expected_churners(publication), rel=1e-9
        )
        losses = [row["expected_loss"] for row in own]
        assert losses == sorted(losses, reverse=True)


PEOPLE = st.lists(
    st.tuples(
        st.floats(0, 1),  # churn_risk
        st.floats(0, 1e6),  # user_value
        st.integers(0, 45),  # days of silence
        st.booleans(),  # is_eligible
    ),
    max_size=30,
)
SHARES = st.floats(0.001, 1)
PAST = st.lists(st.tuples(st.booleans(), SHARES, SHARES), max_size=4)


@settings(max_examples=60)
@given(people=PEOPLE, past=PAST)
def test_calendar_holds_whatever_the_predictions(calendar_sql, people, past):
    """Nobody, one user, all gone: whole weeks, sums that add up, bounds that mean something."""
    with duckdb.connect() as con:
        con.execute("attach ':memory:' as warehouse")
        con.execute(
            "create table warehouse.churn_predictions_latest (user_id varchar, as_of_date date,"
            " churn_risk double, user_value double, expected_loss double, is_eligible boolean)"
        )
        con.execute(
            "create table warehouse.user_features_latest"
            " (user_id varchar, days_since_last_activity integer)"
        )
        con.execute(
            "create table warehouse.model_performance"
            " (is_mature boolean, base_rate double, expected_base_rate double)"
        )
        for number, (risk, value, silence, is_eligible) in enumerate(people):
            user = f"u{number}"
            con.execute(
                "insert into warehouse.churn_predictions_latest values (?, ?, ?, ?, ?, ?)",
                [user, AS_OF, risk, value, risk * value, is_eligible],
            )
            con.execute("insert into warehouse.user_features_latest values (?, ?)", [user, silence])
        for is_mature, expected, realised in past:
            con.execute(
                "insert into warehouse.model_performance values (?, ?, ?)",
                [is_mature, realised if is_mature else None, expected],
            )
        found = con.execute(calendar_sql)
        names = [column[0] for column in found.description]
        weeks = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    if not people:
        assert weeks == []
        return
    days = [AS_OF]
    for week in weeks:
        assert week["week_start"] == days[-1] + timedelta(1)
        days.append(week["week_end"])
        for what in ("expected_leavers", "expected_loss"):
            assert 0 <= week[f"{what}_low"] <= week[what] <= week[f"{what}_high"]
        assert week["expected_leavers_high"] <= week["users"]
        assert (week["level_error"] is None) == (not any(is_mature for is_mature, *_ in past))
    assert days[-1] == AS_OF + timedelta(HORIZON)
    counted = [one for one in people if one[3]]
    assert sum(week["users"] for week in weeks) == len(counted)
    assert sum(week["expected_leavers"] for week in weeks) == pytest.approx(
        sum(risk for risk, *_ in counted)
    )
    assert sum(week["expected_loss"] for week in weeks) == pytest.approx(
        sum(risk * value for risk, value, *_ in counted)
    )
