"""Outcomes: realised churn of scored users, against what the model expected."""

from typing import Any

import duckdb

PERFORMANCE = """
    select
        as_of_date,
        users,
        base_rate,
        expected_precision_at_top_k,
        precision_at_top_k,
        average_precision,
        roc_auc
    from main.model_performance
    order by as_of_date desc
    limit ?
"""


def latest(connection: duckdb.DuckDBPyConnection, *, dates: int = 10) -> list[dict[str, Any]]:
    """Return the newest `dates` scoring dates of model_performance, newest first, one dict each.

    Numbers are None for a date whose labels are not mature yet.
    """
    cursor = connection.execute(PERFORMANCE, [dates])
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def failure(connection: duckdb.DuckDBPyConnection, version: str) -> str | None:
    """Return what failed: a feature's drift or the precision of `version`; None if neither did.

    Drift counts on the newest date that has been measured. Precision of the top k fails
    if even the upper bound of its interval is below what was expected. Only a shortfall of the
    current model `version` triggers retraining.
    """
    drifted = connection.execute(
        """
        select feature, psi
        from main.feature_drift
        where as_of_date = (select max(as_of_date) from main.feature_drift) and status = 'fail'
        order by psi desc
        """
    ).fetchone()
    if drifted:
        return f"{drifted[0]} has drifted (PSI {drifted[1]:.2f})"
    missed = connection.execute(
        """
        select as_of_date, intervals.value, performance.expected_precision_at_top_k
        from main.performance_intervals as intervals
        inner join main.model_performance as performance using (as_of_date, model_version)
        where
            intervals.metric = 'precision_at_top_k'
            and model_version = $version
            and as_of_date = (
                select max(as_of_date) from main.performance_intervals
                where model_version = $version
            )
            and intervals.high < performance.expected_precision_at_top_k
        """,
        {"version": version},
    ).fetchone()
    if missed:
        day, found, promised = missed
        return f"precision of the top k of {day} came out at {found:.0%}, not {promised:.0%}"
    return None
