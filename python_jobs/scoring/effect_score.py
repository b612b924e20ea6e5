"""The effect of a contact on each user: the dbt model effect_scores calls it."""

import duckdb
import pandas as pd

from python_jobs.registry import effects
from python_jobs.settings import Settings
from python_jobs.warehouse.features import Features

TYPES = "cast(user_id as varchar) as user_id, cast(as_of_date as date) as as_of_date"
TYPES += ", cast(effect as double) as effect"


def effect_scores(
    con: duckdb.DuckDBPyConnection, settings: Settings, table: str
) -> duckdb.DuckDBPyRelation:
    """Return user_id, as_of_date and effect of each user of a table of features.

    No rows while lists go by save rates, or once a feature of the effect model is gone. Raises
    JobError if a file of the model is not the one that was written.
    """
    model = effects.in_use(settings.models)
    if model is None or model.features.differences(
        Features.of_table(con, table, model.features.values)
    ):
        return con.sql(
            f"select {TYPES} from (select null as user_id, null as as_of_date, null as effect) "
            "where false"
        )
    keys, rest = ["f.user_id", "f.as_of_date"], f"from {table} as f order by f.user_id"
    scores = pd.concat(
        [
            frame.assign(effect=model.effect(matrix))
            for frame, matrix in model.features.chunks(con, keys, rest)
        ],
        ignore_index=True,
    )
    con.register("new_effects", scores)
    return con.sql(f"select {TYPES} from new_effects")
