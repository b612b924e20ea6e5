"""Reasons in words: the three measures that moved a user's risk most, and in which direction.

Features of one measure over several windows count together: `watch_minutes_7d`, `_14d`, `_30d`
and `_trend` are one reason, which shows the feature that moved the risk most. The values of an
attribute are one reason too, which shows the user's own value.
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
"""SQL that formats a value for people; `value_text` is the same in Python."""


def value_text(value: float | None) -> str:
    """Return a value formatted for people; 'unknown' if it is missing."""
    if value is None or np.isnan(value):
        return "unknown"
    return f"{value:.0f}" if value == round(value) or abs(value) >= 100 else f"{value:.2f}"


def groups(facts: Iterable[FeatureFact]) -> np.ndarray:
    """Return the number of each feature's measure; measures are counted from 0."""
    measures = [fact.measure for fact in facts]
    names = list(dict.fromkeys(measures))
    return np.array([names.index(measure) for measure in measures])


def strongest(
    contributions: np.ndarray, group: np.ndarray, k: int = REASONS
) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of the k strongest reasons, and the reasons' strengths, (rows, k) each.

    A reason's strength is the sum of its group's contributions, in log-odds. Its feature is the
    one in the group that moved most in the direction of the sum. Fewer groups than k give fewer
    columns.
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


def with_own_values(told: np.ndarray, matrix: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return `told`, (rows, k), with each attribute's column replaced by that of the user's value.

    What moved most may be a value that the user does not have. `group`: the measure of each column
    of the matrix, then of one more place for each attribute: that of a value not known.
    """
    width = matrix.shape[1]
    for other in range(width, len(group)):
        columns = np.flatnonzero(group[:width] == group[other])
        has = matrix[:, columns] == 1
        own = np.where(has.any(axis=1), columns[has.argmax(axis=1)], other)
        told = np.where(group[told] == group[other], own[:, None], told)
    return told
