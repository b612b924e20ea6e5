"""Register: write a trained model as an immutable version."""

from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import joblib
import pandas as pd

from python_jobs.files import sql_text, write_json
from python_jobs.ingest import persons
from python_jobs.registry import store
from python_jobs.registry.model_card import model_card
from python_jobs.registry.report import report
from python_jobs.registry.tables import headline, write_registry_tables
from python_jobs.settings import Settings
from python_jobs.training.splits import HeldOut, Rows
from python_jobs.training.train import Trained


@dataclass(frozen=True)
class Registered:
    """A registered version, with the content of its metrics.json and manifest.json."""

    version: str
    metrics: dict[str, Any]
    manifest: dict[str, Any]

    @property
    def headline(self) -> dict[str, float | None]:
        """Return the chosen model's pooled metrics on eligible users, as ml.model_versions."""
        return headline(self.metrics["models"], self.metrics["selected"])


def register(
    con: duckdb.DuckDBPyConnection,
    settings: Settings,
    trained: Trained,
    *,
    now: datetime,
    raw_files: dict[str, Any] | None = None,
) -> Registered:
    """Write a version folder and its rows in ml.*; production does not change.

    `raw_files`: the domain and the files that the rows come from; see raw_tables.loaded_files.

    The version exists completely or not at all. Raises JobError if a version with the same second
    and data hash exists and has another model.
    """
    version = store.version_name(now, trained.facts["data_hash"])
    manifest = {
        "version": version,
        "created_at": f"{store.utc(now).isoformat()}Z",
        **trained.facts,
        "git_commit": store.git_commit(),
    }
    features = trained.features
    saved = {
        "names": features.names,
        "types": features.types,
        "values": features.values,
        "fingerprint": features.fingerprint,
        "facts": {name: asdict(fact) for name, fact in trained.feature_facts.items()},
    }
    models, key = settings.models, settings.signing_key
    with store.new_version(models, version, manifest, key) as folder:
        (folder / "model.onnx").write_bytes(trained.onnx)
        (folder / "reasons.onnx").write_bytes(trained.reasons_onnx)
        joblib.dump(trained.model, folder / "model.joblib")
        write_json(folder / "features.json", saved)
        write_json(folder / "metrics.json", trained.metrics)
        write_json(folder / "golden.json", trained.golden)
        write_json(folder / "typical.json", trained.typical)
        write_json(folder / "reasons.json", trained.known_reasons)
        write_json(folder / "raw_files.json", raw_files or {"files": []})
        card = model_card(manifest, trained.metrics)
        (folder / "model_card.md").write_text(card, encoding="utf-8")
        page = report(manifest, trained)
        (folder / "report.html").write_text(page, encoding="utf-8")
        _write_held_out(con, folder / "held_out.parquet", trained.rows, trained.held)
    write_registry_tables(con, models)
    return Registered(version, trained.metrics, store.read_manifest(models, version))


def _write_held_out(con: duckdb.DuckDBPyConnection, path: Path, rows: Rows, held: HeldOut) -> None:
    """Write the held-out rows, with one column of risks per model, as Parquet.

    A keyed hash stands for the user: `forget` finds the rows by it, and whoever has only the
    version cannot tell whose they are.
    """
    table = pd.DataFrame(
        {
            "user_id": rows.users[held.rows],
            "as_of_date": rows.dates[held.rows],
            "fold": held.fold,
            "is_eligible": rows.eligible[held.rows],
            "churn_label": rows.y[held.rows],
            **held.risks,
        }
    )
    persons.define(con, path.parents[2])
    con.register("held_out", table)
    try:
        con.execute(
            "copy (select person_hash(user_id) as person_hash, * exclude (user_id) "
            "replace (cast(as_of_date as date) as as_of_date) from held_out) "
            f"to {sql_text(path)} (format parquet)"
        )
    finally:
        con.unregister("held_out")
