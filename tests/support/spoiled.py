"""Puts wrong values into JSON files."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

GONE = object()
"""Instead of a value: its name is missing."""

WRONG = (None, True, 5, -0.5, "", "x", [], {}, [5], {"x": "y"}, GONE)


def places(content: Any, place: tuple = ()) -> Iterator[tuple]:
    """Yield where values are in a JSON value, containers included."""
    names = content if isinstance(content, dict) else range(len(content))
    for name in names:
        yield (*place, name)
        if isinstance(content[name], dict | list):
            yield from places(content[name], (*place, name))


def spoiled(content: Any, place: tuple, value: object) -> Any:
    """Return a copy with another value at a place."""
    changed = inner = copy.deepcopy(content)
    for name in place[:-1]:
        inner = inner[name]
    if value is GONE:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return changed


def spoil(path: Path, place: tuple, value: object) -> None:
    """Put another value at a place in a JSON file."""
    content = json.loads(path.read_bytes())
    path.write_text(json.dumps(spoiled(content, place, value)), encoding="utf-8")
