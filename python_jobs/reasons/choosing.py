"""Which reasons are told: the three that moved a user's risk most, and those that set it apart.

Features of one reason count together: `watch_minutes_7d`, `_14d`, `_30d` and `_trend` are one, and
so are all that say whether and how often a user comes. The values of an attribute are one reason
too, which tells the user's own value.

A reason is strong if it moved the risk at least half as much as the strongest one. Strong reasons
come first, in the order of how far they moved it beyond what they usually move it among users of
the same risk band; so users differ where their reasons do. The others follow by strength. A reason
that a user's numbers do not bear out comes last: more lessons than typical, which raise the risk.
"""

from collections.abc import Iterable

import numpy as np

from python_jobs.publication.feature_facts import FeatureFact
from python_jobs.publication.prediction import HIGH_FROM, MEDIUM_FROM

REASONS = 3
LARGE = 1e4
"""No contribution of a real user is so large, in log-odds."""

STRONG = 0.5
"""A reason that is at least so strong beside the strongest one is strong."""


def groups(facts: Iterable[FeatureFact]) -> np.ndarray:
    """Return the number of each feature's reason; reasons are counted from 0."""
    found = [fact.reason for fact in facts]
    names = list(dict.fromkeys(found))
    return np.array([names.index(name) for name in found])


def strongest(
    contributions: np.ndarray,
    group: np.ndarray,
    usual: np.ndarray | None = None,
    is_odd: np.ndarray | None = None,
    k: int = REASONS,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of the k reasons to tell, and the reasons' strengths, (rows, k) each.

    A reason's strength is the sum of its group's contributions, in log-odds. Its feature is the
    one in the group that moved most in the direction of the sum. `usual`: how far each group moves
    the risk of users like that of each row. `is_odd`: where the value of a feature does not fit its
    contribution; a reason without any feature that fits comes last. Fewer groups than k give fewer
    columns.
    """
    belongs = (group[:, None] == np.arange(group.max() + 1)).astype(np.float32)
    moved = contributions @ belongs
    size = np.abs(moved)
    direction = np.sign(moved) @ belongs.T
    fits = contributions * direction > 0
    if is_odd is not None:
        fits &= ~is_odd
    is_told = fits.astype(np.float32) @ belongs > 0
    is_strong = size >= STRONG * size.max(axis=1, keepdims=True)
    beyond = size if usual is None else np.where(is_strong & is_told, size - usual, size)
    tiers = [is_told & is_strong, is_told]
    order = _first(beyond, np.sum(tiers, axis=0), k)
    strength = np.take_along_axis(moved, order, axis=1)
    told = np.empty(order.shape, np.int16)
    for number in range(belongs.shape[1]):
        columns = np.flatnonzero(group == number)
        rows, slots = np.nonzero(order == number)
        toward = contributions[np.ix_(rows, columns)] * np.sign(moved[rows, number])[:, None]
        # a feature that fits, if there is one
        toward += np.where(fits[np.ix_(rows, columns)], np.float32(LARGE), np.float32(0))
        told[rows, slots] = columns[toward.argmax(axis=1)]
    return told, strength


def _first(size: np.ndarray, tier: np.ndarray, k: int) -> np.ndarray:
    """Return the columns of the k largest sizes of each row, those of a higher tier first."""
    left = np.clip(size, -LARGE, LARGE) + tier * (3.0 * LARGE)
    rows = np.arange(len(size))
    found = np.empty((len(size), min(k, size.shape[1])), int)
    for place in range(found.shape[1]):
        found[:, place] = left.argmax(axis=1)
        left[rows, found[:, place]] = -np.inf
    return found


def with_own_values(told: np.ndarray, matrix: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return `told`, (rows, k), with each attribute's column replaced by that of the user's value.

    What moved most may be a value that the user does not have. `group`: the reason of each column
    of the matrix, then of one more place for each attribute: that of a value not known.
    """
    width = matrix.shape[1]
    for other in range(width, len(group)):
        columns = np.flatnonzero(group[:width] == group[other])
        has = matrix[:, columns] == 1
        own = np.where(has.any(axis=1), columns[has.argmax(axis=1)], other)
        told = np.where(group[told] == group[other], own[:, None], told)
    return told


def bands(risk: np.ndarray) -> np.ndarray:
    """Return the place of each risk's band in RISK_BANDS."""
    return np.where(risk >= HIGH_FROM, 0, np.where(risk >= MEDIUM_FROM, 1, 2))
