"""Raw files: find them, tell new from known ones, and read one as a typed view."""

import contextlib
import csv
import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import check_name, sha256_of
from python_jobs.ingest.domain import Files

ENDINGS = (".parquet", ".csv", ".csv.gz")
NUMBERS = (
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT"),
    *("UINTEGER", "UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL"),
)
TIMES = (
    *("VARCHAR", "DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"),
    "TIMESTAMP WITH TIME ZONE",
)
WHOLE = tuple(kind for kind in NUMBERS if kind not in ("FLOAT", "DOUBLE", "DECIMAL"))
# Parquet types that are accepted for each declared type. Ids may be whole numbers. A column
# without any value has the type "NULL" and fits every declared type.
READABLE = {"text": ("VARCHAR", "UUID", *WHOLE), "number": NUMBERS, "date": TIMES}
READABLE["timestamp"] = TIMES


@dataclass(frozen=True)
class RawFile:
    """One file on disk: the canonical table it fills, its name in the raw folder, its size."""

    table: str
    path: Path
    name: str
    size: int
    modified_ns: int
    sha256: str = ""


def find(folder: Path, files: Files) -> list[RawFile]:
    """Return the CSV and Parquet files of a domain, users before events, then by name."""
    if not folder.is_dir():
        raise JobError(
            f"The raw folder {folder} does not exist.",
            next_step="name the folder with --raw, or make data with `churnhouse generate`.",
        )
    raw_files = []
    for table, spec in files.by_table().items():
        if spec is None:
            continue
        paths = [path for path in sorted(folder.glob(spec.path)) if path.name.endswith(ENDINGS)]
        if not paths and table != "treatments":
            raise JobError(
                f"No CSV or Parquet file for {table} at {folder / spec.path}.",
                next_step="put the files there, or name another folder with --raw.",
            )
        for path in paths:
            name = check_name(path).relative_to(folder).as_posix()
            with _reading(name):
                stat = path.stat()
            raw_files.append(RawFile(table, path, name, stat.st_size, stat.st_mtime_ns))
    return raw_files


def new_files(
    connection: duckdb.DuckDBPyConnection, files: list[RawFile]
) -> tuple[list[RawFile], int]:
    """Return the files whose content was never loaded, and how many were loaded before.

    A file with known name, size and modification time counts as unchanged; others are hashed.
    """
    rows = connection.execute(
        "select table_name, name, sha256, size, modified_ns from raw.files"
    ).fetchall()
    stats = {(table, name): (size, modified) for table, name, _, size, modified in rows}
    by_name = {(table, name): sha256 for table, name, sha256, _, _ in rows}
    by_content = {(table, sha256) for table, _, sha256, _, _ in rows}
    new = []
    for file in files:
        key = (file.table, file.name)
        if stats.get(key) == (file.size, file.modified_ns):
            continue
        with _reading(file.name):
            sha256 = sha256_of(file.path)
        if by_name.get(key, sha256) != sha256:
            raise JobError(
                f"{file.name} has changed since it was loaded.",
                next_step="restore it, and land corrections in a file of a new name.",
            )
        if (file.table, sha256) not in by_content:
            by_content.add((file.table, sha256))
            stamped = RawFile(file.table, file.path, file.name, file.size, file.modified_ns, sha256)
            new.append(stamped)
    return new, len(files) - len(new)


def make_empty_view(
    connection: duckdb.DuckDBPyConnection, table: str, columns: dict[str, str]
) -> None:
    """Create an empty temp view `<table>_file`: ingest.sql names the views of all tables."""
    kinds = {"text": "varchar", "number": "double", "date": "date", "timestamp": "timestamp"}
    nulls = (f'cast(null as {kinds[declared]}) as "{name}"' for name, declared in columns.items())
    connection.execute(
        f"create or replace temp view {table}_file as select {', '.join(nulls)} where false"
    )


