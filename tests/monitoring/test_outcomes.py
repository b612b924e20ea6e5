"""outcomes: what triggers retraining and what does not."""

import duckdb
import pytest

from python_jobs.monitoring.outcomes import failure

TABLES = """
create table feature_drift (feature varchar, as_of_date date, psi double, status varchar);
create table model_performance (
    as_of_date date, model_version varchar, expected_precision_at_top_k double
);
create table performance_intervals (
    as_of_date date, model_version varchar, metric varchar, value double, low double, high double
);
"""
OLD, NEW = "2025-01-01", "2025-01-02"


@pytest.fixture
def con():
    con = duckdb.connect()
    con.execute(TABLES)
    return con


def promise(con, day, version, expected, low, high, metric="precision_at_top_k"):
    con.execute("insert into model_performance values (?, ?, ?)", [day, version, expected])
    value = (low + high) / 2
    con.execute(
        "insert into performance_intervals values (?, ?, ?, ?, ?, ?)",
        [day, version, metric, value, low, high],
    )


def test_promise_is_broken_only_when_the_interval_lies_below_it(con):
    promise(con, OLD, "v", expected=0.5, low=0.2, high=0.5)
    assert failure(con, "v") is None
    promise(con, NEW, "v", expected=0.5, low=0.2, high=0.49)
    assert failure(con, "v") == f"precision of the top k of {NEW} came out at 34%, not 50%"


def test_newer_kept_promise_cancels_an_older_broken_one(con):
    promise(con, OLD, "v", expected=0.5, low=0.1, high=0.2)
    promise(con, NEW, "v", expected=0.5, low=0.4, high=0.6)
    assert failure(con, "v") is None


def test_broken_promise_of_another_version_does_not_retrain(con):
    """The previous version failed; the current one has no closed labels yet, or did well."""
    promise(con, NEW, "before", expected=0.9, low=0.1, high=0.2)
    assert failure(con, "now") is None
    promise(con, OLD, "now", expected=0.5, low=0.4, high=0.6)
    assert failure(con, "now") is None
    assert failure(con, "before") is not None


def test_only_the_promised_metric_counts(con):
    promise(con, NEW, "v", expected=0.9, low=0.1, high=0.2, metric="roc_auc")
    assert failure(con, "v") is None


def test_only_drift_of_the_newest_date_counts_and_the_worst_is_named(con):
    con.execute(f"""
        insert into feature_drift values
        ('old_news', '{OLD}', 9.0, 'fail'), ('weak', '{NEW}', 0.3, 'fail'),
        ('strong', '{NEW}', 0.8, 'fail'), ('odd', '{NEW}', 1.5, 'warn')
    """)
    assert failure(con, "v") == "strong has drifted (PSI 0.80)"
    con.execute(f"update feature_drift set status = 'ok' where as_of_date = '{NEW}'")
    assert failure(con, "v") is None
