"""Reads query strings in which every parameter stands once."""

from collections import Counter

from fastapi import Request

from api.http.errors import error, invalid


def parameters(request: Request) -> dict[str, str]:
    """Return the query's parameters; 422 names those that stand twice."""
    pairs = request.query_params.multi_items()
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = sorted(name for name, count in counts.items() if count > 1)
        problems = [error("query", name, "given more than once") for name in twice]
        raise invalid("Give each parameter once.", problems)
    return found
