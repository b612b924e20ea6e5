"""holdout: the same users in SQL and in Python, for ever, and about as many as asked for."""

import re

import duckdb
import pytest

from python_jobs.holdout import in_holdout
from python_jobs.settings import PROJECT


def sql(share: float) -> str:
    """The macro's SQL for a share, rendered as dbt would."""
    from jinja2 import Environment

    text = (PROJECT / "macros/in_holdout.sql").read_text()
    template = Environment().from_string(text + "{{ in_holdout('user_id') }}")
    return template.render(domain_settings=lambda: type("S", (), {"holdout_share": share}))


@pytest.mark.parametrize("share", [0, 0.05, 0.3, 0.999, 1])
def test_sql_and_python_agree_on_everybody(share):
    users = [f"u{i:07d}" for i in range(5000)] + ["", "ü@x.org", "12345", "o'brien"]
    found = duckdb.execute(
        f"select {sql(share)} from (select unnest($users) as user_id)", {"users": users}
    ).fetchall()
    assert [row[0] for row in found] == [in_holdout(user, share) for user in users]
    assert abs(sum(row[0] for row in found) / len(users) - share) < 0.015


def test_the_choice_never_changes():
    assert [i for i in range(100) if in_holdout(f"u{i}", 0.05)] == [6, 40, 71]


def test_a_greater_share_only_adds_users():
    users = [f"u{i}" for i in range(2000)]
    small, large = ({u for u in users if in_holdout(u, share)} for share in (0.05, 0.2))
    assert small < large


def test_no_model_but_campaign_lift_reads_treatments():
    """Who was contacted never becomes a feature or a label."""
    readers = [
        path.name
        for path in (PROJECT / "models").rglob("*.sql")
        if re.search(r"source\(\s*'raw',\s*'treatments'", path.read_text())
    ]
    assert readers == ["campaign_lift.sql"]
