"""The numbers that a sentence needs, for many users at once: rows that tell the same reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from python_jobs.reasons import sentences
from python_jobs.reasons.teller import Teller

FEWEST_DAYS = 7
"""Fewest earlier days that say what is usual for a user."""


@dataclass(frozen=True)
class Figures:
    """Rows of a matrix that tell the same reason, with the feature that each tells it by.

    `rows`, `place` and `raises`: of each row its number, that feature's column, and whether the
    reason raises the risk.
    """

    teller: Teller
    matrix: np.ndarray
    rows: np.ndarray
    place: np.ndarray
    raises: np.ndarray

    def column(self, place: int) -> np.ndarray:
        """Return a column of these rows."""
        return np.asarray(self.matrix[self.rows, place], dtype=float)

    def at(self, name: str, otherwise: float) -> np.ndarray:
        """Return a feature; `otherwise` where it is missing, or the model has no such feature."""
        if name not in self.teller.places:
            return np.full(len(self.rows), otherwise)
        return filled(self.column(self.teller.places[name]), otherwise)

    def windows(self, measure: str) -> dict[int, int]:
        """Return the place of each window's column of a measure, by days, the shortest first."""
        found = {
            fact.window: place
            for place, fact in enumerate(self.teller.facts.values())
            if fact.measure == measure and isinstance(fact.window, int)
        }
        return dict(sorted(found.items()))

    def medians(self, places: Mapping[int, int]) -> dict[int, np.ndarray]:
        """Return the typical value of each window, for each row."""
        return {days: np.full(len(self.rows), self.teller.medians[p]) for days, p in places.items()}

    def told_window(self, windows: Sequence[int]) -> np.ndarray:
        """Return the window of the told feature; a trend is told by the shortest one."""
        facts = self.teller.facts.values()
        days = [fact.window if isinstance(fact.window, int) else windows[0] for fact in facts]
        return np.asarray(np.array(days, dtype=float)[self.place])

    def own(self) -> np.ndarray:
        """Return the value of the told feature."""
        return np.asarray(self.matrix[self.rows, self.place], dtype=float)

    def others(self) -> np.ndarray:
        """Return the typical value of the told feature."""
        return np.asarray(self.teller.medians[self.place])

    def side(self) -> np.ndarray:
        """Return -1 where a low value is the reason, 1 where a high one, else 0.

        Where it is not known, the told feature's typical value decides.
        """
        sign = self.teller.signs[self.place]
        own = filled(np.sign(self.own() - self.others()), 0)
        return np.asarray(np.where(sign == 0, own, np.where(self.raises, sign, -sign)))

    def known(self, longest: int) -> np.ndarray:
        """Return how many days of the longest window are known of each user."""
        observed = self.at(f"observed_days_{longest}d", longest)
        since = np.minimum(self.at("tenure_days", longest) + 1, observed)
        return np.asarray(np.clip(since, 1, longest))


def numbered(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Return a number for each row of the columns, from 0; equal rows have the same."""
    number = np.zeros(len(columns[0]), int)
    for column in columns:
        values, other = np.unique(column, return_inverse=True)
        _, number = np.unique(number * len(values) + other, return_inverse=True)
    return number


def filled(values: np.ndarray, otherwise: float) -> np.ndarray:
    """Return values with another one instead of NaN."""
    if values.dtype.kind != "f":
        return values
    return np.where(np.isnan(values), otherwise, values)


def of_window(columns: Mapping[int, np.ndarray], window: np.ndarray) -> np.ndarray:
    """Return the value of each row's window."""
    found = np.full(len(window), np.nan)
    for days, column in columns.items():
        found = np.where(window == days, column, found)
    return found


def per_day(total: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Return a total a day; NaN over too few days to call it usual, and for nothing."""
    return np.where((days >= FEWEST_DAYS) & (total > 0), ratio(total, days), np.nan)


def ratio(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return one / other; NaN where other is not above 0."""
    found = np.full(len(one), np.nan)
    np.divide(one, other, out=found, where=other > 0)
    return found


def rounded(values: np.ndarray, unit: str | None = None, *, whole: bool = False) -> np.ndarray:
    """Return values rounded to what a sentence shows, so that equal sentences are made once."""
    if whole:
        return np.round(values)
    if unit in ("minutes", "seconds"):
        hour = 60 if unit == "minutes" else 3600
        half = np.where(values < 10 * hour, hour / 2, hour)
        found = np.where(values < 1.5 * hour, np.round(values), np.round(values / half) * half)
        return np.where((values > 0) & (found == 0), 0.5, found)
    size = np.abs(values)
    decimals = 2 if unit and unit in sentences.CURRENCIES else 1
    found = np.where(size >= 10, np.round(values), np.round(values, decimals))
    small = np.where(size < 0.01, np.sign(values) * 0.005, np.round(values, 2))
    return np.where((size > 0) & (size < 1), small, found)
