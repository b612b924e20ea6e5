"""The simulated team: never the holdout, repeatable, and with the effect that the truth names."""

from datetime import date
from pathlib import Path

import duckdb
import pytest
from support.homes import churnhouse, rows

from python_jobs.errors import JobError
from python_jobs.publication.holdout import in_holdout
from python_jobs.synthetic.generate import generate

SMALL = {"users": 400, "days": 45, "effect": 0.5}
ROWS = "select md5(string_agg(r::text, '|' order by r::text)) from '{}' as r"
# Of 120 users and 16 days before there were campaigns.
EVENTS_BEFORE = "d0f03d9ecb65bdfe2309912af8db94a5"  # pragma: allowlist secret - a hash of test data
USERS_BEFORE = "99fb0a0eed674993d77a00b8954c08e0"  # pragma: allowlist secret - a hash of test data


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.parquet"))}


def made(folder: Path, **parameters) -> dict[str, bytes]:
    generate(folder / "raw", folder / "truth", **{**SMALL, **parameters})
    return contents(folder)


def of_raw(files: dict[str, bytes], *kinds: str) -> dict[str, bytes]:
    return {name: file for name, file in files.items() if name.split("/")[1] in kinds}


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """Return DuckDB views over 6,000 users, 80 days and strong contacts."""
    home = tmp_path_factory.mktemp("campaigns")
    generate(home / "raw", home / "truth", users=6000, days=80, effect=0.6, holdout_share=0.2)
    with duckdb.connect() as db:
        db.execute(f"""
            create view users as
            select distinct on (user_id) * from '{home}/raw/users/*.parquet' order by updated_at;
            create view active as
            select user_id, event_time::date as day from '{home}/raw/events/*.parquet'
            where event_type in ('login', 'course_enroll', 'video_watch', 'quiz_attempt');
            create view treatments as from '{home}/raw/treatments/*.parquet';
            create view contacts as from '{home}/truth/contacts/*.parquet';
            create view effects as from '{home}/truth/contact_effects/*.parquet'
        """)
        yield db


def test_data_without_a_team_are_what_they_were(tmp_path):
    generate(tmp_path / "raw", tmp_path / "truth", users=120, days=16)
    for kind, before in (("events", EVENTS_BEFORE), ("users", USERS_BEFORE)):
        found = duckdb.execute(ROWS.format(tmp_path / "raw" / kind / "*.parquet")).fetchone()
        assert found == (before,)
    assert not list(tmp_path.rglob("treatments"))


def test_world_is_the_same_until_the_first_contact_works(tmp_path):
    without = of_raw(made(tmp_path / "without", effect=None), "users", "events")
    with_team = made(tmp_path / "with")
    first = min(of_raw(with_team, "treatments"))[-18:-8]
    assert first == "2025-02-03"
    same = [name for name, file in without.items() if with_team[name] == file]
    assert {name for name in without if name[-18:-8] <= first} <= {*same}
    assert not [name for name in same if "events" in name and name[-18:-8] > first]


def test_team_without_effect_changes_nothing(tmp_path):
    without = of_raw(made(tmp_path / "without", effect=None), "users", "events")
    found = made(tmp_path / "with", effect=0.0)
    assert of_raw(found, "users", "events") == without
    assert len(of_raw(found, "treatments")) == 2
    changes = duckdb.execute(
        f"select distinct change from '{tmp_path}/with/truth/contacts/*.parquet'"
    )
    assert changes.fetchall() == [("unchanged",)]


def test_appended_days_go_on_with_the_campaigns(tmp_path):
    longer = made(tmp_path / "at_once", days=55)
    made(tmp_path / "in_steps", days=34)
    made(tmp_path / "in_steps", days=11, append=True, effect=None)
    assert made(tmp_path / "in_steps", days=10, append=True, effect=None) == longer
    assert len(of_raw(longer, "treatments")) == 4


def test_finished_world_is_left_alone_and_another_effect_refused(tmp_path):
    before = made(tmp_path)
    assert made(tmp_path) == before
    with pytest.raises(JobError, match=r"already holds a world of .*effect 0.5"):
        made(tmp_path, effect=0.2)
    (tmp_path / "raw/treatments/2025-02-10.parquet").unlink()
    assert made(tmp_path) == before


def test_team_contacts_nobody_of_the_holdout_and_pauses(lake):
    found = lake.execute("select user_id, treated_at::date from treatments").fetchall()
    assert len(found) > 800
    assert not [user for user, _ in found if in_holdout(user, 0.2)]
    assert {day.weekday() for _, day in found} == {0}
    assert min(day for _, day in found) == date(2025, 2, 3)
    gaps = lake.execute("""
        select min(day - before) from (
            select treated_at::date as day,
                lag(treated_at::date) over (partition by user_id order by treated_at) as before
            from treatments
        )
    """).fetchone()
    assert gaps[0] > 28


