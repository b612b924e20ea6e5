"""The settings that the warehouse stores: those of the domain that filled it."""

import json
from typing import Any

import duckdb


def domain_vars(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Return the settings of the domain that filled the warehouse."""
    ((text,),) = connection.execute("select settings from raw.domain").fetchall()
    settings: dict[str, Any] = json.loads(text)
    return settings
