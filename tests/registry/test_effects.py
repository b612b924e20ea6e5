"""The effect model: decided by its lead, kept beside the champion, and followed by the lists."""

from datetime import UTC, datetime

import duckdb
import numpy as np
import pytest
from support.homes import churnhouse, dbt, rows

from python_jobs.errors import JobError
from python_jobs.registry import effects
from python_jobs.registry.effects import MIN_CLASS, MIN_CONTACTS, Decision, decide
from python_jobs.training.effect import Lead

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def lead(value: float, half: float, contacts: int = 400, covered: bool = True) -> Lead:
    return Lead(value, value - half, value + half, contacts, covered)


@pytest.mark.parametrize(
    ("contacts", "smallest", "found", "state", "missing"),
    [
        (0, 0, None, "too_few_contacts", MIN_CONTACTS),
        (MIN_CONTACTS - 1, 100, None, "too_few_contacts", 1),
        (600, MIN_CLASS // 3, None, "too_few_contacts", 1200),
        (400, 100, lead(5, 1, covered=False), "not_covered", None),
        (400, 100, lead(5, 4.9), "promoted", 0),
        (400, 100, lead(5, 5), "not_better", 1),
        (400, 100, lead(2, 4), "not_better", 1200),
        (400, 100, lead(-2, 1), "not_better", None),
    ],
)
def test_only_a_lead_whose_interval_is_above_zero_promotes(
    contacts, smallest, found, state, missing
):
    decision = decide(contacts, smallest, found)
    assert (decision.state, decision.missing_contacts) == (state, missing)
    assert decision.is_promoted is (state == "promoted")
    assert f"{contacts:,} contacts" in decision.reason


def campaign(home, kept: float) -> None:
    """Give the home six weeks of contacts: those of plan premium are kept, by this share."""
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        con.execute(
            """
            create or replace table outcomes as
            select
                f.user_id, date '2025-03-03' + 7 * n::integer as week,
                hash(f.user_id, 'arm') % 2 = 0 as is_treated, p.churn_risk,
                case
                    when hash(f.user_id, n, 'keep') % 1000 < 1000 * ? and f.plan = 'premium'
                        and hash(f.user_id, 'arm') % 2 = 0 then 0
                    else (hash(f.user_id, n, 'churn') % 1000 < 500)::integer
                end as churn_label
            from ml.scored_features as f
            inner join churn_predictions_latest as p using (user_id)
            cross join unnest(range(6)) as weeks (n)
            where p.is_eligible
            """,
            [kept],
        )
        con.execute(
            """
            create or replace table contact_outcomes as
            select *, date '2025-04-30' as scored_on, 'high' as risk_band, 'recent' as silence_group
            from outcomes;
            create or replace table list_outcomes as
            select
                week, user_id, 0.5::double as list_probability, 1.0::double as called_share,
                50.0::double as expected_loss, 100.0::double as user_value
            from outcomes
            """
        )


def learned(home) -> Decision:
    """Learn from the home's contacts alone."""
    with duckdb.connect(str(home / "warehouse.duckdb")) as con:
        con.execute("delete from ml.effect_models")
        decision = effects.learn(con, home / "models", seed=7, now=NOW)
    assert decision is not None
    return decision


def gains(home) -> np.ndarray:
    """Return what a contact keeps: as listed, by effect, by save rates; and plan premium or not."""
    dbt(home, "run", "--select", "effect_scores", "contact_candidates", "effect_model")
    query = """
        select
            expected_gain + 5, user_value * effect, expected_loss * save_rate, plan = 'premium'
        from contact_candidates
        inner join churn_predictions_latest using (user_id)
        inner join user_features_latest using (user_id)
        left join effect_scores using (user_id)
        where risk_band <> 'gone'
    """
    return np.array(rows(home, query), float).T


def test_lists_follow_an_effect_model_that_earns_more_and_let_it_go(home):
    campaign(home, 0.9)
    decision = learned(home)
    assert decision.is_promoted, decision.reason
    kept, by_effect, _, premium = gains(home)
    assert kept == pytest.approx(by_effect)
    assert by_effect[premium == 1].mean() > 25 > 10 > by_effect[premium == 0].mean()
    told = "select state, contacts, missing_contacts, lead_low, reason from effect_model"
    expected = ("promoted", decision.contacts, 0, decision.lead.low, decision.reason)
    assert rows(home, told) == [expected]
    campaign(home, 0.0)
    assert learned(home).state == "not_better"
    assert effects.in_use(home / "models") is None
    kept, by_effect, by_rates, _ = gains(home)
    assert np.isnan(by_effect).all() and kept == pytest.approx(by_rates)
    assert rows(home, told)[0][0] == "not_better"


def test_changed_effect_model_stops_the_lists(home):
    campaign(home, 0.9)
    assert learned(home).is_promoted
    folder = home / "models/effects" / effects.version_in_use(home / "models")
    (folder / "treated.onnx").write_bytes(b"other")
    with pytest.raises(JobError, match="not the file that was registered"):
        effects.in_use(home / "models")
    done = churnhouse(home, "build", "--select", "effect_scores", check=False)
    assert done.returncode == 1 and "treated.onnx" in done.stderr


def test_training_without_contacts_learns_nothing_and_says_what_is_missing(home):
    churnhouse(home, "train", "--time-budget", 0)
    found = rows(home, "select state, contacts, missing_contacts from ml.effect_models")
    assert found == [("too_few_contacts", 0, MIN_CONTACTS)]
    assert not (home / "models/effects").exists()
