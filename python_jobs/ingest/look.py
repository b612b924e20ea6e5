"""Look at an unknown file of events: what separates it, and which columns hold what."""

import csv
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import sql_name
from python_jobs.ingest import columns as file_columns
from python_jobs.ingest import databases, excel, raw_tables, readers, text_files, times
from python_jobs.ingest.batch import JSON_COLUMN, Batch, Loaded, RawFile
from python_jobs.ingest.paths import parquet
from python_jobs.ingest.profiles import TIME_NAME, Profile, null_words, profile, separators
from python_jobs.ingest.sources import Column, RawFiles

SAMPLE = 1_000_000
"""Rows that are looked at."""
PACKED = (".zip", ".bz2", ".xz", ".7z", ".rar", ".tar", ".tgz")
LINES = 50
"""Lines whose delimiter is looked for."""
MOST_TYPES = 50
FEW = 0.01
"""Share of rows that may lack an id or a type, such as totals at the end; they are rejected."""
MOST_KEYS, DEEPEST = 50, 4
"""JSON objects with more keys, or deeper ones, stay whole: their keys may be ids."""
NAMES = {
    "user": r"user|customer|client|member|account|contact|person|player|author|subscriber|buyer"
    r"|visitor|kunde|nutzer|mitglied|cliente|usuario|utilisateur|klant",
    "time": TIME_NAME,
    "type": r"type|event|action|what|kind|activity|name|category|status|verb|vorgang|aktion",
    "id": r"^id$|event_?id|order_?id|transaction|invoice|uuid|guid|_id$|number|^no$",
}
ID_ENDING = r"(id|no|nr|number|nummer|key|code)$"
"""How a column ends that holds the ids of users rather than their names."""


@dataclass
class Look:
    """A file, how to read it, and which columns seem to hold what."""

    source: dict[str, Any]
    rows: int
    profiles: dict[str, Profile]
    user: str | None = None
    time: str | None = None
    type: str | None = None
    id: str | None = None
    types: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    first_day: date | None = None
    last_day: date | None = None

    @property
    def numbers(self) -> list[str]:
        """Return the numeric columns that may be measured."""
        taken = {self.user, self.time, self.type, self.id}
        return [
            p.name
            for p in self.profiles.values()
            if p.kind == "number"
            and p.name not in taken
            and not re.search(r"(^|[_.])id$", p.name.lower())
        ]


@dataclass(frozen=True)
class Table:
    """A table in a database: the environment variable of its address, and its name."""

    database: str
    table: str

    @property
    def name(self) -> str:
        """Return what the table is called in messages."""
        return self.table


def look(connection: duckdb.DuckDBPyConnection, events: Path | Table) -> Look:
    """Read a sample of events and say what their columns hold.

    Raises JobError for a file or table that cannot be read.
    """
    if isinstance(events, Table):
        return _look_at_table(connection, events)
    return _look_at_file(connection, events)


def _look_at_table(connection: duckdb.DuckDBPyConnection, table: Table) -> Look:
    raw_tables.create(connection)
    query = f"select * from {table.table} limit {SAMPLE}"
    column = {"x": Column(type="any")}
    source = RawFiles(database=table.database, query=query, columns=column)
    read = databases.read(connection, source, "events", Path())
    if read is None:
        raise JobError(
            f"{table.table} has no rows.", next_step="name a table with events: --table NAME."
        )
    batch, loaded, _ = read
    names: dict[str, str | None] = {name: None for name, _ in batch.shape.columns}
    found = {"database": table.database, "table": table.table}
    return _seen(connection, found, batch, loaded, names)


def _look_at_file(connection: duckdb.DuckDBPyConnection, path: Path) -> Look:
    if not path.is_file():
        what = f"{path} is a folder" if path.is_dir() else f"There is no file {path}"
        raise JobError(f"{what}.", next_step="name the file of events.")
    if path.suffix.lower() in PACKED:
        raise JobError(
            f"{path.name} is packed in a way that is not read.",
            next_step="unpack it, or pack it with gzip or zstd.",
        )
    found = readers.format_of(path.name)
    described: dict[str, Any] = {"path": path.name}
    if found is None:
        described["format"] = "csv"
    kind = found[0] if found else "csv"
    if kind == "csv":
        described |= _dialect(connection, path, found[1] if found else "none")
    elif kind == "json":
        encoding = _encoding(path, found[1] if found else "none")
        described |= {} if encoding == "utf-8" else {"encoding": encoding}
    file = RawFile("events", path, path.name, path.stat().st_size, 0)
    source = RawFiles(columns={"x": Column(type="text")}, **described)
    if kind == "excel":
        names_of_sheet, rows_of_sheet = excel.sheet_of(source, file)
        given = ["" if re.fullmatch(r"column_\d+", name) else name for name in names_of_sheet]
        _check_title(path.name, [given, *rows_of_sheet[: LINES - 1]], " ")
    batch = Batch(source, readers.shape_of(connection, source, file), [file])
    loaded = readers.load_batch(connection, batch, is_careful=True)
    if kind == "parquet":
        connection.execute(f"create or replace temp table raw_rows as from {parquet([path])}")
    names: dict[str, str | None] = {name: None for name, _ in batch.shape.columns}
    if kind == "json":
        names = _properties(connection)
    return _seen(connection, described, batch, loaded, names)


