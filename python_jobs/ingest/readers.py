"""Read raw files as written: many of one shape at a time, into a temporary table.

A file is read whole before the domain's mapping runs: DuckDB 2.0 would push a try_cast of the
mapping into its CSV reader as a cast that fails (duckdb issue 23818).
"""

import contextlib
import re
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import sql_name, sql_text
from python_jobs.ingest import excel, text_files
from python_jobs.ingest.batch import (
    FILE_COLUMN,
    JSON_COLUMN,
    Batch,
    Loaded,
    RawFile,
    Shape,
    hive,
    names,
)
from python_jobs.ingest.explain import explain, explained
from python_jobs.ingest.paths import listed, parquet
from python_jobs.ingest.sources import RawFiles

BATCH_FILES, BATCH_BYTES = 1000, 256 * 2**20
# CSV lines and JSON objects longer than DuckDB's defaults are read in a second try.
LONG_LINE = 256 * 2**20
MENDABLE = r"maximum.line.size|maximum_object_size|state machine|new ?line|\\r"
"""Errors of DuckDB about what a second, careful try can read."""


class NeedsCare(Exception):
    """A file that DuckDB cannot read at once: mixed line ends, or very long lines.

    An error ends DuckDB's transaction, so the whole load is started again with `is_careful`.
    """


def format_of(name: str) -> tuple[str, str] | None:
    """Return format and compression of a file by its name's ending; None for any other."""
    endings = {
        ".csv": "csv",
        ".tsv": "csv",
        ".txt": "csv",
        ".json": "json",
        ".jsonl": "json",
        ".ndjson": "json",
        ".parquet": "parquet",
        ".xlsx": "excel",
        ".xlsm": "excel",
        ".xls": "excel",
        ".ods": "excel",
    }
    lower = name.lower()
    for ending, compression in ((".gz", "gzip"), (".zst", "zstd"), ("", "none")):
        if lower.endswith(ending):
            kind = endings.get(Path(lower.removesuffix(ending) if ending else lower).suffix)
            return (
                None
                if kind is None or (ending and kind in ("parquet", "excel"))
                else (kind, compression)
            )
    return None


def batches(
    connection: duckdb.DuckDBPyConnection, files: list[tuple[RawFiles, RawFile]]
) -> Iterator[Batch]:
    """Yield files in their order, as many at a time as have one source and one shape."""
    shaped = (
        (source, replace(shape_of(connection, source, file), hive_keys=tuple(hive(file))), file)
        for source, file in files
    )
    batch: list[RawFile] = []
    last: tuple[RawFiles, Shape] | None = None
    for source, shape, file in shaped:
        is_full = len(batch) == BATCH_FILES or sum_sizes(batch) + file.size > BATCH_BYTES
        if last and (last[0] is not source or last[1] != shape or is_full):
            yield Batch(*last, batch)
            batch = []
        last = (source, shape)
        batch.append(file)
    if last:
        yield Batch(*last, batch)


def sum_sizes(files: list[RawFile]) -> int:
    """Return the bytes of some files."""
    return sum(file.size for file in files)


def shape_of(connection: duckdb.DuckDBPyConnection, source: RawFiles, file: RawFile) -> Shape:
    """Return the shape of one file. Raises JobError if it cannot be read."""
    by_name = format_of(file.name)
    kind = source.format or (by_name[0] if by_name else "csv")
    compression = by_name[1] if by_name else "none"
    if kind == "csv":
        names = text_files.header(connection, source, file, compression)
        return Shape(kind, compression, tuple((name, "VARCHAR") for name in names))
    if kind == "parquet":
        with explained(file):
            rows = connection.execute(f"describe from {parquet([file.path])}").fetchall()
        return Shape(kind, "none", tuple((r[0], r[1]) for r in rows if r[0] != FILE_COLUMN))
    if kind == "json":
        return Shape(kind, compression, ())
    return Shape(
        kind, file.name, tuple((name, "VARCHAR") for name in excel.sheet_of(source, file)[0])
    )


