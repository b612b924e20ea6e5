"""What is said of each user's reasons: a sentence for each, chosen by the numbers behind it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from python_jobs.publication.attribute_values import UNKNOWN
from python_jobs.publication.prediction import RISK_BANDS
from python_jobs.reasons import sentences
from python_jobs.reasons.choosing import REASONS, bands, strongest, with_own_values
from python_jobs.reasons.figures import (
    Figures,
    filled,
    numbered,
    of_window,
    per_day,
    ratio,
    rounded,
)
from python_jobs.reasons.teller import SILENT, Teller

LESS, MORE = 0.8, 1.25
"""Below and above these shares of the usual, a user has changed."""

ENOUGH_DAYS = 14
"""From so many days of a window on, they say it better than the whole time."""

Texts = dict[str, int]
"""The texts of many users, each once, with its place among them."""


def told(
    teller: Teller,
    contributions: np.ndarray,
    matrix: np.ndarray,
    risk: np.ndarray,
    texts: Texts,
) -> dict[str, np.ndarray]:
    """Return reason_n, effect_n and action of each row, as places in `texts`; -1 is none.

    `contributions`: of each column to the log-odds of each row, as reasons.onnx computes them.
    `risk`: (rows,). A reason that moves nothing is none. New texts are added to `texts`.
    """
    usual = [[teller.usual.get(band, {}).get(n, 0.0) for n in teller.names] for band in RISK_BANDS]
    places, strength = strongest(
        contributions,
        teller.group[: matrix.shape[1]],
        np.array(usual, np.float32)[bands(risk)],
        _is_odd(teller, contributions, matrix),
    )
    places = with_own_values(places, matrix, teller.group)
    reasons, moves, raises = teller.group[places], strength != 0, strength > 0
    effects = np.where(raises, _place(texts, "raises"), _place(texts, "lowers"))
    told, action = np.full(places.shape, -1), np.full(len(matrix), -1)
    for number, name in enumerate(teller.names):
        rows, slots = np.nonzero(moves & (reasons == number))
        if len(rows):
            rise = raises[rows, slots]
            asked = _Sentences(teller, matrix, rows, places[rows, slots], rise, texts)
            told[rows, slots] = asked.of(name)
    does = [_place(texts, teller.words.actions.get(name)) for name in teller.names]
    for slot in reversed(range(places.shape[1])):
        found = np.where(moves & raises, np.array(does)[reasons], -1)[:, slot]
        action = np.where(found >= 0, found, action)
    none = np.full((len(matrix), REASONS - places.shape[1]), -1)
    told = np.hstack([told, none])
    effects = np.hstack([np.where(moves, effects, -1), none])
    columns = {f"reason_{n + 1}": told[:, n] for n in range(REASONS)}
    columns |= {f"effect_{n + 1}": effects[:, n] for n in range(REASONS)}
    return columns | {"action": action}


def told_of_one(
    teller: Teller, contributions: np.ndarray, matrix: np.ndarray, risk: float
) -> dict[str, str | None]:
    """Return reason_n, effect_n and action of the only row of a matrix, as texts."""
    texts: Texts = {}
    columns = told(teller, contributions, matrix, np.array([risk]), texts)
    listed = [*texts, None]  # -1 is none
    return {name: listed[place] for name, (place,) in columns.items()}


def _is_odd(teller: Teller, contributions: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return where a number lies on the wrong side of the typical value for its effect."""
    width = len(teller.facts)
    values = matrix[:, :width] * teller.signs
    typical = teller.medians.astype(np.float32) * teller.signs
    is_odd = np.zeros(matrix.shape, bool)
    # nothing is never much, also where most have nothing
    is_nothing, rises = matrix[:, :width] == 0, contributions[:, :width] > 0
    is_odd[:, :width] = np.where(
        rises,
        (values < typical) | (is_nothing & (teller.signs > 0)),
        (values > typical) | (is_nothing & (teller.signs < 0)),
    )
    return is_odd


