"""The declared columns of raw files, as a typed view over the rows of one file."""

import re

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import sql_name, sql_text
from python_jobs.ingest import times
from python_jobs.ingest.batch import (
    FILE_COLUMN,
    JSON_COLUMN,
    Batch,
    Loaded,
    hive,
    names,
)
from python_jobs.ingest.paths import as_pattern, listed, parquet
from python_jobs.ingest.sources import EPOCHS, Column, RawFiles

NUMBERS = (
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT"),
    *("UINTEGER", "UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL"),
)
WHOLE = tuple(kind for kind in NUMBERS if kind not in ("FLOAT", "DOUBLE", "DECIMAL"))
TIMES = (
    *("VARCHAR", "DATE", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"),
    "TIMESTAMP WITH TIME ZONE",
)
NESTED = ("STRUCT", "MAP", "UNION", "JSON", "VARIANT")
# Parquet types that are accepted for each declared type; `any` takes all of them.
READABLE = {
    "text": ("VARCHAR", "UUID", "BOOLEAN", "BLOB", "ENUM", *NESTED, *WHOLE),
    "number": NUMBERS,
    "date": TIMES,
    "timestamp": TIMES,
}


def check_columns(batch: Batch) -> None:
    """Raise JobError for a declared column that the files lack, before they are read."""
    given = dict(batch.shape.columns)
    if batch.shape.format != "parquet" and "rowid" in map(str.lower, given):
        raise JobError(
            f"{names(batch)} has a column 'rowid', a name that DuckDB keeps for itself.",
            next_step="rename the column, or select it under another name in the query.",
        )
    if batch.shape.format != "json":
        for name, column in batch.source.columns.items():
            if not column.optional and _source_of(name, column, batch, given) is None:
                raise _missing(name, batch, given)


def make_view(connection: duckdb.DuckDBPyConnection, table: str, batch: Batch) -> list[str]:
    """Create the temp view `<table>_file` over one file of the batch, with the declared columns.

    Which file it shows, `show_file` says. Returns notes on columns that are missing or not
    declared. Raises JobError naming file and column, and the first row whose value is no number.
    """
    given = dict(batch.shape.columns)
    if batch.shape.format == "json":
        given = {n: "VARCHAR" for n in _json_columns(connection, batch)}
    notes: list[str] = []
    selected = []
    for name, column in batch.source.columns.items():
        text = _source_of(name, column, batch, given)
        if text is None:
            if not column.optional:
                raise _missing(name, batch, given)
            notes.append(f"{names(batch)}: there is no column {name!r}, so it is empty")
            kinds = {"number": "double", "date": "date", "timestamp": "timestamp"}
            selected.append(
                f"cast(null as {kinds.get(column.type, 'varchar')}) as {sql_name(name)}"
            )
            continue
        selected.append(
            f"{_typed(connection, name, column, text, batch, given)} as {sql_name(name)}"
        )
    rows = "raw_rows where rowid between getvariable('first_row') and getvariable('last_row')"
    if batch.shape.format == "parquet":
        first = sql_text(as_pattern(batch.files[0].path))  # a view is checked when it is made
        connection.execute(f"set variable file_path = {first}")
        rows = (
            "read_parquet(getvariable('file_path'), file_row_number = true, "
            "hive_partitioning = false)"
        )
    connection.execute(
        f"create or replace temp view {table}_file as select {', '.join(selected)} from {rows}"
    )
    declared = {c.path.split(".")[0] if c.path else n for n, c in batch.source.columns.items()}
    extra = sorted(set(given) - declared - batch.source.columns.keys())
    notes += [f"{names(batch)}: column {n!r} is not declared and was ignored" for n in extra]
    return notes


def show_file(connection: duckdb.DuckDBPyConnection, batch: Batch, loaded: Loaded, n: int) -> None:
    """Make the view of the batch show its n-th file."""
    first, file = loaded.first_rows[n], batch.files[n]
    variables: dict[str, object] = {
        "first_row": first,
        "last_row": first + loaded.rows[n] - 1,
        "file_name": sql_text(file.name),
        "file_path": sql_text(as_pattern(file.path)),
    }
    for name, value in hive(file).items():
        if name in batch.source.columns:
            variables[f"hive_{name}"] = sql_text(value)
    for name, given in variables.items():
        connection.execute(f"set variable {sql_name(name)} = {given}")


def depends_on_the_file(batch: Batch) -> bool:
    """Return True if a declared column's value comes from the file, not from its rows."""
    given = {name for name, _ in batch.shape.columns}
    return any(
        column.type in ("file_name", "row_number")
        or (name not in given and name in hive(batch.files[0]))
        for name, column in batch.source.columns.items()
    )


def show_all(connection: duckdb.DuckDBPyConnection, batch: Batch, loaded: Loaded) -> None:
    """Make the view of the batch show all its files."""
    if batch.shape.format == "parquet":
        connection.execute(f"set variable file_path = {listed([f.path for f in batch.files])}")
        return
    starts = [first for first, rows in zip(loaded.first_rows, loaded.rows, strict=True) if rows]
    first = min(starts, default=0)
    connection.execute(f"set variable first_row = {first}")
    connection.execute(f"set variable last_row = {first + sum(loaded.rows) - 1}")


def number_files(
    connection: duckdb.DuckDBPyConnection, batch: Batch, loaded: Loaded, last: int
) -> None:
    """Make the temp table batch_files: the file_id and the first row of each file's path."""
    connection.execute(
        "create or replace temp table batch_files as "
        "select unnest(?) as path, unnest(?) as file_id, unnest(?) as first_row",
        [
            loaded.paths or [str(file.path) for file in batch.files],
            [last + n for n in range(1, len(batch.files) + 1)],
            loaded.first_rows,
        ],
    )


def positions(batch: Batch) -> str:
    """Return SQL of the path and the position of each row of the batch, in order."""
    column = sql_name(FILE_COLUMN)
    if batch.shape.format == "parquet":
        scan = f"read_parquet({listed([f.path for f in batch.files])}, file_row_number = true, "
        scan += f"hive_partitioning = false, filename = {sql_text(FILE_COLUMN)})"
        return f"select {column} as path, file_row_number as position from {scan}"
    return (
        f"select {column} as path, rowid as position from raw_rows "
        "where rowid between getvariable('first_row') and getvariable('last_row')"
    )


def make_empty_view(
    connection: duckdb.DuckDBPyConnection, table: str, columns: dict[str, Column]
) -> None:
    """Create an empty temp view `<table>_file`, for a mapping to run without files."""
    kinds = {"number": "double", "date": "date", "timestamp": "timestamp", "row_number": "bigint"}
    nulls = [
        f"cast(null as {kinds.get(column.type, 'varchar')}) as {sql_name(name)}"
        for name, column in columns.items()
    ] or ["null as none"]
    connection.execute(
        f"create or replace temp view {table}_file as select {', '.join(nulls)} where false"
    )


def is_number(kind: str) -> bool:
    """Return True if a DuckDB type is numeric."""
    return _plain(kind) in NUMBERS


def _plain(kind: str) -> str:
    return "LIST" if kind.endswith("]") else kind.split("(", maxsplit=1)[0]


def _json_columns(connection: duckdb.DuckDBPyConnection, batch: Batch) -> list[str]:
    """Return the properties in a batch: declared ones, and those of its first object."""
    paths = {
        n: _json_path(n, c)
        for n, c in batch.source.columns.items()
        if c.type not in ("file_name", "row_number")
    }
    tests = [
        f"bool_or(json_exists({sql_name(JSON_COLUMN)}, {sql_text(p)}))" for p in paths.values()
    ]
    found = (
        connection.execute(f"select {', '.join(tests)} from raw_rows").fetchall()[0]
        if tests
        else ()
    )
    names = [n for n, is_there in zip(paths, found, strict=True) if is_there in (True, None)]
    first = connection.execute(
        f"select json_keys({sql_name(JSON_COLUMN)}) from raw_rows "
        f"where json_type({sql_name(JSON_COLUMN)}) = 'OBJECT' limit 1"
    ).fetchone()
    return [*names, *(key for key in (first[0] if first else []) if key not in names)]


def _json_path(name: str, column: Column) -> str:
    parts = column.path.split(".") if column.path else [name]
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def _source_of(name: str, column: Column, batch: Batch, given: dict[str, str]) -> str | None:
    """Return SQL of the value as the file has it; None if the file has no such column."""
    if column.type == "file_name":
        return "cast(getvariable('file_name') as varchar)"
    if column.type == "row_number":
        if batch.shape.format == "parquet":
            return "file_row_number + 1"
        return "cast(rowid - getvariable('first_row') + 1 as bigint)"
    if name in given:
        if batch.shape.format == "json":
            path = sql_text(_json_path(name, column))
            return f"json_extract_string({sql_name(JSON_COLUMN)}, {path})"
        return sql_name(name)
    if all(name in hive(file) for file in batch.files):
        return f"cast(getvariable({sql_text(f'hive_{name}')}) as varchar)"
    return None


def _typed(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    column: Column,
    text: str,
    batch: Batch,
    given: dict[str, str],
) -> str:
    """Return SQL of the value in the declared type. Raises JobError if it does not fit."""
    if column.type in ("file_name", "row_number"):
        return text
    kind = given.get(name, "VARCHAR")
    plain = _plain(kind)
    written = column.format or batch.source.time_format
    is_epoch = written in EPOCHS and column.type in ("date", "timestamp")
    fits = plain == '"NULL"' or column.type == "any" or plain in READABLE[column.type]
    fits = fits or (is_epoch and plain in NUMBERS) or (column.type == "text" and plain == "LIST")
    if (
        batch.shape.format in ("parquet", "database")
        and not fits
        and not (plain == "VARCHAR" and column.type == "number")
    ):
        raise JobError(
            f"{names(batch)}: column {name!r} holds {kind}, and {column.type} was declared.",
            next_step="declare it `any` in domain.yml to take it as text, or ask the sender.",
        )
    if column.type == "number" and text.startswith("cast(getvariable('hive_"):
        _check_hive(connection, name, batch)
    if column.type == "number":
        number = _number(text, batch.source) if plain == "VARCHAR" else f"cast({text} as double)"
        if plain == "VARCHAR":
            _check_numbers(connection, batch, name, text, number)
        return number
    if column.type in ("text", "any"):
        if plain == "BLOB":
            return f"coalesce(try(decode({text})), hex({text}))"
        nested = plain in ("STRUCT", "MAP", "UNION", "LIST", "VARIANT")
        return f"cast(to_json({text}) as varchar)" if nested else f"cast({text} as varchar)"
    if written and (plain == "VARCHAR" or is_epoch):
        return times.formatted(f"cast({text} as varchar)", written)
    return times.tidied(text) if plain == "VARCHAR" else text


def _check_hive(connection: duckdb.DuckDBPyConnection, name: str, batch: Batch) -> None:
    """Raise JobError for a key in a path that is declared a number and is none."""
    for file in batch.files:
        value = hive(file)[name]
        number = _number(sql_text(value), batch.source)
        if connection.execute(f"select {number}").fetchall() == [(None,)]:
            raise JobError(
                f"{file.name}: {value!r}, the key {name!r} of its path, is not a number.",
                next_step="rename the folder, or declare the key as text.",
            )


def _number(text: str, source: RawFiles) -> str:
    """Return SQL that reads a number; NULL for what is none."""
    if source.decimal == "." and not source.thousands:
        return f"try_cast({text} as double)"
    point = re.escape(source.decimal)
    digits = r"\d+"
    plain = text
    if source.thousands:
        digits = rf"(\d{{1,3}}({re.escape(source.thousands)}\d{{3}})+|\d+)"
        plain = f"replace({plain}, {sql_text(source.thousands)}, '')"
    pattern = rf"\s*[+-]?({digits}({point}\d*)?|{point}\d+)([eE][+-]?\d+)?\s*"
    return (
        f"case when regexp_full_match({text}, {sql_text(pattern)}) "
        f"then try_cast(replace({plain}, {sql_text(source.decimal)}, '.') as double) end"
    )


def _check_numbers(
    connection: duckdb.DuckDBPyConnection, batch: Batch, name: str, text: str, number: str
) -> None:
    rows = "raw_rows"
    if batch.shape.format == "parquet":
        scan = parquet([file.path for file in batch.files])
        rows = f"(select *, row_number() over () as rowid from {scan})"
    found = connection.execute(
        f"select rowid, {text}, {sql_name(FILE_COLUMN)} from {rows} "
        f"where {text} is not null and {number} is null order by rowid limit 1"
    ).fetchall()
    if not found:
        return
    bad = found[0]
    (before,) = connection.execute(
        f"select count(*) from {rows} where {sql_name(FILE_COLUMN)} = ? and rowid <= ?",
        [bad[2], bad[0]],
    ).fetchall()[0]
    names = {str(file.path): file.name for file in batch.files}
    where = names.get(bad[2], batch.files[0].name)
    next_step = "correct the row and run again; nothing was loaded."
    if batch.source.decimal == "." and re.fullmatch(r"-?[\d.]*,\d+", str(bad[1])):
        next_step = 'add `decimal: ","` to the source in domain.yml and run again.'
    elif batch.shape.format == "csv" and not re.search(r"\d", str(bad[1])):
        next_step = f"correct the row, or add `null_words: [{str(bad[1])[:80]!r}]` in domain.yml."
    raise JobError(
        f"{where}, column {name!r}, row {before}: {str(bad[1])[:80]!r} is not a number.",
        next_step=next_step,
    )


def _missing(name: str, batch: Batch, given: dict[str, str]) -> JobError:
    """Return the error for a column that a file lacks, with the likely cause."""
    where = names(batch)
    if batch.shape.format == "csv" and len(given) == 1:
        (header,) = given
        for delimiter, word in ((";", '";"'), ("\t", r'"\t"'), ("|", '"|"'), (",", '","')):
            if delimiter in header and delimiter != batch.source.delimiter:
                return JobError(
                    f"{where} has no column {name!r}: its header is separated by {word}.",
                    next_step=f"add `delimiter: {word}` to the source in domain.yml.",
                )
    close = [n for n in given if n.lower().strip() == name.lower()]
    hint = f" (it has {close[0]!r})" if close else ""
    if batch.shape.format == "csv" and not given.keys() & batch.source.columns.keys():
        hint = hint or f"; its first line has {', '.join(map(repr, [*given][:4]))}"
    return JobError(
        f"{where} has no column {name!r}{hint}.",
        next_step="correct the columns in domain.yml, or declare it `optional: true`.",
    )