def make_view(
    connection: duckdb.DuckDBPyConnection, file: RawFile, columns: dict[str, str]
) -> list[str]:
    """Create the temp view `<table>_file` over one file, with the declared columns and types.

    Returns notes on columns that were not declared and are ignored. Raises JobError naming file,
    column and, for a value that is not a number, the first bad row (1 is the first data row).
    """
    scan = rows_of(file)
    rows = connection.execute(f"describe select * from {scan}").fetchall()
    given = {row[0]: row[1] for row in rows}
    for name, declared in columns.items():
        if name not in given:
            raise JobError(
                f"{file.name} has no column {name!r}.",
                next_step="ask whoever sends the file, or correct the columns in domain.yml.",
            )
        if declared == "number" and given[name] == "VARCHAR":
            _check_numbers(connection, file, scan, f'"{name}"')
        if not _fits(given[name], declared, file):
            raise JobError(
                f"{file.name}: column {name!r} holds {given[name]}, and {declared} was declared.",
                next_step="ask whoever sends the file, or correct the columns in domain.yml.",
            )
    selected = []
    for name, declared in columns.items():
        quoted = f'"{name}"'
        if declared == "number":
            selected.append(f"try_cast({quoted} as double) as {quoted}")
        elif declared == "text":
            selected.append(f"cast({quoted} as varchar) as {quoted}")
        else:
            selected.append(quoted)
    connection.execute(
        f"create or replace temp view {file.table}_file as select {', '.join(selected)} from {scan}"
    )
    extra = sorted(set(given) - set(columns))
    return [f"{file.name}: column {name!r} is not declared and was ignored" for name in extra]


def is_number(kind: str) -> bool:
    """Return True if a DuckDB type is numeric."""
    return kind.split("(", maxsplit=1)[0] in NUMBERS


def _fits(kind: str, declared: str, file: RawFile) -> bool:
    """Return True if a column's type fits the declared one. CSV always fits: it has no types."""
    plain = kind.split("(", maxsplit=1)[0]
    return not file.name.endswith(".parquet") or plain in (*READABLE[declared], '"NULL"')


def rows_of(file: RawFile) -> str:
    """Return SQL that reads this one file, without guesses from its name or first rows."""
    path = re.sub(r"([*?\[])", r"[\1]", str(file.path)).replace("'", "''")
    if file.name.endswith(".parquet"):
        return f"read_parquet('{path}', hive_partitioning = false)"
    columns = ", ".join(f"{_quoted(name)}: 'VARCHAR'" for name in _header(file))
    return (
        f"read_csv('{path}', header = true, columns = {{{columns}}}, auto_detect = false, "
        "delim = ',', quote = '\"', escape = '\"', hive_partitioning = false)"
    )


def _header(file: RawFile) -> list[str]:
    """Return the column names of a CSV file; a repeated name gets its position appended."""
    opened = gzip.open if file.name.endswith(".gz") else open
    with (
        _reading(file.name),
        opened(file.path, "rt", encoding="utf-8-sig", errors="replace", newline="") as text,
    ):
        header = next(csv.reader(text), [])
    if not header:
        raise JobError(
            f"{file.name} does not begin with a line of column names.",
            next_step="replace the file and run again; nothing was loaded.",
        )
    names: list[str] = []
    for position, name in enumerate(header, start=1):
        taken = not name or name.lower() in map(str.lower, names)
        names.append(f"{name}_{position}" if taken else name)
    return names


@contextlib.contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise JobError(
            f"{name} cannot be read ({getattr(error, 'strerror', None) or error}).",
            next_step="replace the file and run again; nothing was loaded.",
        ) from None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _check_numbers(
    connection: duckdb.DuckDBPyConnection, file: RawFile, scan: str, quoted: str
) -> None:
    bad = connection.execute(
        f"""
        select row_number, value
        from (select row_number() over () as row_number, {quoted} as value from {scan})
        where value is not null and try_cast(value as double) is null
        order by row_number
        limit 1
        """
    ).fetchone()
    if bad:
        raise JobError(
            f"{file.name}, column {quoted[1:-1]!r}, row {bad[0]}: {bad[1]!r} is not a number.",
            next_step="correct the row and run again; nothing was loaded.",
        )
