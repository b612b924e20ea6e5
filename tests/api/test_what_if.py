"""what_if: what follows from features that were never published."""

from dataclasses import replace

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.store.publication import Publication, load
from api.store.what_if import follows
from python_jobs.publication.prediction import horizons_stayed
from python_jobs.scoring.rows import USER_VALUE

RISKS = st.floats(0, 1)


@given(RISKS, st.floats(1, 1e6), st.one_of(st.just(1.0), st.floats(0.5, 40)))
def test_value_is_the_one_that_scoring_computes(risk, worth, horizons):
    given_ = "(values (?, ?, ?)) as v (churn_risk, value_per_horizon, horizons)"
    query = f"select {USER_VALUE} from {given_}"
    ((value,),) = duckdb.execute(query, [risk, worth, horizons]).fetchall()
    assert worth * horizons_stayed(risk, horizons) == pytest.approx(value, rel=1e-9)


@pytest.fixture(scope="module")
def publication(finished_home) -> Publication:
    folder = (finished_home / "published/current").resolve()
    found = load(folder.parent, folder.name)
    return replace(found, manifest=found.manifest | {"value_horizons": 365 / 30})


def user(publication: Publication, **changed: object) -> tuple[dict, tuple]:
    """Return the prediction and the features of a user who may be contacted, with some changed."""
    sql = "select user_id from users where left_out_because is null and is_eligible limit 1"
    (user_id,) = publication.store.execute(sql).fetchone()
    return publication.prediction(user_id) | changed, publication.user_features(user_id)


def other(publication: Publication, values: tuple, name: str, value: object) -> list:
    found = list(values)
    found[publication.positions[name]] = value
    return found


@pytest.mark.parametrize(("before", "after"), [(0.05, 0.9), (0.95, 0.02), (0.4, 0.4)])
def test_a_pace_is_worth_as_much_as_the_new_risk_lets_it_last(publication, before, after):
    """At a risk of 0.9 nearly nothing of a year is left, however safe the user was."""
    row, values = user(
        publication, churn_risk=before, user_value=100 * horizons_stayed(before, 365 / 30)
    )
    told = follows(publication, after, other(publication, values, "tenure_days", 9), row, values)
    assert told["user_value"] == pytest.approx(100 * horizons_stayed(after, 365 / 30))
    assert told["expected_loss"] == pytest.approx(after * told["user_value"])


def test_a_version_of_an_earlier_release_knows_no_other_value(publication):
    row, values = user(publication)
    manifest = {name: one for name, one in publication.manifest.items() if name != "value_horizons"}
    older = replace(publication, manifest=manifest)
    told = follows(older, 0.5, other(older, values, "tenure_days", 9), row, values)
    assert told["user_value"] is told["expected_loss"] is told["expected_gain"] is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"in_holdout": True}, "holdout"),
        ({"left_out_because": "not_wanted"}, "not_wanted"),
        ({"left_out_because": "gone", "last_contact_on": "2025-04-20"}, "contacted"),
        ({"left_out_because": "gone", "last_contact_on": "2025-03-31"}, None),
        ({"left_out_because": "gone", "snoozed_until": "2025-05-02"}, "snoozed"),
        ({"left_out_because": "gone", "snoozed_until": "2025-05-01"}, None),
        ({"left_out_because": "snoozed", "snoozed_until": "2025-05-02"}, "snoozed"),
    ],
)
def test_who_is_left_out_stays_so_with_other_features(publication, changed, reason):
    row, values = user(publication, **changed)
    came = other(publication, values, "days_since_last_activity", 1)
    came = other(publication, came, "tenure_days", 7)
    told = follows(publication, 0.5, came, row, values)
    assert (told["risk_band"], told["left_out_because"]) == ("high", reason)
    gone = follows(
        publication, 0.5, other(publication, came, "days_since_last_activity", 99), row, values
    )
    assert gone["left_out_because"] == ("holdout" if reason == "holdout" else "gone")


def test_an_effect_model_decides_gains_that_are_not_told(publication):
    row, values = user(publication)
    monitoring = publication.monitoring | {"effect_model": [{"state": "promoted"}]}
    with_model = replace(publication, monitoring=monitoring)
    changed = other(publication, values, "tenure_days", 7)
    assert follows(publication, 0.5, changed, row, values)["expected_gain"] is not None
    assert follows(with_model, 0.5, changed, row, values)["expected_gain"] is None
