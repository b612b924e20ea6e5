"""A model's input: its feature columns, and reading them as a matrix."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

if TYPE_CHECKING:
    import pandas as pd

NUMERIC = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL\(.*\)")
CHUNK_VECTORS = 16
"""DuckDB vectors (2,048 rows each) in a chunk: 32,768 rows."""


@dataclass(frozen=True)
class Features:
    """A model's input: column names in order, and their SQL types."""

    names: list[str]
    types: list[str]

    @classmethod
    def of_table(cls, con: duckdb.DuckDBPyConnection, table: str) -> "Features":
        """Return the numeric columns of a table except churn_label, in table order."""
        columns = con.execute(f"describe {table}").fetchall()
        numeric = [
            (c[0], c[1]) for c in columns if NUMERIC.fullmatch(c[1]) and c[0] != "churn_label"
        ]
        return cls([name for name, _ in numeric], [kind for _, kind in numeric])

    @staticmethod
    def texts(con: duckdb.DuckDBPyConnection, table: str) -> list[str]:
        """Return a table's text columns except user_id: attributes for slices, not features."""
        columns = con.execute(f"describe {table}").fetchall()
        return [c[0] for c in columns if c[1] == "VARCHAR" and c[0] != "user_id"]

    @property
    def fingerprint(self) -> str:
        """Return the sha256 over names and types, in order."""
        return hashlib.sha256(json.dumps([self.names, self.types]).encode()).hexdigest()

    def differences(self, table: "Features") -> list[str]:
        """Return which of these features a table lacks or has in another type, in words.

        Neither the order of a table's columns nor columns that are not among these matter.
        """
        theirs = dict(zip(table.names, table.types, strict=True))
        return [
            f"{name} is {theirs.get(name, 'missing')}, the model has {kind}"
            for name, kind in zip(self.names, self.types, strict=True)
            if theirs.get(name) != kind
        ]

    def chunks(
        self, con: duckdb.DuckDBPyConnection, others: list[str], rest: str, *parameters: Any
    ) -> Iterator[tuple["pd.DataFrame", np.ndarray]]:
        """Yield (DataFrame of the columns `others`, float32 matrix) of the same rows, in chunks.

        Training, promotion and scoring all read features here: in this order, as float32, NaN for
        NULL. `rest` is the SQL from FROM on; it calls the table with the features f. There is at
        least one chunk, which may be empty.
        """
        quoted = [name.replace('"', '""') for name in self.names]
        matrix = [f'cast(f."{name}" as float)' for name in quoted]
        result = con.execute(f"select {', '.join(others + matrix)} {rest}", parameters)
        first = True
        while len(chunk := result.fetch_df_chunk(CHUNK_VECTORS)) or first:
            first = False
            yield chunk.iloc[:, : len(others)], chunk.iloc[:, len(others) :].to_numpy(np.float32)
