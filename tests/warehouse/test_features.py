"""Features: which attributes and which of their values a training table teaches."""

from collections import Counter

import duckdb
import pytest
from support.tiny import TINY, day

from python_jobs.warehouse.features import MIN_USERS, MOST_VALUES, Features


@pytest.fixture
def con():
    """A table with 800 users on three dates; the third quarter of the users is not eligible."""
    con = duckdb.connect()
    con.execute("""
        create table t as
        select
            'u' || u as user_id,
            u not between 400 and 599 as is_eligible,
            u as logins,
            'u' || u || '@example.com' as email,
            if(u < 30, 'few', if(u < 59, 'fewer', null)) as plan,
            'v' || lpad(cast(u % 23 as varchar), 2, '0') as city,
            if(u between 400 and 599, 'silent', 'DE') as country,
            'same' as brand,
            u as value,
            date '2025-01-01' + cast(u % 2 as integer) as signup_date
        from range(800) as users(u), range(3) as dates(d)
    """)
    return con


def test_values_of_enough_eligible_users_become_inputs(con):
    """30 users are enough, 29 are not, however many rows they have; NULL is a value too."""
    assert MIN_USERS == 30
    features = Features.learned(con, "t", ["plan", "city"])
    assert features.names == ["logins", "value", "plan"]
    assert features.values == {"plan": ["unknown", "few"]}
    assert features.types == ["BIGINT", "BIGINT", "VARCHAR"]


def test_attribute_with_a_value_for_each_user_never_becomes_an_input(con):
    """Nor does one with a single value among eligible users, or one that is no text."""
    features = Features.learned(con, "t", ["email", "brand", "country", "signup_date"])
    assert features == Features.of_table(con, "t") and features.names == ["logins", "value"]


def test_only_the_commonest_values_become_inputs(con):
    """Of 23 cities, those with most users; of two that are equally common, the first by name."""
    con.execute("insert into t select user_id || 'x', * exclude (user_id) from t")
    users = Counter(
        city
        for city, _ in con.execute(
            "select distinct city, user_id from t where is_eligible"
        ).fetchall()
    )
    expected = sorted(users, key=lambda city: (-users[city], city))[:MOST_VALUES]
    assert min(users.values()) >= MIN_USERS and len(users) == 23
    assert Features.learned(con, "t", ["city"]).values == {"city": expected}


def test_order_of_rows_does_not_change_what_is_learned(con):
    before = Features.learned(con, "t", ["plan", "city", "country"])
    con.execute("create or replace table t as from t order by hash(user_id)")
    assert Features.learned(con, "t", ["country", "city", "plan"]) == before


def test_missing_or_retyped_attribute_is_named(con):
    features = Features.learned(con, "t", ["plan"])
    assert features.differences(Features.of_table(con, "t", features.values)) == []
    con.execute("alter table t alter plan type integer using length(plan)")
    there = Features.of_table(con, "t", features.values)
    assert features.differences(there) == ["plan is INTEGER, the model has VARCHAR"]
    con.execute("alter table t drop plan")
    there = Features.of_table(con, "t", features.values)
    assert features.differences(there) == ["plan is missing, the model has VARCHAR"]


def test_fingerprint_covers_known_values():
    plain = Features(["a", "plan"], ["INTEGER", "VARCHAR"], {"plan": ["x", "y"]})
    other = Features(plain.names, plain.types, {"plan": ["x", "z"]})
    assert plain.fingerprint != other.fingerprint


def test_settings_name_the_columns_of_the_table(tiny):
    """value.sql and list.where are tried against these names before there is a table."""
    visit = ("e1", "ann", f"{day(1)} 12:00:00", "visit", 1)
    tiny.load([("ann", day(0), "a", f"{day(0)} 00:00:00")], [visit])
    tiny.build()
    columns = {name for name, *_ in tiny.rows("describe user_features_daily")}
    of_all = {"user_id", "as_of_date", "is_eligible", "days_since_last_activity", "tenure_days"}
    assert "lifetime" in TINY.vars.feature_families
    assert columns == of_all | {*TINY.vars.attributes, *TINY.vars.features}