def load_batch(
    connection: duckdb.DuckDBPyConnection, batch: Batch, *, is_careful: bool = False
) -> Loaded:
    """Read a batch into the temporary table `raw_rows`.

    Raises NeedsCare where a careful second try may help, and JobError about the first file that
    cannot be read, with its line where it has one.
    """
    if batch.shape.format == "parquet":
        return _counted(connection, batch)
    longest = LONG_LINE if is_careful else None
    with tempfile.TemporaryDirectory(prefix="churnhouse-ingest-") as work:
        paths = [text_files.readable(batch, file, Path(work), is_careful) for file in batch.files]
        if batch.shape.format == "csv":
            _check_last_lines(batch, paths, longest)
        try:
            _read(connection, batch, paths, longest=longest)
        except duckdb.OutOfMemoryException:
            raise  # not the file's fault
        except duckdb.Error as error:
            if not is_careful and re.search(MENDABLE, str(error), re.IGNORECASE):
                raise NeedsCare from None
            raise _first_bad_file(connection, batch, paths, error, longest) from None
    counted = {
        row[0]: row[1:]
        for row in connection.execute(
            f"select {sql_name(FILE_COLUMN)}, min(rowid), count(*) from raw_rows group by all"
        ).fetchall()
    }
    loaded = Loaded()
    for path in paths:
        first, count = counted.get(str(path), (0, 0))
        loaded.first_rows.append(first)
        loaded.rows.append(count)
        loaded.paths.append(str(path))
    return loaded


def _check_last_lines(batch: Batch, paths: list[Path], longest: int | None) -> None:
    """Raise NeedsCare, or on the second try JobError, for a last line that would be dropped."""
    for file, path in zip(batch.files, paths, strict=True):
        compression = "none" if path.suffix == text_files.COPY else batch.shape.compression
        size = 0
        with contextlib.suppress(OSError, EOFError, zlib.error):  # the reader says what is wrong
            size = text_files.last_line_size(path, compression)
        if size <= (longest or text_files.BUFFER):
            continue
        if longest is None:
            raise NeedsCare
        raise JobError(
            f"{file.name} ends with a line of {size / 2**20:,.0f} MiB, as if it had been cut off.",
            next_step="deliver it again, or remove that line.",
        )


def _counted(connection: duckdb.DuckDBPyConnection, batch: Batch) -> Loaded:
    """Return the rows of Parquet files, which are read where they are."""
    try:
        rows = connection.execute(
            f"select file_name, num_rows from parquet_file_metadata("
            f"{listed([file.path for file in batch.files])})"
        ).fetchall()
    except duckdb.Error as error:
        raise explain(error, names(batch)) from None
    counts = dict(rows)
    return Loaded([0] * len(batch.files), [counts[str(file.path)] for file in batch.files])


def _first_bad_file(
    connection: duckdb.DuckDBPyConnection,
    batch: Batch,
    paths: list[Path],
    error: duckdb.Error,
    longest: int | None,
) -> JobError:
    """Return the error of the first file that cannot be read alone."""
    if len(batch.files) > 1:
        for file, path in zip(batch.files, paths, strict=True):
            with connection.cursor() as other:  # the transaction is over
                try:
                    _read(other, Batch(batch.source, batch.shape, [file]), [path], longest=longest)
                except duckdb.Error as of_file:
                    return explain(of_file, file.name)
    return explain(error, names(batch))


def _read(
    connection: duckdb.DuckDBPyConnection,
    batch: Batch,
    paths: list[Path],
    *,
    longest: int | None = None,
) -> None:
    kind, source = batch.shape.format, batch.source
    if kind == "excel":
        excel.read(connection, batch, paths[0])
        return
    if kind == "csv":
        scan = _csv(source, batch.shape, paths, longest)
    else:
        scan = _json(batch.shape, paths, longest)
    connection.execute(f"create or replace temp table raw_rows as from {scan}")


def _csv(source: RawFiles, shape: Shape, paths: list[Path], longest: int | None) -> str:
    columns = ", ".join(f"{sql_name(name)}: 'VARCHAR'" for name, _ in shape.columns)
    nulls = ", ".join(sql_text(word) for word in ["", *source.null_words])
    long_lines = f", max_line_size = {longest}, buffer_size = {longest + 2**20}" if longest else ""
    return (
        f"read_csv({listed(paths)}, header = true, columns = {{{columns}}}, auto_detect = false, "
        f"delim = {sql_text(source.delimiter)}, quote = {sql_text(source.quote)}, "
        f"escape = {sql_text(source.quote)}, nullstr = [{nulls}], "
        f"compression = '{_compression(shape, paths)}', hive_partitioning = false, "
        f"filename = {sql_text(FILE_COLUMN)}{long_lines})"
    )


def _json(shape: Shape, paths: list[Path], longest: int | None) -> str:
    size = longest or 16 * 2**20
    return (
        f"(select json as {sql_name(JSON_COLUMN)}, filename as {sql_name(FILE_COLUMN)} from "
        f"read_json_objects({listed(paths)}, format = 'auto', filename = true, "
        f"compression = '{_compression(shape, paths)}', maximum_object_size = {size}, "
        "hive_partitioning = false))"
    )


def _compression(shape: Shape, paths: list[Path]) -> str:
    """Return the compression to tell DuckDB, which knows only lower-case endings by itself."""
    if any(path.suffix == text_files.COPY for path in paths):
        return "auto"
    return shape.compression