def test_contacts_have_a_campaign_and_how_they_went(lake):
    found = lake.execute("""
        select
            count(*) filter (campaign = treated_at.strftime('calls %Y-%m')) / count(*),
            count(*) filter (outcome = 'reached') / count(*),
            list_sort(list_distinct(list(channel))), list_sort(list_distinct(list("by")))
        from treatments
    """).fetchone()
    assert found[0] == 1
    assert found[1] == pytest.approx(0.8, abs=0.05)
    assert found[2:] == (["email", "phone"], ["Ana", "Ben", "Chen"])


@pytest.mark.parametrize("change", ["unchanged", "kept", "%"])
def test_true_probabilities_match_what_happened(lake, change):
    """Over all contacts; those that were kept or driven away are what makes the difference."""
    happened, with_contact, without, error, n = lake.execute(
        """
        with outcomes as (
            select
                churn_probability,
                churn_probability_if_contacted as p,
                case when exists (
                    from active
                    where
                        active.user_id = contacts.user_id
                        and day > as_of_date and day <= as_of_date + 30
                ) then 0 else 1 end as churned
            from contacts
            where as_of_date <= date '2025-02-17' and change like ?
        )
        select avg(churned), avg(p), avg(churn_probability), sqrt(sum(p * (1 - p))) / count(*),
            count(*)
        from outcomes
        """,
        [change],
    ).fetchone()
    assert n > 40
    if change == "%":
        assert abs(happened - with_contact) < 3 * error < without - happened
    elif change == "kept":
        assert happened < 0.15 < without
    else:
        assert happened > with_contact + error


def test_effect_depends_on_silence_plan_and_source(lake):
    lake.execute("""
        create or replace temp table leaving as
        select
            churn_probability - churn_probability_if_contacted as effect,
            users.plan,
            users.marketing_source = 'social_ads' as is_ad,
            as_of_date - last_active as silent
        from effects
        inner join users using (user_id)
        inner join (
            select user_id, max(day) as last_active
            from active
            where day <= date '2025-03-02'
            group by user_id
        ) using (user_id)
        where as_of_date = date '2025-03-02' and churn_probability > 0.3
    """)
    recent = "select plan, avg(effect) from leaving where silent < 8 and not is_ad group by plan"
    effect = dict(lake.execute(recent).fetchall())
    assert effect["premium"] > 1.3 * effect["basic"] > 2 * effect["free"] > 0.1
    late = "select avg(effect) from leaving where silent > 21 and not is_ad"
    assert 0 < lake.execute(late).fetchone()[0] < 0.1
    annoyed = "select avg(churn_probability_if_contacted - churn_probability) from effects "
    annoyed += "inner join users using (user_id) where marketing_source = 'social_ads' "
    annoyed += "and churn_probability < 0.1"
    assert lake.execute(annoyed).fetchone()[0] > 0.1


def called_on(folder: Path, day: str) -> set[str]:
    found = duckdb.execute(f"select user_id from '{folder}/raw/treatments/2025-02-{day}.parquet'")
    return {user_id for (user_id,) in found.fetchall()}


def test_team_calls_whom_it_is_told_to(tmp_path):
    made(tmp_path, days=34)
    own = called_on(tmp_path, "03")
    called = {"u0000003", "u0000001"} - own
    made(tmp_path, days=14, append=True, effect=None, called=sorted(called))
    assert called_on(tmp_path, "10") == called
    assert sorted(path.stem[-2:] for path in (tmp_path / "raw/treatments").iterdir()) == [
        "03",
        "10",
    ]
    with pytest.raises(JobError, match="no user 'bob'"):
        made(tmp_path, days=7, append=True, called=["bob"])


def test_nobody_can_be_called_without_a_team(tmp_path):
    made(tmp_path, days=3, effect=None)
    with pytest.raises(JobError, match="have no team"):
        made(tmp_path, days=7, append=True, effect=None, called=["u0000001"])


def test_contacts_of_the_team_are_ingested(tmp_path):
    home = tmp_path / "data"
    churnhouse(home, "generate", "--users", 200, "--days", 45, "--campaigns", "--effect", 0.5)
    churnhouse(home, "ingest")
    found = rows(home, 'select count(*), count(distinct campaign), count("by") from raw.treatments')
    assert found == [(10, 1, 10)]
