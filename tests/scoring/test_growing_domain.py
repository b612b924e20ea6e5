"""A domain with more measures than its model knows is still scored by that model."""

import shutil
from datetime import UTC, datetime

import pytest
from support import parsed
from support.homes import churnhouse, rows

from api.store.publication import load
from python_jobs.ingest import domain as domains
from python_jobs.publishing.publish import publish
from python_jobs.registry import store
from python_jobs.registry.promotion import promote
from python_jobs.settings import PROJECT, Settings
from python_jobs.warehouse.connection import connect
from python_jobs.warehouse.dbt import AFTER_MODELS, BEFORE_MODELS, Dbt, build

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SCORES = """
select user_id, churn_risk, risk_rank, reason_1, reason_2, reason_3, model_version
from ml.churn_predictions order by user_id
"""


@pytest.fixture
def grown(tmp_path):
    """Return the elearning domain with one more measure and attribute."""
    folder = tmp_path / "domains/elearning"
    shutil.copytree(PROJECT / "domains/elearning", folder)
    settings, mapping = folder / "domain.yml", folder / "ingest.sql"
    text = settings.read_text(encoding="utf-8")
    measure = "    - {name: videos, event_type: video_watch, agg: count}\n  ratios:"
    text = text.replace("  ratios:", measure).replace("attributes: [", "attributes: [cohort, ")
    settings.write_text(text, encoding="utf-8")
    text = mapping.read_text(encoding="utf-8")
    text = text.replace("    plan,", "    plan,\n    plan as cohort,")
    mapping.write_text(text, encoding="utf-8")
    return domains.load("elearning", Settings(domains=folder.parent))


def test_new_measure_and_attribute_do_not_stop_scoring(home, grown):
    """After a rebuild the old model gives the same scores and reasons, and they are served."""
    settings = Settings(home=home)
    before = rows(home, SCORES)
    version = store.production(settings.models).version
    with parsed.once():
        dbt = Dbt(settings)
        build(settings, grown, dbt, BEFORE_MODELS)
    assert {"cohort", "videos_7d", "videos_trend"} <= columns(home, "user_features_daily")
    with connect(settings) as connection:
        # the state after a newer version was trained and not promoted
        connection.execute("alter table ml.training_reference add column videos_7d integer")
        connection.execute("alter table ml.training_reference add column cohort varchar")
    build(settings, grown, dbt, AFTER_MODELS)
    assert rows(home, SCORES) == before
    drifted = rows(home, "select feature, psi from feature_drift where psi > 0 or status <> 'ok'")
    assert drifted and not {"cohort", "videos_7d"} & dict(drifted).keys()
    with connect(settings) as connection:
        published = publish(connection, settings, now=NOW)
        again = promote(connection, settings, now=NOW, version=version)
    assert not again.is_promoted and "already" in again.reason
    publication = load(settings.published, published.version)
    assert publication.model_version == version
    assert publication.attributes[0] == "cohort"
    assert "videos_7d" not in publication.features


def columns(home, table: str) -> set[str]:
    return {row[0] for row in rows(home, f"describe {table}")}


def test_a_model_of_another_horizon_does_not_score(home):
    """Its risks would be of 30 days and the calendar's of 14."""
    with connect(Settings(home=home)) as connection:
        connection.execute(
            "update raw.domain set settings ="
            " replace(settings, '\"churn_horizon_days\": 30', '\"churn_horizon_days\": 14')"
        )
    before = rows(home, SCORES)
    done = churnhouse(home, "score", check=False)
    assert done.returncode == 1
    assert "predicts 30 days, but churn_horizon_days is 14" in done.stderr
    assert rows(home, SCORES) == before
