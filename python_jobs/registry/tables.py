"""The registry's tables for SQL, made from its folders: ml.model_versions, ml.fold_metrics."""

from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from python_jobs.errors import JobError
from python_jobs.registry import store
from python_jobs.training.judging import metric_rows, pooled
from python_jobs.warehouse.connection import give_up

HEADLINE = [
    "average_precision",
    "roc_auc",
    "precision_at_50",
    "precision_at_top_k",
    "brier",
    "base_rate",
    "log_loss",
    "expected_calibration_error",
    "lift_top_decile",
    "expected_value",
]
METRIC_COLUMNS = ["model", "fold", "population", "metric", "value", "low", "high", "rows"]
NUMBERS = ["value", "low", "high"]


def write_registry_tables(con: duckdb.DuckDBPyConnection, models: Path) -> None:
    """Add the versions that ml.model_versions lacks to it and to ml.fold_metrics."""
    known = {row[0] for row in con.execute("select version from ml.model_versions").fetchall()}
    for version in [v for v in store.versions(models) if v not in known]:
        manifest = store.read_manifest(models, version)
        tables = store.read_json(models, version, "metrics.json")["models"]
        if manifest["estimator"] not in tables:
            raise JobError(
                f"{models / version / 'manifest.json'} is damaged: its metrics.json has no "
                f"estimator {manifest['estimator']!r}.",
                next_step=store.RESTORE,
            )
        row = {
            name: manifest[name] for name in ("version", "created_at", "estimator", "data_through")
        } | {
            "features_fingerprint": manifest["features_fingerprint"],
            "onnx_sha256": manifest["files"]["model.onnx"],
            "joblib_sha256": manifest["files"]["model.joblib"],
        }
        row |= headline(tables, manifest["estimator"])
        fold_metrics = pd.DataFrame(metric_rows(tables), columns=METRIC_COLUMNS)
        fold_metrics = fold_metrics.astype(dict.fromkeys(NUMBERS, float))
        con.begin()
        try:
            con.execute(
                f"insert into ml.model_versions ({', '.join(row)}) "
                f"values ({', '.join('?' * len(row))})",
                list(row.values()),
            )
            con.register("new_fold_metrics", fold_metrics)
            con.execute(
                "insert into ml.fold_metrics by name select ? as version, * from new_fold_metrics",
                [version],
            )
            con.commit()
        except BaseException:
            give_up(con)
            raise
        finally:
            con.unregister("new_fold_metrics")


def headline(tables: dict[str, dict[str, Any]], model: str) -> dict[str, float | None]:
    """Return a model's pooled metrics on eligible users, with bounds of average precision."""
    metrics = pooled(tables, model)
    precision = tables[model]["folds"]["pooled"]["eligible"]["average_precision"]
    return {name: metrics[name] for name in HEADLINE} | {
        f"average_precision_{bound}": precision[bound] for bound in ("low", "high")
    }


def add_decision(con: duckdb.DuckDBPyConnection, table: str, row: dict[str, Any]) -> None:
    """Append a decision to a table of ml with the next decision_number, by which they are ordered.

    A clock may once have been ahead, so times order nothing.
    """
    marks = ", ".join("?" * len(row))
    con.execute(
        f"insert into {table} ({', '.join(row)}, decision_number)"
        f" select {marks}, 1 + coalesce(max(decision_number), 0) from {table}",
        list(row.values()),
    )
