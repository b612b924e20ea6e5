"""Reasons in plain words: the three things that moved a user's risk most, and which way.

Features that measure one thing over several windows count together: `watch_minutes_7d`, `_14d`,
`_30d` and `_trend` are one reason, told by the one of them that moved the risk most.
"""

from collections.abc import Iterable

import numpy as np

from python_jobs.publication.feature_facts import FeatureFact

REASONS = 3

TEXT = """
case
    when isnan({value}) or {value} is null then 'unknown'
    when {value} = round({value}) or abs({value}) >= 100 then printf('%.0f', {value})
    else printf('%.2f', {value})
end
"""
"""SQL that writes a value as people would; see `value_text` for the same in Python."""


def value_text(value: float | None) -> str:
    """A value as people would write it; 'unknown' for a missing one."""
    if value is None or np.isnan(value):
        return "unknown"
    return f"{value:.0f}" if value == round(value) or abs(value) >= 100 else f"{value:.2f}"


def groups(facts: Iterable[FeatureFact]) -> np.ndarray:
    """Return the number of the thing that each feature measures, things counted from 0."""
    measures = [fact.measure for fact in facts]
    names = list(dict.fromkeys(measures))
    return np.array([names.index(measure) for measure in measures])


def strongest(
    contributions: np.ndarray, group: np.ndarray, k: int = REASONS
) -> tuple[np.ndarray, np.ndarray]:
    """(rows, k) features that tell the strongest reasons, and how far these moved the log-odds.

    A reason is as strong as the sum of its group; the feature that tells it is the one of the
    group that moved most in the direction of the sum. Fewer groups than k give fewer columns.
    """
    belongs = (group[:, None] == np.arange(group.max() + 1)).astype(np.float32)
    moved = contributions @ belongs
    order = np.argsort(-np.abs(moved), axis=1, kind="stable")[:, :k]
    strength = np.take_along_axis(moved, order, axis=1)
    told = np.empty(order.shape, np.int16)
    for place in range(order.shape[1]):
        toward = contributions * np.sign(strength[:, place : place + 1])
        inside = group[None, :] == order[:, place : place + 1]
        told[:, place] = np.where(inside, toward, -np.inf).argmax(axis=1)
    return told, strength
