"""What changed in the list since the last publication, for systems that take changes."""

from pathlib import Path

import duckdb

from python_jobs.files import sql_name, sql_text
from python_jobs.publication.candidate import OF_THE_RUN
from python_jobs.publishing import exports

FOLDER = "activation"


def write(
    connection: duckdb.DuckDBPyConnection, work: Path, previous: Path | None
) -> dict[str, dict[str, int]]:
    """Write work/activation/list_changes.csv and .parquet; return {file: {table: rows}}.

    One row per user who is new on churn_top_risk (`add`), whose row changed (`change`) or who is
    off it (`remove`, with the row as it was), against the published version in the folder
    `previous`; without one all are new. The columns are `change` and those of churn_top_risk. A
    person whom `forget` removed is not named.
    """
    listed = connection.execute("describe main.churn_top_risk").fetchall()
    kinds = {name: kind for name, kind, *_ in listed}
    before = _before(connection, kinds, previous)
    columns = ", ".join(map(sql_name, kinds))
    differs = " or ".join(
        f"now.{sql_name(name)} is distinct from before.{sql_name(name)}"
        for name in kinds.keys() - OF_THE_RUN
    )
    connection.execute(
        f"""
        create or replace temp table list_changes as
        with
        now as (select {columns} from main.churn_top_risk),
        before as ({before})
        select case when before.user_id is null then 'add' else 'change' end as change, now.*
        from now
        left join before on now.user_id = before.user_id
        where before.user_id is null or {differs}
        union all
        select 'remove', before.*
        from before
        anti join now on before.user_id = now.user_id
        where person_hash(before.user_id) not in (select person_hash from raw.forgotten)
        """
    )
    (work / FOLDER).mkdir()
    (rows,) = connection.execute("select count(*) from list_changes").fetchall()[0]
    order = "change, list_rank, user_id"
    paths = exports.write(connection, "list_changes", order, work / FOLDER / "list_changes")
    return {f"{FOLDER}/{path.name}": {"list_changes": int(rows)} for path in paths}


def counts(folder: Path) -> dict[str, int]:
    """Return how many users of a version's list were added, changed and removed."""
    path = folder / FOLDER / "list_changes.parquet"
    with duckdb.connect() as reader:
        query = f"select change, count(*) from {sql_text(path)} group by all"
        return dict.fromkeys(("add", "change", "remove"), 0) | dict(
            reader.execute(query).fetchall()
        )


def _before(
    connection: duckdb.DuckDBPyConnection, kinds: dict[str, str], previous: Path | None
) -> str:
    """Return SQL of the previous version's list, with the columns of this one."""
    path = previous and previous / "churnhouse.duckdb"
    known: set[str] = set()
    if path and path.exists():
        connection.execute(f"attach {sql_text(path)} as published_before (read_only)")
        there = connection.execute("describe published_before.churn_top_risk").fetchall()
        known = {name for name, *_ in there}
        connection.execute(
            "create or replace temp table list_before as from published_before.churn_top_risk"
        )
        connection.execute("detach published_before")
    selected = ", ".join(
        f"cast({sql_name(name) if name in known else 'null'} as {kind}) as {sql_name(name)}"
        for name, kind in kinds.items()
    )
    return f"select {selected} from list_before" if known else f"select {selected} where false"
