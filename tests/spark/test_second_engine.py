"""The main job gives the same tables on DuckDB and on a Spark cluster that loses workers."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from support import facts
from support.cluster import Cluster
from support.homes import PROJECT, churnhouse, files_that_name

from python_jobs.warehouse.exchange import INBOX

pytestmark = pytest.mark.spark

USERS, DAYS = 120, 104
# Times differ from run to run, and so do files that contain them.
MOMENTS = {"ingested_at", "written_at", "ingested_through", "scored_at", "created_at", "decided_at"}
MOMENTS |= {"changed_at", "linked_at"}
MOMENTS |= {"onnx_sha256", "joblib_sha256", "modified_ns", "forgotten_at", "person_hash"}
# Each engine has its own numbers for ids.
NUMBERS_OF_IDS = {"event_key"}
# dbt_run_results has times, and other nodes on DuckDB. churn_scores is a Python model: on Spark a
# job writes what follows it. user_windows lists the days to rewrite: on Spark whole days of all
# users, on DuckDB only those of changed users. descriptions lacks Python models on Spark.
# Spark has no effect_scores: lists count with save rates there.
NOT_COMPARED = {"ml.dbt_run_results", "main.churn_scores", "main.user_windows", "ml.descriptions"}
# Seconds and memory are those of the engine, the key of hashes that of the home.
NOT_COMPARED |= {"ml.job_runs", "raw.person_key"}
NOT_COMPARED |= {"main.effect_scores"}
VERSION_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z-")


def test_local_spark_session_may_use_half_of_the_memory(tmp_path):
    heap = "spark.sparkContext._jvm.java.lang.Runtime.getRuntime().maxMemory()"
    code = "from python_jobs.settings import Settings; "
    code += "from python_jobs.warehouse.spark import session; "
    code += f"spark = session(Settings()); print({heap}); spark.stop()"
    env = {name: value for name, value in os.environ.items() if name != "SPARK_CONF_DIR"}
    env |= {"CHURNHOUSE_HOME": str(tmp_path), "CHURNHOUSE_SPARK_MASTER": "local[1]"}
    env |= {"CHURNHOUSE_MEMORY_LIMIT": "5GiB", "SPARK_LOCAL_IP": "127.0.0.1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, cwd=PROJECT, stdout=subprocess.PIPE, check=True)
    # Java does not count one survivor space
    assert int(done.stdout.split()[-1]) == pytest.approx(2.5 * 2**30, rel=0.05)


@pytest.fixture(scope="module")
def homes(tmp_path_factory) -> tuple[Path, Path]:
    """Return two homes with the same raw files: (DuckDB's, Spark's)."""
    folder = tmp_path_factory.mktemp("engines")
    duck, spark = folder / "duckdb", folder / "spark"
    churnhouse(duck, "generate", "--users", USERS, "--days", DAYS)
    shutil.copytree(duck, spark)
    return duck, spark


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Cluster:
    running = Cluster(tmp_path_factory.mktemp("cluster"))
    yield running
    running.close()


def test_main_job_gives_the_same_tables_when_a_worker_dies_in_build(homes, cluster):
    duck, spark = homes
    churnhouse(duck, "run", "--time-budget", 0)
    log = spark / "dbt/logs/dbt.log"

    def is_building() -> bool:
        return log.exists() and "START sql day_table model main.user_daily" in log.read_text()

    output, errors = cluster.churnhouse(spark, "run", "--time-budget", 0, kill_when=is_building)
    assert "publish" in output
    assert "Lost executor" in errors
    check_equal(duck, spark)
    check_published_equal(duck, spark)


def test_daily_run_gives_the_same_tables_when_a_worker_dies_in_score(homes, cluster):
    duck, spark = homes
    before = days_written(spark)
    for home in homes:
        churnhouse(home, "generate", "--days", 1, "--append")
    shutil.copytree(duck / "raw", spark / "raw", dirs_exist_ok=True)
    churnhouse(duck, "daily")
    scored = spark / "spark/scored"
    shutil.rmtree(scored)
    output, errors = cluster.churnhouse(spark, "daily", kill_when=scored.exists)
    assert "publish" in output
    assert "Lost executor" in errors
    check_equal(duck, spark)
    check_published_equal(duck, spark)
    # days before the late events were not written again
    after = days_written(spark)
    same = [day for day in before if before[day] == after[day]]
    assert len(same) > DAYS / 2
    assert len(after) == len(before) + 1


@pytest.mark.nightly
def test_forgotten_user_is_gone_and_all_else_is_the_same(homes, cluster):
    duck, spark = homes
    query = "select user_id from churn_top_risk order by risk_rank limit 1"
    user = read(duck, query)["user_id"][0]
    killed = spark / "spark/jobs/ml/scored_features/.spark-staging-1/part-0.parquet"
    killed.parent.mkdir()
    killed.write_text(f"half a file that names {user}")
    churnhouse(duck, "forget", user)
    cluster.churnhouse(spark, "forget", user)
    assert files_that_name(spark, user) == []
    check_equal(duck, spark)
    check_published_equal(duck, spark)


@pytest.mark.nightly
def test_corrections_links_and_exclusions_give_the_same_tables(tmp_path, cluster, monkeypatch):
    """Also an outage, a time zone and deleted rows: the second load changes them all."""
    monkeypatch.setenv("CHURNHOUSE_DOMAINS", str(facts.DOMAINS))
    duck, spark = tmp_path / "duckdb", tmp_path / "spark"
    for number, rows in enumerate(facts.TWO_LOADS, start=1):
        for home in (duck, spark):
            facts.write(home / "raw", number, rows)
        build = ("build", *facts.BUILT)
        for command in (("ingest", "--domain", "facts"), build):
            churnhouse(duck, *command)
            cluster.churnhouse(spark, *command)
    check_equal(duck, spark)
    assert read(duck, "select distinct user_id from user_daily")["user_id"].tolist() == ["ann"]


def days_written(home: Path) -> dict[str, set[str]]:
    """Return the files of each day of user_daily."""
    days = (home / "spark/main.db/user_daily").glob("day=*")
    return {day.name: {file.name for file in day.glob("*.parquet")} for day in days}


def check_equal(duck: Path, spark: Path) -> None:
    """Check that every table of models and jobs equals DuckDB's."""
    ours, theirs = tables(duck, "base table") - NOT_COMPARED, tables(spark, "%")
    assert theirs >= ours
    for table in sorted(ours):
        expected, found = (
            read(duck, f"from {table}"),
            read(spark, f"from {from_spark(spark, table)}"),
        )
        check_frames_equal(table, expected, found)


