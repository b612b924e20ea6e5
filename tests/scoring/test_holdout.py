"""holdout: SQL and Python always choose the same users, in about the requested share."""

import re

import duckdb
import pytest
from support.homes import churnhouse, rows

from python_jobs.publication.holdout import in_holdout
from python_jobs.settings import PROJECT


def sql(share: float) -> str:
    """Return the macro's SQL for a share, rendered as in dbt."""
    from jinja2 import Environment

    text = (PROJECT / "macros/measures/in_holdout.sql").read_text()
    template = Environment().from_string(text + "{{ in_holdout('user_id') }}")
    return template.render(domain_settings=lambda: type("S", (), {"holdout_share": share}))


@pytest.mark.parametrize("share", [0, 0.05, 0.3, 0.999, 1])
def test_sql_and_python_choose_the_same_holdout(share):
    users = [f"u{i:07d}" for i in range(5000)] + ["", "ü@x.org", "12345", "o'brien"]
    found = duckdb.execute(
        f"select {sql(share)} from (select unnest($users) as user_id)", {"users": users}
    ).fetchall()
    assert [row[0] for row in found] == [in_holdout(user, share) for user in users]
    assert abs(sum(row[0] for row in found) / len(users) - share) < 0.015


def test_holdout_of_a_user_never_changes():
    assert [i for i in range(100) if in_holdout(f"u{i}", 0.05)] == [6, 40, 71]


def test_larger_holdout_share_only_adds_users():
    users = [f"u{i}" for i in range(2000)]
    small, large = ({u for u in users if in_holdout(u, share)} for share in (0.05, 0.2))
    assert small < large


def test_only_campaign_models_read_treatments():
    """Contact never becomes a feature or a label."""
    reads = re.compile(
        r"(source\(\s*'raw',\s*'|ref\(\s*')"
        r"(stg_raw__treatments|treatments|contacts|contact_states|campaign_)"
    )
    readers = {
        path.stem for path in (PROJECT / "models").rglob("*.sql") if reads.search(path.read_text())
    }
    campaigns = {"contacts", "treatments", "rejected_treatments"}
    campaigns |= {"campaign_outcomes", "campaign_lift"}
    campaigns |= {"contact_outcomes", "list_outcomes"}
    lists = {"contact_states", "contact_candidates", "users"}
    assert readers == campaigns | lists | {"stg_raw__treatments"}


def test_predictions_and_exports_flag_the_holdout_for_every_user(finished_home):
    """All exports flag the same holdout users, 5 % by default."""
    current = finished_home / "published/current"
    exports = [*current.glob("*.csv"), *current.glob("*.parquet")]
    assert len(exports) == 4
    for path in exports:
        found = duckdb.execute(f"select user_id::text, in_holdout from '{path}'").fetchall()
        assert found == [(user, in_holdout(user, 0.05)) for user, _ in found], path
        assert any(held for _, held in found) is ("top_50" not in path.name)
    table = rows(finished_home, "select user_id, in_holdout from churn_predictions")
    assert table == [(user, in_holdout(user, 0.05)) for user, _ in table]


def test_treatments_change_no_feature_label_or_training_row(home):
    """Every third user is treated on a day before, at and after each sampled as_of_date."""
    tables = ("user_features_daily", "churn_labels", "evaluation_set")
    query = " union all ".join(f"select md5(string_agg(t::text order by t)) from {n} as t"
                               for n in tables)  # fmt: skip
    before = rows(home, query)
    with duckdb.connect(str(home / "warehouse.duckdb")) as connection:
        connection.execute("""
            insert into raw.treatments by name
            select user_id, as_of_date + n as treated_at, 'spring' as campaign, now() as ingested_at
            from evaluation_set, unnest([-3, 0, 3]) as days(n)
            where hash(user_id) % 3 = 0
        """)
    churnhouse(home, "build", "--full-refresh")
    assert rows(home, query) == before
    assert rows(home, "select bool_and(treated_users > 50) from campaign_lift") == [(True,)]
