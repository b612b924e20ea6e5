"""Scoring on DuckDB: in this process, written in one transaction."""

from datetime import date
from typing import TYPE_CHECKING

import duckdb

from python_jobs.publication import onnx_model
from python_jobs.registry import store
from python_jobs.scoring import snapshots
from python_jobs.scoring.day import Day
from python_jobs.scoring.rows import PREDICTIONS, check_scores, scored
from python_jobs.settings import Settings
from python_jobs.warehouse.connection import give_up

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

INSERT = f"""
insert into ml.churn_predictions by name
select
    *,
    row_number() over riskiest_first as risk_rank,
    ntile(10) over riskiest_first as risk_decile
from ({PREDICTIONS})
window riskiest_first as (order by churn_risk desc, user_id)
"""


def score_day(con: duckdb.DuckDBPyConnection, settings: Settings, day: Day) -> dict[str, int]:
    """Replace the predictions of a day; return how many users are in each risk band.

    Raises JobError, and replaces nothing, if a score is missing or not a probability.
    """
    as_of_date = day.constants["as_of_date"]
    rest = "from user_features_daily as f where f.as_of_date = ? order by f.user_id"
    reasons = _reasons(settings, day)
    scores = scored(con, day.features, day.told, day.session, reasons, rest, as_of_date)
    check_scores(scores, day.users)
    con.register("new_scores", scores)
    con.register("features", day.told)
    con.begin()
    try:
        con.execute("delete from ml.churn_predictions where as_of_date = ?", [as_of_date])
        con.execute(INSERT, day.constants)
        bands = con.execute(
            "select risk_band, count(*) from ml.churn_predictions where as_of_date = ? group by 1",
            [as_of_date],
        ).fetchall()
        con.commit()
    except BaseException:
        give_up(con)
        raise
    finally:
        con.unregister("new_scores")
        con.unregister("features")
    return dict(bands)


def save_served_features(
    con: duckdb.DuckDBPyConnection, settings: Settings, as_of_date: date
) -> None:
    """Copy the features of a scored day to ml.scored_features; scoring again replaces them."""
    snapshots.save_served_features(con, as_of_date)


def _reasons(settings: Settings, day: Day) -> "InferenceSession | None":
    """Return a session of the version's reasons file; None for a version without one."""
    files = store.read_manifest(settings.models, day.constants["version"])["files"]
    expected = files.get("reasons.onnx")
    return onnx_model.load(day.model / "reasons.onnx", expected) if expected else None
