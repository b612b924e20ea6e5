"""Reasons in plain words: the three things that moved a user's risk most, and which way.

Features that measure one thing over several windows count together: `watch_minutes_7d`, `_14d`,
`_30d` and `_trend` are one reason, told by the one of them that moved the risk most.
Imports only numpy, like python_jobs.training.onnx_export.
"""

import re

import numpy as np

REASONS = 3
SUFFIX = re.compile(r"_(?:(\d+)d|trend)$")

TEXT = """
case
    when isnan({value}) or {value} is null then 'unknown'
    when {value} = round({value}) or abs({value}) >= 100 then printf('%.0f', {value})
    else printf('%.2f', {value})
end
"""
"""SQL that writes a value as people would; see `value_text` for the same in Python."""


def label(feature: str) -> str:
    """A feature's name in plain words: `watch_minutes_7d` is 'watch minutes in 7 days'."""
    match = SUFFIX.search(feature)
    words = SUFFIX.sub("", feature).replace("_", " ")
    if not match:
        return words
    return f"{words} in {match[1]} days" if match[1] else f"trend of {words}"


def value_text(value: float | None) -> str:
    """A value as people would write it; 'unknown' for a missing one."""
    if value is None or np.isnan(value):
        return "unknown"
    return f"{value:.0f}" if value == round(value) or abs(value) >= 100 else f"{value:.2f}"


def groups(features: list[str]) -> tuple[list[str], np.ndarray]:
    """The things measured, and for each feature which of them it measures."""
    things = [SUFFIX.sub("", name) for name in features]
    names = list(dict.fromkeys(things))
    return names, np.array([names.index(thing) for thing in things])


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
