"""Scoring: write the production model's churn risk of every user of a day to the warehouse."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

import duckdb
import numpy as np
import pandas as pd

from python_jobs.errors import JobError
from python_jobs.publication import onnx_model
from python_jobs.publication.attribute_values import OTHER
from python_jobs.publication.prediction import BANDS
from python_jobs.registry import store
from python_jobs.scoring import duckdb_score, spark_score
from python_jobs.scoring.day import Day
from python_jobs.scoring.reasons import groups, value_text
from python_jobs.settings import Settings
from python_jobs.warehouse.engines import DuckDB, Spark, engine_of
from python_jobs.warehouse.features import Features

HIGH_FROM = 0.5
"""Lowest churn_risk of the band 'high'."""

MEDIUM_FROM = 0.2
"""Lowest churn_risk of the band 'medium', which ends below HIGH_FROM."""

BY_ENGINE = {DuckDB.name: duckdb_score, Spark.name: spark_score}
"""Each module has the functions score_day and save_served_features."""


@dataclass(frozen=True)
class Scored:
    """The written predictions: their day, model, and number of users in each risk band."""

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
    no production model or no user, a file of the model differs from the registered one, the golden
    rows get other scores, one of its features is missing or has another type, or a score is
    missing or not a probability.
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
    folder = settings.models / version
    session = onnx_model.load(folder / "model.onnx", expected)
    onnx_model.check_golden(session, store.read_json(settings.models, version, "golden.json"))

    day = (
        as_of_date
        or con.execute("select max(as_of_date) from user_features_daily").fetchall()[0][0]
    )
    counted = (
        f"count(distinct user_id) from main.user_features_daily where as_of_date = date '{day}'"
    )
    engine = engine_of(settings)
    users = engine.rows(con, f"select {counted}")[0][0] if day else 0
    if not users:
        raise JobError(
            f"user_features_daily has no user on {day}.",
            next_step="run `churnhouse build`, or name a day that it covers.",
        )
    say(f"scoring {users:,} users on {day} with {version}")
    told = told_features(settings, version)
    constants = {
        "as_of_date": day,
        "high_from": high_from,
        "medium_from": medium_from,
        "version": version,
        "scored_at": store.utc(now),
    }
    to_score = Day(
        users=users,
        model=folder,
        session=session,
        features=features,
        told=told,
        constants=constants,
    )
    bands = BY_ENGINE[engine.name].score_day(con, settings, to_score)
    return Scored(day, version, users, dict.fromkeys(BANDS, 0) | bands)


def save_served_features(
    con: duckdb.DuckDBPyConnection, settings: Settings, as_of_date: date
) -> None:
    """Copy the features of a scored day to ml.scored_features; scoring again replaces them."""
    BY_ENGINE[engine_of(settings).name].save_served_features(con, settings, as_of_date)


def _check_features(features: Features, con: duckdb.DuckDBPyConnection, version: str) -> None:
    """Raise JobError unless user_features_daily has the model's features, by name and type.

    Additional features are allowed: the model never reads them.
    """
    there = Features.of_table(con, "user_features_daily", features.values)
    if differences := features.differences(there):
        raise JobError(
            f"user_features_daily does not fit the model {version}: {'; '.join(differences[:5])}.",
            next_step="run `churnhouse train` and `churnhouse promote`, then score again.",
        )


def told_features(settings: Settings, version: str) -> pd.DataFrame:
    """Return the words for each column of the model's matrix in a reason.

    place; thing, the number of its measure; label; typical, with the typical value; text, the value
    in words, or NULL for a number. After the matrix's columns comes one row for each attribute: its
    values that the model does not know.
    """
    features = store.read_features(settings.models, version)
    facts = store.read_feature_facts(settings.models, version)
    files = store.read_manifest(settings.models, version)["files"]
    known = "typical.json" in files
    typical = store.read_json(settings.models, version, "typical.json") if known else {}
    things = groups(facts[name] for name in features.numbers)
    words: list[tuple[int, str, str, str | None]] = [
        (
            thing,
            facts[name].label,
            f", typically {value_text(typical.get(name, {}).get('median'))}; ",
            None,
        )
        for name, thing in zip(features.numbers, things, strict=True)
    ]
    attributes = [*enumerate(features.values, start=int(things.max()) + 1)]
    for thing, name in attributes:
        words += [(thing, facts[name].label, "; ", value) for value in features.values[name]]
    words += [(thing, facts[name].label, "; ", OTHER) for thing, name in attributes]
    told = pd.DataFrame(words, columns=["thing", "label", "typical", "text"])
    return told.assign(place=np.arange(len(told), dtype=np.int16), text=told["text"].astype("str"))
