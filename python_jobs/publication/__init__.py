"""Code shared by all readers of published/: without pandas, DuckDB and dbt."""