@dataclass(frozen=True)
class _Sentences(Figures):
    """The sentences of rows that tell the same reason."""

    texts: Texts

    def of(self, reason: str) -> np.ndarray:
        """Return the sentence of each row, as its place in `texts`."""
        kind, windows = self.teller.words.kinds.get(reason), self.windows(reason)
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
            rounded(self.own()),
            rounded(self.others()),
        )

    def _silence(self) -> np.ndarray:
        """Tell how long the user has been silent, or how often they come, and did before."""
        words, places = self.teller.words, self.windows("active_days")
        silent = self.at("days_since_last_activity", 0)
        active = {days: filled(self.column(place), 0) for days, place in places.items()}
        before = self._pace_before(silent, active)
        tenure = self.at("tenure_days", np.nan)
        is_never = (self.at("active_days_ever", 1) == 0) & ~np.isnan(tenure)
        is_silent = np.ones(len(silent), bool)
        days = came = pace = others = np.full(len(silent), np.nan)
        if active:
            days, came, pace, others = self._visits(active)
            facts = self.teller.facts.values()
            tells_silence = np.array([fact.measure in SILENT for fact in facts])[self.place]
            is_long = (silent >= min(active)) | ((silent >= 3) & (before * silent >= 2))
            is_long |= tells_silence & (self.own() > self.others())
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
        ever, rate = self.at("active_days_ever", np.nan), self.at("active_day_rate", np.nan)
        before = per_day(ever, ratio(ever, rate) - silent)
        if not active:
            return before
        days = self.known(max(active)) - silent
        recent = per_day(active[max(active)], days)
        is_short = np.isnan(recent) | ((days < ENOUGH_DAYS) & ~np.isnan(before))
        return np.where(is_short, before, recent)

    def _visits(self, active: Mapping[int, np.ndarray]) -> tuple[np.ndarray, ...]:
        """Return window, active days in it, and what they compare with: the own pace, or others'.

        The window is the shortest in which the user came; if the risk rises, the shortest one.
        """
        medians = self.medians(self.windows("active_days"))
        shortest, longest = min(active), max(active)
        known = self.known(longest)
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
        pace = per_day(active[longest] - came, known - days)
        now = came / np.minimum(days, known)
        changed = np.where(self.raises, now < LESS * pace, now > MORE * pace)
        pace = np.where(changed, pace, np.nan)
        differs = np.where(self.raises, came < others, came > others)
        others = np.where(np.isnan(pace) & differs & (known >= days), others, np.nan)
        days = np.minimum(days, known)
        return days, np.minimum(came, days), pace, others

    def _tenure(self) -> np.ndarray:
        """Tell since when the user is here."""
        joined, days = self.teller.words.joined, self.at("tenure_days", 0)
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
        totals = {days: filled(self.column(place), 0) for days, place in places.items()}
        known, side, told = self.known(longest), self.side(), self.told_window(windows)

        nothing = np.zeros(len(self.rows))
        for days in windows:
            nothing = np.where(totals[days] == 0, days, nothing)
        is_zero = (nothing > 0) & (side <= 0)
        window = np.where(is_zero, nothing, np.where(told == longest, windows[0], told))
        value = of_window(totals, window)
        # what is usual does not count the days of silence
        silent = self.at("days_since_last_activity", 0)
        earlier = known - np.where(is_zero, np.maximum(window, silent), window)
        usual = per_day(totals[longest] - value, earlier) * window
        changed = np.where(side < 0, value < LESS * usual, value > MORE * usual) & (side != 0)
        is_usual = (changed | is_zero) & (earlier * 2 >= window)
        usual = rounded(np.where(is_usual, usual, np.nan), unit, whole=whole)
        is_same = usual == rounded(value, unit, whole=whole)
        tiny = 0.5 if unit in ("minutes", "seconds") else 0.005  # less than can be said
        usual = np.where((usual == 0) | (usual == tiny) | is_same, np.nan, usual)

        # no change of the user's own: the told window beside that of typical users
        window = np.where(np.isnan(usual) & ~is_zero, told, window)
        value, others = of_window(totals, window), of_window(self.medians(places), window)
        is_full = known >= window
        differs = (np.sign(value - others) == side) & (side != 0) & is_full
        differs &= ~is_zero | (others > 0)
        others = np.where(np.isnan(usual) & differs, others, np.nan)
        return self._said(
            lambda *numbers: sentences.measured(label, unit, *numbers),
            rounded(value, unit, whole=whole),
            np.where(is_zero, np.minimum(window, known), window),
            is_zero & ~is_full,
            usual,
            rounded(others, unit, whole=whole),
        )

    def _averaged(self, measure: str, places: Mapping[int, int]) -> np.ndarray:
        """Tell an average: that there is none, or beside the own longest or the typical one."""
        words = self.teller.words
        label, unit = words.label(measure), words.units.get(measure)
        windows, longest = list(places), max(places)
        averages = {days: self.column(place) for days, place in places.items()}
        window, side = self.told_window(windows), self.side()
        value = of_window(averages, window)
        for days in windows:  # the longest window without a value
            is_longer = np.isnan(value) & np.isnan(averages[days]) & (days > window)
            window = np.where(is_longer, days, window)
        own, others = averages[longest], of_window(self.medians(places), window)
        is_other = (rounded(value, unit) != rounded(own, unit)) & (window < longest)
        own = np.where((np.sign(value - own) == side) & (side != 0) & is_other, own, np.nan)
        others = np.where(np.isnan(own) & (np.sign(value - others) == side), others, np.nan)

        def say(value: float | None, days: float, long: float | None, others: float | None) -> str:
            if value is None:
                return sentences.nothing([label], days)
            return sentences.averaged(label, unit, value, days, long, longest, others)

        return self._said(
            say, rounded(value, unit), window, rounded(own, unit), rounded(others, unit)
        )

    def _share(self, ratio: str, days: int) -> np.ndarray:
        """Tell a ratio, or that there was nothing to take a share of."""
        words = self.teller.words
        wholes = [words.label(name) for name in words.wholes[ratio]]

        def say(value: float | None, others: float | None) -> str:
            if value is None:
                return sentences.nothing(wholes, days)
            return sentences.share(words.label(ratio), value, days, others)

        return self._said(say, np.round(self.own(), 4), np.round(self.others(), 4))

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
        number = numbered(columns)
        first = np.empty(number.max() + 1, int)
        first[number[::-1]] = np.arange(len(number))[::-1]
        rows = zip(*(column[first].tolist() for column in columns), strict=True)
        said = [say(*(None if value != value else value for value in row)) for row in rows]
        places: np.ndarray = np.array([_place(self.texts, text) for text in said])[number]
        return places


def _place(texts: Texts, text: str | None) -> int:
    """Return the place of a text among the texts, to which it is added; -1 for none."""
    return -1 if text is None else texts.setdefault(text, len(texts))
