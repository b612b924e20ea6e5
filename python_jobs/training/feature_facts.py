"""Facts about features: what each column of user_features_daily measures, from the settings."""

from collections.abc import Iterable, Mapping

from python_jobs.ingest.schema import Vars
from python_jobs.publication.feature_facts import FeatureFact

ACTIVITY = ("active_days", "events")
"""Counted for every domain, over every window."""
LIFETIME = ("active_days_ever", "events_ever", "active_day_rate", "silence_share")
"""See macros/measures/lifetime_features.sql."""


def explained_features(settings: Vars) -> dict[str, FeatureFact]:
    """Return the facts of each column that the domain's settings define, by column name."""
    windows = settings.feature_windows_days
    labels = {measure.name: measure.label for measure in settings.measures}
    facts = {}
    for name in (*ACTIVITY, *labels):
        for days in windows:
            facts[f"{name}_{days}d"] = FeatureFact.of(name, days, labels.get(name))
    for name, label in labels.items():
        facts[f"{name}_trend"] = FeatureFact.of(name, "trend", label)
    for ratio in settings.ratios:
        fact = FeatureFact.of(ratio.name, windows[-1], ratio.label)
        facts[f"{ratio.name}_{windows[-1]}d"] = fact
    if "lifetime" in settings.feature_families:
        longest = windows[-1]
        facts |= {name: FeatureFact.of(name) for name in LIFETIME}
        facts[f"observed_days_{longest}d"] = FeatureFact.of("observed_days", longest)
    return facts


def facts_of(names: Iterable[str], explained: Mapping[str, FeatureFact]) -> dict[str, FeatureFact]:
    """Return the facts of each feature; one that is not in `explained` is its own measure."""
    return {name: explained.get(name) or FeatureFact.of(name) for name in names}
