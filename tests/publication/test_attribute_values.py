"""attribute_values: the API encodes a row as the warehouse does."""

import duckdb
import numpy as np

from python_jobs.publication.attribute_values import Encoder, places
from python_jobs.warehouse.features import Features

NAMES = ["logins", "score", "plan", "country"]
VALUES = {"plan": ["it's", "free", "unknown"], "country": ["DE"]}


def test_each_known_value_has_its_own_column_after_the_numbers():
    assert places(NAMES, VALUES) == {
        "logins": range(1),
        "score": range(1, 2),
        "plan": range(2, 5),
        "country": range(5, 6),
    }


def test_new_value_has_no_column_and_missing_one_counts_as_unknown():
    rows = [[3, None, "free", "DE"], [0, 0.5, None, None], [1, 1, "new", "de"]]
    expected = [[3, np.nan, 0, 1, 0, 1], [0, 0.5, 0, 0, 1, 0], [1, 1, 0, 0, 0, 0]]
    matrix = Encoder(NAMES, VALUES).matrix(rows)
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, expected)
    assert Encoder(NAMES[:2], {}).matrix([[3, None]]).tolist()[0][0] == 3


def test_api_and_warehouse_encode_every_row_the_same():
    """3,000 rows in two chunks, with NULL, new, empty and quoted values."""
    texts = ["it's", "free", "unknown", "new", "", 'a "b"; --', None]
    rng = np.random.default_rng(4)
    rows = [
        [int(n), float(n) / 7 if n % 5 else None, texts[n % 7], texts[n % 11 % 7] and "DE"]
        for n in rng.integers(0, 1000, 3000)
    ]
    con = duckdb.connect()
    con.execute(
        "create table t (n integer, logins integer, score double, plan varchar, country varchar)"
    )
    con.executemany("insert into t values (?, ?, ?, ?, ?)", [[i, *r] for i, r in enumerate(rows)])
    features = Features(NAMES, ["INTEGER", "DOUBLE", "VARCHAR", "VARCHAR"], VALUES)
    chunks = features.chunks(con, ["f.n"], "from t as f where n >= ? order by f.n", 0)
    frames, matrices = zip(*chunks, strict=True)
    assert [n for frame in frames for n in frame["n"]] == list(range(3000))
    matrix = np.concatenate(matrices)
    assert matrix.shape == (3000, features.width)
    np.testing.assert_array_equal(matrix, Encoder(NAMES, VALUES).matrix(rows))
