"""What to say of each user's reasons: the numbers that a sentence needs, for many users at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from python_jobs.publication.attribute_values import UNKNOWN
from python_jobs.publication.feature_facts import FeatureFact
from python_jobs.publication.prediction import RISK_BANDS
from python_jobs.scoring import sentences
from python_jobs.scoring.reasons import REASONS, bands, groups, strongest, with_own_values
from python_jobs.scoring.words import Words

SILENT = ("days_since_last_activity", "silence_share")
"""Measures of silence; the others of that reason say how often a user comes."""

LESS, MORE = 0.8, 1.25
"""Below and above these shares of the usual, a user has changed."""

FEWEST_DAYS = 7
"""Fewest earlier days that say what is usual for a user."""

ENOUGH_DAYS = 14
"""From so many days of a window on, they say it better than the whole time."""

Texts = dict[str, int]
"""The texts of many users, each once, with its place among them."""


@dataclass(frozen=True)
class Teller:
    """Tells the reasons of a model's users.

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

    def told(
        self, contributions: np.ndarray, matrix: np.ndarray, risk: np.ndarray, texts: Texts
    ) -> dict[str, np.ndarray]:
        """Return reason_n, effect_n and action of each row, as places in `texts`; -1 is none.

        A reason that moves nothing is none. New texts are added to `texts`.
        """
        usual = [[self.usual.get(band, {}).get(n, 0.0) for n in self.names] for band in RISK_BANDS]
        places, strength = strongest(
            contributions,
            self.group[: matrix.shape[1]],
            np.array(usual, np.float32)[bands(risk)],
            self._is_odd(contributions, matrix),
        )
        places = with_own_values(places, matrix, self.group)
        reasons, moves, raises = self.group[places], strength != 0, strength > 0
        effects = np.where(raises, _place(texts, "raises"), _place(texts, "lowers"))
        told, action = np.full(places.shape, -1), np.full(len(matrix), -1)
        for number, name in enumerate(self.names):
            rows, slots = np.nonzero(moves & (reasons == number))
            if len(rows):
                rise = raises[rows, slots]
                asked = _Asked(self, texts, matrix, rows, places[rows, slots], rise)
                told[rows, slots] = asked.sentences(name)
        does = [_place(texts, self.words.actions.get(name)) for name in self.names]
        for slot in reversed(range(places.shape[1])):
            found = np.where(moves & raises, np.array(does)[reasons], -1)[:, slot]
            action = np.where(found >= 0, found, action)
        none = np.full((len(matrix), REASONS - places.shape[1]), -1)
        told = np.hstack([told, none])
        effects = np.hstack([np.where(moves, effects, -1), none])
        columns = {f"reason_{n + 1}": told[:, n] for n in range(REASONS)}
        columns |= {f"effect_{n + 1}": effects[:, n] for n in range(REASONS)}
        return columns | {"action": action}

    def _is_odd(self, contributions: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """Return where a number lies on the wrong side of the typical value for its effect."""
        width = len(self.facts)
        values = matrix[:, :width] * self.signs
        typical = self.medians.astype(np.float32) * self.signs
        is_odd = np.zeros(matrix.shape, bool)
        # nothing is never much, also where most have nothing
        is_nothing, rises = matrix[:, :width] == 0, contributions[:, :width] > 0
        is_odd[:, :width] = np.where(
            rises,
            (values < typical) | (is_nothing & (self.signs > 0)),
            (values > typical) | (is_nothing & (self.signs < 0)),
        )
        return is_odd


@dataclass(frozen=True)
class _Asked:
    """Rows of a matrix that tell the same reason, with the feature that each tells it by."""

    teller: Teller
    texts: Texts
    matrix: np.ndarray
    rows: np.ndarray
    place: np.ndarray
    raises: np.ndarray

    def sentences(self, reason: str) -> np.ndarray:
        """Return the sentence of each row, as its place in `texts`."""
        kind, windows = self.teller.words.kinds.get(reason), self._windows(reason)
        if reason in self.teller.values:
            return self._attribute(reason)
        if reason == "silence" and "days_since_last_activity" in self.teller.places:
            return self._silence()
        if reason == "tenure" and "tenure_days" in self.teller.places:
            return self._tenure()
        if kind in ("count", "sum") and len(windows) > 1:
            return self._measured(reason, windows)
        if kind == "avg" and windows:
            return self._averaged(reason, windows)
        if kind == "ratio" and windows:
            return self._share(reason, max(windows))
        labels = [fact.label for fact in self.teller.facts.values()]
        return self._said(
            lambda place, value, others: sentences.plain(labels[place], value, others),
            self.place,
            _rounded(self._own()),
            _rounded(self._others()),
        )

    def _column(self, place: int) -> np.ndarray:
        return np.asarray(self.matrix[self.rows, place], dtype=float)

    def _at(self, name: str, otherwise: float) -> np.ndarray:
        """Return a feature; `otherwise` where it is missing, or the model has no such feature."""
        if name not in self.teller.places:
            return np.full(len(self.rows), otherwise)
        return _filled(self._column(self.teller.places[name]), otherwise)

    def _windows(self, measure: str) -> dict[int, int]:
        """Return the place of each window's column of a measure, by days, the shortest first."""
        found = {
            fact.window: place
            for place, fact in enumerate(self.teller.facts.values())
            if fact.measure == measure and isinstance(fact.window, int)
        }
        return dict(sorted(found.items()))

    def _medians(self, places: Mapping[int, int]) -> dict[int, np.ndarray]:
        """Return the typical value of each window, for each row."""
        return {days: np.full(len(self.rows), self.teller.medians[p]) for days, p in places.items()}

    def _told_window(self, windows: Sequence[int]) -> np.ndarray:
        """Return the window of the told feature; a trend is told by the shortest one."""
        facts = self.teller.facts.values()
        days = [fact.window if isinstance(fact.window, int) else windows[0] for fact in facts]
        return np.asarray(np.array(days, dtype=float)[self.place])

    def _own(self) -> np.ndarray:
        """Return the value of the told feature."""
        return np.asarray(self.matrix[self.rows, self.place], dtype=float)

    def _others(self) -> np.ndarray:
        """Return the typical value of the told feature."""
        return np.asarray(self.teller.medians[self.place])

    def _side(self) -> np.ndarray:
        """Return -1 where a low value is the reason, 1 where a high one, else 0.

        Where it is not known, the told feature's typical value decides.
        """
        sign = self.teller.signs[self.place]
        own = _filled(np.sign(self._own() - self._others()), 0)
        return np.asarray(np.where(sign == 0, own, np.where(self.raises, sign, -sign)))

    def _known(self, longest: int) -> np.ndarray:
        """Return how many days of the longest window are known of each user."""
        observed = self._at(f"observed_days_{longest}d", longest)
        since = np.minimum(self._at("tenure_days", longest) + 1, observed)
        return np.asarray(np.clip(since, 1, longest))

    def _silence(self) -> np.ndarray:
        """Tell how long the user has been silent, or how often they come, and did before."""
        words, places = self.teller.words, self._windows("active_days")
        silent = self._at("days_since_last_activity", 0)
        active = {days: _filled(self._column(place), 0) for days, place in places.items()}
        before = self._pace_before(silent, active)
        tenure = self._at("tenure_days", np.nan)
        is_never = (self._at("active_days_ever", 1) == 0) & ~np.isnan(tenure)
        is_silent = np.ones(len(silent), bool)
        days = came = pace = others = np.full(len(silent), np.nan)
        if active:
            days, came, pace, others = self._visits(active)
            facts = self.teller.facts.values()
            tells_silence = np.array([fact.measure in SILENT for fact in facts])[self.place]
            is_long = (silent >= min(active)) | ((silent >= 3) & (before * silent >= 2))
            is_long |= tells_silence & (self._own() > self._others())
            is_silent = np.where(self.raises, is_long, came == 0)
        is_silent &= (silent > 0) & ~is_never
        is_visits = ~(is_silent | is_never)

        def say(
            silent: float | None,
            before: float | None,
            tenure: float | None,
            came: float,
            days: float,
            pace: float | None,
            others: float | None,
        ) -> str:
            if tenure is not None:
                return sentences.never(words.came, words.joined, tenure)
            if silent is not None:
                return sentences.silent(words.come, silent, before)
            return sentences.visits(words.come, words.came, came, days, pace, others)

        return self._said(
            say,
            np.where(is_silent, silent, np.nan),
            np.where(is_silent & self.raises, np.round(before, 2), np.nan),
            np.where(is_never, tenure, np.nan),
            np.where(is_visits, came, np.nan),
            np.where(is_visits, days, np.nan),
            np.where(is_visits, np.round(pace, 2), np.nan),
            np.where(is_visits, others, np.nan),
        )

    def _pace_before(self, silent: np.ndarray, active: Mapping[int, np.ndarray]) -> np.ndarray:
        """Return the share of active days before the silence; NaN if too few days are known.

        The longest window tells it if it reaches back far enough, else the whole time does.
        """
        ever, rate = self._at("active_days_ever", np.nan), self._at("active_day_rate", np.nan)
        before = _pace(ever, _ratio(ever, rate) - silent)
        if not active:
            return before
        days = self._known(max(active)) - silent
        recent = _pace(active[max(active)], days)
        is_short = np.isnan(recent) | ((days < ENOUGH_DAYS) & ~np.isnan(before))
        return np.where(is_short, before, recent)

    def _visits(self, active: Mapping[int, np.ndarray]) -> tuple[np.ndarray, ...]:
        """Return window, active days in it, and what they compare with: the own pace, or others'.

        The window is the shortest in which the user came; if the risk rises, the shortest one.
        """
        medians = self._medians(self._windows("active_days"))
        shortest, longest = min(active), max(active)
        known = self._known(longest)
        days, came, others = (
            np.full(len(self.rows), float(longest)),
            active[longest],
            medians[longest],
        )
        for window in sorted(active, reverse=True):
            chosen = active[window] > 0
            if window == shortest:
                chosen |= self.raises
            days = np.where(chosen, window, days)
            came = np.where(chosen, active[window], came)
            others = np.where(chosen, medians[window], others)
        pace = _pace(active[longest] - came, known - days)
        now = came / np.minimum(days, known)
        changed = np.where(self.raises, now < LESS * pace, now > MORE * pace)
        pace = np.where(changed, pace, np.nan)
        differs = np.where(self.raises, came < others, came > others)
        others = np.where(np.isnan(pace) & differs & (known >= days), others, np.nan)
        days = np.minimum(days, known)
        return days, np.minimum(came, days), pace, others

    def _tenure(self) -> np.ndarray:
        """Tell since when the user is here."""
        joined, days = self.teller.words.joined, self._at("tenure_days", 0)
        median = self.teller.medians[self.teller.places["tenure_days"]]
        return self._said(
            lambda days, is_new, raises: sentences.tenure(joined, days, is_new, raises),
            np.where(days < 60, days, np.round(days / 10) * 10),
            days < median,
            self.raises,
        )

    def _measured(self, measure: str, places: Mapping[int, int]) -> np.ndarray:
        """Tell a count or a sum: since when it is 0, or beside the user's past or others'."""
        words = self.teller.words
        label, unit = words.label(measure), words.units.get(measure)
        whole = words.kinds[measure] == "count"
        windows, longest = list(places), max(places)
        totals = {days: _filled(self._column(place), 0) for days, place in places.items()}
        known, side, told = self._known(longest), self._side(), self._told_window(windows)

        nothing = np.zeros(len(self.rows))
        for days in windows:
            nothing = np.where(totals[days] == 0, days, nothing)
        is_zero = (nothing > 0) & (side <= 0)
        window = np.where(is_zero, nothing, np.where(told == longest, windows[0], told))
        value = _of_window(totals, window)
        # what is usual does not count the days of silence
        silent = self._at("days_since_last_activity", 0)
        earlier = known - np.where(is_zero, np.maximum(window, silent), window)
        usual = _pace(totals[longest] - value, earlier) * window
        changed = np.where(side < 0, value < LESS * usual, value > MORE * usual) & (side != 0)
        is_usual = (changed | is_zero) & (earlier * 2 >= window)
        usual = _rounded(np.where(is_usual, usual, np.nan), unit, whole=whole)
        is_same = usual == _rounded(value, unit, whole=whole)
        usual = np.where((usual == 0) | is_same, np.nan, usual)

        # no change of the user's own: the told window beside that of typical users
        window = np.where(np.isnan(usual) & ~is_zero, told, window)
        value, others = _of_window(totals, window), _of_window(self._medians(places), window)
        is_full = known >= window
        differs = (np.sign(value - others) == side) & (side != 0) & is_full
        differs &= ~is_zero | (others > 0)
        others = np.where(np.isnan(usual) & differs, others, np.nan)
        return self._said(
            lambda *numbers: sentences.measured(label, unit, *numbers),
            _rounded(value, unit, whole=whole),
            np.where(is_zero, np.minimum(window, known), window),
            is_zero & ~is_full,
            usual,
            _rounded(others, unit, whole=whole),
        )

    def _averaged(self, measure: str, places: Mapping[int, int]) -> np.ndarray:
        """Tell an average: that there is none, or beside the own longest or the typical one."""
        words = self.teller.words
        label, unit = words.label(measure), words.units.get(measure)
        windows, longest = list(places), max(places)
        averages = {days: self._column(place) for days, place in places.items()}
        window, side = self._told_window(windows), self._side()
        value = _of_window(averages, window)
        for days in windows:  # the longest window without a value
            is_longer = np.isnan(value) & np.isnan(averages[days]) & (days > window)
            window = np.where(is_longer, days, window)
        own, others = averages[longest], _of_window(self._medians(places), window)
        is_other = (_rounded(value, unit) != _rounded(own, unit)) & (window < longest)
        own = np.where((np.sign(value - own) == side) & (side != 0) & is_other, own, np.nan)
        others = np.where(np.isnan(own) & (np.sign(value - others) == side), others, np.nan)

        def say(value: float | None, days: float, long: float | None, others: float | None) -> str:
            if value is None:
                return sentences.nothing([label], days)
            return sentences.averaged(label, unit, value, days, long, longest, others)

        return self._said(
            say, _rounded(value, unit), window, _rounded(own, unit), _rounded(others, unit)
        )

    def _share(self, ratio: str, days: int) -> np.ndarray:
        """Tell a ratio, or that there was nothing to take a share of."""
        words = self.teller.words
        wholes = [words.label(name) for name in words.wholes[ratio]]

        def say(value: float | None, others: float | None) -> str:
            if value is None:
                return sentences.nothing(wholes, days)
            return sentences.share(words.label(ratio), value, days, others)

        return self._said(say, np.round(self._own(), 4), np.round(self._others(), 4))

    def _attribute(self, name: str) -> np.ndarray:
        """Tell the user's value of an attribute."""
        known, label = self.teller.values[name], self.teller.words.label(name)
        number = self.teller.names.index(name)
        first = int(np.flatnonzero(self.teller.group == number)[0])

        def say(place: int, raises: bool) -> str:
            if place - first >= len(known):
                return sentences.uncommon(label, raises)
            value = known[place - first]
            return sentences.attribute(label, None if value == UNKNOWN else value, raises)

        return self._said(say, self.place, self.raises)

    def _said(self, say: Callable[..., str], *columns: np.ndarray) -> np.ndarray:
        """Return what `say` says of each row of the columns, asked once for equal rows.

        NaN is given as None.
        """
        number = _numbered(columns)
        first = np.empty(number.max() + 1, int)
        first[number[::-1]] = np.arange(len(number))[::-1]
        rows = zip(*(column[first].tolist() for column in columns), strict=True)
        said = [say(*(None if value != value else value for value in row)) for row in rows]
        places: np.ndarray = np.array([_place(self.texts, text) for text in said])[number]
        return places


def _numbered(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Return a number for each row of the columns, from 0; equal rows have the same."""
    number, _ = pd.factorize(columns[0], use_na_sentinel=False)
    for column in columns[1:]:
        other, values = pd.factorize(column, use_na_sentinel=False)
        number, _ = pd.factorize(number * len(values) + other)
    return np.asarray(number)


def _place(texts: Texts, text: str | None) -> int:
    """Return the place of a text among the texts, to which it is added; -1 for none."""
    return -1 if text is None else texts.setdefault(text, len(texts))


def _filled(values: np.ndarray, otherwise: float) -> np.ndarray:
    """Return values with another one instead of NaN."""
    if values.dtype.kind != "f":
        return values
    return np.where(np.isnan(values), otherwise, values)


def _of_window(columns: Mapping[int, np.ndarray], window: np.ndarray) -> np.ndarray:
    """Return the value of each row's window."""
    found = np.full(len(window), np.nan)
    for days, column in columns.items():
        found = np.where(window == days, column, found)
    return found


def _pace(total: np.ndarray, days: np.ndarray) -> np.ndarray:
    """Return a total a day; NaN over too few days to call it usual, and for nothing."""
    return np.where((days >= FEWEST_DAYS) & (total > 0), _ratio(total, days), np.nan)


def _ratio(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    found = np.full(len(one), np.nan)
    np.divide(one, other, out=found, where=other > 0)
    return found


def _rounded(values: np.ndarray, unit: str | None = None, *, whole: bool = False) -> np.ndarray:
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
