"""The settings that the warehouse stores: those of the domain that filled it."""

import json
from typing import Any

import duckdb


def domain_vars(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Return the settings of the domain that filled the warehouse."""
    ((text,),) = connection.execute("select settings from raw.domain").fetchall()
    settings: dict[str, Any] = json.loads(text)
    return settings


def horizon_of_domain(connection: duckdb.DuckDBPyConnection) -> int | None:
    """Return the domain's churn_horizon_days; None for a database that no domain filled."""
    query = "select 1 from duckdb_tables() where schema_name = 'raw' and table_name = 'domain'"
    if not connection.execute(query).fetchone():
        return None
    days: int = domain_vars(connection)["churn_horizon_days"]
    return days
