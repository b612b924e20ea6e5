"""The sentences of reasons: pure functions of numbers and the domain's words."""

import re

DAYS_OF_MONTH = 30.44
SPANS = {
    7: "a week",
    14: "two weeks",
    21: "three weeks",
    28: "four weeks",
    30: "a month",
    60: "two months",
    90: "three months",
    180: "half a year",
    365: "a year",
}
PACES = (
    (0.85, "every day"),
    (0.6, "most days"),
    (0.43, "every other day"),
    (0.33, "three times a week"),
    (0.21, "twice a week"),
    (0.11, "once a week"),
    (0.05, "every other week"),
    (0.025, "once a month"),
    (0, "now and then"),
)
"""Words for a share of active days, by its lowest value."""
SHARES = (
    (0.22, 0.28, "a quarter of the usual"),
    (0.3, 0.37, "a third of the usual"),
    (0.45, 0.55, "half of the usual"),
    (1.85, 2.15, "twice the usual"),
    (2.8, 3.2, "three times the usual"),
)
"""Words for a ratio of a value to the usual one, by the ratio's bounds."""
CURRENCIES = "$£€¥"
HOURS_FROM = 90
"""Minutes, or seconds, from which on the next larger unit is shown."""


def number(value: float) -> str:
    """Return a number with the digits that people say: 1,234, 12, 3.5, 0.04."""
    size = abs(value)
    if value == round(value) or size >= 10:
        return f"{value:,.0f}"
    if size < 0.01:
        return "less than 0.01" if value > 0 else "0"
    return f"{value:.2f}".rstrip("0") if size < 1 else f"{value:.1f}".removesuffix(".0")


def counted(value: float, plural: str) -> str:
    """Return a number and what is counted: '1 lesson', '12 lessons'."""
    return f"{number(value)} {singular(plural) if value == 1 else plural}"


def singular(plural: str) -> str:
    """Return a label with its plural word in the singular: 'lines added' is 'line added'."""
    words = plural.split(" ")
    for place in range(len(words) - 1, -1, -1):
        if is_plural(words[place]):
            words[place] = _one(words[place])
            break
    return " ".join(words)


