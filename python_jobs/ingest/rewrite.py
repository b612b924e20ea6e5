"""Rewrite raw files without the rows of one person."""

import codecs
from pathlib import Path

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import sql_name, sql_text
from python_jobs.ingest import columns, mapping, readers, text_files
from python_jobs.ingest.batch import FILE_COLUMN, JSON_COLUMN, Batch, RawFile, Shape
from python_jobs.ingest.domain import Domain
from python_jobs.ingest.paths import parquet
from python_jobs.ingest.raw_tables import ACCOUNTING
from python_jobs.ingest.sources import Column, RawFiles

ID_COLUMNS = ("user_id", "received_user_id", "from_id", "to_id")
"""Columns that hold the id of a person, in any table of the product."""
OWNERS = {"identities": ("from_id", "to_id")}
"""The columns of a mapped table that say whose row it is; user_id where nothing else is said."""


def check(domain: Domain, files: list[tuple[RawFiles, RawFile]], ids: list[str]) -> None:
    """Raise JobError if a person has rows in a spreadsheet, which cannot be rewritten."""
    for source, file in files:
        shape = readers.format_of(file.name)
        if (source.format or (shape and shape[0])) != "excel":
            continue
        with duckdb.connect(config={"threads": 1}) as reader:
            if _owned_rows(reader, domain, source, file, ids):
                raise JobError(
                    f"{file.name} is a spreadsheet with rows of this person, which are not removed "
                    "by themselves.",
                    next_step="delete the file, whose rows are loaded, and run forget again.",
                )


def without(
    reader: duckdb.DuckDBPyConnection,
    domain: Domain,
    source: RawFiles,
    file: RawFile,
    ids: list[str],
) -> tuple[int, Path | None]:
    """Write the rows of other people to a new file; return the rows left out and the new file.

    The domain's mapping decides whose row it is. The new file is None if no row is left out.
    `reader` must have one thread, so that rows keep their order.
    """
    owned = _owned_rows(reader, domain, source, file, ids)
    if not owned:
        return 0, None
    connection_rows = ", ".join(str(row) for row in owned)
    reader.execute(f"delete from raw_rows where rowid in ({connection_rows})")
    return len(owned), _written(reader, source, file)


def undeclared(
    reader: duckdb.DuckDBPyConnection, path: Path, ids: list[str]
) -> tuple[int, Path | None]:
    """Do the same for a file that no domain declares, by its columns of ID_COLUMNS."""
    kind = readers.format_of(path.name)
    if kind is None or kind[0] == "excel":
        return 0, None
    source = RawFiles(path=path.name, columns={"user_id": Column(type="any")})
    file = RawFile("events", path, path.name, path.stat().st_size, 0)
    try:
        shape = readers.shape_of(reader, source, file)
        owners = [sql_name(name) for name in ID_COLUMNS if name in dict(shape.columns)]
        if kind[0] == "json":
            owners = [f"json_extract_string({sql_name(JSON_COLUMN)}, '$.{n}')" for n in ID_COLUMNS]
        if not owners:
            return 0, None
        readers.load_batch(reader, Batch(source, shape, [file]), is_careful=True)
        if kind[0] == "parquet":
            reader.execute(f"create or replace temp table raw_rows as from {parquet([path])}")
    except JobError:
        return 0, None
    is_owned = " or ".join(
        f"coalesce(list_contains($ids, cast({name} as varchar)), false)" for name in owners
    )
    removed: int = reader.execute(
        f"delete from raw_rows where {is_owned}", {"ids": ids}
    ).fetchall()[0][0]
    return removed, _written(reader, source, file) if removed else None


def _owned_rows(
    reader: duckdb.DuckDBPyConnection,
    domain: Domain,
    source: RawFiles,
    file: RawFile,
    ids: list[str],
) -> list[int]:
    """Read a file into raw_rows; return the rowids of the rows that belong to the ids."""
    table = file.table
    reader.execute(f"set TimeZone = {sql_text(domain.vars.timezone)}")
    batch = Batch(source, readers.shape_of(reader, source, file), [file])
    loaded = readers.load_batch(reader, batch, is_careful=True)
    if batch.shape.format == "parquet":
        reader.execute(f"create or replace temp table raw_rows as from {parquet([file.path])}")
    columns.make_view(reader, table, batch)
    columns.show_file(reader, batch, loaded, 0)
    given = mapping.mapped(reader, domain, source, table, keep_view=True)[table]
    owner = " or ".join(
        f"coalesce(list_contains($ids, cast({name} as varchar)), false)"
        for name in OWNERS.get(table, ("user_id",))
    )
    if ACCOUNTING in given:
        first = loaded.first_rows[0] - 1
        query = f"select distinct source_row + {first} from {table} where {owner} order by all"
    else:
        query = (
            f"select rowid from (select rowid from raw_rows) positional join "
            f"(select {owner} as is_owned from {table}) where is_owned"
        )
    return [row[0] for row in reader.execute(query, {"ids": ids}).fetchall()]


def _written(reader: duckdb.DuckDBPyConnection, source: RawFiles, file: RawFile) -> Path:
    """Write raw_rows as a file of the same format beside the old one; return its path.

    Beside the file that a link names, not beside the link.
    """
    shape: Shape = readers.shape_of(reader, source, file)
    target = file.path.resolve()
    partial = target.with_name(f".{target.name}.partial")
    partial.unlink(missing_ok=True)
    rows = f"select * exclude ({sql_name(FILE_COLUMN)}) from raw_rows"
    packed = {"gzip": ", compression gzip", "zstd": ", compression zstd"}.get(shape.compression, "")
    if shape.format == "parquet":
        reader.execute(f"copy ({rows}) to {sql_text(partial)} (format parquet, compression zstd)")
    elif shape.format == "csv":
        quote = source.quote or "\x01"
        options = f"delimiter {sql_text(source.delimiter)}, quote {sql_text(quote)}"
        reader.execute(
            f"copy ({rows}) to {sql_text(partial)} "
            f"(format csv, header, {options}, escape {sql_text(quote)}{packed})"
        )
        encoding = text_files.encoding_of(source, file.path, shape.compression)
        if encoding not in ("utf-8", "utf-8-sig"):
            text = partial.read_text(encoding="utf-8")
            partial.write_bytes(codecs.encode(text, encoding))
    else:
        texts = reader.execute(f"select {sql_name(JSON_COLUMN)} from raw_rows").fetchall()
        lines = [str(row[0]) for row in texts]
        is_array = _starts_with_bracket(file.path, shape.compression)
        text = "[" + ",\n".join(lines) + "]\n" if is_array else "".join(f"{x}\n" for x in lines)
        text_files.write_packed(partial, text.encode(), shape.compression)
    return partial


def _starts_with_bracket(path: Path, compression: str) -> bool:
    if compression == "zstd":
        return False
    with text_files.opened(path, compression) as file:
        start: bytes = file.read(100)
    return start.lstrip().startswith(b"[")
