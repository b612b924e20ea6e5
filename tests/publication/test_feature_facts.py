"""feature_facts: the domain, not the name, says what a feature measures."""

import json

import pytest
from support.homes import rows

from python_jobs.ingest import domain as domains
from python_jobs.publication.feature_facts import FeatureFact, from_json
from python_jobs.settings import Settings
from python_jobs.training.feature_facts import explained_features, facts_of


def test_domain_explains_measures_windows_trends_and_ratios():
    explained = explained_features(domains.load("git_history", Settings()).vars)
    assert explained["active_days_90d"] == FeatureFact("active_days", 90, "active days in 90 days")
    assert explained["lines_added_trend"] == FeatureFact(
        "lines_added", "trend", "trend of lines added"
    )
    assert explained["merge_share_180d"] == FeatureFact(
        "merge_share", 180, "merge share in 180 days"
    )
    assert "merge_share_90d" not in explained


def test_warehouse_has_exactly_the_features_the_domain_explains(finished_home):
    """user_features_daily.sql and explained_features name the same columns."""
    numbers = ("INTEGER", "BIGINT", "DOUBLE")
    columns = [
        row[0] for row in rows(finished_home, "describe user_features_daily") if row[1] in numbers
    ]
    explained = explained_features(domains.load("elearning", Settings()).vars)
    assert set(columns) - explained.keys() == {"days_since_last_activity", "tenure_days"}
    assert explained.keys() <= set(columns)


@pytest.mark.parametrize("domain", ["elearning", "online_retail", "git_history"])
def test_version_without_feature_facts_is_explained_by_column_names(domain):
    """An earlier release wrote none; its reasons keep their grouping, with measures' names."""
    explained = explained_features(domains.load(domain, Settings()).vars)
    facts = facts_of(["days_since_last_activity", "tenure_days", *explained], explained)
    named = {name: FeatureFact.of(fact.measure, fact.window) for name, fact in facts.items()}
    assert from_json({"names": list(facts)}) == named


def test_unexplained_feature_counts_as_its_own_measure():
    """This holds even if its name looks like a window of another measure."""
    facts = facts_of(["mood_last_7d", "logins_7d"], {"logins_7d": FeatureFact.of("logins", 7)})
    assert facts["mood_last_7d"] == FeatureFact("mood_last_7d", None, "mood last 7d")
    assert facts["logins_7d"].measure == "logins"


def test_feature_facts_read_back_as_written(finished_home):
    saved = json.loads((finished_home / "published/current/features.json").read_text())
    facts = from_json(saved)
    assert list(facts) == saved["names"]
    assert facts["watch_minutes_7d"] == FeatureFact("watch_minutes", 7, "lessons in 7 days")
    saved["facts"]["watch_minutes_7d"]["label"] = "minutes of video"
    assert from_json(saved)["watch_minutes_7d"].label == "minutes of video"


@pytest.mark.parametrize(
    "feature, words",
    [
        ("days_since_last_activity", "days since last activity"),
        ("watch_minutes_7d", "watch minutes in 7 days"),
        ("logins_trend", "trend of logins"),
        ("payment_fail_rate_30d", "payment fail rate in 30 days"),
    ],
)
def test_features_are_described_in_plain_words(feature, words):
    assert from_json({"names": [feature]})[feature].label == words
