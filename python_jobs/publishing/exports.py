"""Export a table for other systems: the same rows as CSV and as Parquet."""

from pathlib import Path

import duckdb

from python_jobs.files import FORMULA, sql_name, sql_text


def write(connection: duckdb.DuckDBPyConnection, table: str, order: str, file: Path) -> list[Path]:
    """Write a table, in this order, to `file` with the endings .csv and .parquet; return both.

    In the CSV file, text that looks like a formula gets an apostrophe. Numbers stay as they are.
    """
    columns = connection.execute(f"describe {table}").fetchall()
    shown = {"csv": ", ".join(_harmless(name, kind) for name, kind, *_ in columns), "parquet": "*"}
    options = {"csv": "format csv, header", "parquet": "format parquet"}
    paths = []
    for ending, selected in shown.items():
        path = file.with_name(f"{file.name}.{ending}")
        query = f"select {selected} from {table} order by {order}"
        connection.execute(f"copy ({query}) to {sql_text(path)} ({options[ending]})")
        paths.append(path)
    return paths


def _harmless(name: str, kind: str) -> str:
    """Return SQL of a column that does to text what python_jobs.files.harmless does."""
    column = sql_name(name)
    if kind != "VARCHAR":
        return column
    return f"if(regexp_matches({column}, '{FORMULA}'), '''', '') || {column} as {column}"
