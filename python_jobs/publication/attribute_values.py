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


class Encoder:
    """Makes the model's float32 matrix of rows whose values are in the order of `names`."""

    def __init__(self, names: Sequence[str], values: Values) -> None:
        found = places(names, values)
        self._numbers = len(names) - len(values)
        self._width = self._numbers + sum(map(len, values.values()))
        self._columns = [
            dict(zip(values[name], found[name], strict=True)) for name in names[self._numbers :]
        ]

    def matrix(self, rows: Sequence[Sequence[Any]]) -> np.ndarray:
        """Return the matrix. A number may be None, which is NaN, and an attribute too: UNKNOWN."""
        if not self._columns:
            return np.array(rows, dtype=np.float32)
        matrix = np.zeros((len(rows), self._width), dtype=np.float32)
        matrix[:, : self._numbers] = [row[: self._numbers] for row in rows]
        for position, columns in enumerate(self._columns, self._numbers):
            for place, row in enumerate(rows):
                column = columns.get(UNKNOWN if row[position] is None else row[position])
                if column is not None:
                    matrix[place, column] = 1
        return matrix
