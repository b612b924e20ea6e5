"""Paths as DuckDB takes them."""

import re
from pathlib import Path

from python_jobs.files import sql_text
from python_jobs.ingest.batch import FILE_COLUMN


def listed(paths: list[Path]) -> str:
    """Return paths as a SQL list of patterns that match these files alone."""
    return f"[{', '.join(sql_text(as_pattern(path)) for path in paths)}]"


def as_pattern(path: Path) -> str:
    """Return a path as a pattern that matches this path alone."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def parquet(paths: list[Path]) -> str:
    """Return SQL that reads Parquet files, each row with its file."""
    return (
        f"read_parquet({listed(paths)}, hive_partitioning = false, "
        f"filename = {sql_text(FILE_COLUMN)})"
    )