def from_spark(home: Path, table: str) -> str:
    """Check that raw rows are in Parquet, not in the jobs' file."""
    if table in INBOX:
        folder = home / "spark/jobs" / table.replace(".", "/")
        return f"read_parquet('{folder}/*.parquet', union_by_name = true)"
    return table


def check_published_equal(duck: Path, spark: Path) -> None:
    """Check that published risks and reasons equal DuckDB's exactly."""
    query = "select user_id, risk_rank, risk_band, reason_1, reason_2, reason_3, in_holdout"
    query += " from '{}/published/current/churn_predictions_*.parquet' order by risk_rank"
    expected, found = (duckdb.sql(query.format(home)).fetchall() for home in (duck, spark))
    assert found == expected


def tables(home: Path, kind: str) -> set[str]:
    query = (
        "select table_schema || '.' || table_name as name from information_schema.tables"
        f" where table_type ilike '{kind}'"
    )
    return set(read(home, query)["name"])


def read(home: Path, query: str) -> pd.DataFrame:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(query).df()


def check_frames_equal(table: str, expected: pd.DataFrame, found: pd.DataFrame) -> None:
    columns = sorted(set(expected.columns) - MOMENTS - NUMBERS_OF_IDS)
    assert sorted(set(found.columns) - MOMENTS - NUMBERS_OF_IDS) == columns, table
    assert len(found) == len(expected), table
    expected, found = (plain(frame[columns]) for frame in (expected, found))
    for name in columns:
        where = f"{table}.{name}"
        if pd.api.types.is_float_dtype(expected[name]):
            np.testing.assert_allclose(
                found[name].astype(float), expected[name], rtol=1e-9, atol=1e-12, err_msg=where
            )
        else:
            assert found[name].tolist() == expected[name].tolist(), where


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Return rows in a fixed order, with missing values and versions normalised."""
    frame = frame.copy()
    for name in frame.columns:
        if pd.api.types.is_numeric_dtype(frame[name]):
            frame[name] = frame[name].astype(float)
        else:
            texts = frame[name].astype("string").fillna("")
            frame[name] = texts.str.replace(VERSION_TIME, "", regex=True).astype(object)
    texts = [n for n in frame.columns if not pd.api.types.is_float_dtype(frame[n])]
    numbers = [n for n in frame.columns if n not in texts]
    keys = frame.assign(**{name: frame[name].round(6) for name in numbers})
    return frame.loc[keys.sort_values(texts + numbers, kind="stable").index].reset_index(drop=True)
