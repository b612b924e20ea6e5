"""Exported files: no cell of a CSV file is a formula, numbers stay numbers, Parquet is exact."""

import csv
from pathlib import Path

import duckdb
import pytest

from python_jobs import pipeline
from python_jobs.files import harmless
from python_jobs.publishing import exports
from python_jobs.settings import Settings

FORMULAS = ("=1+1", "@x", "+49 30", "-x", "-2+3", "--1", "\tx", "\r=1", "\n=1", "\uff1d1")
PLAIN = ("", "x", "a=1", "-17", "-0.5", "12", "'x")


def exported(con: duckdb.DuckDBPyConnection, folder: Path) -> tuple[list[dict], list[tuple]]:
    """Return the rows of the CSV file and those of the Parquet file."""
    paths = exports.write(con, "main.people", "n", folder / "people_v1.5")
    assert [path.name for path in paths] == ["people_v1.5.csv", "people_v1.5.parquet"]
    with paths[0].open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file)), duckdb.sql(f"from '{paths[1]}'").fetchall()


def test_text_that_looks_like_a_formula_is_escaped_in_csv_alone(tmp_path):
    con = duckdb.connect()
    con.execute('create table people (n integer, "=id" varchar)')
    people = list(enumerate((*FORMULAS, *PLAIN)))
    con.executemany("insert into people values (?, ?)", people)
    found, exact = exported(con, tmp_path)
    assert [row["=id"] for row in found] == [f"'{text}" for text in FORMULAS] + [*PLAIN]
    assert exact == people


def test_numbers_dates_and_missing_text_stay_as_they_are(tmp_path):
    con = duckdb.connect()
    con.execute(
        "create table people as select -1 as n, -0.5::double as gain, date '2025-04-30' as day,"
        " null::varchar as reason_1"
    )
    found, _ = exported(con, tmp_path)
    assert found == [{"n": "-1", "gain": "-0.5", "day": "2025-04-30", "reason_1": ""}]


@pytest.mark.parametrize("text", (*FORMULAS, *PLAIN))
def test_sql_and_python_escape_the_same_text(text: str, tmp_path):
    con = duckdb.connect()
    con.execute("create table people as select 1 as n, ?::varchar as id", [text])
    assert exported(con, tmp_path)[0] == [{"n": "1", "id": harmless(text)}]


def test_no_published_csv_file_has_a_formula(home: Path):
    with duckdb.connect(str(home / "warehouse.duckdb")) as warehouse:
        for table in ("churn_top_risk", "churn_predictions_latest"):
            warehouse.execute(f"update {table} set reason_1 = '=1+1', action = '@do'")
    pipeline.publish(Settings(home=home))
    files = list((home / "published/current").resolve().rglob("*.csv"))
    assert len(files) == 3
    for path in files:
        with path.open(encoding="utf-8", newline="") as file:
            found = {(row["reason_1"], row["action"]) for row in csv.DictReader(file)}
        assert found == {("'=1+1", "'@do")}, path
        exact = duckdb.sql(f"select distinct reason_1 from '{path.with_suffix('.parquet')}'")
        assert exact.fetchall() == [("=1+1",)], path
