"""Facts about a model's features, from features.json: the measure, its window and its label.

Only this module derives facts from a feature's name. For the API, it imports only the standard
library.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

WORDS = {
    "active_days_ever": "active days since signup",
    "events_ever": "events since signup",
    "active_day_rate": "share of days active since signup",
    "silence_share": "silence as a share of the time since signup",
}
"""Measures whose name says too little."""
REASONS = {
    "days_since_last_activity": "silence",
    "silence_share": "silence",
    "active_days": "silence",
    "active_days_ever": "silence",
    "active_day_rate": "silence",
    "events": "silence",
    "events_ever": "silence",
    "tenure_days": "tenure",
    "observed_days": "tenure",
}
"""Reasons of several measures: silence is whether and how often a user comes, tenure since when."""
SUFFIX = re.compile(r"(.+)_(?:(\d+)d|trend)")


@dataclass(frozen=True)
class FeatureFact:
    """What a feature measures; `window` is trailing days, "trend", or None for neither."""

    measure: str
    window: int | Literal["trend"] | None
    label: str

    @property
    def reason(self) -> str:
        """Return the reason that the feature belongs to: its measure, silence or tenure."""
        return REASONS.get(self.measure, self.measure)

    @classmethod
    def of(
        cls,
        measure: str,
        window: int | Literal["trend"] | None = None,
        words: str | None = None,
    ) -> "FeatureFact":
        """Return the fact with its label: ("logins", 7) is 'logins in 7 days'.

        `words`: what the domain calls the measure; by default its name.
        """
        words = words or WORDS.get(measure) or measure.replace("_", " ")
        if window is None:
            return cls(measure, None, words)
        label = f"trend of {words}" if window == "trend" else f"{words} in {window} days"
        return cls(measure, window, label)


def from_json(features: Mapping[str, Any]) -> dict[str, FeatureFact]:
    """Return the facts of each feature, in the model's order, from the content of features.json.

    A version from an earlier release has no facts; they are then derived from the names.
    """
    if "facts" in features:
        return {name: FeatureFact(**features["facts"][name]) for name in features["names"]}
    return {name: _from_name(name) for name in features["names"]}


def _from_name(name: str) -> FeatureFact:
    match = SUFFIX.fullmatch(name)
    if not match:
        return FeatureFact.of(name)
    return FeatureFact.of(match[1], int(match[2]) if match[2] else "trend")
