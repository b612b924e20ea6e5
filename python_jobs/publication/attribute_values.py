"""Attributes as a model's input: one column of 0 and 1 for each value that the model knows.

A value that the model does not know, for example a new plan, has 0 in all columns of its attribute.
For the API, this module imports only numpy.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

UNKNOWN = "unknown"
"""The value of a user whose attribute is NULL, as in the slices of metrics.json."""

OTHER = "other"
"""What people read for a value that the model does not know."""

Values = Mapping[str, Sequence[str]]
"""The values that a model knows, of each attribute among its features."""


def places(names: Sequence[str], values: Values) -> dict[str, range]:
    """Return the columns of each feature in the model's matrix.

    A number has one column, an attribute one for each value. Attributes come after all numbers.
    """
    widths = [len(values[name]) if name in values else 1 for name in names]
    ends = np.cumsum(widths, dtype=int).tolist()
    return {
        name: range(end - width, end) for name, width, end in zip(names, widths, ends, strict=True)
    }


def encoded(rows: Sequence[Sequence[Any]], names: Sequence[str], values: Values) -> np.ndarray:
    """Return the model's float32 matrix of rows whose values are in the order of `names`.

    Numbers may be None (NaN in the matrix), and so may attributes (UNKNOWN).
    """
    if not values:
        return np.array(rows, dtype=np.float32)
    found = places(names, values)
    numbers = len(names) - len(values)
    matrix = np.zeros((len(rows), found[names[-1]].stop), dtype=np.float32)
    matrix[:, :numbers] = [row[:numbers] for row in rows]
    for position, name in enumerate(names[numbers:], numbers):
        column = dict(zip(values[name], found[name], strict=True))
        for place, row in enumerate(rows):
            text = UNKNOWN if row[position] is None else row[position]
            if text in column:
                matrix[place, column[text]] = 1
    return matrix
