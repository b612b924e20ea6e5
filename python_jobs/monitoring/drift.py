"""The drift check: reads what is published, and nothing else."""

import math
from pathlib import Path
from typing import Any

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import replace_json
from python_jobs.publishing import status
from python_jobs.settings import Settings

FEATURES = """
    select feature, psi, status, noise_psi, reference_rows, current_rows
    from feature_drift
    where as_of_date = (select max(as_of_date) from feature_drift)
    order by psi desc, feature
"""
PREDICTIONS = """
    select 'churn_risk' as feature, psi, status, noise_psi, reference_rows, current_rows
    from prediction_drift
    where as_of_date = (select max(as_of_date) from prediction_drift)
"""


def check(settings: Settings) -> dict[str, Any]:
    """The drift of the current version: version, as_of_date, status, features, predictions.

    `status` is the worst of the features' own: ok, warn or fail. Raises JobError where nothing is
    published or nothing was measured.
    """
    manifest = status.read(settings)
    folder = settings.published / manifest["version"]
    try:
        with duckdb.connect(str(folder / "churnhouse.duckdb"), read_only=True) as published:
            features = _rows(published, FEATURES)
            predictions = _rows(published, PREDICTIONS)
    except duckdb.Error as error:
        raise JobError(
            f"{folder / 'churnhouse.duckdb'} cannot be read: {str(error).splitlines()[0]}.",
            next_step="run `churnhouse publish` to publish anew.",
        ) from None
    if not features:
        raise JobError(
            f"Version {manifest['version']} has no drift to check.",
            next_step="run `churnhouse train`, `promote`, `score` and `publish`.",
        )
    statuses = {row["status"] for row in features}
    return {
        "version": manifest["version"],
        "model_version": manifest["model_version"],
        "as_of_date": manifest["as_of_date"],
        "status": next(worst for worst in ("fail", "warn", "ok") if worst in statuses),
        "features": features,
        "predictions": predictions,
    }


def write(settings: Settings, found: dict[str, Any]) -> Path:
    """Keep the check beside the versions as data_drift_latest.json; versions do not change.

    The folder may be read-only for whoever checks: then JobError says so.
    """
    path = settings.published / "data_drift_latest.json"
    try:
        replace_json(path, found)
    except OSError as error:
        raise JobError(
            f"{path} cannot be written ({error.strerror}).",
            next_step="give the drift check a folder that it may write.",
        ) from None
    return path


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return [
        {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}
        for row in rows
    ]
