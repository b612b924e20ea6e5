"""Snapshots: a sample of each model's training rows."""

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from python_jobs.publication import onnx_model
from python_jobs.registry import store
from python_jobs.settings import Settings
from python_jobs.warehouse.connection import give_up

REFERENCE_ROWS = 20_000
REFERENCE_VERSIONS = 20


def save_training_sample(con: duckdb.DuckDBPyConnection, settings: Settings, version: str) -> int:
    """Write a sample of a version's training rows, with scores, as the baseline of drift.

    At most 20,000 rows, chosen by hash, so a rerun chooses the same rows. A version that already
    has a sample keeps it. Returns the number of rows.
    """
    known = "select count(*) from ml.training_reference where model_version = ?"
    rows: int = con.execute(known, [version]).fetchall()[0][0]
    if rows:
        return rows
    con.execute(
        f"""
        create or replace temp table sample as
        from training_set
        order by md5(user_id || as_of_date)
        limit {REFERENCE_ROWS}
        """
    )
    con.begin()
    try:
        _add_columns(con)
        con.register("scores", _scores(con, settings, version))
        con.execute(
            """
            insert into ml.training_reference by name
            select sample.* exclude (as_of_date, is_eligible, churn_label),
                ? as model_version,
                scores.churn_risk
            from sample
            inner join scores using (user_id, as_of_date)
            """,
            [version],
        )
        con.execute(
            "delete from ml.training_reference where not list_contains(?, model_version)",
            [_kept(settings.models, version)],
        )
        con.commit()
    except BaseException:
        give_up(con)
        raise
    rows = con.execute(known, [version]).fetchall()[0][0]
    return rows


def _kept(models: Path, version: str) -> list[str]:
    """Return the versions whose samples stay: this one, that in production and the newest."""
    production = store.production(models)
    in_production = [production.version] if production else []
    return [*store.versions(models)[-REFERENCE_VERSIONS:], *in_production, version]


def _scores(con: duckdb.DuckDBPyConnection, settings: Settings, version: str) -> pd.DataFrame:
    """Return user_id, as_of_date and churn_risk of every row of the sample."""
    features = store.read_features(settings.models, version)
    expected = store.read_manifest(settings.models, version)["files"]["model.onnx"]
    session = onnx_model.load(settings.models / version / "model.onnx", expected)
    keys, risks = [], []
    for ids, matrix in features.chunks(con, ["user_id", "as_of_date"], "from sample as f"):
        keys.append(ids)
        risks.append(onnx_model.score(session, matrix))
    return pd.concat(keys, ignore_index=True).assign(churn_risk=np.concatenate(risks))


def _add_columns(con: duckdb.DuckDBPyConnection) -> None:
    """Add the sample's columns that ml.training_reference lacks, except date and label."""
    left_out = {"as_of_date", "is_eligible", "churn_label"}
    there = {row[0] for row in con.execute("describe ml.training_reference").fetchall()}
    for name, kind, *_ in con.execute("describe sample").fetchall():
        if name not in there | left_out:
            con.execute(f'alter table ml.training_reference add column "{name}" {kind}')
