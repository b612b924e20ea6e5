"""Activation: the list's changes, complete and harmless, against any earlier version."""

import csv
from pathlib import Path

import duckdb
import pytest
from support.homes import churnhouse

from python_jobs.ingest import persons
from python_jobs.publishing import activation

LIST = """
    select
        u as user_id, cast(r as double) as churn_risk, n as list_rank, why as reason_1,
        date '2025-04-30' + n as as_of_date, timestamp '2025-05-01' as scored_at
    from (values {}) as v (u, r, n, why)
"""


@pytest.fixture
def warehouse():
    con = duckdb.connect()
    con.execute("create schema raw")
    persons.prepare(con)
    return con


def listed(con: duckdb.DuckDBPyConnection, *users: str) -> None:
    con.execute(f"create or replace table churn_top_risk as {LIST.format(', '.join(users))}")


def published(folder: Path, *users: str, without: str = "") -> Path:
    folder.mkdir()
    with duckdb.connect(str(folder / "churnhouse.duckdb")) as con:
        listed(con, *users)
        if without:
            con.execute(f"alter table churn_top_risk drop {without}")
    return folder


def written(con: duckdb.DuckDBPyConnection, work: Path, previous: Path | None):
    work.mkdir()
    rows = activation.write(con, work, previous)
    folder = work / "activation"
    for ending in ("csv", "parquet"):
        found = duckdb.sql(f"from '{folder}/list_changes.{ending}'").fetchall()
        assert rows[f"activation/list_changes.{ending}"] == {"list_changes": len(found)}
    return folder


def changes(folder: Path) -> list[tuple]:
    query = f"select change, user_id, churn_risk from '{folder}/list_changes.parquet'"
    return duckdb.sql(query).fetchall()


def test_additions_changes_and_removals_are_told_and_nothing_else(warehouse, tmp_path):
    """c stays as it was, though the day of its scoring moved."""
    before = published(
        tmp_path / "v1", "('a', 0.9, 1, 'x')", "('b', 0.8, 2, 'x')", "('c', 0.7, 4, 'x')"
    )
    listed(warehouse, "('b', 0.85, 2, 'x')", "('c', 0.7, 4, 'x')", "('d', 0.5, 3, 'x')")
    warehouse.execute("update churn_top_risk set as_of_date = as_of_date + 1")
    folder = written(warehouse, tmp_path / "v2", before)
    assert changes(folder) == [("add", "d", 0.5), ("change", "b", 0.85), ("remove", "a", 0.9)]
    first = written(warehouse, tmp_path / "v3", None)
    assert [row[:2] for row in changes(first)] == [("add", "b"), ("add", "d"), ("add", "c")]


def test_the_schema_is_that_of_this_version_whatever_came_before(warehouse, tmp_path):
    before = published(tmp_path / "v1", "('a', 0.9, 1, 'x')", without="reason_1")
    listed(warehouse, "('b', 0.8, 2, 'x')")
    folder = written(warehouse, tmp_path / "v2", before)
    expected = [
        "change",
        *(row[0] for row in warehouse.execute("describe churn_top_risk").fetchall()),
    ]
    for ending in ("csv", "parquet"):
        assert duckdb.sql(f"from '{folder}/list_changes.{ending}'").columns == expected


def test_forgotten_person_is_not_named(warehouse, tmp_path):
    before = published(tmp_path / "v1", "('a', 0.9, 1, 'x')", "('b', 0.8, 2, 'x')")
    listed(warehouse, "('b', 0.8, 2, 'x')")
    warehouse.execute("insert into raw.forgotten select person_hash('a'), now()")
    assert changes(written(warehouse, tmp_path / "v2", before)) == []


def test_text_that_looks_like_a_formula_is_harmless_in_the_csv_file(warehouse, tmp_path):
    listed(warehouse, "('=1+1', 0.9, 1, '@x')", "('ok-1', 0.8, 2, null)")
    folder = written(warehouse, tmp_path / "v1", None)
    with (folder / "list_changes.csv").open(newline="") as file:
        rows = [(row["user_id"], row["reason_1"]) for row in csv.DictReader(file)]
    assert rows == [("'=1+1", "'@x"), ("ok-1", "")]
    assert [row[1] for row in changes(folder)] == ["=1+1", "ok-1"]


def test_a_version_before_that_somebody_changed_is_not_compared_with(home):
    """It may hide who left the list. Then all of it is told anew."""
    before = (home / "published/current").resolve()
    with duckdb.connect(str(before / "churnhouse.duckdb")) as connection:
        connection.execute("delete from churn_top_risk where list_rank = 1")
    churnhouse(home, "publish")
    current = (home / "published/current").resolve()
    table = f"'{current}/activation/list_changes.parquet'"
    listed = duckdb.sql(f"select count(*) from {table}").fetchall()[0][0]
    assert current != before and listed > 10
    assert activation.counts(current) == {"add": listed, "change": 0, "remove": 0}
    churnhouse(home, "publish")
    assert activation.counts((home / "published/current").resolve())["add"] == 0