def _properties(connection: duckdb.DuckDBPyConnection) -> dict[str, str | None]:
    """Return the names of JSON properties in order, and for nested ones their paths."""
    (structure,) = connection.execute(
        f"select json_group_structure({sql_name(JSON_COLUMN)}) from (from raw_rows limit 10000)"
    ).fetchall()[0]
    found: dict[str, str | None] = {}

    def add(properties: dict[str, Any], above: tuple[str, ...]) -> None:
        for key, inner in properties.items():
            path = (*above, key)
            can_be_named = len(path) < DEEPEST and not any("." in part for part in path)
            if isinstance(inner, dict) and 0 < len(inner) <= MOST_KEYS and can_be_named:
                add(inner, path)
            elif above:
                found.setdefault(".".join(path), ".".join(path))
            else:
                found[key] = None

    properties = json.loads(structure or "{}")
    if isinstance(properties, dict):
        add(properties, ())
    return found


def _seen(
    connection: duckdb.DuckDBPyConnection,
    described: dict[str, Any],
    batch: Batch,
    loaded: Loaded,
    names: dict[str, str | None],
) -> Look:
    """Return what the rows of a batch hold, from a sample of them.

    `names` has the columns, with the path of each that is nested.
    """
    if not names or not loaded.rows[0]:
        raise JobError(
            f"{batch.files[0].name} has no rows.", next_step="name a file or table with events."
        )
    if any(times.LOOKS_LIKE_A_TIME.match(name) for name in names):
        raise JobError(
            f"{batch.files[0].name} does not begin with a line of column names, but with "
            f"{', '.join(map(repr, [*names][:4]))}.",
            next_step="put a line of column names before the first row.",
        )
    columns = {name: Column(type="any", optional=True, path=path) for name, path in names.items()}
    whole = Batch(RawFiles(columns=columns, **described), batch.shape, batch.files)
    file_columns.make_view(connection, "events", whole)
    file_columns.show_file(connection, whole, loaded, 0)
    connection.execute(f"create or replace temp table looked as from events_file limit {SAMPLE}")
    if batch.shape.format == "csv" and (words := null_words(connection, [*names])):
        described["null_words"] = words
    found = separators(connection, [*names])
    described |= found
    profiles = {
        name: replace(profile(connection, name, found), path=path) for name, path in names.items()
    }
    result = Look(described, loaded.rows[0], profiles)
    choose(result)
    return result


def _dialect(connection: duckdb.DuckDBPyConnection, path: Path, compression: str) -> dict[str, Any]:
    """Return delimiter, quote and encoding of a CSV file where they are not the usual ones.

    Raises JobError for a file that begins with a title instead of column names.
    """
    encoding = _encoding(path, compression)
    found: dict[str, Any] = {} if encoding == "utf-8" else {"encoding": encoding}
    if compression == "zstd":
        lines = text_files.zstd_lines(connection, path, LINES)
    else:
        with text_files.opened(path, compression) as raw:
            text = raw.read(2**16).decode(
                "utf-8-sig" if encoding == "utf-8" else encoding, "replace"
            )
        lines = (text.splitlines()[:-1] or text.splitlines())[:LINES]
    if not lines:
        raise JobError(f"{path} is empty.", next_step="name a file with events.")
    best, rank = ",", (0.5, 1)
    for delimiter in (",", ";", "\t", "|"):
        widths = Counter(len(row) for row in csv.reader(lines, delimiter=delimiter) if row)
        width, rows = widths.most_common(1)[0] if widths else (1, 1)
        found_rank = (rows / max(widths.total(), 1), width)
        if width > 1 and found_rank > rank:
            best, rank = delimiter, found_rank
    rows_of_lines = list(csv.reader(lines, delimiter=best))
    _check_title(path.name, rows_of_lines, best)
    if all(re.fullmatch("'.*'", name) for name in rows_of_lines[0]):
        found["quote"] = "'"
    return found | ({} if best == "," else {"delimiter": best})


