"""Whether features contradict one another, so that nobody can have them.

For the API and the desk: whoever asks "what if" moves one number and may forget the others. Imports
only the standard library.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from python_jobs.publication.feature_facts import FeatureFact

Number = int | float
NUMBERS = (int, float)
ROUNDING = 1e-9
"""How far a quotient of floats may be beyond a limit, as a share of the limit."""
OTHERS = ("days_since_last_activity", "tenure_days", "active_days_ever")


class Contradictions:
    """What features of one model cannot be together, laid out once for many people."""

    def __init__(
        self,
        facts: Mapping[str, FeatureFact],
        kinds: Mapping[str, str],
        limits: Mapping[str, Sequence[Number | None]] | None = None,
    ) -> None:
        """Know what each feature measures, and its SQL type in the order of the features.

        `limits`: see limits.limits_of. Only counts grow with their window: a sum may have negative
        parts.
        """
        self.limits = {
            name: limits[facts[name].measure]
            for name in kinds
            if limits and facts[name].measure in limits and isinstance(facts[name].window, int)
        }
        self._whole = [name for name in kinds if "INT" in kinds[name]]
        counts: dict[str, dict[int, str]] = {}
        for name in self._whole:
            window = facts[name].window
            if isinstance(window, int):
                counts.setdefault(facts[name].measure, {})[window] = name
        self._counts = {measure: sorted(found.items()) for measure, found in counts.items()}
        others = {*OTHERS, *(f"{measure}_ever" for measure in counts)}
        wanted = {*self._whole, *self.limits, *others}
        self._looked_at = [(name, place) for place, name in enumerate(kinds) if name in wanted]

    def first(self, values: Sequence[Any]) -> str | None:
        """Return the first contradiction among a person's features in one line, or None.

        `values`: those of all features, in their order. None contradicts nothing.
        """
        known: dict[str, Number] = {
            name: values[place] for name, place in self._looked_at if type(values[place]) in NUMBERS
        }
        counts = {
            measure: {days: (name, known[name]) for days, name in found if name in known}
            for measure, found in self._counts.items()
        }
        for contradictions in (
            _negative(known, self._whole),
            _beyond(known, self.limits),
            _windows(known, counts),
            _days(known, counts),
            _silence(known, counts.get("active_days", {})),
        ):
            for said in contradictions:
                return said
        return None


def _negative(known: Mapping[str, Number], whole: list[str]) -> Iterator[str]:
    for name in whole:
        if known.get(name, 0) < 0:
            yield f"{name} is {known[name]:.0f}, and no count is below 0."


def _beyond(
    known: Mapping[str, Number], limits: Mapping[str, Sequence[Number | None]]
) -> Iterator[str]:
    """Yield where a value is beyond what the values of events allow."""
    for name, (least, greatest) in limits.items():
        value = known.get(name)
        if value is None:
            continue
        if least is not None and value < least - ROUNDING * abs(least):
            yield f"{name} is {value:g}; it cannot be below {least:g}."
        if greatest is not None and value > greatest + ROUNDING * abs(greatest):
            yield f"{name} is {value:g}; it cannot be above {greatest:g}."


def _windows(
    known: Mapping[str, Number], counts: Mapping[str, Mapping[int, tuple[str, Number]]]
) -> Iterator[str]:
    """Yield where a count over more days is smaller than one over fewer days among them."""
    for measure, windows in counts.items():
        ever = f"{measure}_ever"
        found = [*windows.values(), *([(ever, known[ever])] if ever in known else [])]
        for (name, fewer), (longer, more) in pairwise(found):
            if more < fewer:
                yield f"{longer} is {more:.0f}, fewer than {name}, which is {fewer:.0f}."


def _days(
    known: Mapping[str, Number], counts: Mapping[str, Mapping[int, tuple[str, Number]]]
) -> Iterator[str]:
    """Yield where more days are active than there are, or than have an event."""
    active, events = counts.get("active_days", {}), counts.get("events", {})
    for days, (name, value) in active.items():
        if value > days:
            yield f"{name} is {value:.0f}, more than {days} days."
        if days in events and events[days][1] < value:
            yield f"{events[days][0]} is {events[days][1]:.0f}, fewer than {name}, {value:.0f}."
    for (days, (name, value)), (more_days, (longer, more)) in pairwise(active.items()):
        if more - value > more_days - days:
            between = f"the {more_days - days} days between"
            yield f"{longer} is {more:.0f} and {name} is {value:.0f}, too few for {between}."
    tenure = known.get("tenure_days")
    ever = known.get("active_days_ever")
    if tenure is not None and ever is not None and ever > tenure + 1:
        yield f"active_days_ever is {ever:.0f}, but tenure_days is {tenure:.0f}."


def _silence(
    known: Mapping[str, Number], active: Mapping[int, tuple[str, Number]]
) -> Iterator[str]:
    """Yield where the days since the last activity do not fit the active days, or the tenure."""
    silent, tenure = known.get("days_since_last_activity"), known.get("tenure_days")
    if silent is None:
        return
    said = f"days_since_last_activity is {silent:.0f}"
    if tenure is not None and silent > tenure:
        yield f"{said}, but tenure_days is {tenure:.0f}."
    # without any activity, silence counts from signup
    came = [value for _, value in active.values()] + [known.get("active_days_ever", 0)]
    has_come = max(came) > 0 or ("active_days_ever" not in known and silent < (tenure or silent))
    for days, (name, value) in active.items():
        if silent >= days and value > 0:
            yield f"{said}, but {name} is {value:.0f}."
        if silent < days and value == 0 and has_come:
            yield f"{said}, but {name} is 0."
