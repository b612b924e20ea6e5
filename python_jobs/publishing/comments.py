"""Comments of the published tables and columns: what the dbt project's yml says of them."""

import json

import duckdb

from python_jobs.files import sql_name, sql_text


def write(connection: duckdb.DuckDBPyConnection, database: str) -> None:
    """Comment on the tables and columns of an attached database, by ml.descriptions.

    A column that its own table does not describe has the description that all columns of its name
    share, such as a feature's; without either it has no comment.
    """
    ((text,),) = connection.execute("select entries from ml.descriptions").fetchall()
    said = {(table, column): " ".join(words.split()) for table, column, words in json.loads(text)}
    columns = connection.execute(
        "select table_name, column_name from duckdb_columns() where database_name = ?", [database]
    ).fetchall()
    for table in {table for table, _ in columns}:
        _comment(connection, f"table {database}.main.{table}", said.get((table, None)))
    for table, column in columns:
        words = said.get((table, column)) or said.get((None, column))
        _comment(connection, f"column {database}.main.{table}.{sql_name(column)}", words)


def _comment(connection: duckdb.DuckDBPyConnection, what: str, words: str | None) -> None:
    if words:
        connection.execute(f"comment on {what} is {sql_text(words)}")
