"""Checks a client's features and turns them into the model's input."""

from itertools import islice
from typing import Any

from api.http.errors import error
from api.store.publication import Publication, is_whole

MAX_ERRORS = 50
"""Errors of one request that are named."""

LARGEST = 1e12
"""No feature is larger; the model counts in float32."""


def vector(
    publication: Publication, given: dict[str, Any], published: tuple[Any, ...] | None
) -> tuple[list[Any] | tuple[Any, ...], list[dict[str, str]]]:
    """Return the values in the model's order, and the errors in the given ones.

    Missing features come from the user's published row; without one, all are required.
    """
    features = publication.features
    if not given and published is not None:
        return published, []
    wrong = (
        error("body", f"features.{name}", problem)
        for name, value in given.items()
        if (problem := _problem(publication, name, value))
    )
    errors = list(islice(wrong, MAX_ERRORS))
    if published is None:
        missing = [name for name in features if name not in given]
        errors += [error("body", f"features.{name}", "missing") for name in missing]
        return [given.get(name) for name in features], errors
    values = list(published)
    for name in given.keys() & features.keys():
        values[publication.positions[name]] = given[name]
    return values, errors


def _problem(publication: Publication, name: str, value: object) -> str | None:
    kind = publication.features.get(name)
    if kind is None:
        return "unknown feature"
    if name in publication.known_values:
        return None if value is None or isinstance(value, str) else "must be a text or null"
    if value is None:
        return None if name in publication.nullable else "must be a number, not null"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "must be a number"
    if not abs(value) <= LARGEST:
        return "out of range"
    if is_whole(kind) and isinstance(value, float) and not value.is_integer():
        return "must be a whole number"
    return None
