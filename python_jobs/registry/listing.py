"""The list of all model versions with status and metrics, for `churnhouse models`."""

from typing import Any

import duckdb

from python_jobs.registry import approvals, store
from python_jobs.registry.tables import write_registry_tables
from python_jobs.settings import Settings


def listing(con: duckdb.DuckDBPyConnection, settings: Settings) -> list[dict[str, Any]]:
    """Return all versions, newest first, for `churnhouse models`.

    Each is {version, status, estimator, created_at, approved_by, metrics...}. `status`:
    production, rejected, rolled back, previous, promoted (earlier), unapproved, refused or not
    judged yet.
    The metrics are those of ml.model_versions, with the interval of average_precision.
    """
    models = settings.models
    write_registry_tables(con, models)
    pointer, gone = store.production(models), approvals.withdrawn(models)
    judged: dict[str, str] = dict(
        con.execute(
            """
            select version, arg_max(case
                when is_promoted then 'promoted'
                when contains(reason, $waits) then 'unapproved'
                else 'refused'
            end, row(coalesce(decision_number, 0), decided_at))
            from ml.promotions group by version
            """,
            {"waits": approvals.WAITS},
        ).fetchall()
    )

    def status(version: str) -> str:
        if pointer and version == pointer.version:
            return "production"
        if approvals.rejection(models, version):
            return "rejected"
        if version in gone:
            return "rolled back"
        if pointer and version == pointer.previous:
            return "previous"
        return judged.get(version, "not judged yet")

    cursor = con.execute("from ml.model_versions")
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    by_version = {row["version"]: row for row in rows}
    listed = []
    for version in reversed(store.versions(models)):
        given = approvals.approval(settings, version)
        extra = {"status": status(version), "approved_by": given and given["by"]}
        listed.append(by_version[version] | extra)
    return listed
