"""engines: each engine implements all methods, and unknown engines are refused."""

import inspect

import pytest

from python_jobs.errors import JobError
from python_jobs.settings import Settings
from python_jobs.warehouse import engines, exchange
from python_jobs.warehouse.connection import connect
from python_jobs.warehouse.engines import ENGINES, DuckDB, Spark, engine_of
from python_jobs.warehouse.lock import writing


class NoWorkers(Exception):
    """An error like those of pyspark."""

    __module__ = "py4j.protocol"


def questions(engine: type) -> dict[str, inspect.Signature]:
    """Return the public methods of an engine with their signatures."""
    functions = inspect.getmembers(engine, inspect.isfunction)
    return {name: inspect.signature(f) for name, f in functions if not name.startswith("_")}


@pytest.mark.parametrize("target, engine", [("duckdb", DuckDB), ("spark", Spark)])
def test_settings_choose_the_engine(target, engine):
    assert isinstance(engine_of(Settings(target=target)), engine)


def test_an_unknown_engine_is_refused_with_the_known_ones_named(tmp_path):
    settings = Settings(home=tmp_path).model_copy(update={"target": "trino"})
    told = r"CHURNHOUSE_TARGET=trino is not an engine\. Next: set it to one of duckdb, spark"
    for ask in (engine_of, lambda settings: connect(settings).__enter__()):
        with pytest.raises(JobError, match=told):
            ask(settings)
    assert not settings.warehouse.exists()


def test_both_engines_answer_the_same_questions():
    assert questions(DuckDB) == questions(Spark)
    fields = {name for name in vars(DuckDB) if not name.startswith("_")}
    assert fields == {name for name in vars(Spark) if not name.startswith("_")}


def test_a_failure_of_spark_is_one_line_that_names_the_job(tmp_path):
    settings = Settings(home=tmp_path, target="spark")
    told = "Spark failed in score: no executor is left. Next: see that CHURNHOUSE_SPARK_MASTER"
    with pytest.raises(JobError, match=told), writing(settings, "score"):
        raise NoWorkers("\n  no executor is left.\n\tat java.lang.Thread")


def test_failure_of_the_job_itself_is_not_blamed_on_spark(tmp_path):
    for target in ENGINES:
        with pytest.raises(ZeroDivisionError), writing(Settings(home=tmp_path, target=target), "x"):
            raise ZeroDivisionError


def test_only_writing_connections_share_job_tables_with_spark(tmp_path):
    settings = Settings(home=tmp_path, target="spark")
    with connect(settings) as connection:
        connection.execute("create schema raw")
        connection.execute("create table raw.domain as select 'tiny' as name")
    shared = exchange.folder(settings, "raw.domain") / "all.parquet"
    assert shared.exists()
    shared.unlink()
    with connect(settings, read_only=True):
        pass
    assert not shared.exists()
    with connect(settings):
        assert shared.exists()


def test_received_rows_are_read_from_the_place_of_each_engine(tmp_path):
    settings = Settings(home=tmp_path / "it's", target="spark")
    settings.home.mkdir()
    assert engine_of(settings).received_rows("raw.events") == "raw.events"
    with connect(settings) as connection:
        connection.execute("create schema raw")
        connection.execute("create table raw.files as select 1 as file_id")
        connection.execute("create table raw.events as select 1 as file_id from range(3)")
    with connect(settings, read_only=True) as connection:
        counted = f"select count(*) from {engine_of(settings).received_rows('raw.events')}"
        assert connection.execute(counted).fetchone() == (3,)
        assert connection.execute("select count(*) from raw.events").fetchone() == (0,)
    assert DuckDB(settings).received_rows("raw.events") == "raw.events"


def test_leftovers_of_a_killed_write_are_removed_and_tables_stay(tmp_path):
    spark = engine_of(Settings(home=tmp_path, target="spark"))
    whole = tmp_path / "spark/jobs/ml/scored_features/as_of_date=2025-01-01/part.parquet"
    killed = tmp_path / "spark/jobs/ml/scored_features/.spark-staging-1/part.parquet"
    for file in (whole, killed):
        file.parent.mkdir(parents=True)
        file.touch()
    (tmp_path / "spark/main.db/empty").mkdir(parents=True)
    spark.remove_broken_writes()
    assert whole.exists() and not killed.exists()
    assert spark.table_folders() == [(tmp_path / "spark/jobs/ml/scored_features").resolve()]
    assert engines.DuckDB(Settings(home=tmp_path)).table_folders() == []