def _check_title(name: str, rows: Sequence[Sequence[object]], delimiter: str) -> None:
    """Raise JobError if lines with few values stand above the column names."""
    filled = [sum(bool(str(cell).strip()) for cell in row) for row in rows]
    usual = sorted(filled)[len(filled) // 2]
    header = next((n for n, cells in enumerate(filled) if 2 * cells > usual), 0)
    if header:
        title = delimiter.join(map(str, rows[0]))[:60]
        raise JobError(
            f"{name} does not begin with a line of column names, but with {title!r}; they may be in"
            f" line {header + 1}.",
            next_step="take away what is above that line, in files to come as well.",
        )


def _encoding(path: Path, compression: str) -> str:
    """Return utf-8, a kind of utf-16 by the first bytes, or else cp1252."""
    if compression == "zstd":
        return "utf-8"
    with text_files.opened(path, compression) as raw:
        start = raw.read(2**20)
    if found := text_files.utf_16(start):
        return found
    try:
        start[: start.rfind(b"\n") + 1 or None].decode()
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def choose(found: Look) -> None:
    """Guess the columns of user, time, id and type that are not known, from names and values."""

    def left() -> list[Profile]:
        taken = {found.user, found.time, found.id, found.type}
        return [p for p in found.profiles.values() if p.name not in taken and p.values]

    def best(role: str, candidates: list[Profile]) -> str | None:
        named = [p.name for p in candidates if re.search(NAMES[role], p.name.lower())]
        return next(iter([*named, *(p.name for p in candidates)]), None)

    if not found.time:
        moments = [p for p in left() if p.kind == "timestamp" and p.empty <= 0.5 * found.rows]
        found.time = best("time", moments)
    if not found.user:
        users = [p for p in left() if 1 < p.distinct < 0.9 * p.values and p.kind != "timestamp"]
        named = [p.name for p in users if re.search(NAMES["user"], p.name.lower())]
        ids = [name for name in named if re.search(ID_ENDING, name.lower())]
        found.user = next(iter([*ids, *named]), None)
    if not found.id:
        unique = [p for p in left() if p.distinct == p.values and p.empty <= FEW * found.rows]
        found.id = best("id", [p for p in unique if p.kind != "timestamp"])
    if not found.type:
        few = [p for p in left() if p.kind == "text" and p.distinct <= MOST_TYPES]
        found.type = best("type", [p for p in few if p.empty <= FEW * found.rows])


def notes_on_users(connection: duckdb.DuckDBPyConnection, found: Look) -> list[str]:
    """Return what a person should know about the column of the user: gaps, and others like it."""
    user = found.profiles[str(found.user)]
    taken = {found.user, found.time, found.id, found.type}
    others = [
        p
        for p in found.profiles.values()
        if p.name not in taken and p.kind != "timestamp" and p.distinct > 1
    ]
    notes, standing_in = [], {}
    for other in others:
        one, two = sql_name(user.name), sql_name(other.name)
        users, ids, pairs, filled = connection.execute(
            f"""
            select
                count(distinct {one}) filter ({two} is not null),
                count(distinct {two}) filter ({one} is not null),
                count(distinct ({one}, {two})) filter ({one} is not null and {two} is not null),
                count(*) filter ({one} is null and {two} is not null)
            from looked
            """
        ).fetchall()[0]
        if 1 < users == ids == pairs:
            notes.append(
                f"{other.name!r} names the same users as {user.name!r}, one for one: keep the one "
                "that your other tables use"
            )
        if filled and re.search(f"{NAMES['user']}|{ID_ENDING}", other.name.lower()):
            standing_in[other.name] = filled
    (sample,) = connection.execute(
        f"select min(left({sql_name(user.name)}, 40)) from looked "
        f"where {sql_name(user.name)} like '{{%'"
    ).fetchall()[0]
    if sample:
        notes.append(
            f"{user.name!r} holds objects such as {sample}: take the id out of them as user_id "
            f"in ingest.sql, such as json_extract_string({sql_name(user.name)}, '$.id')"
        )
    if user.empty:
        gap = f"{user.name!r} is empty in {user.empty:,} rows, which will be rejected"
        if standing_in:
            name = max(standing_in, key=lambda name: standing_in[name])
            gap += (
                f"; {standing_in[name]:,} of them have {name!r}: link the ids with "
                "files.identities, or write coalesce(...) as user_id in ingest.sql"
            )
        notes.append(gap)
    return notes


def moment_of(found: Look) -> str:
    """Return SQL of the time of a row of `looked`."""
    profile = found.profiles[str(found.time)]
    column = sql_name(profile.name)
    text = times.formatted(column, profile.time_format) if profile.time_format else column
    return times.instant(text)
