"""What a model's training knew of its users' reasons, as the files of a version hold it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from python_jobs.publication import feature_facts
from python_jobs.publication.feature_facts import FeatureFact
from python_jobs.reasons.choosing import groups
from python_jobs.reasons.words import Words

SILENT = ("days_since_last_activity", "silence_share")
"""Measures of silence; the others of that reason say how often a user comes."""


@dataclass(frozen=True)
class Teller:
    """What tells the reasons of a model's users.

    `facts`: of the numbers, by name, in the order of the matrix. `values`: the known values of each
    attribute, whose columns follow. `medians`: the typical value of each number, or NaN.
    `usual`: how far each reason moves the risk, by band and reason. `raised_by`: whether more or
    less of it raises the risk, by reason.
    """

    facts: dict[str, FeatureFact]
    values: Mapping[str, Sequence[str]]
    medians: np.ndarray
    words: Words
    usual: Mapping[str, Mapping[str, float]]
    raised_by: Mapping[str, str]

    @cached_property
    def group(self) -> np.ndarray:
        """Return the reason of each column, then of one place for each attribute's other values."""
        numbers = groups(self.facts.values())
        attributes = [int(numbers.max()) + 1 + n for n in range(len(self.values))]
        known = [len(values) for values in self.values.values()]
        return np.array([*numbers, *np.repeat(attributes, known), *attributes], dtype=int)

    @cached_property
    def names(self) -> list[str]:
        """Return the name of each reason: what actions are found by."""
        return [*dict.fromkeys(fact.reason for fact in self.facts.values()), *self.values]

    @cached_property
    def places(self) -> dict[str, int]:
        """Return the column of each number."""
        return {name: place for place, name in enumerate(self.facts)}

    @cached_property
    def signs(self) -> np.ndarray:
        """Return 1 for a number that raises the risk where it is large, -1 where small, else 0."""
        return np.array([self._sign(fact) for fact in self.facts.values()], np.float32)

    def _sign(self, fact: FeatureFact) -> int:
        if fact.reason == "silence":
            return 1 if fact.measure in SILENT else -1
        if fact.reason == "tenure":  # its sentence says the direction
            return 0
        return {"more": 1, "less": -1}.get(self.raised_by.get(fact.reason, ""), 0)

    @classmethod
    def of(
        cls,
        features: Mapping[str, Any],
        typical: Mapping[str, Mapping[str, float | None]],
        known: Mapping[str, Any],
        words: Words,
    ) -> "Teller":
        """Return the teller of a version; `known` is the content of reasons.json."""
        facts, values = feature_facts.from_json(features), features.get("values", {})
        numbers = [name for name in features["names"] if name not in values]
        medians = [typical.get(name, {}).get("median") for name in numbers]
        return cls(
            facts={name: facts[name] for name in numbers},
            values=values,
            medians=np.array(medians, dtype=float),
            words=words,
            usual=known.get("usual", {}),
            raised_by=known.get("raised_by", {}),
        )
