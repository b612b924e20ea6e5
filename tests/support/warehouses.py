"""Compares the tables of two warehouses."""

from pathlib import Path

import duckdb

# Columns a crash may change: times, which of two equal models, which build.
STAMPS = {"row_id", "file_id", "ingested_at", "written_at", "scored_at", "model_version"}
STAMPS |= {"compared_with", "decided_at"}
# Tables that describe the last build; the other tables in main are its results.
OF_THE_BUILD = (
    "build_log",
    "build_window",
    "data_span",
    "changed_users",
    "user_windows",
    "int_events_to_validate",
)
ML_TABLES = ["ml.churn_predictions", "ml.scored_features"]


def differences(one: Path, other: Path) -> dict[str, list[tuple]]:
    """Return, by table, the first rows that differ between two warehouses."""
    found = {}
    with duckdb.connect() as both:
        both.execute(f"attach '{one / 'warehouse.duckdb'}' as one (read_only)")
        both.execute(f"attach '{other / 'warehouse.duckdb'}' as other (read_only)")
        names = both.execute(
            "select 'main.' || table_name from information_schema.tables "
            "where table_catalog = 'one' and table_schema = 'main' and table_name not in ?",
            [OF_THE_BUILD],
        ).fetchall()
        names = [row[0] for row in names]
        assert {"main.accepted_events", "main.user_daily", "main.churn_labels"} <= {*names}
        for name in names + ML_TABLES:
            for home in ("one", "other"):
                both.execute(f"use {home}")  # views name their tables without a catalog
                columns = [
                    f'"{column}"'
                    for column, *_ in both.execute(f"describe {name}").fetchall()
                    if column not in STAMPS
                ]
                both.execute(
                    f"create or replace temp table {home}_rows as "
                    f"select {', '.join(columns)} from {name}"
                )
            rows = both.execute(
                "(from one_rows except all from other_rows limit 3) union all "
                "(from other_rows except all from one_rows limit 3)"
            ).fetchall()
            if rows:
                found[name] = rows
    return found
