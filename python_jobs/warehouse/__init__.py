"""The warehouse: its lock, its connections, dbt over it, and the engines."""
