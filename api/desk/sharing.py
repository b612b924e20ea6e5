"""What many rows of a list share is said once."""

import itertools
from collections import Counter
from typing import Any

MANY = 3
"""So many rows that follow each other share a heading if they say the same."""


def say_once(shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give rows in a row that begin with the same words one `heading`, (words, users); return all.

    The `reasons` of such a row go on after these words, so they say what sets the user apart.
    """
    for words, run in itertools.groupby(shown, _beginning):
        members = list(run)
        if words is None or len(members) < MANY:
            continue
        members[0]["heading"] = (words, len(members))
        for row in members:
            rest = row["reasons"][0].partition("; ")[2]
            left = [rest[:1].upper() + rest[1:]] if rest else []
            row["reasons"], row["is_said"] = [*left, *row["reasons"][1:]], True
    return shown


def _beginning(row: dict[str, Any]) -> str | None:
    """Return the first reason's words up to a semicolon: "Silent for 25 days"."""
    first = row["reasons"][0].partition("; ")[0] if row["reasons"] else None
    return first and first.removesuffix(".")


def common_action(shown: list[dict[str, Any]]) -> str | None:
    """Return the action of at least half of the rows, if a list says so above it; else None."""
    counted = Counter(row.get("action") for row in shown)
    counted.pop(None, None)
    action, users = max(counted.items(), key=lambda item: item[1], default=(None, 0))
    return action if users >= MANY and 2 * users >= len(shown) else None
