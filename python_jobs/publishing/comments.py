"""Comments of the published tables and columns: what the dbt project's yml says of them."""

import duckdb

from python_jobs.files import sql_name, sql_text


def write(connection: duckdb.DuckDBPyConnection, database: str) -> None:
    """Comment on the tables and columns of an attached database, by ml.descriptions.

    A column that its own table does not describe has the description that all columns of its name
    share, such as a feature's; without either it has no comment.
    """
    tables = connection.execute(
        """
        select tables.table_name, said.description
        from duckdb_tables() as tables
        inner join ml.descriptions as said
            on tables.table_name = said.table_name and said.column_name is null
        where tables.database_name = ?
        """,
        [database],
    ).fetchall()
    columns = connection.execute(
        """
        select
            columns.table_name,
            columns.column_name,
            coalesce(own.description, shared.description) as said
        from duckdb_columns() as columns
        left join ml.descriptions as own
            on columns.table_name = own.table_name and columns.column_name = own.column_name
        left join ml.descriptions as shared
            on shared.table_name is null and columns.column_name = shared.column_name
        where
            columns.database_name = ?
            and said is not null
        """,
        [database],
    ).fetchall()
    for table, text in tables:
        connection.execute(f"comment on table {database}.main.{table} is {sql_text(text)}")
    for table, column, text in columns:
        place = f"{database}.main.{table}.{sql_name(column)}"
        connection.execute(f"comment on column {place} is {sql_text(text)}")
