"""A model's input: numbers and attributes of user_features_daily, and reading them as a matrix."""

import hashlib
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

from python_jobs.publication import attribute_values
from python_jobs.publication.attribute_values import UNKNOWN

if TYPE_CHECKING:
    import pandas as pd

NUMERIC = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL\(.*\)")
CHUNK_VECTORS = 16
"""DuckDB vectors (2,048 rows each) in a chunk: 32,768 rows."""

MIN_USERS = 30
"""Fewest users of a value that becomes an input: rarer ones say little and could name a person."""

MOST_VALUES = 20
"""Most values of one attribute that become inputs: the commonest ones."""

KNOWN = f"""
with counted as (
    select coalesce("{{name}}", '{UNKNOWN}') as value, count(distinct user_id) as users
    from {{table}}
    where is_eligible
    group by all
)
select value from counted
where users >= {MIN_USERS} and (select count(*) from counted) > 1
order by users desc, value
limit {MOST_VALUES}
"""


@dataclass(frozen=True)
class Features:
    """A model's input: column names, their SQL types, and the values of attributes that it knows.

    Numbers come first, then attributes. In the model's matrix, an attribute is one column of 0 and
    1 for each of its values; see publication/attribute_values.py.
    """

    names: list[str]
    types: list[str]
    values: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of_table(
        cls, con: duckdb.DuckDBPyConnection, table: str, attributes: Collection[str] = ()
    ) -> "Features":
        """Return the numeric columns of a table except churn_label, in table order.

        Those of `attributes` that are text columns of the table follow, without values.
        """
        columns = con.execute(f"describe {table}").fetchall()
        numeric = [
            (c[0], c[1]) for c in columns if NUMERIC.fullmatch(c[1]) and c[0] != "churn_label"
        ]
        texts = [(c[0], c[1]) for c in columns if c[1] == "VARCHAR" and c[0] in attributes]
        names, types = ([c[i] for c in numeric + texts] for i in (0, 1))
        return cls(names, types, {name: [] for name, _ in texts})

    @classmethod
    def learned(
        cls, con: duckdb.DuckDBPyConnection, table: str, attributes: Collection[str]
    ) -> "Features":
        """Return the features of a training table, with the values of attributes that it teaches.

        These are the values of at least MIN_USERS eligible users, the commonest first. An attribute
        without such a value, for example an e-mail address, or with only one value is no feature.
        """
        there = cls.of_table(con, table, attributes)
        values = {}
        for name in there.values:
            found = con.execute(KNOWN.format(name=_quoted(name), table=table)).fetchall()
            if found:
                values[name] = [value for (value,) in found]
        kept = [
            (name, kind)
            for name, kind in zip(there.names, there.types, strict=True)
            if name in values or name not in there.values
        ]
        return cls([name for name, _ in kept], [kind for _, kind in kept], values)

    @staticmethod
    def texts(con: duckdb.DuckDBPyConnection, table: str) -> list[str]:
        """Return a table's text columns except user_id: the attributes."""
        columns = con.execute(f"describe {table}").fetchall()
        return [c[0] for c in columns if c[1] == "VARCHAR" and c[0] != "user_id"]

    @property
    def numbers(self) -> list[str]:
        """Return the names of the features that are no attributes."""
        return [name for name in self.names if name not in self.values]

    @property
    def places(self) -> dict[str, range]:
        """Return the columns of each feature in the model's matrix."""
        return attribute_values.places(self.names, self.values)

    @property
    def width(self) -> int:
        """Return the number of columns of the model's matrix."""
        return len(self.numbers) + sum(map(len, self.values.values()))

    @property
    def fingerprint(self) -> str:
        """Return the sha256 over names, types and known values, in order."""
        content = [self.names, self.types, *([self.values] if self.values else [])]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

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
        a number that is NULL. `rest` is the SQL from FROM on; it calls the table with the features
        f. There is at least one chunk, which may be empty.
        """
        matrix = [f'cast(f."{_quoted(name)}" as float)' for name in self.numbers]
        known = [(name, value) for name, values in self.values.items() for value in values]
        matrix += [
            f"cast(coalesce(f.\"{_quoted(name)}\", '{UNKNOWN}') = ? as float) as known_{place}"
            for place, (name, _) in enumerate(known)
        ]
        query = f"select {', '.join(others + matrix)} {rest}"
        result = con.execute(query, [*(value for _, value in known), *parameters])
        first = True
        while len(chunk := result.fetch_df_chunk(CHUNK_VECTORS)) or first:
            first = False
            yield chunk.iloc[:, : len(others)], chunk.iloc[:, len(others) :].to_numpy(np.float32)


def _quoted(name: str) -> str:
    return name.replace('"', '""')
