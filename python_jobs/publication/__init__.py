"""What every reader of published/ must know: no pandas, no DuckDB, no dbt."""