def _one(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if re.search(r"(s|x|z|ch|sh)es$", word):
        return word[:-2]
    return word[:-1]


def is_plural(label: str) -> bool:
    """Return True if a word of a label looks like an English plural."""
    return any(re.search(r"[^sui]s$", word) for word in label.split(" "))


def amount(value: float, unit: str | None) -> str:
    """Return a value with its unit: '40 minutes', '3 hours', '£120', '45%'."""
    if unit is None:
        return number(value)
    if unit in CURRENCIES:
        size = abs(value)
        is_whole = size >= 10 or size == round(size)
        return f"{'-' if value < 0 else ''}{unit}{size:,.{0 if is_whole else 2}f}"
    if unit == "%":
        return f"{number(value)}%"
    if unit in ("minutes", "seconds"):
        value = max(value, 0)
        if unit == "seconds" and value >= HOURS_FROM:
            value, unit = value / 60, "minutes"
        if unit == "minutes" and value >= HOURS_FROM:
            hours = value / 60
            return counted(round(hours * 2) / 2 if hours < 10 else round(hours), "hours")
        if 0 < value < 1:
            return f"less than 1 {singular(unit)}"
        return counted(round(value), unit)
    return counted(value, unit)


def duration(days: float) -> str:
    """Return a number of days as people say it: '12 days', '5 months', '3 years'."""
    days = max(round(days), 0)
    if days < 60:
        return counted(days, "days")
    if days < 730:
        return counted(round(days / DAYS_OF_MONTH), "months")
    return counted(days // 365, "years")


def span(days: float) -> str:
    """Return a window after 'in': 'two weeks'."""
    return SPANS.get(int(days), counted(days, "days"))


def pace(rate: float) -> str:
    """Return how often somebody comes who is active on this share of days."""
    return next(words for lowest, words in PACES if rate >= lowest)


def sentence(text: str) -> str:
    """Return a text with one capital letter, single spaces and a full stop."""
    text = " ".join(text.split())
    return f"{text[:1].upper()}{text[1:]}."


def silent(come: str, days: float, rate: float | None) -> str:
    """Return 'Silent for 25 days; used to come every day.' `rate`: share of active days before."""
    used_to = "" if rate is None else f"; used to {come} {pace(rate)}"
    return sentence(f"silent for {duration(days)}{used_to}")


def visits(
    come: str, came: str, active: float, days: float, rate: float | None, others: float | None
) -> str:
    """Return 'Came on 6 of the last 7 days' and the own pace before, or the others' active days."""
    if days == 1:
        said = f"{came} on the last day" if active else "no activity on the last day"
    elif active == 0:
        said = f"not one active day in {span(days)}"
    else:
        said = (
            f"{came} on {'each' if active == days else number(active)} of the last {days:.0f} days"
        )
    if rate is not None:
        said += f"; used to {come} {pace(rate)}"
    elif others is not None:
        said += f" (typical users: {number(others)})"
    return sentence(said)


def never(came: str, joined: str, tenure: float) -> str:
    """Return 'Signed up 12 days ago and never came.'"""
    return sentence(f"{joined} {duration(tenure)} ago and never {came}")


def tenure(joined: str, days: float, is_new: bool, raises: bool) -> str:
    """Return 'Signed up 12 days ago: users this new leave more often.'"""
    who = "users this new" if is_new else "users this long with us"
    when = "today" if days < 1 else f"{duration(days)} ago"
    return sentence(f"{joined} {when}: {who} leave {often(raises)}")


def often(raises: bool) -> str:
    """Return how often users leave whose risk a reason raises or lowers."""
    return "more often" if raises else "less often"


def measured(
    label: str,
    unit: str | None,
    value: float,
    days: float,
    is_new: bool,
    usual: float | None,
    others: float | None,
) -> str:
    """Return '40 minutes of lessons in the last 7 days, half of the usual.'

    `is_new`: whether these are all days of a new user. `usual`: the user's own pace before.
    `others`: the typical user's value.
    """
    if value == 0:
        said = f"no {label} in {f'the first {duration(days)}' if is_new else span(days)}"
    else:
        said = f"{quantity(label, unit, value)} in the last {counted(days, 'days')}"
    if usual is not None:
        ratio = value / usual
        words = next((words for low, high, words in SHARES if low <= ratio <= high), None)
        said += f", {words}" if words else f" (usually {amount(usual, unit)})"
    elif others is not None:
        said += f" (typical users: {amount(others, unit) if others else 'none'})"
    return sentence(said)


def quantity(label: str, unit: str | None, value: float) -> str:
    """Return a value and what it measures: '3 logins', '40 minutes of lessons', 'spend: £20'."""
    if not is_plural(label):
        return f"{label}: {amount(value, unit)}"
    if unit is None:
        return counted(value, label)
    return f"{amount(value, unit)} of {label}"


def averaged(
    label: str,
    unit: str | None,
    value: float,
    days: float,
    long: float | None,
    longest: float,
    others: float | None,
) -> str:
    """Return 'Quiz score averaged 45 over the last 7 days (71 over 30).'

    `long`: the user's own average over the longest window. `others`: the typical user's.
    """
    said = f"{label} averaged {amount(value, unit)} over the last {counted(days, 'days')}"
    if long is not None:
        said += f" ({amount(long, unit)} over {longest:.0f})"
    elif others is not None:
        said += f" (typical users: {amount(others, unit)})"
    return sentence(said)


def nothing(labels: list[str], days: float) -> str:
    """Return 'No payments or failed payments in a month.'"""
    return sentence(f"no {' or '.join(labels)} in {span(days)}")


def share(label: str, value: float, days: float, others: float | None) -> str:
    """Return 'Share of failed payments: 40% over the last 30 days (typical users: 0%).'"""
    said = f"{label}: {percent(value)} over the last {counted(days, 'days')}"
    return sentence(said if others is None else f"{said} (typical users: {percent(others)})")


def percent(value: float) -> str:
    """Return a share as whole percents; 'under 1%' for what would be rounded to nothing."""
    return "under 1%" if 0 < value < 0.005 else f"{value * 100:,.0f}%"


def plain(label: str, value: float | None, others: float | None) -> str:
    """Return 'Mood last 7d: 3 (typical users: 5).', for what the domain does not explain."""
    said = f"{label}: {'unknown' if value is None else number(value)}"
    return sentence(said if others is None else f"{said} (typical users: {number(others)})")


def attribute(label: str, value: str | None, raises: bool) -> str:
    """Return 'Plan basic: users of this plan leave more often.'; None is no value."""
    if value is None:
        return sentence(f"{label} unknown: such users leave {often(raises)}")
    value = value.replace("_", " ")
    return sentence(f"{label} {value}: users of this {label} leave {often(raises)}")


def uncommon(label: str, raises: bool) -> str:
    """Return 'Uncommon plan: such users leave less often.', for a value the model does not know."""
    return sentence(f"uncommon {label}: such users leave {often(raises)}")
