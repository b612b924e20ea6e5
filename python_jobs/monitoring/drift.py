"""The drift check of the published version; it reads only published/."""

import math
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from python_jobs.errors import JobError
from python_jobs.files import replace_json
from python_jobs.publishing import status
from python_jobs.settings import Settings

RECENT_DAYS = 90
"""Unknown days are named if they are among these last days."""
FEATURES = """
    select columns('^(feature|psi|status|is_clock_like|noise_psi|reference_rows|current_rows)$')
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
    """Return the drift of the current version: version, as_of_date, status, features, predictions.

    `status` is the worst status of all features: ok, warn or fail. Clock-like features have watch
    at most, which is no worse than ok. Raises JobError if nothing is
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
            next_step="run `churnhouse publish` to publish again.",
        ) from None
    if not features:
        raise JobError(
            f"Version {manifest['version']} has no drift to check.",
            next_step="run `churnhouse train`, `promote`, `score` and `publish`.",
        )
    statuses = {row["status"] for row in features}
    first_day = str(date.fromisoformat(manifest["as_of_date"]) - timedelta(days=RECENT_DAYS))
    return {
        "version": manifest["version"],
        "model_version": manifest["model_version"],
        "as_of_date": manifest["as_of_date"],
        "status": next((worst for worst in ("fail", "warn") if worst in statuses), "ok"),
        "unknown_days": [day for day in manifest.get("unknown_days", []) if day > first_day],
        "features": features,
        "predictions": predictions,
    }


def write(settings: Settings, drift: dict[str, Any]) -> Path:
    """Write the check to published/data_drift_latest.json; return its path.

    It is outside the version's folder, since versions never change. Raises JobError if the folder
    is read-only.
    """
    path = settings.published / "data_drift_latest.json"
    try:
        replace_json(path, drift)
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
