"""Small training data made in SQL: weekly rows with a pattern to learn."""

import re
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from python_jobs.publication.feature_facts import FeatureFact
from python_jobs.reasons.words import Words
from python_jobs.registry.register import Registered, register
from python_jobs.scoring.duckdb_score import churn_scores
from python_jobs.settings import PROJECT, Settings
from python_jobs.training.metrics import Campaign
from python_jobs.training.train import read_inputs, train

NOW = datetime(2026, 11, 21, 10, 15, tzinfo=UTC)
DDL = (PROJECT / "macros/hooks/create_ml_tables.sql").read_text()
ML_TABLES = "".join(re.findall(r"create [^;{]*;", DDL))
EXPLAINED = {
    f"{name}_30d": FeatureFact.of(name, 30)
    for name in ("active_days", "events", "watch_minutes", "payment_fail_rate")
}
WORLD = """
create table world as
with
draws as (
    select
        'u' || lpad(cast(u as varchar), 6, '0') as user_id,
        date '2025-02-02' + cast(7 * k as integer) as as_of_date,
        (hash(u) % 997) / 997.0 as engagement,
        [(hash(u * 1009 + k * 31 + salt) % 991) / 991.0 for salt in range(5)] as noise
    from range($users) as users(u), range($dates) as dates(k)
)
select
    user_id,
    as_of_date,
    noise[1] < 0.2 + engagement as is_eligible,
    if(engagement < 0.5, 'free', 'paid') as plan,
    cast(30 * (1 - engagement) * noise[2] as integer) as days_since_last_activity,
    cast(30 * engagement * noise[3] as integer) as active_days_30d,
    cast(200 * engagement * noise[3] + 10 * noise[4] as bigint) as events_30d,
    if(noise[4] < 0.2, null, 1000 * engagement * noise[5] * noise[5]) as watch_minutes_30d,
    noise[1] / 3 as payment_fail_rate_30d,
    cast(noise[5] > 0.15 + 0.8 * engagement as integer) as churn_label
from draws
"""


def new_warehouse(users: int = 400, dates: int = 9) -> duckdb.DuckDBPyConnection:
    """Return weekly evaluation_set, a later user_features_latest and empty ml tables."""
    con = duckdb.connect()
    con.execute(ML_TABLES)
    con.execute(WORLD, {"users": users, "dates": dates + 2})
    con.execute(f"""
        create table evaluation_set as
        from world where as_of_date < date '2025-02-02' + {7 * dates};
        create table user_features_latest as
        select * exclude (churn_label) from world
        where as_of_date = (select max(as_of_date) from world);
        create table user_values as
        select user_id, as_of_date, 100.0::double as value_per_horizon, 1.0::double as horizons
        from user_features_latest;
        create table build_window as
        select date '2025-01-01' as data_from, max(as_of_date) + 30 as data_through
        from evaluation_set
    """)
    return con


BY_PLAN = """
alter table {table} add email varchar;
update {table} set
    email = user_id || '@example.com',
    plan = ['basic', 'basic', 'basic', 'premium', 'premium', 'premium', 'premium', null, null]
        [1 + cast(hash(user_id) % 9 as integer)];
"""


def warehouse_by_plan(users: int = 400, dates: int = 9) -> duckdb.DuckDBPyConnection:
    """Return a warehouse in which only the plan decides: 'basic' churns, 'premium' and NULL stay.

    One user in ten does the opposite. The attribute email has another value for each user.
    """
    con = new_warehouse(users, dates)
    for table in ("evaluation_set", "user_features_latest"):
        con.execute(BY_PLAN.format(table=table))
    con.execute("""
        update evaluation_set set
            churn_label = (coalesce(plan, '') = 'basic') <> (hash(user_id || as_of_date) % 10 = 0)
    """)
    return con


def run(con: duckdb.DuckDBPyConnection, home: Path, **options: object) -> Registered:
    """Train and register the version."""
    chosen = {"horizon_days": 30, "time_budget": 0, "campaign": Campaign(5, 0.1, 100)}
    chosen |= {"explained": EXPLAINED} | options
    now, champion = chosen.pop("now", NOW), chosen.pop("champion", None)
    inputs, progress = read_inputs(con, **chosen), chosen.get("progress")
    trained = train(inputs, champion=champion, progress=progress)
    return register(con, Settings(home=home), trained, now=now)


def score(con: duckdb.DuckDBPyConnection, settings: Settings, words: Words | None = None) -> None:
    """Score user_features_latest; the view `scores` has the result until the next call."""
    scores = churn_scores(con, settings, "user_features_latest", "user_values", words)
    con.register("scores", scores.to_arrow_table())


def months_later(con: duckdb.DuckDBPyConnection) -> None:
    """Add the data of ten more weeks; an earlier champion saw none of its test dates."""
    con.execute("""
        create or replace table evaluation_set as
        from evaluation_set union all by name
        select * replace (as_of_date + 70 as as_of_date) from evaluation_set;
        update build_window set data_through = data_through + 70;
    """)


def scramble_labels(con: duckdb.DuckDBPyConnection) -> None:
    """Make what a model trained after months_later learns from worthless."""
    con.execute("""
        update evaluation_set set churn_label = hash(user_id || as_of_date || 'x') % 2
        where as_of_date < date '2025-05-15'
    """)
