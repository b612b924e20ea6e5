"""Score: the production model gives every user of a day a churn risk, in ml.churn_predictions."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

import duckdb
import numpy as np
import pandas as pd

from python_jobs.errors import JobError
from python_jobs.publication import onnx_model
from python_jobs.registry import store
from python_jobs.scoring.reasons import label, value_text
from python_jobs.scoring.rows import TOLD, check_scores, scored
from python_jobs.settings import Settings
from python_jobs.warehouse.connection import ask, give_up
from python_jobs.warehouse.features import Features

HIGH_FROM = 0.5
"""A churn_risk from here on is in the band 'high'."""

MEDIUM_FROM = 0.2
"""A churn_risk from here on, and below HIGH_FROM, is in the band 'medium'."""

INSERT = f"""
insert into ml.churn_predictions by name
select
    *,
    row_number() over riskiest_first as risk_rank,
    ntile(10) over riskiest_first as risk_decile
from ({TOLD})
window riskiest_first as (order by churn_risk desc, user_id)
"""


@dataclass(frozen=True)
class Scored:
    """What was written: the day, the model, and how many users are in each risk band."""

    as_of_date: date
    model_version: str
    users: int
    bands: dict[str, int]


def score(
    con: duckdb.DuckDBPyConnection,
    settings: Settings,
    *,
    now: datetime,
    as_of_date: date | None = None,
    high_from: float = HIGH_FROM,
    medium_from: float = MEDIUM_FROM,
    progress: Callable[[str], None] | None = None,
) -> Scored:
    """Score every user of user_features_daily on one day, the latest by default.

    Replaces that day's rows in one transaction. Raises JobError, and writes nothing, if there is
    no production model or no user, a file of the model is not the registered one, its golden rows
    get other scores, the features differ in name or type from those it was trained on, or a score
    is missing or not a probability.
    """
    say = progress or (lambda line: None)
    production = store.production(settings.models)
    if production is None:
        raise JobError(
            "No model is in production.",
            next_step="run `churnhouse train` and `churnhouse promote`; a model that was refused "
            "needs more users or days to learn from (`churnhouse models` shows its figures).",
        )
    version = production.version
    features = store.read_features(settings.models, version)
    _check_features(features, con, version)
    expected = store.read_manifest(settings.models, version)["files"]["model.onnx"]
    session = onnx_model.load(settings.models / version / "model.onnx", expected)
    onnx_model.check_golden(session, store.read_json(settings.models, version, "golden.json"))

    day = (
        as_of_date
        or con.execute("select max(as_of_date) from user_features_daily").fetchall()[0][0]
    )
    counted = (
        f"count(distinct user_id) from main.user_features_daily where as_of_date = date '{day}'"
    )
    users = ask(con, settings, f"select {counted}")[0][0] if day else 0
    if not users:
        raise JobError(
            f"user_features_daily has no user on {day}.",
            next_step="run `churnhouse build`, or name a day that it covers.",
        )
    say(f"scoring {users:,} users on {day} with {version}")
    told = _told_features(settings, version, features)
    constants = {
        "as_of_date": day,
        "high_from": high_from,
        "medium_from": medium_from,
        "version": version,
        "scored_at": store.utc(now),
    }
    if settings.target == "spark":
        from python_jobs.scoring import spark_score

        files = [settings.models / version / name for name in ("model.onnx", "reasons.onnx")]
        models = [file.read_bytes() if file.exists() else None for file in files]
        bands = spark_score.score_day(settings, features, models, told, constants, users)
        return Scored(day, version, users, {"high": 0, "medium": 0, "low": 0} | bands)
    reasons = _reasons_session(settings, version)
    rest = "from user_features_daily as f where f.as_of_date = ? order by f.user_id"
    scores = scored(con, features, session, reasons, rest, day)
    check_scores(scores, users)
    con.register("new_scores", scores)
    con.register("features", told)
    con.begin()
    try:
        con.execute("delete from ml.churn_predictions where as_of_date = ?", [day])
        con.execute(INSERT, constants)
        counts = con.execute(
            "select risk_band, count(*) from ml.churn_predictions where as_of_date = ? group by 1",
            [day],
        ).fetchall()
        con.commit()
    except BaseException:
        give_up(con)
        raise
    finally:
        con.unregister("new_scores")
        con.unregister("features")
    return Scored(day, version, users, {"high": 0, "medium": 0, "low": 0} | dict(counts))


def _check_features(features: Features, con: duckdb.DuckDBPyConnection, version: str) -> None:
    """Raise JobError unless user_features_daily has the model's features, by name and type."""
    if differences := features.differences(Features.of_table(con, "user_features_daily")):
        raise JobError(
            f"user_features_daily does not fit the model {version}: {'; '.join(differences[:5])}.",
            next_step="run `churnhouse train` and `churnhouse promote`, then score again.",
        )


def _reasons_session(settings: Settings, version: str):
    """The version's reasons file, opened; None for a version that was made without one."""
    expected = store.read_manifest(settings.models, version)["files"].get("reasons.onnx")
    return expected and onnx_model.load(settings.models / version / "reasons.onnx", expected)


def _told_features(settings: Settings, version: str, features: Features) -> pd.DataFrame:
    """How a reason speaks of each feature: its place, label, and typical value."""
    files = store.read_manifest(settings.models, version)["files"]
    known = "typical.json" in files
    typical = store.read_json(settings.models, version, "typical.json") if known else {}
    return pd.DataFrame(
        {
            "place": np.arange(len(features.names), dtype=np.int16),
            "label": [label(name) for name in features.names],
            "typical": [
                f", typically {value_text(typical.get(name, {}).get('median'))}; "
                for name in features.names
            ],
        }
    )
