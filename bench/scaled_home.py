"""Makes a home of any size for the benches by copying users of a finished home."""

from pathlib import Path

import duckdb


def scaled(source: Path, target: Path, table: str, rows: int) -> int:
    """Write target/warehouse.duckdb with this many rows in `table`; return the row count.

    `table` is evaluation_set or user_features_latest. Every copy of a user has the user's values
    and a new id.
    """
    target.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(target / "warehouse.duckdb")) as con:
        con.execute(f"attach '{source / 'warehouse.duckdb'}' as source (read_only)")
        # the source's views name tables without a catalog, so USE the source to read them
        con.execute("use source")
        con.execute(f"create temp table sample as select * from main.{table}")
        con.execute("create temp table window_row as from main.build_window")
        target_name = Path(target / "warehouse.duckdb").stem
        con.execute(f"use {target_name}")
        have = con.execute("select count(*) from sample").fetchone()[0]
        copies = -(-rows // have)
        con.execute(
            f"""
            create table {table} as
            select sample.* replace (sample.user_id || '-' || n as user_id)
            from sample, range({copies}) as copies(n)
            order by as_of_date, user_id
            limit {rows}
            """
        )
        con.execute("create table build_window as from window_row")
        con.execute("create schema ml")
        for (name,) in con.execute(
            "select table_name from duckdb_tables()"
            " where database_name = 'source' and schema_name = 'ml'"
        ).fetchall():
            con.execute(f"create table ml.{name} as from source.ml.{name} limit 0")
        return con.execute(f"select count(*) from {table}").fetchone()[0]
