"""Realised against expected: what became of the users that a model pointed at."""

import duckdb

PERFORMANCE = """
    select
        as_of_date,
        users,
        base_rate,
        expected_precision_at_50,
        precision_at_50,
        average_precision,
        roc_auc
    from main.model_performance
    order by as_of_date desc
    limit ?
"""


def latest(connection: duckdb.DuckDBPyConnection, *, dates: int = 10) -> list[dict]:
    """The newest scoring dates of model_performance, newest first, one dict a date.

    Numbers of dates whose labels are not mature yet are None: unknown.
    """
    cursor = connection.execute(PERFORMANCE, [dates])
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
