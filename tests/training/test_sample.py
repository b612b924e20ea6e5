"""Training on a sample: bounded, stratified, repeatable, and only if needed."""

from collections import Counter

import duckdb
import pytest

from python_jobs.settings import Settings
from python_jobs.training.sample import draw

STRATUM = "as_of_date, is_eligible, churn_label"


@pytest.fixture
def con(finished_home):
    with duckdb.connect(str(finished_home / "warehouse.duckdb"), read_only=True) as connection:
        yield connection


def _strata(con, table: str) -> Counter:
    rows = con.execute(f"select {STRATUM}, count(*) from {table} group by all").fetchall()
    return Counter({row[:3]: row[3] for row in rows})


def _settings(home, rows: int) -> Settings:
    return Settings(home=home, max_training_rows=rows)


def test_sample_is_bounded_and_keeps_the_share_of_each_stratum(con, finished_home):
    whole = _strata(con, "main.evaluation_set")
    limit = whole.total() // 3
    draw(con, _settings(finished_home, limit))
    sample = _strata(con, "evaluation_set")
    assert sample.total() <= limit + len(whole)
    assert sample.keys() == whole.keys()
    for stratum, rows in whole.items():
        assert sample[stratum] == max(1, rows * limit // whole.total())
    everything = con.execute("select count(*) from training_set").fetchone()[0]
    assert everything == sum(n for (_, eligible, _), n in sample.items() if eligible)


def test_sampling_again_draws_the_same_rows(con, finished_home):
    found = []
    for _ in range(2):
        draw(con, _settings(finished_home, 500))
        found.append(con.execute("from evaluation_set order by user_id, as_of_date").fetchall())
        con.execute("drop view temp.training_set")
        con.execute("drop table temp.evaluation_set")
    assert found[0] == found[1]
    assert len(set(found[0])) == len(found[0])


def test_no_sample_is_drawn_when_all_rows_fit(con, finished_home):
    rows = con.execute("select count(*) from evaluation_set").fetchone()[0]
    draw(con, _settings(finished_home, rows))
    assert not con.execute("select 1 from duckdb_tables() where table_name like '%_set'").fetchall()
