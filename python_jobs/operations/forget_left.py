"""What a removal could not reach: each place, with what to do there."""

import json
from collections.abc import Iterable

import duckdb

from python_jobs.files import sql_name
from python_jobs.ingest.domain import Domain
from python_jobs.ingest.rewrite import ID_COLUMNS
from python_jobs.operations import forget_files
from python_jobs.publication import contacts
from python_jobs.registry import tracking
from python_jobs.settings import Settings

MOST_SEARCHED = 100
"""To look for more ids in every text would take minutes for each million rows."""


def mentions(
    connection: duckdb.DuckDBPyConnection, settings: Settings, tables: Iterable[str], ids: list[str]
) -> list[str]:
    """Return where rows of others name the persons in a text, and domain.yml if it does.

    Texts are not searched for ids that are numbers, since any number might be meant.
    """
    (text,) = connection.execute("select settings from raw.domain").fetchall()[0]
    listed = json.loads(text or "{}").get("exclude") or {}
    lists = [some for some in listed.values() if isinstance(some, list)]
    excluded = {one for some in lists for one in some}
    said = []
    if excluded & set(ids):
        said.append("domain.yml: take the person out of `exclude`, then run `churnhouse daily`")
    words = [one for one in ids if not one.isdigit()]
    if not words:
        return said
    if len(words) > MOST_SEARCHED:
        return [*said, f"texts of others: only {MOST_SEARCHED} ids at a time are looked for there"]
    pattern = forget_files.pattern_of(words)
    for table in tables:
        columns = [
            name
            for name, kind, *_ in connection.execute(f"describe {table}").fetchall()
            if kind == "VARCHAR" and name not in ID_COLUMNS
        ]
        counts = ", ".join(
            f"count_if(regexp_matches({sql_name(name)}, $pattern))" for name in columns
        )
        query = f"select {counts} from {table}"
        found = connection.execute(query, {"pattern": pattern}).fetchall()[0]
        said += [
            f"{table}.{name}, where {rows:,} rows of others name the person: correct them at the"
            " source"
            for name, rows in zip(columns, found, strict=True)
            if rows
        ]
    naming = sum(forget_files.names(path, pattern) for path in contacts.files(settings.contacts))
    if naming:
        said.append(
            f"{settings.contacts}, where {naming:,} contacts of others name the person: delete them"
            " or correct their text"
        )
    return said


def elsewhere(
    connection: duckdb.DuckDBPyConnection, domain: Domain, files: list[forget_files.Declared]
) -> list[str]:
    """Return where else the persons may be, each place with what to do there."""
    places = sorted(
        {
            source.place
            for sources in domain.files.by_table().values()
            for source in sources
            if not source.path
        }
    )
    said = [
        f"{place}: remove the person there; rows that come again are rejected" for place in places
    ]
    here = {file.name for _, file in files}
    loaded = {row[0] for row in connection.execute("select name from raw.files").fetchall()}
    away = [name for name in loaded - here if not name.startswith((*places, "contacts of "))]
    if away:
        said.append(
            f"{len(away):,} loaded files are not below the home's raw folder (another --raw folder,"
            " object storage, or removed since): remove the person there"
        )
    if tracking.is_on():
        said.append(
            "MLflow: delete there the artifacts of versions that a release before 0.3 logged; they"
            " show rare attribute values and rows of users"
        )
    said.append("backups, and copies that others took of published files: see docs/reliability.md")
    return said
